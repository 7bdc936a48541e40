#include "mps/DeviceTable.hpp"

#include "vk/Instance.hpp"

namespace mpsvk::mps {

bool isCpu(const vk::Device& device) {
    return device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
}

bool isCpuWith(const vk::Device& device, std::string_view feature) {
    return isCpu(device) && !vk::isDisabled(feature);
}

DeviceTable tableOf(const vk::Processor& processor) {
    using vk::Architecture;
    switch (processor.architecture) {
    case Architecture::Nvidia:
        // Another driver has another compiler, which may need other registers.
        return {.mostKept = 25,
                .beginsInOrder = processor.driver == VK_DRIVER_ID_NVIDIA_PROPRIETARY,
                .isMeasured = processor.driver != VK_DRIVER_ID_MESA_NVK};
    case Architecture::Cpu:
        return {.mostKept = 25, .isMeasured = true}; // see guessMultiprocessors
    // The rest are estimates from what vendors name, not measured: a multiprocessor's fp32
    // operations and its share of the memory's bandwidth. So are the registers: an invocation has
    // half as many in the subgroups that Intel's compilers prefer, and on phones those that leave
    // room for a second subgroup.
    case Architecture::Amd:
        return {.speed = 0.7, .bandwidth = 0.4, .mostSums = 128, .mostKept = 13};
    case Architecture::Intel:
        return {.speed = 0.9, .bandwidth = 0.7, .mostSums = 32, .widestColumns = 64};
    case Architecture::Apple: return {.speed = 0.7, .bandwidth = 0.4};
    case Architecture::Mali:
        return {.speed = 0.4, .bandwidth = 0.2, .mostSums = 32, .widestColumns = 64};
    case Architecture::Adreno:
        return {.speed = 0.7, .bandwidth = 0.4, .mostSums = 32, .widestColumns = 64};
    case Architecture::Other: break;
    }
    return {.speed = 0.5, .bandwidth = 0.4};
}

vk::Limits tileLimits(const vk::Device& device) {
    vk::Limits limits = device.limits();
    if (vk::isDisabled("measured_tiles")) limits.processor.architecture = vk::Architecture::Other;
    if (vk::isDisabled("large_shared_memory")) limits.sharedMemoryBytes = 16384;
    return limits;
}

double speedOf(const vk::Processor& processor) {
    return tableOf(processor).speed * processor.multiprocessors / measuredMultiprocessors;
}

double bandwidthOf(const vk::Processor& processor) {
    return tableOf(processor).bandwidth * processor.multiprocessors / measuredMultiprocessors;
}

double microsecondsToRead(const vk::Processor& processor, uint64_t bytes) {
    return double(bytes) / (2.5e6 * bandwidthOf(processor));
}

bool splitsFloats(const vk::Processor& processor) {
    return processor.hasFastBfloat16 && tableOf(processor).isMeasured;
}

bool hasWideTiles(const vk::Limits& limits) {
    constexpr uint32_t sharedBytes = 17 * 1024;
    return tableOf(limits.processor).widestColumns >= 128 && limits.workGroupInvocations >= 256 &&
           limits.sharedMemoryBytes >= sharedBytes;
}

bool hasLittleMemory(const vk::Limits& limits) { return limits.sharedMemoryBytes < 19 * 1024; }

} // namespace mpsvk::mps
