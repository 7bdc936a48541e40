// The disk side of the pipeline cache: strict about device and driver, harmless when damaged.
#pragma once

#include "vk/Vulkan.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace mpsvk::vk {

/// Where the cache of this device and driver lives: MPSVK_CACHE_DIR, else XDG_CACHE_HOME/mpsvk,
/// else ~/.cache/mpsvk (LOCALAPPDATA on Windows). Empty when no such folder is known or
/// MPSVK_CACHE_DIR is set and empty.
std::string pipelineCachePath(const VkPhysicalDeviceProperties& properties);

/// A file beside it, whose name begins with `name`.
std::string cacheFilePath(const VkPhysicalDeviceProperties& properties, std::string name);

/// The payload of a file written by savePipelineCache for this device and driver; empty when the
/// file is missing, damaged or of another device or driver (which is logged).
std::vector<std::byte> loadPipelineCache(const std::string& path,
                                         const VkPhysicalDeviceProperties& properties);

/// Writes beside and renames, so that a reader sees the old file or the new one. Best effort.
void savePipelineCache(const std::string& path, const VkPhysicalDeviceProperties& properties,
                       const std::vector<std::byte>& payload);

/// The same of other files, which messages call `what`.
std::vector<std::byte> loadCacheFile(const std::string& path,
                                     const VkPhysicalDeviceProperties& properties,
                                     const std::string& what);
void saveCacheFile(const std::string& path, const VkPhysicalDeviceProperties& properties,
                   const std::vector<std::byte>& payload, const std::string& what);

} // namespace mpsvk::vk
