#include "vk/ChoiceFile.hpp"

#include "vk/PipelineCacheFile.hpp"

#include <memory>
#include <sstream>

namespace mpsvk::vk {

namespace {

constexpr const char* what = "list of tiles";

} // namespace

std::string ChoiceFile::path(const VkPhysicalDeviceProperties& properties) {
    return cacheFilePath(properties, "tiles-");
}

ChoiceFile::ChoiceFile(const VkPhysicalDeviceProperties& properties)
    : properties_(properties), path_(path(properties)) {
    load();
}

ChoiceFile& ChoiceFile::of(const VkPhysicalDeviceProperties& properties) {
    static std::mutex mutex;
    static std::map<std::string, std::unique_ptr<ChoiceFile>> files;
    std::lock_guard lock(mutex);
    auto& file = files[path(properties)];
    if (!file) file = std::make_unique<ChoiceFile>(properties);
    return *file;
}

void ChoiceFile::load() {
    const auto bytes = loadCacheFile(path_, properties_, what);
    std::istringstream text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    for (std::string line; std::getline(text, line);)
        if (const size_t tab = line.find('\t'); tab != std::string::npos)
            choices_.emplace(line.substr(0, tab), line.substr(tab + 1));
}

std::optional<std::string> ChoiceFile::find(const std::string& key) {
    std::lock_guard lock(mutex_);
    const auto found = choices_.find(key);
    if (found == choices_.end()) return {};
    return found->second;
}

void ChoiceFile::remember(const std::string& key, const std::string& choice) {
    std::lock_guard lock(mutex_);
    choices_[key] = choice;
    load();
    std::string text;
    for (const auto& [of, chosen] : choices_) text += of + '\t' + chosen + '\n';
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    saveCacheFile(path_, properties_, {bytes, bytes + text.size()}, what);
}

} // namespace mpsvk::vk
