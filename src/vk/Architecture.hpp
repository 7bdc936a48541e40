// What makes one device prefer other tiles than the next: whose design it is, which driver runs it
// and how many multiprocessors it has.
#pragma once

#include "vk/Vulkan.hpp"

#include <cstdint>
#include <set>
#include <string>

namespace mpsvk::vk {

enum class Architecture { Other, Nvidia, Amd, Intel, Apple, Mali, Adreno, Cpu };
const char* architectureName(Architecture architecture);

struct Processor {
    Architecture architecture = Architecture::Other;
    VkDriverId driver = {};       ///< 0 where the driver does not say
    uint32_t multiprocessors = 1; ///< what shares one shared memory: also compute units, Xe cores
    bool isGuess = true;          ///< the number of them
    /// Cooperative matrices of bf16, products of which are some fifteen times as fast as those of
    /// fp32 and not twice: NVIDIA's chips for servers.
    bool hasFastBfloat16 = false;
};

/// By the driver where it says which it is, else by the vendor.
Architecture architectureOf(VkPhysicalDeviceType type, uint32_t vendor, VkDriverId driver);
/// What such a device has where its driver does not tell: a middling one of its kind.
uint32_t guessMultiprocessors(Architecture architecture, VkPhysicalDeviceType type);
/// Whether cooperative matrices are fast and right wherever this driver offers those that shaders
/// use.
bool trustsCooperativeMatrices(Architecture architecture, VkDriverId driver);

Processor processorOf(VkPhysicalDevice device, const std::set<std::string>& extensions);

} // namespace mpsvk::vk
