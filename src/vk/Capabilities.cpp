#include "vk/Capabilities.hpp"

namespace mpsvk::vk {

namespace {

enum Capability : uint32_t {
    Float16 = 9,
    Float64 = 10,
    Int64 = 11,
    Int64Atomics = 12,
    Int16 = 22,
    Int8 = 39,
    StorageBuffer16BitAccess = 4433,
    UniformAndStorageBuffer16BitAccess = 4434,
    StoragePushConstant16 = 4435,
    StorageBuffer8BitAccess = 4448,
    UniformAndStorageBuffer8BitAccess = 4449,
    StoragePushConstant8 = 4450
};

} // namespace

const char* lackedBy(uint32_t capability, const VkPhysicalDeviceFeatures& enabled,
                     bool hasFloat16) {
    switch (capability) {
    case Float16: return hasFloat16 ? nullptr : "16-bit floats";
    case Float64: return enabled.shaderFloat64 ? nullptr : "64-bit floats";
    case Int64: return enabled.shaderInt64 ? nullptr : "64-bit integers";
    case Int64Atomics: return "64-bit atomics";
    case Int16: return enabled.shaderInt16 ? nullptr : "16-bit integers";
    case Int8: return "8-bit integers";
    case StorageBuffer16BitAccess:
    case UniformAndStorageBuffer16BitAccess:
    case StoragePushConstant16: return "16-bit storage";
    case StorageBuffer8BitAccess:
    case UniformAndStorageBuffer8BitAccess:
    case StoragePushConstant8: return "8-bit storage";
    default: return nullptr;
    }
}

} // namespace mpsvk::vk
