#include "vk/PipelineCacheFile.hpp"

#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace mpsvk::vk {

namespace {

constexpr const char* pipelineCache = "pipeline cache";

struct Header {
    char magic[8];
    uint32_t vendor, device, driver, api;
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t size, checksum;
};

uint64_t fnv1a(const std::vector<std::byte>& bytes) {
    uint64_t hash = 14695981039346656037ull;
    for (std::byte b : bytes) hash = (hash ^ uint64_t(b)) * 1099511628211ull;
    return hash;
}

Header headerFor(const VkPhysicalDeviceProperties& p, const std::vector<std::byte>& payload) {
    Header h{};
    std::memcpy(h.magic, "mpsvkpc1", 8);
    h.vendor = p.vendorID;
    h.device = p.deviceID;
    h.driver = p.driverVersion;
    h.api = p.apiVersion;
    std::memcpy(h.uuid, p.pipelineCacheUUID, VK_UUID_SIZE);
    h.size = payload.size();
    h.checksum = fnv1a(payload);
    return h;
}

} // namespace

std::string pipelineCachePath(const VkPhysicalDeviceProperties& p) {
    return cacheFilePath(p, "pipelines-");
}

std::string cacheFilePath(const VkPhysicalDeviceProperties& p, std::string name) {
    namespace fs = std::filesystem;
    fs::path folder;
    if (const char* own = std::getenv("MPSVK_CACHE_DIR")) {
        if (!*own) return {};
        folder = own;
    } else if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg) {
        folder = fs::path(xdg) / "mpsvk";
    } else if (const char* local = std::getenv("LOCALAPPDATA"); local && *local) {
        folder = fs::path(local) / "mpsvk";
    } else if (const char* home = std::getenv("HOME"); home && *home) {
        folder = fs::path(home) / ".cache" / "mpsvk";
    } else {
        return {};
    }
    // Drivers side by side, or one in two versions, keep a file each.
    for (uint8_t byte : p.pipelineCacheUUID) {
        constexpr char digits[] = "0123456789abcdef";
        name += digits[byte >> 4];
        name += digits[byte & 15];
    }
    return (folder / (name + ".bin")).string();
}

std::vector<std::byte> loadPipelineCache(const std::string& path,
                                         const VkPhysicalDeviceProperties& properties) {
    return loadCacheFile(path, properties, pipelineCache);
}

std::vector<std::byte> loadCacheFile(const std::string& path,
                                     const VkPhysicalDeviceProperties& properties,
                                     const std::string& what) {
    std::ifstream file(path, std::ios::binary);
    if (path.empty() || !file) return {};
    Header header{};
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    std::vector<std::byte> payload;
    bool good = bool(file);
    if (good) {
        // The size of the open file: by now another process may have put a new one in its place.
        file.seekg(0, std::ios::end);
        good = uint64_t(file.tellg()) == sizeof header + header.size;
        file.seekg(sizeof header);
    }
    if (good) {
        payload.resize(header.size);
        file.read(reinterpret_cast<char*>(payload.data()), std::streamsize(payload.size()));
        const Header expected = headerFor(properties, payload);
        good = file && std::memcmp(&header, &expected, sizeof header) == 0;
    }
    if (good) return payload;
    log(int(LogLevel::Warning), "The " + what + " " + path +
                                    " is damaged or of another driver; it is ignored and rebuilt.");
    return {};
}

void savePipelineCache(const std::string& path, const VkPhysicalDeviceProperties& properties,
                       const std::vector<std::byte>& payload) {
    saveCacheFile(path, properties, payload, pipelineCache);
}

void saveCacheFile(const std::string& path, const VkPhysicalDeviceProperties& properties,
                   const std::vector<std::byte>& payload, const std::string& what) {
    if (path.empty() || payload.empty()) return;
    namespace fs = std::filesystem;
    std::error_code error;
    fs::create_directories(fs::path(path).parent_path(), error);
    const std::string beside = path + "." + std::to_string(std::random_device{}());
    {
        std::ofstream file(beside, std::ios::binary);
        const Header header = headerFor(properties, payload);
        file.write(reinterpret_cast<const char*>(&header), sizeof header);
        file.write(reinterpret_cast<const char*>(payload.data()), std::streamsize(payload.size()));
        if (!file) error = std::make_error_code(std::errc::io_error);
    }
    if (!error) fs::rename(beside, path, error);
    if (error) {
        std::error_code ignored;
        fs::remove(beside, ignored);
        log(int(LogLevel::Warning),
            "The " + what + " " + path + " could not be written: " + error.message() + ".");
    }
}

} // namespace mpsvk::vk
