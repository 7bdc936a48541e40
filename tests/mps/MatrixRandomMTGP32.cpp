#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/RandomWords.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using MTGP32 = MPS::MatrixRandomMTGP32;
using Distribution = MPS::MatrixRandomDistributionDescriptor;

namespace {

[[maybe_unused]] const bool named = everyOther([] {
    return MTGP32(testDevice(), DataType::Float32, 5,
                  Distribution::normalDistributionDescriptor(1, 2));
});

/// One generator, a word at a time, as the paper defines it.
class Generator {
public:
    Generator(uint64_t seed, size_t index) : state_(351) {
        for (size_t word = 0; word < (index + 1) * 351; ++word) {
            if (word % 2 == 0) pair_ = next(seed);
            if (word >= index * 351)
                state_[word - index * 351] = uint32_t(word % 2 ? pair_ >> 32 : pair_);
        }
    }
    uint32_t operator()() {
        const auto rows = [](const std::array<uint32_t, 4>& all, uint32_t bits) {
            uint32_t sum = 0;
            for (int i = 0; i < 4; ++i)
                if (bits >> i & 1) sum ^= all[i];
            return sum;
        };
        uint32_t x = (state_[0] & 0xfff80000) ^ state_[1];
        x ^= x << 12;
        uint32_t y = x ^ state_[84] >> 4;
        y ^= rows({0x71588353, 0xdfa887c1, 0x4ba66c6e, 0xa53da0ae}, y & 15);
        uint32_t t = state_[83];
        t ^= t >> 16;
        t ^= t >> 8;
        state_.erase(state_.begin());
        state_.push_back(y);
        return y ^ rows({0x200040bb, 0x1082c61e, 0x10021c03, 0x0003f0b9}, t & 15);
    }

private:
    static uint64_t next(uint64_t& x) {
        x += 0x9e3779b97f4a7c15;
        uint64_t z = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    std::vector<uint32_t> state_;
    uint64_t pair_ = 0;
};

/// The length of the shortest linear recursion that makes the bits (Berlekamp and Massey).
size_t linearComplexity(const std::vector<bool>& bits) {
    const size_t size = bits.size() / 64 + 2;
    std::vector<uint64_t> c(size), b(size), window(size);
    c[0] = b[0] = 1;
    size_t length = 0, since = 1;
    for (size_t n = 0; n < bits.size(); ++n) {
        for (size_t k = size - 1; k > 0; --k) window[k] = window[k] << 1 | window[k - 1] >> 63;
        window[0] = window[0] << 1 | uint64_t(bits[n]);
        uint64_t discrepancy = 0;
        for (size_t k = 0; k <= length / 64; ++k) discrepancy ^= c[k] & window[k];
        if (std::popcount(discrepancy) % 2 == 0) {
            ++since;
            continue;
        }
        const auto before = c;
        for (size_t k = size; k-- > since / 64;) {
            c[k] ^= b[k - since / 64] << since % 64;
            if (since % 64 && k > since / 64) c[k] ^= b[k - since / 64 - 1] >> (64 - since % 64);
        }
        if (2 * length <= n) {
            length = n + 1 - length;
            b = before;
            since = 1;
        } else {
            ++since;
        }
    }
    return length;
}

} // namespace

TEST_CASE("MTGP32 gives the words of its recursion, generators in turn") {
    const uint64_t seed = 0x8765432100000007;
    MTGP32 kernel(testDevice(), DataType::UInt32, seed);
    std::array generators{Generator(seed, 0), Generator(seed, 1), Generator(seed, 2)};
    // Whole blocks and a part of one, then from the first generator on again.
    for (const size_t count : {2500, 5, 1024}) {
        Words expected;
        for (Generator& generator : generators) {
            if (expected.size() >= count) break;
            for (size_t i = 0; i < 1024; ++i) expected.push_back(generator());
        }
        expected.resize(count);
        CHECK(wordsOf(kernel, count) == expected);
    }
    conforms("MatrixRandomMTGP32", Aspect::Forward);
}

TEST_CASE("the last MTGP32 generator and the first one again follow in one encode") {
    MTGP32 kernel(testDevice(), DataType::UInt32, 3);
    const Words words = wordsOf(kernel, 257 * 1024 + 3);
    Generator first(3, 0), last(3, 255), second(3, 1);
    size_t wrong = 0;
    const auto compare = [&](Generator& generator, size_t from, size_t count) {
        for (size_t i = 0; i < count; ++i) wrong += words[from + i] != generator();
    };
    compare(first, 0, 1024);
    compare(second, 1024, 1024);
    compare(last, 255 * 1024, 1024);
    compare(first, 256 * 1024, 1024);
    compare(second, 257 * 1024, 3);
    CHECK(wrong == 0);
}

TEST_CASE("MTGP32 bits have the linear complexity of a period of 2^11213 - 1") {
    MTGP32 kernel(testDevice(), DataType::UInt32, 4);
    std::vector<bool> lowest, highest;
    while (lowest.size() < 2 * 11213 + 100)
        for (const uint32_t word : wordsOf(kernel, 1024)) {
            lowest.push_back(word & 1);
            highest.push_back(word >> 31);
        }
    CHECK(linearComplexity(lowest) == 11213);
    CHECK(linearComplexity(highest) == 11213);
}

TEST_CASE("MTGP32 has the statistics of independent numbers") {
    MTGP32 kernel(testDevice(), DataType::UInt32, 13);
    checkIndependent(wordsOf(kernel, 1 << 18));
    MTGP32 normal(testDevice(), DataType::Float32, 13,
                  Distribution::normalDistributionDescriptor(-1, 3));
    checkMoments(floatsOf(normal, 1 << 18), -1, 3);
}

TEST_CASE("MTGP32 fills padded matrices as it does vectors") {
    const auto uniform = Distribution::uniformDistributionDescriptor(-2, 5);
    MTGP32 kernel(testDevice(), DataType::Float32, 14, uniform),
        same(testDevice(), DataType::Float32, 14, uniform);
    const MPS::Matrix matrix(testDevice(),
                             MPS::MatrixDescriptor(37, 45, 48 * 4, DataType::Float32));
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, matrix); });
    std::vector<float> values(37 * 45);
    matrix.read(values);
    CHECK(values == floatsOf(same, 37 * 45));
    CHECK(std::ranges::all_of(values, [](float v) { return v >= -2 && v < 5; }));
}

TEST_CASE("MTGP32 continues in copies and archives where it was") {
    MTGP32 kernel(testDevice(), DataType::UInt32, 15), other(testDevice());
    CHECK(wordsOf(kernel, 3000) != wordsOf(other, 3000));
    other = kernel;
    MTGP32 copy = kernel.copy(MTL::Device());
    MTGP32 again = MPS::KeyedUnarchiver::unarchivedObject<MTGP32>(
        MPS::KeyedArchiver::archivedData(kernel), testDevice());
    const Words expected = wordsOf(kernel, 2000);
    CHECK(wordsOf(copy, 2000) == expected);
    CHECK(wordsOf(again, 2000) == expected);
    CHECK(wordsOf(other, 2000) == expected);
    MTGP32 moved = std::move(copy);
    CHECK(wordsOf(moved, 2000) == wordsOf(kernel, 2000));
    conforms("MatrixRandomMTGP32", Aspect::State);
}

TEST_CASE("MTGP32 refuses copies of a state that is being advanced, with a sentence") {
    MTGP32 kernel(testDevice());
    kernel.setLabel("m");
    const MPS::Vector vector(testDevice(), MPS::VectorDescriptor(8, DataType::UInt32));
    const std::string pending =
        "[MatrixRandomMTGP32 \"m\"] The kernel was copied or archived while a command buffer that "
        "advances its state is not completed.";
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    kernel.encode(commands, vector);
    kernel.synchronizeState(commands);
    CHECK(sentence<InvalidArgument>([&] { kernel.copy(MTL::Device()); }) == pending);
    CHECK(sentence<InvalidArgument>([&] { MPS::KeyedArchiver::archivedData(kernel); }) == pending);
    CHECK(!kernel.debugDescription().empty());
    commands.commit();
    commands.waitUntilCompleted();
    MTGP32 copy = kernel.copy(MTL::Device());
    CHECK(wordsOf(copy, 8) == wordsOf(kernel, 8));
    CHECK(sentence<InvalidArgument>([&] {
              kernel.synchronizeState(commands);
          }).starts_with("[MatrixRandomMTGP32 \"m\"] "));
    CHECK(sentence<InvalidArgument>([&] {
              kernel.encode(commands, vector);
          }).starts_with("[MatrixRandomMTGP32 \"m\"] "));
    conforms("MatrixRandomMTGP32", Aspect::Misuse);
}
