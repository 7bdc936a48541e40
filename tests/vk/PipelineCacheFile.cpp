// The pipeline cache on disk is strict, and harmless when it is damaged.
#include "vk/PipelineCacheFile.hpp"

#include "Rig.hpp"
#include "support/Device.hpp"
#include "support/Folder.hpp"
#include "support/Sentence.hpp"
#include "vk/Pipeline.hpp"

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

using namespace mpsvk;
using namespace mpsvk::test;
namespace fs = std::filesystem;

namespace {

VkPhysicalDeviceProperties driver() {
    VkPhysicalDeviceProperties properties{};
    properties.vendorID = 0x10005;
    properties.deviceID = 7;
    properties.driverVersion = 22;
    properties.apiVersion = VK_API_VERSION_1_3;
    for (int i = 0; i < int(VK_UUID_SIZE); ++i) properties.pipelineCacheUUID[i] = uint8_t(i * 17);
    return properties;
}

std::vector<std::byte> payload(size_t size, unsigned seed) {
    std::minstd_rand random(seed);
    std::vector<std::byte> bytes(size);
    for (auto& b : bytes) b = std::byte(random());
    return bytes;
}

std::vector<char> contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::vector<char>& bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
}

} // namespace

TEST_CASE("Where the cache lives", "[PipelineCacheFile]") {
    const auto properties = driver();
    const std::string name = "pipelines-00112233445566778899aabbccddeeff.bin";
    {
        Environment own("MPSVK_CACHE_DIR", "somewhere");
        CHECK(vk::pipelineCachePath(properties) == (fs::path("somewhere") / name).string());
    }
    {
        Environment own("MPSVK_CACHE_DIR", "");
        CHECK(vk::pipelineCachePath(properties).empty());
    }
    Environment own("MPSVK_CACHE_DIR", nullptr);
    Environment xdg("XDG_CACHE_HOME", "cache");
    CHECK(vk::pipelineCachePath(properties) == (fs::path("cache") / "mpsvk" / name).string());
    auto other = properties;
    other.pipelineCacheUUID[3] ^= 1;
    CHECK(vk::pipelineCachePath(other) != vk::pipelineCachePath(properties));
}

TEST_CASE("What is saved is loaded", "[PipelineCacheFile]") {
    const Folder folder;
    const std::string path = (folder.path / "deep" / "er" / "cache.bin").string();
    const Remarks remarks;
    CHECK(vk::loadPipelineCache(path, driver()).empty());
    vk::savePipelineCache(path, driver(), {});
    CHECK_FALSE(fs::exists(path));
    for (unsigned size : {1u, 1000u, 7u}) { // over what was there
        vk::savePipelineCache(path, driver(), payload(size, size));
        CHECK(vk::loadPipelineCache(path, driver()) == payload(size, size));
    }
    CHECK(remarks.all().empty());
    CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);
}

TEST_CASE("Any damage makes the whole file void", "[PipelineCacheFile]") {
    const Folder folder;
    const fs::path path = folder.path / "cache.bin";
    vk::savePipelineCache(path.string(), driver(), payload(40, 1));
    const std::vector<char> good = contents(path);
    const Remarks remarks;
    size_t tried = 0;
    for (size_t i = 0; i < good.size(); ++i, ++tried) {
        auto bad = good;
        bad[i] = char(bad[i] ^ 0x40);
        write(path, bad);
        INFO("byte " << i);
        CHECK(vk::loadPipelineCache(path.string(), driver()).empty());
    }
    for (size_t size = 0; size < good.size(); ++size, ++tried) {
        write(path, {good.begin(), good.begin() + long(size)});
        INFO(size << " bytes");
        CHECK(vk::loadPipelineCache(path.string(), driver()).empty());
    }
    auto longer = good;
    longer.push_back(0);
    write(path, longer);
    CHECK(vk::loadPipelineCache(path.string(), driver()).empty());
    REQUIRE(remarks.all().size() == tried + 1);
    CHECK(remarks.all()[0].first == LogLevel::Warning);
    CHECK(remarks.all()[0].second ==
          "The pipeline cache " + path.string() +
              " is damaged or of another driver; it is ignored and rebuilt.");
    write(path, good);
    CHECK(vk::loadPipelineCache(path.string(), driver()) == payload(40, 1));
}

TEST_CASE("A file of another driver is void", "[PipelineCacheFile]") {
    const Folder folder;
    const std::string path = (folder.path / "cache.bin").string();
    vk::savePipelineCache(path, driver(), payload(40, 1));
    const Remarks remarks;
    for (int what = 0; what < 5; ++what) {
        auto other = driver();
        if (what == 0) ++other.vendorID;
        if (what == 1) ++other.deviceID;
        if (what == 2) ++other.driverVersion;
        if (what == 3) ++other.apiVersion;
        if (what == 4) ++other.pipelineCacheUUID[VK_UUID_SIZE - 1];
        INFO(what);
        CHECK(vk::loadPipelineCache(path, other).empty());
    }
    CHECK(remarks.all().size() == 5);
}

TEST_CASE("A folder that cannot be written is no error", "[PipelineCacheFile]") {
    const Folder folder;
    write(folder.path / "file", {'x'});
    const Remarks remarks;
    vk::savePipelineCache((folder.path / "file" / "cache.bin").string(), driver(), payload(40, 1));
    REQUIRE(remarks.all().size() == 1);
    CHECK(remarks.all()[0].second.find("could not be written") != std::string::npos);
    vk::savePipelineCache("", driver(), payload(40, 1));
    CHECK(remarks.all().size() == 1);
}

TEST_CASE("Readers see one writer's file or another's, never a mixture", "[PipelineCacheFile]") {
    const Folder folder;
    const std::string path = (folder.path / "cache.bin").string();
    std::vector<std::vector<std::byte>> payloads;
    for (unsigned i = 0; i < 4; ++i) payloads.push_back(payload(20000 + i * 5000, i));
    vk::savePipelineCache(path, driver(), payloads[0]);
    const Remarks remarks;
    std::atomic<int> strange{0}, read{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            for (int n = 0; n < 25; ++n) vk::savePipelineCache(path, driver(), payloads[i]);
        });
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 100; ++n, ++read) {
                const auto seen = vk::loadPipelineCache(path, driver());
                strange += std::find(payloads.begin(), payloads.end(), seen) == payloads.end();
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(read == 200);
    CHECK(strange == 0);
    CHECK(remarks.all().empty());
    CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("A device's library of pipelines leaves a cache that the next one takes",
          "[PipelineCacheFile]") {
    const Folder folder;
    Environment own("MPSVK_CACHE_DIR", folder.path.string().c_str());
    const Remarks remarks;
    const auto code = affineKernel();
    for (int time = 0; time < 2; ++time) {
        vk::PipelineLibrary library(insides());
        CHECK(library.make("affine", {code.begin(), code.end()}, {})->handle() != VK_NULL_HANDLE);
    }
    const std::string path = vk::pipelineCachePath(insides().properties());
    CHECK(fs::exists(path));
    CHECK_FALSE(vk::loadPipelineCache(path, insides().properties()).empty());
    CHECK(remarks.all().empty());
}
