#include "vk/Architecture.hpp"

namespace mpsvk::vk {

const char* architectureName(Architecture architecture) {
    switch (architecture) {
    case Architecture::Nvidia: return "NVIDIA";
    case Architecture::Amd: return "AMD";
    case Architecture::Intel: return "Intel";
    case Architecture::Apple: return "Apple";
    case Architecture::Mali: return "Mali";
    case Architecture::Adreno: return "Adreno";
    case Architecture::Cpu: return "CPU";
    case Architecture::Other: break;
    }
    return "other";
}

Architecture architectureOf(VkPhysicalDeviceType type, uint32_t vendor, VkDriverId driver) {
    if (type == VK_PHYSICAL_DEVICE_TYPE_CPU) return Architecture::Cpu;
    switch (driver) {
    case VK_DRIVER_ID_NVIDIA_PROPRIETARY:
    case VK_DRIVER_ID_MESA_NVK: return Architecture::Nvidia;
    case VK_DRIVER_ID_AMD_PROPRIETARY:
    case VK_DRIVER_ID_AMD_OPEN_SOURCE:
    case VK_DRIVER_ID_MESA_RADV: return Architecture::Amd;
    case VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS:
    case VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA: return Architecture::Intel;
    case VK_DRIVER_ID_ARM_PROPRIETARY:
    case VK_DRIVER_ID_MESA_PANVK: return Architecture::Mali;
    case VK_DRIVER_ID_QUALCOMM_PROPRIETARY:
    case VK_DRIVER_ID_MESA_TURNIP: return Architecture::Adreno;
    case VK_DRIVER_ID_MESA_HONEYKRISP: return Architecture::Apple;
    case VK_DRIVER_ID_GOOGLE_SWIFTSHADER:
    case VK_DRIVER_ID_MESA_LLVMPIPE: return Architecture::Cpu;
    default: break; // MoltenVK and others are of several vendors' devices
    }
    switch (vendor) {
    case 0x10de: return Architecture::Nvidia;
    case 0x1002: return Architecture::Amd;
    case 0x8086: return Architecture::Intel;
    case 0x106b: return Architecture::Apple;
    case 0x13b5: return Architecture::Mali;
    case 0x5143: return Architecture::Adreno;
    default: return Architecture::Other;
    }
}

uint32_t guessMultiprocessors(Architecture architecture, VkPhysicalDeviceType type) {
    const bool discrete = type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    switch (architecture) {
    case Architecture::Nvidia: return discrete ? 64 : 16;
    case Architecture::Amd:
    case Architecture::Intel: return discrete ? 32 : 8;
    case Architecture::Apple: return 10;
    case Architecture::Mali: return 8;
    case Architecture::Adreno: return 6;
    // It has none. Tests that give it the kernels of GPUs see the plans of the device that those
    // were measured on.
    case Architecture::Cpu: return 132;
    case Architecture::Other: break;
    }
    return discrete ? 32 : 8;
}

bool trustsCooperativeMatrices(Architecture architecture, VkDriverId driver) {
    switch (driver) {
    case VK_DRIVER_ID_AMD_OPEN_SOURCE:           // crashes when asked for their sizes
    case VK_DRIVER_ID_AMD_PROPRIETARY:           // the same compiler
    case VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS: // some of its devices are far slower with them
    case VK_DRIVER_ID_QUALCOMM_PROPRIETARY: return false; // not for tiles of several matrices
    default: return architecture != Architecture::Apple;  // has 8x8 only
    }
}

Processor processorOf(VkPhysicalDevice device, const std::set<std::string>& extensions) {
    VkPhysicalDeviceDriverProperties driver{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
    VkPhysicalDeviceShaderCorePropertiesAMD amd{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD};
    VkPhysicalDeviceShaderCoreProperties2AMD amdActive{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_2_AMD};
    VkPhysicalDeviceShaderCoreBuiltinsPropertiesARM arm{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_BUILTINS_PROPERTIES_ARM};
    VkPhysicalDeviceProperties2 all{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    const auto ask = [&](auto& properties, const char* extension, bool always = false) {
        if (!always && !extensions.count(extension)) return;
        properties.pNext = all.pNext;
        all.pNext = &properties;
    };
    VkPhysicalDeviceProperties base;
    vkGetPhysicalDeviceProperties(device, &base);
    ask(driver, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME, base.apiVersion >= VK_API_VERSION_1_2);
    ask(nvidia, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME);
    ask(amd, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME);
    ask(amdActive, VK_AMD_SHADER_CORE_PROPERTIES_2_EXTENSION_NAME);
    ask(arm, VK_ARM_SHADER_CORE_BUILTINS_EXTENSION_NAME);
    vkGetPhysicalDeviceProperties2(device, &all);

    Processor made;
    made.driver = driver.driverID;
    made.architecture = architectureOf(base.deviceType, base.vendorID, driver.driverID);
    const uint32_t amdUnits =
        amd.shaderEngineCount * amd.shaderArraysPerEngineCount * amd.computeUnitsPerShaderArray;
    const uint32_t told = nvidia.shaderSMCount               ? nvidia.shaderSMCount
                          : amdActive.activeComputeUnitCount ? amdActive.activeComputeUnitCount
                          : amdUnits                         ? amdUnits
                                                             : arm.shaderCoreCount;
    made.isGuess = told == 0;
    made.multiprocessors = told ? told : guessMultiprocessors(made.architecture, base.deviceType);
    // Others have 48 subgroups at a time, or 32.
    made.hasFastBfloat16 = nvidia.shaderWarpsPerSM >= 64;
    return made;
}

} // namespace mpsvk::vk
