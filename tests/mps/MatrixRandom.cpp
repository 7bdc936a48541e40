#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/RandomWords.hpp"
#include "support/Sentence.hpp"
#include "support/reference/Dropout.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <numbers>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using Philox = MPS::MatrixRandomPhilox;
using Distribution = MPS::MatrixRandomDistributionDescriptor;

namespace {

[[maybe_unused]] const bool named = everyOther([] {
    Philox made(testDevice(), DataType::Float32, 5,
                Distribution::normalDistributionDescriptor(1, 2));
    made.setCounter({1, 2, 3, 4});
    made.setBatchStart(1);
    return made;
});

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The words of a fresh generator.
Words philoxWords(uint64_t seed, size_t count, uint64_t firstCounter = 0) {
    Words made;
    for (uint64_t c = firstCounter; made.size() < count; ++c)
        for (const uint32_t word : reference::philox({uint32_t(c), uint32_t(c >> 32), 0, 0},
                                                     {uint32_t(seed), uint32_t(seed >> 32)}))
            made.push_back(word);
    made.resize(count);
    return made;
}

Words four(Philox& kernel) { return wordsOf(kernel, 4); }

double fraction(uint32_t word) { return (word + 0.5) / 0x1p32; }

/// The number with this probability below it, by bisection of the lower tail.
double quantile(double probability) {
    if (probability > 0.5) return -quantile(1 - probability);
    double low = -40, high = 0;
    for (int i = 0; i < 100; ++i) {
        const double middle = (low + high) / 2;
        (std::erfc(-middle / std::numbers::sqrt2) / 2 < probability ? low : high) = middle;
    }
    return low;
}

} // namespace

TEST_CASE("Philox gives its authors' test vectors on the device") {
    Philox zeros(testDevice());
    CHECK(four(zeros) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    Philox ones(testDevice(), DataType::UInt32, ~uint64_t(0));
    ones.setCounter({~0u, ~0u, ~0u, ~0u});
    CHECK(four(ones) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(ones.counter() == std::array<uint32_t, 4>{});
    Philox pi(testDevice(), DataType::UInt32, 0x299f31d0a4093822);
    pi.setCounter({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344});
    CHECK(four(pi) == Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
    CHECK(pi.counter() == std::array{0x243f6a89u, 0x85a308d3u, 0x13198a2eu, 0x03707344u});
    conforms("MatrixRandomPhilox", Aspect::Forward);
}

TEST_CASE("Philox carries its counter from word to word") {
    Philox kernel(testDevice(), DataType::UInt32, 3);
    kernel.setCounter({~0u, ~0u, ~0u, 7});
    const Words words = wordsOf(kernel, 8);
    const auto second = reference::philox({0, 0, 0, 8}, {3, 0});
    CHECK(std::equal(second.begin(), second.end(), words.begin() + 4));
    CHECK(kernel.counter() == std::array<uint32_t, 4>{1, 0, 0, 8});
}

TEST_CASE("a random matrix is filled row after row over its batch range only") {
    for (const auto& [columns, padding, offset] :
         {std::array<uint64_t, 3>{8, 0, 0}, {8, 4, 0}, {7, 0, 4}, {5, 3, 4}, {9, 1, 0}}) {
        INFO(columns << " columns, padded by " << padding << ", from byte " << offset);
        const uint64_t rows = 3, matrices = 4, rowBytes = (columns + padding) * 4;
        const MTL::Buffer buffer = testDevice().newBuffer(matrices * rows * rowBytes + 16);
        const MPS::Matrix matrix(buffer, offset,
                                 MPS::MatrixDescriptor(rows, columns, matrices, rowBytes,
                                                       rows * rowBytes, DataType::UInt32));
        Philox kernel(testDevice(), DataType::UInt32, 0x123456789abc);
        kernel.setBatchStart(1);
        kernel.setBatchSize(2);
        run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, matrix); });
        const Words random = philoxWords(0x123456789abc, 2 * rows * columns);
        Words expected(buffer.length() / 4);
        for (size_t i = 0; i < random.size(); ++i)
            expected[offset / 4 + (rows + i / columns) * (columns + padding) + i % columns] =
                random[i];
        CHECK(wordsIn(buffer) == expected);
        CHECK(kernel.counter()[0] == (random.size() + 3) / 4);
    }
}

TEST_CASE("random vectors continue where the last encode, copy or archive was") {
    Philox kernel(testDevice(), DataType::UInt32, 77);
    CHECK(wordsOf(kernel, 6) == philoxWords(77, 6));
    Philox copy = kernel.copy(MTL::Device());
    Philox again = MPS::KeyedUnarchiver::unarchivedObject<Philox>(
        MPS::KeyedArchiver::archivedData(kernel), testDevice());
    const Words expected = philoxWords(77, 9, 2);
    CHECK(wordsOf(kernel, 9) == expected);
    CHECK(wordsOf(copy, 9) == expected);
    CHECK(wordsOf(again, 9) == expected);
    const MPS::Vector vectors(testDevice(), MPS::VectorDescriptor(3, 2, 20, DataType::UInt32));
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, vectors); });
    const Words w = philoxWords(77, 6, 5);
    CHECK(wordsIn(vectors.data()) == Words{w[0], w[1], w[2], 0, 0, w[3], w[4], w[5], 0, 0});
    conforms("MatrixRandomPhilox", Aspect::State);
}

TEST_CASE("random numbers have the values of their distribution") {
    const size_t n = 4000;
    const Words w = philoxWords(9, n);
    const auto values = [&](const Distribution& distribution) {
        Philox kernel(testDevice(), DataType::Float32, 9, distribution);
        return floatsOf(kernel, n);
    };
    for (const auto& [low, high] : {std::pair<float, float>{0, 1}, {-3, 2}, {1, 2}, {1000, 1001}}) {
        const auto uniform = values(Distribution::uniformDistributionDescriptor(low, high));
        size_t wrong = 0;
        for (size_t i = 0; i < n; ++i)
            wrong += !(uniform[i] >= low && uniform[i] < high &&
                       std::abs(uniform[i] - (low + (double(high) - low) * (w[i] >> 8) / 0x1p24)) <=
                           std::max(std::abs(low), std::abs(high)) * 0x1p-22);
        CHECK(wrong == 0);
    }
    CHECK(values({}) == values(Distribution::uniformDistributionDescriptor(0, 1)));

    // Vulkan lets logarithms be off by 2^-21 near 1, where the radius is their square root.
    const auto normal = values(Distribution::normalDistributionDescriptor(3, 2));
    size_t wrong = 0;
    for (size_t i = 0; i < n; ++i) {
        const size_t pair = i / 2 * 2;
        const double radius = std::sqrt(-2 * std::log(fraction(w[pair])));
        const double angle =
            2 * std::numbers::pi * ((w[pair + 1] >> 8) + 0.5) / 0x1p24 - std::numbers::pi / 4;
        const double z = radius * (i % 2 ? std::sin(angle) : std::cos(angle));
        wrong += !(std::abs(normal[i] - (3 + 2 * z)) <= 2 * std::min(1e-3, 4e-6 / radius) + 1e-5);
    }
    CHECK(wrong == 0);
}

TEST_CASE("truncated normal numbers are quantiles between the bounds") {
    const size_t n = 4000;
    const Words w = philoxWords(10, n);
    const auto tail = [](double x) { return std::erfc(x / std::numbers::sqrt2) / 2; };
    for (const auto& [low, high] : {std::pair<float, float>{-1, 2},
                                    {-2, infinity},
                                    {-infinity, 0.5f},
                                    {0, 1},
                                    {2, 2.5f},
                                    {-9, -6},
                                    {6, 9},
                                    {30, infinity},
                                    {-infinity, -30}}) {
        INFO(low << " to " << high);
        Philox kernel(
            testDevice(), DataType::Float32, 10,
            Distribution::normalDistributionDescriptor(1, 0.5f, 1 + low / 2, 1 + high / 2));
        const auto values = floatsOf(kernel, n);
        const bool mirrored = low >= 0;
        double wrong = 0;
        for (size_t i = 0; i < n; ++i) {
            const double u = fraction(w[i]);
            const double z = mirrored ? -quantile(tail(high) + (tail(low) - tail(high)) * u)
                                      : quantile(tail(-low) + (tail(-high) - tail(-low)) * u);
            wrong += !(values[i] >= 1 + low / 2 && values[i] <= 1 + high / 2 &&
                       std::abs(values[i] - (1 + z / 2)) <= 4e-6 * std::max(1.0, std::abs(z)));
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("whole random numbers reach both ends of their range, each as often") {
    Philox kernel(testDevice(), DataType::UInt32, 11,
                  Distribution::uniformDistributionDescriptor(9.5f, 15));
    const Words numbers = wordsOf(kernel, 50000);
    std::array<size_t, 16> counts{};
    for (const uint32_t number : numbers) ++counts.at(number);
    for (size_t i = 0; i < 16; ++i)
        // Six standard deviations.
        CHECK(std::abs(double(counts[i]) - (i < 10 || i > 14 ? 0 : 10000)) <=
              (i < 10 || i > 14 ? 0 : 6 * std::sqrt(8000.0)));
    Philox all(testDevice(), DataType::UInt32, 11,
               Distribution::uniformDistributionDescriptor(0, 0x1p32f));
    CHECK(wordsOf(all, 100) == philoxWords(11, 100));
}

TEST_CASE("Philox has the statistics of independent numbers") {
    Philox kernel(testDevice(), DataType::UInt32, 12);
    checkIndependent(wordsOf(kernel, 1 << 18));
    Philox normal(testDevice(), DataType::Float32, 12,
                  Distribution::normalDistributionDescriptor(-1, 3));
    checkMoments(floatsOf(normal, 1 << 18), -1, 3);
}

TEST_CASE("random number generators refuse what they cannot do, with a sentence") {
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    const auto make = [](DataType type, const Distribution& distribution) {
        return [=] { Philox(testDevice(), type, 0, distribution); };
    };
    const std::string who = "[MatrixRandomPhilox] ";
    const auto real = DataType::Float32;
    CHECK(refused(make(DataType::Float16, {})) ==
          who + "destinationDataType is 268435472 but must be UInt32 or Float32.");
    CHECK(refused(make(DataType::UInt32, Distribution::normalDistributionDescriptor(0, 1))) ==
          who + "The normal distribution needs the destinationDataType Float32 but it is UInt32.");
    CHECK(refused(make(real, Distribution::normalDistributionDescriptor(0, 0))) ==
          who + "The normal distribution has the mean 0.000000 and the standardDeviation 0.000000 "
                "but both must be finite and the latter above 0.");
    CHECK(refused(make(real, Distribution::normalDistributionDescriptor(0, 1, 2, 2))) ==
          who + "The minimum is 2.000000 but must be below the maximum, 2.000000.");
    CHECK(refused(make(real, Distribution::normalDistributionDescriptor(0, 1, 40, 50))) ==
          who + "The normal distribution with the mean 0.000000 and the standardDeviation 1.000000 "
                "has nothing between the minimum, 40.000000, and the maximum, 50.000000.");
    CHECK(refused(make(real, Distribution::uniformDistributionDescriptor(1, 0))) ==
          who + "The uniform distribution runs from 1.000000 to 0.000000 but must have a positive "
                "and finite length.");
    CHECK(refused(make(DataType::UInt32, Distribution::uniformDistributionDescriptor(-1, 3))) ==
          who + "The uniform distribution from -1.000000 to 3.000000 must have a number that a "
                "UInt32 can hold, and no other ones.");
    Distribution unknown;
    unknown.setDistributionType(MPS::MatrixRandomDistribution(4));
    CHECK(refused(make(real, unknown)) ==
          who + "The distributionType is 4 but must be Default, Uniform or Normal.");

    Philox kernel(testDevice(), real, 0);
    kernel.setLabel("r");
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { kernel.encode(commands, MPS::Vector()); }) ==
              "[MatrixRandomPhilox \"r\"] destinationVector is empty.");
        const MPS::Matrix halves(testDevice(), MPS::MatrixDescriptor(2, 2, 4, DataType::Float16));
        CHECK(refused([&] { kernel.encode(commands, halves); }) ==
              "[MatrixRandomPhilox \"r\"] destinationMatrix has the dataType Float16 but must be "
              "Float32.");
    });
    CHECK(kernel.counter() == std::array<uint32_t, 4>{});
    conforms("MatrixRandomPhilox", Aspect::Misuse);
}
