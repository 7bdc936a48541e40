// Little-endian numbers, strings and bytes in and out of memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <mpsvk/Error.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace mpsvk::train {

class ByteWriter {
public:
    template <typename T> void number(T value) {
        const auto bits = toBits(value);
        for (size_t i = 0; i < sizeof(T); ++i) {
            bytes.push_back(static_cast<std::byte>(bits >> (8 * i)));
        }
    }

    void blob(std::span<const std::byte> data) {
        number(uint64_t{data.size()});
        bytes.insert(bytes.end(), data.begin(), data.end());
    }

    void text(const std::string& value) { blob(std::as_bytes(std::span(value))); }

    std::vector<std::byte> bytes;

private:
    template <typename T> static auto toBits(T value) {
        if constexpr (std::is_same_v<T, double>) {
            return std::bit_cast<uint64_t>(value);
        } else if constexpr (std::is_same_v<T, float>) {
            return std::bit_cast<uint32_t>(value);
        } else {
            return static_cast<uint64_t>(value);
        }
    }
};

/// Every read names what it reads: the name stands in the error when the bytes end too soon.
class ByteReader {
public:
    ByteReader(std::span<const std::byte> bytes, std::string file)
        : bytes_(bytes), file_(std::move(file)) {}

    size_t offset() const { return offset_; }
    size_t left() const { return bytes_.size() - offset_; }

    [[noreturn]] void fail(size_t offset, const std::string& reason) const {
        throw FormatError(file_ + ": offset " + std::to_string(offset) + ": " + reason + ".");
    }

    template <typename T> T number(const char* what) {
        const std::span<const std::byte> raw = take(sizeof(T), what);
        uint64_t bits = 0;
        for (size_t i = 0; i < sizeof(T); ++i) bits |= std::to_integer<uint64_t>(raw[i]) << (8 * i);
        if constexpr (std::is_same_v<T, double>) {
            return std::bit_cast<double>(bits);
        } else if constexpr (std::is_same_v<T, float>) {
            return std::bit_cast<float>(static_cast<uint32_t>(bits));
        } else {
            return static_cast<T>(bits);
        }
    }

    std::span<const std::byte> blob(const char* what) { return take(number<uint64_t>(what), what); }

    std::string text(const char* what) {
        const std::span<const std::byte> raw = blob(what);
        return {reinterpret_cast<const char*>(raw.data()), raw.size()};
    }

private:
    std::span<const std::byte> take(uint64_t size, const char* what) {
        if (size > left()) {
            fail(offset_, std::string(what) + " needs " + std::to_string(size) + " bytes, but " +
                              std::to_string(left()) + " are left");
        }
        const auto result = bytes_.subspan(offset_, static_cast<size_t>(size));
        offset_ += static_cast<size_t>(size);
        return result;
    }

    std::span<const std::byte> bytes_;
    std::string file_;
    size_t offset_ = 0;
};

} // namespace mpsvk::train
