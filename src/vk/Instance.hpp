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

/// What the comma-separated list MPSVK_DISABLE may name: optional features of devices, and then
/// kernels and tiles that are left out, so that tests reach the others. tests/tree/Switches.cmake
/// compares the list with what the sources ask for.
inline constexpr std::string_view switches[] = {
    "bfloat16",
    "cooperative_matrix",
    "fp16",
    "host_query_reset",
    "pipeline_statistics",
    "push_descriptor",
    "subgroup",
    "texture",
    "unified_memory",
    "wide_grids",
    "blocks",
    "cached_groups",
    "cached_rows",
    "cached_strips",
    "cached_windows",
    "deep_tiles",
    "direct_tile",
    "exact_bfloat16",
    "grouped_tile",
    "large_parts",
    "large_shared_memory",
    "large_tile",
    "measured_tiles",
    "narrow_product",
    "shared_tile",
    "streamed_windows",
    "thin_tile",
    "waiting_workgroups",
    "whole_group",
    "winograd",
    "winograd_rows",
};
/// True when `name` stands in that list.
bool isDisabled(std::string_view name);
/// What stands there and is none of these, in the list's order.
std::vector<std::string> unknownSwitches();

void log(int level, std::string_view message);

} // namespace mpsvk::vk
