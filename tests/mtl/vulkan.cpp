// Interoperation: a program's own device, buffers and images, and the handles behind ours.
#include "vk/Vulkan.hpp"

#include "Rig.hpp"
#include "vk/Device.hpp"
#include "vk/Instance.hpp"

#include <mpsvk/vulkan.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <vector>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// What a program of its own would have made before it met this library.
struct Program {
    Program() {
        vk::physicalDevices(); // the Vulkan loader's functions, which the program would have as
                               // well
        VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
        application.apiVersion = VK_API_VERSION_1_1;
        VkInstanceCreateInfo instanceInfo{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
        instanceInfo.pApplicationInfo = &application;
        vk::check(vkCreateInstance(&instanceInfo, nullptr, &handles.instance), "vkCreateInstance");
        uint32_t count = 0;
        vkEnumeratePhysicalDevices(handles.instance, &count, nullptr);
        std::vector<VkPhysicalDevice> all(count);
        vkEnumeratePhysicalDevices(handles.instance, &count, all.data());
        const auto& wanted = testDevice().impl().vk->properties();
        for (VkPhysicalDevice device : all) {
            VkPhysicalDeviceProperties properties;
            vkGetPhysicalDeviceProperties(device, &properties);
            if (!std::strcmp(properties.deviceName, wanted.deviceName))
                handles.physicalDevice = device;
        }
        handles.queueFamilyIndex = testDevice().impl().vk->queueFamily();
        const float priority = 1;
        VkDeviceQueueCreateInfo queueInfo{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
        queueInfo.queueFamilyIndex = handles.queueFamilyIndex;
        queueInfo.queueCount = 1;
        queueInfo.pQueuePriorities = &priority;
        VkPhysicalDeviceFeatures features{};
        features.shaderStorageImageWriteWithoutFormat = hasTextures();
        VkDeviceCreateInfo deviceInfo{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
        deviceInfo.queueCreateInfoCount = 1;
        deviceInfo.pQueueCreateInfos = &queueInfo;
        deviceInfo.pEnabledFeatures = &features;
        vk::check(vkCreateDevice(handles.physicalDevice, &deviceInfo, nullptr, &handles.device),
                  "vkCreateDevice");
        vkGetDeviceQueue(handles.device, handles.queueFamilyIndex, 0, &handles.queue);
        handles.storageImageWriteWithoutFormat = hasTextures();
    }
    ~Program() {
        vkDestroyDevice(handles.device, nullptr);
        vkDestroyInstance(handles.instance, nullptr);
    }

    /// Memory for `needs` that the host sees.
    VkDeviceMemory allocate(const VkMemoryRequirements& needs) const {
        VkPhysicalDeviceMemoryProperties properties;
        vkGetPhysicalDeviceMemoryProperties(handles.physicalDevice, &properties);
        constexpr VkMemoryPropertyFlags wanted =
            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
        info.allocationSize = needs.size;
        for (uint32_t i = properties.memoryTypeCount; i-- > 0;)
            if (needs.memoryTypeBits >> i & 1 &&
                (properties.memoryTypes[i].propertyFlags & wanted) == wanted)
                info.memoryTypeIndex = i;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        vk::check(vkAllocateMemory(handles.device, &info, nullptr, &memory), "vkAllocateMemory");
        return memory;
    }

    vulkan::DeviceHandles handles;
};

} // namespace

TEST_CASE("A device of the program's own runs kernels on the program's own buffers", "[vulkan]") {
    const Program program;
    const VkDevice raw = program.handles.device;
    VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
    info.size = 4096;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    VkBuffer buffer = VK_NULL_HANDLE;
    vk::check(vkCreateBuffer(raw, &info, nullptr, &buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(raw, buffer, &needs);
    const VkDeviceMemory memory = program.allocate(needs);
    vkBindBufferMemory(raw, buffer, memory, 0);
    void* mapped = nullptr;
    vkMapMemory(raw, memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    {
        const MTL::Device device = vulkan::adoptDevice(program.handles);
        CHECK(device.name() == testDevice().name());
        CHECK(device != testDevice());
        CHECK(vulkan::handles(device).device == raw);
        CHECK(vulkan::handles(device).queue == program.handles.queue);
        const MTL::Buffer wrapped = vulkan::wrapBuffer(device, buffer, 4096, mapped);
        CHECK(vulkan::handle(wrapped).buffer == buffer);
        CHECK(vulkan::handle(wrapped).offset == 0);
        CHECK(vulkan::handle(wrapped).size == 4096);
        CHECK(wrapped.contents().data() == mapped);
        for (size_t i = 0; i < 1024; ++i) floats(wrapped)[i] = float(i);
        const auto pipeline =
            device.newComputePipelineState(device.newLibrary(addKernel()).newFunction("main"));
        const MTL::CommandBuffer commands = device.newCommandQueue().commandBuffer();
        const auto encoder = commands.computeCommandEncoder();
        encoder.setComputePipelineState(pipeline);
        encoder.setBuffer(wrapped, 0, 0);
        encoder.setBuffer(wrapped, 1024, 1);
        encoder.setBuffer(wrapped, 2048, 2);
        encoder.dispatchThreads({256, 1, 1}, {64, 1, 1});
        encoder.endEncoding();
        finish(commands);
        bool called = false;
        vulkan::withQueue(device, [&](VkQueue queue) { called = queue == program.handles.queue; });
        CHECK(called);
        const MTL::Buffer foreign = bufferOf({1});
        const MTL::CommandBuffer other = device.newCommandQueue().commandBuffer();
        const auto strict = other.computeCommandEncoder();
        CHECK(sentence<InvalidArgument>([&] { strict.setBuffer(foreign, 0, 0); }) ==
              "[ComputeCommandEncoder] setBuffer was given a buffer of the device \"" +
                  device.name() + "\" but belongs to \"" + device.name() + "\".");
        strict.endEncoding();
        CHECK(vulkan::wrapBuffer(device, buffer, 4096, nullptr).storageMode() ==
              MTL::StorageMode::Private);
    }
    std::vector<float> values(1024);
    std::memcpy(values.data(), mapped, 4096);
    for (size_t i = 0; i < 256; ++i) CHECK(values[512 + i] == float(i + (256 + i)));
    vkDestroyBuffer(raw, buffer, nullptr);
    vkFreeMemory(raw, memory, nullptr);
}

TEST_CASE("The program's own image", "[vulkan]") {
    if (!hasTextures()) SKIP("the device has no textures");
    // Made by a texture of ours on the same device, wrapped a second time as a program would wrap
    // its own.
    MTL::TextureDescriptor descriptor(MTL::PixelFormat::RGBA32Float, 4, 4, false);
    descriptor.setUsage(MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite);
    const MTL::Texture own = testDevice().newTexture(descriptor);
    const vulkan::ImageHandle image = vulkan::handle(own);
    CHECK(image.format == VK_FORMAT_R32G32B32A32_SFLOAT);
    CHECK(image.view != VK_NULL_HANDLE);
    const MTL::Texture wrapped = vulkan::wrapImage(testDevice(), image.image, descriptor);
    CHECK(vulkan::handle(wrapped).image == image.image);
    CHECK(vulkan::handle(wrapped).view != image.view);
    std::vector<float> in(64), out(64);
    for (size_t i = 0; i < 64; ++i) in[i] = float(i);
    const MTL::Region all = MTL::RegionMake2D(0, 0, 4, 4);
    wrapped.replaceRegion(all, 0, std::as_bytes(std::span(in)), 64);
    own.getBytes(std::as_writable_bytes(std::span(out)), 64, all, 0);
    CHECK(out == in);
}

TEST_CASE("The VkBuffer behind a buffer", "[vulkan]") {
    const MTL::Buffer first = testDevice().newBuffer(1000), second = testDevice().newBuffer(1000);
    const auto a = vulkan::handle(first), b = vulkan::handle(second);
    CHECK(a.size == 1000);
    CHECK((a.buffer != b.buffer || a.offset + 1000 <= b.offset || b.offset + 1000 <= a.offset));
}

TEST_CASE("Handles that cannot be", "[vulkan]") {
    vulkan::DeviceHandles handles = vulkan::handles(testDevice());
    CHECK(sentence<InvalidArgument>([] { vulkan::adoptDevice({}); }) ==
          "[vulkan] adoptDevice was given a null handle but needs an instance, a physical device, "
          "a device "
          "and a queue.");
    handles.queueFamilyIndex = 77;
    CHECK(sentence<InvalidArgument>([&] {
              vulkan::adoptDevice(handles);
          }).starts_with("[vulkan] adoptDevice was given queue family 77 of a device that has "));
    CHECK(sentence<InvalidArgument>([] {
              vulkan::wrapBuffer(testDevice(), VK_NULL_HANDLE, 4, nullptr);
          }) == "[vulkan] wrapBuffer was given a null VkBuffer.");
    CHECK(sentence<InvalidArgument>([] { vulkan::wrapImage(testDevice(), VK_NULL_HANDLE, {}); }) ==
          "[vulkan] wrapImage was given a null VkImage.");
}
