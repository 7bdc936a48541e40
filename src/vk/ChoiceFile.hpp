// Choices that were made by measuring, remembered on disk for the same device and driver.
#pragma once

#include "vk/Vulkan.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace mpsvk::vk {

/// Beside the pipeline cache; a damaged file, or one of another driver, counts as empty.
class ChoiceFile {
public:
    explicit ChoiceFile(const VkPhysicalDeviceProperties& properties);
    /// The process's own for this device and driver.
    static ChoiceFile& of(const VkPhysicalDeviceProperties& properties);

    std::optional<std::string> find(const std::string& key);
    /// Writes the file, with what other processes have put there by now. Key and choice are lines
    /// without tabs.
    void remember(const std::string& key, const std::string& choice);

    /// Empty where none is to be kept: see pipelineCachePath.
    static std::string path(const VkPhysicalDeviceProperties& properties);

private:
    void load();

    VkPhysicalDeviceProperties properties_;
    std::string path_;
    std::mutex mutex_;
    std::map<std::string, std::string> choices_;
};

} // namespace mpsvk::vk
