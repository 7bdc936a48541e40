// A logical device with one compute queue, its limits and features, its memory and pipelines.
#pragma once

#include "vk/Architecture.hpp"
#include "vk/Memory.hpp"
#include "vk/Vulkan.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::vk {

class PipelineLibrary;
class Texture;

/// Optional features: each has a path without it, forced by MPSVK_DISABLE.
struct Features {
    bool pushDescriptor = false;
    bool textureStorage = false; ///< storage images written without a format
    bool debugLabels = false;
    bool subgroupBroadcast = false; ///< among at least eight invocations
    /// 16x16x16, fp16 with fp32 sums, of subgroups of 32.
    bool cooperativeMatrix = false;
    bool bfloat16 = false;           ///< the same of bf16, where there are those
    bool pipelineStatistics = false; ///< of what the compiler made of a shader
    bool hostQueryReset = false;
};

struct Limits {
    VkDeviceSize storageBufferRange = 0;
    VkDeviceSize storageAlignment = 0, uniformAlignment = 0;
    uint32_t workGroupCount = 65535; ///< in x
    uint32_t subgroupSize = 1;
    uint32_t pushDescriptors = 0;
    uint32_t workGroupInvocations = 128;
    uint32_t sharedMemoryBytes = 16384;
    uint32_t imageSize2D = 4096, imageLayers = 256;
    double nanosecondsPerTick = 0; ///< 0: no timestamps
    Processor processor;
};

class Device : public std::enable_shared_from_this<Device> {
public:
    static std::shared_ptr<Device> create(VkPhysicalDevice physicalDevice);
    /// A device of the user's, with one of its compute queues; neither is destroyed here.
    static std::shared_ptr<Device> adopt(VkInstance, VkPhysicalDevice, VkDevice,
                                         uint32_t queueFamily, VkQueue, const Features& enabled);
    ~Device();
    Device(const Device&) = delete;

    VkInstance instance() const { return instance_; }
    VkPhysicalDevice physicalDevice() const { return physicalDevice_; }
    VkDevice handle() const { return device_; }
    uint32_t queueFamily() const { return queueFamily_; }
    VkQueue queue() const { return queue_; }
    const VkPhysicalDeviceProperties& properties() const { return properties_; }
    const Features& features() const { return features_; }
    /// What a shader with that SPIR-V capability needs and this device was not opened with; null:
    /// nothing. Of a device of the user's nobody knows.
    const char* lackedBy(uint32_t capability) const;
    const Limits& limits() const { return limits_; }
    bool hasUnifiedMemory() const { return unified_; }
    Memory& memory() { return *memory_; }
    PipelineLibrary& pipelines() { return *pipelines_; }

    /// Bound where a shader declares an operand that this dispatch does not use.
    const std::shared_ptr<Buffer>& placeholderBuffer() const { return placeholderBuffer_; }
    const std::shared_ptr<Texture>& placeholderTexture();
    VkSampler sampler() const { return sampler_; }
    /// Counters for workgroups of one dispatch that wait for each other. All dispatches have the
    /// same ones: each leaves them as multiples of glsl::arrivals, as they begin.
    std::shared_ptr<Buffer> arrivalCounters(VkDeviceSize bytes);

    /// Submits `commands` behind whatever clearBeforeUse left, which `recordClears` records into
    /// a command buffer and returns (or VK_NULL_HANDLE, having nothing to clear): both happen at
    /// once, so that no other thread's submission can use what is not cleared yet.
    using RecordClears = std::function<VkCommandBuffer(std::vector<std::shared_ptr<Buffer>>)>;
    VkResult submit(VkCommandBuffer commands, VkFence fence, const RecordClears& recordClears);
    /// vkQueueSubmit is for one thread at a time; so is the user's own use of the queue.
    void withQueue(const std::function<void(VkQueue)>& use);

    /// Records, submits and waits: uploads, downloads and whatever cannot ride along.
    void immediately(const std::function<void(VkCommandBuffer)>& record);
    /// Zeroes the buffer before the next submission (mapped memory at once).
    void clearBeforeUse(const std::shared_ptr<Buffer>& buffer);
    static void fillWithZeros(VkCommandBuffer commands,
                              std::span<const std::shared_ptr<Buffer>> buffers);

    /// Host bytes to and from a slice that the host may not see.
    void upload(const BufferSlice& destination, const void* bytes);
    void download(const BufferSlice& source, void* bytes);

private:
    Device() = default;
    void open(bool adopted);

    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physicalDevice_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    uint32_t queueFamily_ = 0;
    VkQueue queue_ = VK_NULL_HANDLE;
    bool adopted_ = false, unified_ = false;
    VkPhysicalDeviceProperties properties_{};
    Features features_;
    VkPhysicalDeviceFeatures enabled_{};
    Limits limits_;
    std::unique_ptr<Memory> memory_;
    std::unique_ptr<PipelineLibrary> pipelines_;
    VkSampler sampler_ = VK_NULL_HANDLE;
    std::shared_ptr<Buffer> placeholderBuffer_, arrivalCounters_;
    std::shared_ptr<Texture> placeholderTexture_;
    std::mutex queueMutex_, transferMutex_, clearMutex_, placeholderMutex_, countersMutex_;
    VkCommandPool transferPool_ = VK_NULL_HANDLE;
    VkCommandBuffer transferCommands_[2] = {}; ///< the work, the clears before it
    VkFence transferFence_ = VK_NULL_HANDLE;
    std::vector<std::shared_ptr<Buffer>> clears_;
};

} // namespace mpsvk::vk
