#include "DeviceFacts.hpp"

#include "mtl/Device.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cctype>

namespace mpsvk::bench {

namespace {

std::string lowerCase(std::string text) {
    for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

} // namespace

DeviceFacts factsOf(const MTL::Device& device) {
    const vk::Device& vk = *device.impl().vk;
    DeviceFacts facts;
    facts.name = device.name();
    facts.isCpu = vk.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (vk.properties().apiVersion >= VK_API_VERSION_1_2) {
        VkPhysicalDeviceDriverProperties driver{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
        VkPhysicalDeviceProperties2 all{
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &driver, {}};
        vkGetPhysicalDeviceProperties2(vk.physicalDevice(), &all);
        facts.driver = std::string(driver.driverName) + " " + driver.driverInfo;
    } else {
        facts.driver = std::to_string(vk.properties().driverVersion);
    }
    return facts;
}

MTL::Device chooseDevice(const std::string& text) {
    if (text.empty()) return MTL::CreateSystemDefaultDevice();
    const std::vector<MTL::Device> all = MTL::CopyAllDevices();
    const bool isIndex = text.size() < 4 && std::all_of(text.begin(), text.end(), [](char c) {
                             return std::isdigit(static_cast<unsigned char>(c)) != 0;
                         });
    if (isIndex && std::stoul(text) < all.size()) return all[std::stoul(text)];
    std::string list;
    for (size_t i = 0; i < all.size(); ++i) {
        if (lowerCase(all[i].name()).find(lowerCase(text)) != std::string::npos) return all[i];
        list += (i == 0 ? "" : ", ") + std::to_string(i) + " = " + all[i].name();
    }
    throw InvalidArgument("--device " + text + " is none of the devices: " +
                          (list.empty() ? "there is none" : list) + ".");
}

} // namespace mpsvk::bench
