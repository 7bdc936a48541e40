// Small IDX files and folders for the tests of mpsvk-train.
#pragma once

#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace mpsvk::train::test {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

/// A folder of its own that disappears with the object.
class TemporaryFolder {
public:
    TemporaryFolder() {
        static std::atomic<unsigned> count{0};
        do {
            path_ =
                fs::temp_directory_path() / ("mpsvk-train-test-" + std::to_string(count++) + "-" +
                                             std::to_string(reinterpret_cast<uintptr_t>(this)));
        } while (!fs::create_directory(path_));
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

inline void writeBytes(const fs::path& path, const Bytes& bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
}

inline Bytes readBytes(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void writeGzip(const fs::path& path, const Bytes& bytes) {
    gzFile file = gzopen(path.string().c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
}

inline void append(Bytes& bytes, uint32_t number) {
    for (int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<uint8_t>(number >> shift));
}

inline Bytes imageFile(uint32_t count, uint32_t rows, uint32_t columns) {
    Bytes bytes;
    for (uint32_t number : {0x803u, count, rows, columns}) append(bytes, number);
    for (uint32_t i = 0; i < count * rows * columns; ++i) {
        bytes.push_back(static_cast<uint8_t>(i * 37 + i / 251));
    }
    return bytes;
}

inline Bytes labelFile(uint32_t count, uint32_t classes = 10) {
    Bytes bytes;
    for (uint32_t number : {0x801u, count}) append(bytes, number);
    for (uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(i * 7 % classes));
    return bytes;
}

/// A whole set: `train` images to train, `test` held out.
inline void writeSet(const fs::path& folder, uint32_t train, uint32_t test, uint32_t rows,
                     uint32_t columns, bool gzip = false) {
    const auto write = [&](const std::string& name, const Bytes& bytes) {
        gzip ? writeGzip(folder / (name + ".gz"), bytes) : writeBytes(folder / name, bytes);
    };
    write("train-images-idx3-ubyte", imageFile(train, rows, columns));
    write("train-labels-idx1-ubyte", labelFile(train));
    write("t10k-images-idx3-ubyte", imageFile(test, rows, columns));
    write("t10k-labels-idx1-ubyte", labelFile(test));
}

} // namespace mpsvk::train::test
