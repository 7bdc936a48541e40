// Whose design a device is.
#include "vk/Architecture.hpp"

#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using vk::Architecture;

TEST_CASE("The driver says whose design a device is, or else the vendor", "[Architecture]") {
    constexpr auto discrete = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    const auto of = [](uint32_t vendor, VkDriverId driver) {
        return vk::architectureOf(discrete, vendor, driver);
    };
    CHECK(of(0x10de, VK_DRIVER_ID_NVIDIA_PROPRIETARY) == Architecture::Nvidia);
    CHECK(of(0x10de, VK_DRIVER_ID_MESA_NVK) == Architecture::Nvidia);
    CHECK(of(0x1002, VK_DRIVER_ID_MESA_RADV) == Architecture::Amd);
    CHECK(of(0x8086, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA) == Architecture::Intel);
    CHECK(of(0x13b5, VK_DRIVER_ID_ARM_PROPRIETARY) == Architecture::Mali);
    CHECK(of(0x5143, VK_DRIVER_ID_MESA_TURNIP) == Architecture::Adreno);
    CHECK(of(0x10005, VK_DRIVER_ID_MESA_LLVMPIPE) == Architecture::Cpu);
    CHECK(of(0x1ae0, VK_DRIVER_ID_GOOGLE_SWIFTSHADER) == Architecture::Cpu);
    // MoltenVK is for Apple's devices, and for AMD's and Intel's.
    CHECK(of(0x106b, VK_DRIVER_ID_MOLTENVK) == Architecture::Apple);
    CHECK(of(0x1002, VK_DRIVER_ID_MOLTENVK) == Architecture::Amd);
    // Before Vulkan 1.2 a driver need not say.
    CHECK(of(0x5143, {}) == Architecture::Adreno);
    CHECK(of(0x1234, {}) == Architecture::Other);
    CHECK(vk::architectureOf(VK_PHYSICAL_DEVICE_TYPE_CPU, 0x10de, {}) == Architecture::Cpu);
}

TEST_CASE("Each architecture has a guess of its multiprocessors", "[Architecture]") {
    for (const auto architecture :
         {Architecture::Other, Architecture::Nvidia, Architecture::Amd, Architecture::Intel,
          Architecture::Apple, Architecture::Mali, Architecture::Adreno, Architecture::Cpu}) {
        const auto of = [&](VkPhysicalDeviceType type) {
            return vk::guessMultiprocessors(architecture, type);
        };
        const uint32_t integrated = of(VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU),
                       discrete = of(VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
        CHECK(integrated > 0);
        // Where a maker has both, the discrete ones are larger.
        const bool hasBoth = architecture == Architecture::Nvidia ||
                             architecture == Architecture::Amd ||
                             architecture == Architecture::Intel;
        if (hasBoth) CHECK(integrated < discrete);
    }
    CHECK(insides().limits().processor.multiprocessors > 0);
}
