#include "Sampling.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <numeric>

#include "RandomStream.hpp"

using namespace mpsvk::train;
using Purpose = RandomStream::Purpose;

TEST_CASE("a random stream is fixed for all time by its key", "[train]") {
    // Changing these numbers would change the weights that old seeds give.
    RandomStream plain(1, Purpose::Weights);
    const std::array<uint64_t, 3> found{plain.next(), plain.next(), plain.next()};
    CHECK(found ==
          std::array<uint64_t, 3>{0xC965D6348C188782u, 0x8E83D17509CEFABCu, 0xC2AC8602A0FB5DB7u});
    RandomStream keyed(7, Purpose::Shift, 3, 5);
    CHECK(keyed.below(1000) == 206);
    CHECK(keyed.symmetric(0.5f) == 0.154271007f);
}

TEST_CASE("streams with different keys differ", "[train]") {
    std::vector<uint64_t> firsts;
    for (uint64_t seed : {0u, 1u, 2u}) {
        for (Purpose purpose : {Purpose::Weights, Purpose::Shuffle}) {
            for (uint64_t first : {0u, 1u}) {
                for (uint64_t second : {0u, 1u}) {
                    firsts.push_back(RandomStream(seed, purpose, first, second).next());
                }
            }
        }
    }
    std::sort(firsts.begin(), firsts.end());
    CHECK(std::adjacent_find(firsts.begin(), firsts.end()) == firsts.end());
}

TEST_CASE("bounded and symmetric numbers are evenly spread", "[train]") {
    RandomStream random(42, Purpose::Weights);
    std::array<int, 6> counts{};
    double sum = 0, squares = 0;
    constexpr int draws = 60000;
    for (int i = 0; i < draws; ++i) {
        ++counts.at(random.below(6));
        const double value = random.symmetric(2.0f);
        REQUIRE(std::abs(value) <= 2.0);
        sum += value;
        squares += value * value;
    }
    for (int count : counts) CHECK(std::abs(count - draws / 6) < 500);
    CHECK(std::abs(sum / draws) < 0.02);
    CHECK(std::abs(squares / draws - 4.0 / 3.0) < 0.02);
}

TEST_CASE("an epoch visits every image once, in its own order", "[train]") {
    std::vector<uint32_t> all(100);
    std::iota(all.begin(), all.end(), 0u);
    const auto first = epochOrder(1, 0, 100);
    auto sorted = first;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == all);
    CHECK(first != all);
    CHECK(epochOrder(1, 0, 100) == first);
    CHECK(epochOrder(1, 1, 100) != first);
    CHECK(epochOrder(2, 0, 100) != first);
}

TEST_CASE("about four of ten images move, by no more than asked", "[train]") {
    int moved = 0;
    for (uint32_t sample = 0; sample < 5000; ++sample) {
        const PixelShift shift = drawShift(3, 2, sample, 2);
        CHECK((shift.x == 0 || shift.y == 0));
        CHECK(std::abs(shift.x) <= 2);
        CHECK(std::abs(shift.y) <= 2);
        moved += shift == PixelShift{} ? 0 : 1;
    }
    CHECK(std::abs(moved - 2000) < 150);
    CHECK(drawShift(3, 2, 1, 0) == PixelShift{});
}

TEST_CASE("a shifted picture lets background in", "[train]") {
    const std::vector<uint8_t> image{1, 2, 3, 4, 5, 6}; // 3 columns, 2 rows
    const auto shifted = [&](PixelShift shift) {
        std::vector<std::byte> result(6, std::byte{99});
        shiftImage(image, 3, shift, result);
        std::vector<int> numbers;
        for (std::byte value : result) numbers.push_back(std::to_integer<int>(value));
        return numbers;
    };
    CHECK(shifted({0, 0}) == std::vector{1, 2, 3, 4, 5, 6});
    CHECK(shifted({1, 0}) == std::vector{0, 1, 2, 0, 4, 5});
    CHECK(shifted({-1, 0}) == std::vector{2, 3, 0, 5, 6, 0});
    CHECK(shifted({0, 1}) == std::vector{0, 0, 0, 1, 2, 3});
    CHECK(shifted({0, -1}) == std::vector{4, 5, 6, 0, 0, 0});
}
