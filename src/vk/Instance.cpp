#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace mpsvk {

namespace {
std::mutex logMutex;
LogCallback logCallback;
std::atomic<unsigned long> validationErrors{0};
} // namespace

void setLogCallback(LogCallback callback) {
    std::lock_guard lock(logMutex);
    logCallback = std::move(callback);
}

unsigned long validationErrorCount() { return validationErrors; }

namespace vk {

void log(int level, std::string_view message) {
    LogCallback callback;
    {
        std::lock_guard lock(logMutex);
        callback = logCallback;
    }
    if (callback) callback(LogLevel(level), message);
}

namespace {

/// Whether `is` holds for one of the names in MPSVK_DISABLE.
template <class Is> bool anyDisabled(Is is) {
    const char* list = std::getenv("MPSVK_DISABLE");
    if (!list) return false;
    std::string_view rest(list);
    while (!rest.empty()) {
        const size_t comma = rest.find(',');
        if (is(rest.substr(0, comma))) return true;
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
    }
    return false;
}

} // namespace

bool isDisabled(std::string_view name) {
    return anyDisabled([&](std::string_view given) { return given == name; });
}

std::vector<std::string> unknownSwitches() {
    std::vector<std::string> unknown;
    anyDisabled([&](std::string_view given) {
        if (!given.empty() && std::ranges::find(switches, given) == std::end(switches))
            unknown.emplace_back(given);
        return false;
    });
    return unknown;
}

namespace {

VKAPI_ATTR VkBool32 VKAPI_CALL onMessage(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                         VkDebugUtilsMessageTypeFlagsEXT,
                                         const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
    if (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) {
        ++validationErrors;
        log(int(LogLevel::Error), data->pMessage);
    } else {
        log(int(LogLevel::Warning), data->pMessage);
    }
    return VK_FALSE;
}

template <class Properties, class Enumerate> std::vector<Properties> enumerate(Enumerate call) {
    uint32_t count = 0;
    call(&count, static_cast<Properties*>(nullptr));
    std::vector<Properties> all(count);
    call(&count, all.data());
    all.resize(count);
    return all;
}

bool hasLayer(const char* name) {
    const auto layers = enumerate<VkLayerProperties>(vkEnumerateInstanceLayerProperties);
    return std::ranges::any_of(layers, [&](auto& l) { return !std::strcmp(l.layerName, name); });
}

bool hasExtension(const char* name) {
    const auto all =
        enumerate<VkExtensionProperties>([](uint32_t* count, VkExtensionProperties* data) {
            return vkEnumerateInstanceExtensionProperties(nullptr, count, data);
        });
    return std::ranges::any_of(all, [&](auto& e) { return !std::strcmp(e.extensionName, name); });
}

std::once_flag once;
VkInstance theInstance = VK_NULL_HANDLE;
bool debugLabels = false;
std::mutex loaderMutex;

/// Under `loaderMutex`.
void loadVulkan() {
    if (volkInitialize() != VK_SUCCESS)
        throw DeviceError("No Vulkan loader was found: install libvulkan1 and a driver.");
}

VkInstance makeInstance() {
    for (const std::string& name : unknownSwitches())
        log(int(LogLevel::Warning), "MPSVK_DISABLE names \"" + name + "\", which is no switch.");
    std::lock_guard lock(loaderMutex);
    loadVulkan();
    VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.pEngineName = "mpsvk";
    application.apiVersion = std::min(volkGetInstanceVersion(), VK_API_VERSION_1_3);
    VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pApplicationInfo = &application;
    std::vector<const char*> layers, extensions;
    if (hasExtension("VK_KHR_portability_enumeration")) {
        extensions.push_back("VK_KHR_portability_enumeration");
        info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    VkDebugUtilsMessengerCreateInfoEXT messenger{
        VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
    // Debug groups become labels for whatever tool looks on.
    if (hasExtension(VK_EXT_DEBUG_UTILS_EXTENSION_NAME)) {
        extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
        debugLabels = true;
    }
    messenger.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                                VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
    messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                            VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    messenger.pfnUserCallback = onMessage;
    const char* wanted = std::getenv("MPSVK_VALIDATION");
    const bool validate = wanted && std::string_view(wanted) == "1";
    if (validate) {
        if (!hasLayer("VK_LAYER_KHRONOS_validation"))
            throw DeviceError("MPSVK_VALIDATION is 1 but the layer VK_LAYER_KHRONOS_validation is "
                              "not installed.");
        layers.push_back("VK_LAYER_KHRONOS_validation");
        if (!debugLabels)
            extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME); // the layer's own
    }
    info.enabledLayerCount = uint32_t(layers.size());
    info.ppEnabledLayerNames = layers.data();
    info.enabledExtensionCount = uint32_t(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    VkInstance made = VK_NULL_HANDLE;
    check(vkCreateInstance(&info, nullptr, &made), "vkCreateInstance");
    volkLoadInstance(made);
    if (validate) {
        VkDebugUtilsMessengerEXT ignored = VK_NULL_HANDLE;
        vkCreateDebugUtilsMessengerEXT(made, &messenger, nullptr, &ignored);
    }
    return made;
}

int rank(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return 3;
    default: return 4;
    }
}

} // namespace

VkInstance instance() {
    // Never destroyed: the process may still hold devices when static objects go.
    std::call_once(once, [] { theInstance = makeInstance(); });
    return theInstance;
}

bool hasDebugLabels() { return debugLabels; }

void loadFunctions(VkInstance adopted) {
    std::lock_guard lock(loaderMutex);
    if (volkGetLoadedInstance() != VK_NULL_HANDLE) return; // the loader's functions serve them all
    loadVulkan();
    volkLoadInstance(adopted);
}

std::vector<VkPhysicalDevice> physicalDevices() {
    const VkInstance owner = instance(); // before Vulkan's functions are looked at: it loads them
    auto all = enumerate<VkPhysicalDevice>([&](uint32_t* count, VkPhysicalDevice* data) {
        return vkEnumeratePhysicalDevices(owner, count, data);
    });
    std::vector<std::pair<int, VkPhysicalDevice>> ranked;
    for (VkPhysicalDevice device : all) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(device, &properties);
        const auto families =
            enumerate<VkQueueFamilyProperties>([&](uint32_t* count, VkQueueFamilyProperties* data) {
                vkGetPhysicalDeviceQueueFamilyProperties(device, count, data);
                return VK_SUCCESS;
            });
        const bool computes = std::ranges::any_of(
            families, [](const auto& family) { return family.queueFlags & VK_QUEUE_COMPUTE_BIT; });
        if (computes && properties.apiVersion >= VK_API_VERSION_1_1)
            ranked.emplace_back(rank(properties.deviceType), device);
    }
    std::ranges::stable_sort(ranked, {}, &std::pair<int, VkPhysicalDevice>::first);
    std::vector<VkPhysicalDevice> result;
    for (const auto& [_, device] : ranked) result.push_back(device);
    return result;
}

} // namespace vk
} // namespace mpsvk
