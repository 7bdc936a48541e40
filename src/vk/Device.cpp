#include "vk/Device.hpp"

#include "vk/Capabilities.hpp"
#include "vk/Instance.hpp"
#include "vk/Pipeline.hpp"
#include "vk/Shaders.hpp"
#include "vk/Texture.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cstring>
#include <set>

#ifndef VK_KHR_shader_bfloat16 // of headers older than that
#define VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME "VK_KHR_shader_bfloat16"
constexpr auto VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR =
    VkStructureType(1000141000);
constexpr auto VK_COMPONENT_TYPE_BFLOAT16_KHR = VkComponentTypeKHR(1000141000);
struct VkPhysicalDeviceShaderBfloat16FeaturesKHR {
    VkStructureType sType;
    void* pNext;
    VkBool32 shaderBFloat16Type, shaderBFloat16DotProduct, shaderBFloat16CooperativeMatrix;
};
#endif

namespace mpsvk::vk {

namespace {

std::set<std::string> deviceExtensions(VkPhysicalDevice device) {
    uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> all(count);
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, all.data());
    std::set<std::string> names;
    for (const auto& extension : all) names.insert(extension.extensionName);
    return names;
}

bool hasPipelineStatistics(VkPhysicalDevice device, const std::set<std::string>& available) {
    if (!available.count(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME) ||
        isDisabled("pipeline_statistics"))
        return false;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceFeatures2 features{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &executables, {}};
    vkGetPhysicalDeviceFeatures2(device, &features);
    return executables.pipelineExecutableInfo;
}

bool hasHostQueryReset(VkPhysicalDevice device, const std::set<std::string>& available) {
    if (!available.count(VK_EXT_HOST_QUERY_RESET_EXTENSION_NAME) || isDisabled("host_query_reset"))
        return false;
    VkPhysicalDeviceHostQueryResetFeaturesEXT reset{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_HOST_QUERY_RESET_FEATURES_EXT};
    VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &reset, {}};
    vkGetPhysicalDeviceFeatures2(device, &features);
    return reset.hostQueryReset;
}

uint32_t computeFamily(VkPhysicalDevice device) {
    uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (uint32_t i = 0; i < count; ++i)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) return i;
    throw DeviceError("The device has no compute queue.");
}

/// What shaders with cooperative matrices need, as extensions and features of a device.
struct CooperativeMatrices {
    VkPhysicalDeviceShaderFloat16Int8Features float16{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceVulkanMemoryModelFeatures memoryModel{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, &float16};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, &memoryModel};
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR, nullptr, 0, 0, 0};
    bool hasBfloat16 = false; ///< in addition
    static constexpr const char* extensions[] = {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME,
                                                 VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME,
                                                 VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME};

    /// Whether the device has all of it, matrices of the size and types that shaders use, and
    /// whether the shader compiler knew these.
    bool query(VkInstance instance, VkPhysicalDevice device,
               const std::set<std::string>& available) {
        if (!std::ranges::count(shaders(), std::string_view("MatrixMultiplicationCooperative"),
                                &Shader::name))
            return false;
        for (const char* name : extensions)
            if (!available.count(name)) return false;
        VkPhysicalDeviceSubgroupProperties subgroup{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
        VkPhysicalDeviceProperties2 properties{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &subgroup, {}};
        vkGetPhysicalDeviceProperties2(device, &properties);
        hasBfloat16 =
            available.count(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME) && !isDisabled("bfloat16");
        if (hasBfloat16) float16.pNext = &bfloat16;
        VkPhysicalDeviceFeatures2 features{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &matrix, {}};
        vkGetPhysicalDeviceFeatures2(device, &features);
        const VkPhysicalDeviceLimits& limits = properties.properties.limits;
        const Processor processor = processorOf(device, available);
        if (!trustsCooperativeMatrices(processor.architecture, processor.driver)) return false;
        if (subgroup.subgroupSize != 32 || limits.maxComputeSharedMemorySize < 48 * 1024 ||
            limits.maxComputeWorkGroupInvocations < 256 || !matrix.cooperativeMatrix ||
            !memoryModel.vulkanMemoryModel || !float16.shaderFloat16 || isDisabled("fp16"))
            return false;
        matrix.cooperativeMatrixRobustBufferAccess = VK_FALSE;
        memoryModel.vulkanMemoryModelDeviceScope = VK_FALSE;
        memoryModel.vulkanMemoryModelAvailabilityVisibilityChains = VK_FALSE;
        float16.shaderInt8 = VK_FALSE;
        // From the device's own instance: loaders that do not know the extension number its
        // functions in each instance anew.
        const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
            vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
        if (!list) return false;
        uint32_t count = 0;
        list(device, &count, nullptr);
        std::vector<VkCooperativeMatrixPropertiesKHR> all(
            count, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
        list(device, &count, all.data());
        const auto has = [&all](VkComponentTypeKHR type, VkComponentTypeKHR sums) {
            return std::ranges::any_of(all, [=](const VkCooperativeMatrixPropertiesKHR& m) {
                return m.MSize == 16 && m.NSize == 16 && m.KSize == 16 && m.AType == type &&
                       m.BType == type && m.CType == sums && m.ResultType == sums &&
                       m.scope == VK_SCOPE_SUBGROUP_KHR;
            });
        };
        hasBfloat16 = hasBfloat16 && bfloat16.shaderBFloat16Type &&
                      bfloat16.shaderBFloat16CooperativeMatrix &&
                      has(VK_COMPONENT_TYPE_BFLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR);
        bfloat16.shaderBFloat16DotProduct = VK_FALSE;
        if (!hasBfloat16) float16.pNext = nullptr;
        // Nothing is added up in halves, but sums are rounded to them.
        return has(VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR) &&
               has(VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT16_KHR);
    }
};

} // namespace

std::shared_ptr<Device> Device::create(VkPhysicalDevice physicalDevice) {
    auto device = std::shared_ptr<Device>(new Device);
    device->instance_ = vk::instance();
    device->physicalDevice_ = physicalDevice;
    device->open(false);
    return device;
}

std::shared_ptr<Device> Device::adopt(VkInstance instance, VkPhysicalDevice physicalDevice,
                                      VkDevice handle, uint32_t queueFamily, VkQueue queue,
                                      const Features& enabled) {
    loadFunctions(instance);
    auto device = std::shared_ptr<Device>(new Device);
    device->instance_ = instance;
    device->physicalDevice_ = physicalDevice;
    device->device_ = handle;
    device->queueFamily_ = queueFamily;
    device->queue_ = queue;
    device->features_ = enabled;
    device->features_.pipelineStatistics = false;
    CooperativeMatrices cooperative;
    device->features_.cooperativeMatrix =
        enabled.cooperativeMatrix &&
        cooperative.query(instance, physicalDevice, deviceExtensions(physicalDevice));
    device->features_.bfloat16 &= device->features_.cooperativeMatrix && cooperative.hasBfloat16;
    device->open(true);
    return device;
}

const char* Device::lackedBy(uint32_t capability) const {
    return adopted_ ? nullptr : vk::lackedBy(capability, enabled_, features_.cooperativeMatrix);
}

void Device::open(bool adopted) {
    adopted_ = adopted;
    vkGetPhysicalDeviceProperties(physicalDevice_, &properties_);
    VkPhysicalDeviceFeatures available;
    vkGetPhysicalDeviceFeatures(physicalDevice_, &available);
    const auto extensions = deviceExtensions(physicalDevice_);
    limits_.processor = processorOf(physicalDevice_, extensions);
    if (!adopted) {
        queueFamily_ = computeFamily(physicalDevice_);
        std::vector<const char*> enabled;
        const auto enable = [&](const char* name) {
            if (!extensions.count(name)) return false;
            enabled.push_back(name);
            return true;
        };
        enable("VK_KHR_portability_subset"); // must be enabled where it exists
        if (!isDisabled("push_descriptor"))
            features_.pushDescriptor = enable(VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME);
        VkPhysicalDeviceFeatures wanted{};
        wanted.shaderStorageImageWriteWithoutFormat =
            available.shaderStorageImageWriteWithoutFormat;
        wanted.shaderStorageImageExtendedFormats = available.shaderStorageImageExtendedFormats;
        // Only users' kernels compute with these.
        wanted.shaderFloat64 = available.shaderFloat64;
        wanted.shaderInt64 = available.shaderInt64;
        wanted.shaderInt16 = available.shaderInt16;
        features_.textureStorage =
            available.shaderStorageImageWriteWithoutFormat && !isDisabled("texture");
        features_.debugLabels = hasDebugLabels();
        CooperativeMatrices cooperative;
        features_.cooperativeMatrix = !isDisabled("cooperative_matrix") &&
                                      cooperative.query(instance_, physicalDevice_, extensions);
        if (features_.cooperativeMatrix)
            for (const char* name : CooperativeMatrices::extensions) enable(name);
        features_.bfloat16 = features_.cooperativeMatrix && cooperative.hasBfloat16 &&
                             enable(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME);
        VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
        features_.pipelineStatistics = hasPipelineStatistics(physicalDevice_, extensions) &&
                                       enable(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
        executables.pipelineExecutableInfo = features_.pipelineStatistics;
        VkPhysicalDeviceHostQueryResetFeaturesEXT queryReset{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_HOST_QUERY_RESET_FEATURES_EXT};
        features_.hostQueryReset = hasHostQueryReset(physicalDevice_, extensions) &&
                                   enable(VK_EXT_HOST_QUERY_RESET_EXTENSION_NAME);
        queryReset.hostQueryReset = features_.hostQueryReset;
        const float priority = 1;
        VkDeviceQueueCreateInfo queueInfo{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
        queueInfo.queueFamilyIndex = queueFamily_;
        queueInfo.queueCount = 1;
        queueInfo.pQueuePriorities = &priority;
        VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &queueInfo;
        info.enabledExtensionCount = uint32_t(enabled.size());
        info.ppEnabledExtensionNames = enabled.data();
        info.pEnabledFeatures = &wanted;
        if (features_.cooperativeMatrix) info.pNext = &cooperative.matrix;
        const auto chain = [&](auto& features) {
            features.pNext = const_cast<void*>(info.pNext);
            info.pNext = &features;
        };
        if (features_.pipelineStatistics) chain(executables);
        if (features_.hostQueryReset) chain(queryReset);
        check(vkCreateDevice(physicalDevice_, &info, nullptr, &device_), "vkCreateDevice");
        enabled_ = wanted;
        vkGetDeviceQueue(device_, queueFamily_, 0, &queue_);
    }
    VkPhysicalDevicePushDescriptorPropertiesKHR push{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PUSH_DESCRIPTOR_PROPERTIES_KHR};
    VkPhysicalDeviceSubgroupProperties subgroup{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    if (features_.pushDescriptor) subgroup.pNext = &push;
    VkPhysicalDeviceProperties2 more{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &subgroup, {}};
    vkGetPhysicalDeviceProperties2(physicalDevice_, &more);
    limits_.subgroupSize = subgroup.subgroupSize;
    features_.subgroupBroadcast =
        subgroup.subgroupSize >= 8 && (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT) && !isDisabled("subgroup");
    limits_.pushDescriptors = push.maxPushDescriptors;
    const VkPhysicalDeviceLimits& l = properties_.limits;
    limits_.storageBufferRange = l.maxStorageBufferRange;
    limits_.storageAlignment = l.minStorageBufferOffsetAlignment;
    limits_.uniformAlignment = l.minUniformBufferOffsetAlignment;
    limits_.workGroupCount =
        isDisabled("wide_grids") ? 2u : std::min(l.maxComputeWorkGroupCount[0], 65535u);
    limits_.workGroupInvocations = l.maxComputeWorkGroupInvocations;
    limits_.sharedMemoryBytes = l.maxComputeSharedMemorySize;
    limits_.imageSize2D = l.maxImageDimension2D;
    limits_.imageLayers = l.maxImageArrayLayers;
    limits_.processor.hasFastBfloat16 &= features_.bfloat16 && !isDisabled("exact_bfloat16");
    if (l.timestampComputeAndGraphics) limits_.nanosecondsPerTick = l.timestampPeriod;
    unified_ = (properties_.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ||
                properties_.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU) &&
               !isDisabled("unified_memory");

    memory_ = std::make_unique<Memory>(*this);
    pipelines_ = std::make_unique<PipelineLibrary>(*this);
    VkSamplerCreateInfo samplerInfo{VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO};
    check(vkCreateSampler(device_, &samplerInfo, nullptr, &sampler_), "vkCreateSampler");
    VkCommandPoolCreateInfo poolInfo{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    poolInfo.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT;
    poolInfo.queueFamilyIndex = queueFamily_;
    check(vkCreateCommandPool(device_, &poolInfo, nullptr, &transferPool_), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo commandsInfo{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    commandsInfo.commandPool = transferPool_;
    commandsInfo.commandBufferCount = 2;
    check(vkAllocateCommandBuffers(device_, &commandsInfo, transferCommands_),
          "vkAllocateCommandBuffers");
    VkFenceCreateInfo fenceInfo{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    check(vkCreateFence(device_, &fenceInfo, nullptr, &transferFence_), "vkCreateFence");
    placeholderBuffer_ = memory_->allocate(Memory::alignment, MemoryKind::Device);
}

Device::~Device() {
    if (!device_) return;
    vkDeviceWaitIdle(device_);
    clears_.clear();
    placeholderTexture_.reset();
    placeholderBuffer_.reset();
    arrivalCounters_.reset();
    if (transferFence_) vkDestroyFence(device_, transferFence_, nullptr);
    if (transferPool_) vkDestroyCommandPool(device_, transferPool_, nullptr);
    if (sampler_) vkDestroySampler(device_, sampler_, nullptr);
    pipelines_.reset();
    memory_.reset();
    if (!adopted_) vkDestroyDevice(device_, nullptr);
}

const std::shared_ptr<Texture>& Device::placeholderTexture() {
    std::lock_guard lock(placeholderMutex_);
    if (!placeholderTexture_)
        placeholderTexture_ =
            std::make_shared<Texture>(*this, VK_FORMAT_R32G32B32A32_SFLOAT, 1, 1, 1);
    return placeholderTexture_;
}

std::shared_ptr<Buffer> Device::arrivalCounters(VkDeviceSize bytes) {
    std::lock_guard lock(countersMutex_);
    if (!arrivalCounters_ || arrivalCounters_->size() < bytes) {
        constexpr VkDeviceSize least = 16384;
        auto made = memory_->allocate(std::max(bytes, least), MemoryKind::Device);
        clearBeforeUse(made);
        arrivalCounters_ = std::move(made);
    }
    return arrivalCounters_;
}

VkResult Device::submit(VkCommandBuffer commands, VkFence fence, const RecordClears& recordClears) {
    std::lock_guard lock(queueMutex_);
    std::vector<std::shared_ptr<Buffer>> clears;
    {
        std::lock_guard clearLock(clearMutex_);
        clears.swap(clears_);
    }
    const auto putBack = [&] {
        std::lock_guard clearLock(clearMutex_);
        clears_.insert(clears_.end(), clears.begin(), clears.end());
    };
    VkCommandBuffer both[2] = {};
    uint32_t count = 0;
    try {
        if (!clears.empty()) both[count++] = recordClears(clears);
    } catch (...) {
        putBack();
        throw;
    }
    both[count++] = commands;
    VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
    info.commandBufferCount = count;
    info.pCommandBuffers = both;
    const VkResult result = vkQueueSubmit(queue_, 1, &info, fence);
    if (result != VK_SUCCESS) putBack();
    return result;
}

void Device::withQueue(const std::function<void(VkQueue)>& use) {
    std::lock_guard lock(queueMutex_);
    use(queue_);
}

void Device::immediately(const std::function<void(VkCommandBuffer)>& record) {
    std::lock_guard lock(transferMutex_);
    check(vkResetCommandPool(device_, transferPool_, 0), "vkResetCommandPool");
    const VkCommandBuffer commands = transferCommands_[0];
    VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    check(vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
    VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
    barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                         VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &barrier, 0, nullptr, 0,
                         nullptr);
    record(commands);
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                         0, 1, &barrier, 0, nullptr, 0, nullptr);
    check(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    std::vector<std::shared_ptr<Buffer>> cleared; // kept until the wait is over
    const auto recordClears = [&](std::vector<std::shared_ptr<Buffer>> buffers) {
        check(vkBeginCommandBuffer(transferCommands_[1], &begin), "vkBeginCommandBuffer");
        fillWithZeros(transferCommands_[1], buffers);
        check(vkEndCommandBuffer(transferCommands_[1]), "vkEndCommandBuffer");
        cleared = std::move(buffers);
        return transferCommands_[1];
    };
    check(submit(commands, transferFence_, recordClears), "vkQueueSubmit");
    check(vkWaitForFences(device_, 1, &transferFence_, VK_TRUE, UINT64_MAX), "vkWaitForFences");
    check(vkResetFences(device_, 1, &transferFence_), "vkResetFences");
}

void Device::clearBeforeUse(const std::shared_ptr<Buffer>& buffer) {
    if (buffer->mapped()) {
        std::memset(buffer->mapped(), 0, buffer->size());
        return;
    }
    std::lock_guard lock(clearMutex_);
    clears_.push_back(buffer);
}

void Device::fillWithZeros(VkCommandBuffer commands,
                           std::span<const std::shared_ptr<Buffer>> buffers) {
    for (const auto& buffer : buffers)
        vkCmdFillBuffer(commands, buffer->handle(), buffer->offset(), (buffer->size() + 3) / 4 * 4,
                        0);
}

void Device::upload(const BufferSlice& destination, const void* bytes) {
    if (destination.size == 0) return;
    if (std::byte* mapped = destination.mapped()) {
        std::memcpy(mapped, bytes, destination.size);
        return;
    }
    const auto staging = memory_->allocate(destination.size, MemoryKind::Shared);
    std::memcpy(staging->mapped(), bytes, destination.size);
    immediately([&](VkCommandBuffer commands) {
        const VkBufferCopy region{staging->offset(), destination.begin(), destination.size};
        vkCmdCopyBuffer(commands, staging->handle(), destination.buffer->handle(), 1, &region);
    });
}

void Device::download(const BufferSlice& source, void* bytes) {
    if (source.size == 0) return;
    if (const std::byte* mapped = source.mapped()) {
        std::memcpy(bytes, mapped, source.size);
        return;
    }
    const auto staging = memory_->allocate(source.size, MemoryKind::Readback);
    immediately([&](VkCommandBuffer commands) {
        const VkBufferCopy region{source.begin(), staging->offset(), source.size};
        vkCmdCopyBuffer(commands, source.buffer->handle(), staging->handle(), 1, &region);
    });
    std::memcpy(bytes, staging->mapped(), source.size);
}

} // namespace mpsvk::vk
