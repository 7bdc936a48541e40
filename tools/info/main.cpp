// mpsvk-info: the devices, and what the library found out about them. For reports of bugs.
#include "mtl/Device.hpp"
#include "vk/Instance.hpp"
#include "vk/PipelineCacheFile.hpp"

#include <mpsvk/Error.hpp>

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <sstream>

using namespace mpsvk;

namespace {

template <class Value> void print(const char* name, const Value& value) {
    std::cout << "  " << std::left << std::setw(23) << name << value << "\n";
}

const char* yesNo(bool value) { return value ? "yes" : "no"; }

std::string bytes(uint64_t count) {
    const char* units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    auto value = double(count);
    for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
    std::ostringstream text;
    text << std::setprecision(4) << value << " " << units[unit];
    return text.str();
}

std::string versionText(uint32_t version) {
    return std::to_string(VK_API_VERSION_MAJOR(version)) + "." +
           std::to_string(VK_API_VERSION_MINOR(version)) + "." +
           std::to_string(VK_API_VERSION_PATCH(version));
}

const char* typeName(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "CPU";
    default: return "other";
    }
}

std::string driverOf(VkPhysicalDevice device, const VkPhysicalDeviceProperties& properties) {
    std::string text;
    if (properties.apiVersion >= VK_API_VERSION_1_2) {
        VkPhysicalDeviceDriverProperties driver{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
        VkPhysicalDeviceProperties2 all{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &driver, {}};
        vkGetPhysicalDeviceProperties2(device, &all);
        text = std::string(driver.driverName) + " " + driver.driverInfo + ", ";
    }
    std::ostringstream ids;
    ids << std::hex << std::setfill('0') << std::setw(4) << properties.vendorID << ":"
        << std::setw(4) << properties.deviceID << ", driver 0x" << properties.driverVersion;
    return text + ids.str();
}

void printMemory(VkPhysicalDevice device) {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(device, &memory);
    for (uint32_t heap = 0; heap < memory.memoryHeapCount; ++heap) {
        VkMemoryPropertyFlags flags = 0;
        for (uint32_t type = 0; type < memory.memoryTypeCount; ++type) {
            if (memory.memoryTypes[type].heapIndex == heap)
                flags |= memory.memoryTypes[type].propertyFlags;
        }
        std::string text = bytes(memory.memoryHeaps[heap].size);
        if (flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) text += ", the device's own";
        if (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) text += ", the host can map it";
        print("memory heap", text);
    }
}

void printDevice(size_t index, const MTL::Device& device) {
    const vk::Device& vk = *device.impl().vk;
    const VkPhysicalDeviceProperties& properties = vk.properties();
    const vk::Features& features = vk.features();
    const vk::Limits& limits = vk.limits();
    std::cout << "[" << index << "] " << device.name() << "\n";
    print("type", typeName(properties.deviceType));
    print("driver", driverOf(vk.physicalDevice(), properties));
    print("architecture", vk::architectureName(limits.processor.architecture));
    print("multiprocessors", std::to_string(limits.processor.multiprocessors) +
                                 (limits.processor.isGuess ? ", a guess" : ""));
    print("Vulkan", versionText(properties.apiVersion));
    print("queue family", vk.queueFamily());
    print("push descriptors",
          features.pushDescriptor ? std::to_string(limits.pushDescriptors) : yesNo(false));
    print("texture storage", yesNo(features.textureStorage));
    print("cooperative matrices", yesNo(features.cooperativeMatrix));
    print("bf16 matrices", yesNo(features.bfloat16));
    print("pipeline statistics", yesNo(features.pipelineStatistics));
    print("subgroups",
          std::to_string(limits.subgroupSize) + ", broadcast " + yesNo(features.subgroupBroadcast));
    print("debug labels", yesNo(features.debugLabels));
    print("unified memory", yesNo(vk.hasUnifiedMemory()));
    print("storage buffer range", bytes(limits.storageBufferRange));
    print("buffer alignment", std::to_string(limits.storageAlignment) + " storage, " +
                                  std::to_string(limits.uniformAlignment) + " uniform");
    print("threadgroups in x", limits.workGroupCount);
    print("threads, shared memory",
          std::to_string(limits.workGroupInvocations) + ", " + bytes(limits.sharedMemoryBytes));
    print("texture size, layers",
          std::to_string(limits.imageSize2D) + ", " + std::to_string(limits.imageLayers));
    print("timestamps", limits.nanosecondsPerTick > 0
                            ? std::to_string(limits.nanosecondsPerTick) + " ns"
                            : yesNo(false));
    printMemory(vk.physicalDevice());
    const std::string cache = vk::pipelineCachePath(properties);
    print("pipeline cache", cache.empty() ? "none" : cache);
}

void printEnvironment() {
    std::cout << "Environment\n";
    for (const char* name :
         {"MPSVK_DEVICE", "MPSVK_DISABLE", "MPSVK_VALIDATION", "MPSVK_CACHE_DIR", "MPSVK_AUTOTUNE",
          "MPS_LOG_INFO", "VK_DRIVER_FILES", "VK_ICD_FILENAMES"}) {
        const char* value = std::getenv(name);
        print(name, value == nullptr ? "-" : value);
    }
    for (const std::string& name : vk::unknownSwitches()) print("unknown in MPSVK_DISABLE", name);
}

} // namespace

int main(int count, char** arguments) {
    CLI::App app("Lists the devices that mpsvk can use. Please add its output to reports of bugs.",
                 "mpsvk-info");
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    try {
        const std::vector<MTL::Device> devices = MTL::CopyAllDevices();
        for (size_t i = 0; i < devices.size(); ++i) printDevice(i, devices[i]);
        if (devices.empty()) std::cout << "No device has a compute queue and Vulkan 1.1.\n";
        printEnvironment();
        return devices.empty() ? 1 : 0;
    } catch (const std::exception& error) {
        std::cerr << "mpsvk-info: " << error.what() << "\n";
        return 1;
    }
}
