// A folder of a test's own, removed with it.
#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace mpsvk::test {

struct Folder {
    Folder()
        : path(std::filesystem::temp_directory_path() /
               ("mpsvk-test-" + std::to_string(std::random_device{}()))) {
        std::filesystem::create_directories(path);
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    Folder(const Folder&) = delete;
    const std::filesystem::path path;
};

} // namespace mpsvk::test
