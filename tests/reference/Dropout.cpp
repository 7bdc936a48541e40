#include "support/reference/Dropout.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <numeric>

using namespace mpsvk::reference;

namespace {

using Words = std::array<std::uint32_t, 4>;

double kept(const DropoutMask& mask) {
    return std::accumulate(mask.bits.begin(), mask.bits.end(), 0.0) /
           static_cast<double>(mask.bits.size());
}

} // namespace

TEST_CASE("Philox4x32-10 gives its authors' test vectors", "[reference]") {
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    const std::uint32_t all = 0xffffffff;
    CHECK(philox({all, all, all, all}, {all, all}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Dropout masks follow seed, ordinal, image and strides", "[reference]") {
    Dropout d;
    d.keepProbability = 0.3f;
    d.seed = 0x123456789abcdef0;
    const DropoutMask mask = dropoutMask(d, 40, 50, 16, 0);
    const double deviation = std::sqrt(0.3 * 0.7 / (40 * 50 * 16));
    CHECK(std::abs(kept(mask) - 0.3) < 4 * deviation);
    CHECK(mask.bits == dropoutMask(d, 40, 50, 16, 0).bits);
    CHECK(mask.bits != dropoutMask(d, 40, 50, 16, 1).bits);
    Dropout other = d;
    other.ordinal = std::uint64_t{1} << 32;
    CHECK(mask.bits != dropoutMask(other, 40, 50, 16, 0).bits);
    other = d;
    other.seed ^= std::uint64_t{1} << 40;
    CHECK(mask.bits != dropoutMask(other, 40, 50, 16, 0).bits);

    // Element 5 is the second number of the second counter.
    const auto numbers = philox({1, 7, 0, 0}, {0x9abcdef0, 0x12345678});
    CHECK(dropoutMask(d, 2, 2, 3, 7).at(0, 1, 2) == (std::ldexp(numbers[1] >> 8, -24) < 0.3f));

    d.maskPerChannel = false;
    const Tensor result = forward(d, Tensor(2, 4, 5, 3, 1.0));
    std::size_t ones = 0;
    for (std::size_t i = 0; i < result.size(); i += 3) {
        CHECK(result.v[i] == result.v[i + 2]);
        CHECK((result.v[i] == 0 || result.v[i] == 1 / static_cast<double>(0.3f)));
        ones += result.v[i] != 0;
    }
    CHECK(ones > 0);
    CHECK(ones < 40);
    d.maskPerColumn = d.maskPerRow = false;
    CHECK(dropoutMask(d, 4, 5, 3, 0).bits.size() == 1);
}

TEST_CASE("Dropout's gradient is the derivative and can be shifted", "[reference]") {
    Dropout d;
    d.keepProbability = 0.6f;
    d.seed = 3;
    const Tensor x = random(2, 3, 4, 5, 1), g = randomLike(x, 2);
    CHECK(checkGradient([&](const Tensor& t) { return dot(forward(d, t), g); }, x,
                        gradient(d, g, 3, 4)));
    const Tensor part = crop(g, {1, 2, 3, 1});
    CHECK(gradient(d, part, 3, 4, 1, 2).v == crop(gradient(d, g, 3, 4), {1, 2, 3, 1}).v);
}
