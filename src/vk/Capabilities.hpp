// What shaders need of a device: the capabilities of SPIR-V that not every device has.
#pragma once

#include "vk/Vulkan.hpp"

namespace mpsvk::vk {

/// What a shader with that capability needs and a device opened with `enabled` lacks, in words;
/// null: nothing.
const char* lackedBy(uint32_t capability, const VkPhysicalDeviceFeatures& enabled, bool hasFloat16);

} // namespace mpsvk::vk
