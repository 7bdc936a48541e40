// Which objects were met before, roughly and in a kilobyte: B. Bloom, "Space/time trade-offs in
// hash coding with allowable errors" (1970).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mpsvk::vk {

class AddressFilter {
    static constexpr uint32_t bits = 8192;

public:
    void add(const void* address) {
        for (const uint32_t bit : bitsOf(address)) words_[bit / 64] |= uint64_t(1) << bit % 64;
    }
    /// False only for what was not added.
    bool mayHave(const void* address) const {
        for (const uint32_t bit : bitsOf(address))
            if (!(words_[bit / 64] >> bit % 64 & 1)) return false;
        return true;
    }
    void add(const AddressFilter& other) {
        for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    }
    void clear() { words_.fill(0); }

private:
    static std::array<uint32_t, 2> bitsOf(const void* address) {
        const uint64_t mixed = uint64_t(uintptr_t(address)) * 0x9E3779B97F4A7C15u;
        return {uint32_t(mixed >> 51), uint32_t(mixed >> 32) % bits};
    }

    std::array<uint64_t, bits / 64> words_{};
};

} // namespace mpsvk::vk
