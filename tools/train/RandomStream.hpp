// A small generator that gives the same numbers with every compiler and library.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace mpsvk::train {

/// SplitMix64, started from a key. Every use of randomness has a key of its own (seed, purpose,
/// and for example epoch and sample), so no generator state needs to be kept in a checkpoint.
class RandomStream {
public:
    enum class Purpose : uint64_t { Weights = 1, Shuffle = 2, Shift = 3, Dropout = 4, Data = 5 };

    RandomStream(uint64_t seed, Purpose purpose, uint64_t first = 0, uint64_t second = 0)
        : state_(seed) {
        for (uint64_t key : {static_cast<uint64_t>(purpose), first, second}) state_ = next() ^ key;
    }

    uint64_t next() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }

    /// Evenly from 0 … bound - 1; values that would favour small numbers are drawn again.
    uint32_t below(uint32_t bound) {
        const uint64_t range = uint64_t{1} << 32;
        const uint64_t fair = range - range % bound;
        uint64_t value = next() >> 32;
        while (value >= fair) value = next() >> 32;
        return static_cast<uint32_t>(value % bound);
    }

    /// Evenly from [-limit, limit), in steps of limit / 2^23: exact in float before the product.
    float symmetric(float limit) {
        const auto step = static_cast<int32_t>(next() >> 40) - (1 << 23);
        return static_cast<float>(step) * (1.0f / (1 << 23)) * limit;
    }

private:
    uint64_t state_;
};

} // namespace mpsvk::train
