// What random number generators make, and whether it looks random. Seeds are fixed: a test that
// passes once passes always, and its bounds are what one in 10^8 good generators would miss.
#pragma once

#include "support/Device.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

namespace mpsvk::test {

using Words = std::vector<uint32_t>;

inline Words wordsIn(const MTL::Buffer& buffer) {
    Words words(buffer.length() / 4);
    std::memcpy(words.data(), buffer.contents().data(), words.size() * 4);
    return words;
}

/// The next words of a generator of UInt32.
inline Words wordsOf(MPS::MatrixRandom& kernel, uint64_t count) {
    const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(count, MPS::DataType::UInt32));
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, vector); });
    Words words = wordsIn(vector.data());
    words.resize(count);
    return words;
}

/// The next numbers of a generator of Float32.
inline std::vector<float> floatsOf(MPS::MatrixRandom& kernel, uint64_t count) {
    const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(count, MPS::DataType::Float32));
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, vector); });
    std::vector<float> values(count);
    vector.read(values);
    return values;
}

/// Mean, variance and the correlation of neighbours, each within six standard errors.
template <class Values>
void checkMoments(const Values& values, double mean, double deviation, double kurtosis = 3) {
    const double n = double(values.size()), bound = 6 / std::sqrt(n);
    double sum = 0, squares = 0;
    for (const double v : values) {
        sum += (v - mean) / deviation;
        squares += (v - mean) * (v - mean) / (deviation * deviation);
    }
    CHECK(std::abs(sum / n) < bound);
    CHECK(std::abs(squares / n - 1) < bound * std::sqrt(kurtosis - 1));
    for (const size_t lag : {1, 2, 3, 4, 256, 1024}) {
        double products = 0;
        for (size_t i = lag; i < values.size(); ++i)
            products += (values[i] - mean) * (values[i - lag] - mean) / (deviation * deviation);
        INFO("neighbours at the distance " << lag);
        CHECK(std::abs(products / n) < bound);
    }
}

/// Moments of uniform words, and chi-square of each of their bytes and of pairs of their bits.
inline void checkIndependent(const Words& words) {
    checkMoments(words, 0x1p31, 0x1p32 / std::sqrt(12.0), 9.0 / 5);
    const double n = double(words.size());
    for (int byte = 0; byte < 4; ++byte) {
        std::array<double, 256> counts{};
        for (const uint32_t word : words) ++counts[word >> 8 * byte & 255];
        double chi = 0;
        for (const double count : counts) chi += (count - n / 256) * (count - n / 256) / (n / 256);
        INFO("byte " << byte);
        CHECK(std::abs(chi - 255) < 6 * std::sqrt(2 * 255.0));
    }
    for (int bit = 0; bit < 32; ++bit) {
        double ones = 0, changes = 0;
        for (size_t i = 1; i < words.size(); ++i) {
            ones += words[i] >> bit & 1;
            changes += (words[i] ^ words[i - 1]) >> bit & 1;
        }
        INFO("bit " << bit);
        CHECK(std::abs(ones - n / 2) < 3 * std::sqrt(n));
        CHECK(std::abs(changes - n / 2) < 3 * std::sqrt(n));
    }
}

} // namespace mpsvk::test
