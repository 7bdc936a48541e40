// The Vulkan loader and one VkInstance for the process, made at first use.
#pragma once

#include "vk/Vulkan.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mpsvk::vk {

/// Throws DeviceError when there is no Vulkan loader or no driver.
VkInstance instance();

/// Makes Vulkan's functions callable for an instance that the user made.
void loadFunctions(VkInstance adopted);

/// True when instance() has VK_EXT_debug_utils.
bool hasDebugLabels();

/// Every physical device with a compute queue and Vulkan 1.1, best first: discrete, integrated,
/// virtual, CPU; within a kind in the driver's order.
std::vector<VkPhysicalDevice> physicalDevices();

/// True when `name` stands in the comma-separated list MPSVK_DISABLE (subgroup,
/// push_descriptor, texture …): tests switch optional features off with it.
bool isDisabled(std::string_view name);

void log(int level, std::string_view message);

} // namespace mpsvk::vk
