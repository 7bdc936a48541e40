#include "support/reference/Pad.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

namespace {

Tensor row(std::vector<double> values) {
    const std::size_t width = values.size();
    return {1, 1, width, 1, std::move(values)};
}

Pad alongX(PadMode mode, std::size_t before, std::size_t size, std::size_t after) {
    return {.mode = mode, .offsetX = -std::ptrdiff_t(before), .width = before + size + after};
}

} // namespace

TEST_CASE("Padding gives the published values", "[reference]") {
    CHECK(pad(alongX(PadMode::Mirror, 4, 3, 1), row({0, 1, 2})).v ==
          std::vector<double>{0, 1, 2, 1, 0, 1, 2, 1});
    CHECK(pad(alongX(PadMode::MirrorWithEdge, 2, 3, 3), row({1, 2, 3})).v ==
          std::vector<double>{2, 1, 1, 2, 3, 3, 2, 1});
    const Tensor g = row({1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7});
    CHECK(padGradient(alongX(PadMode::Clamp, 2, 3, 3), g, row({0, 0, 0})).v ==
          std::vector<double>{111, 1e3, 1e4 + 1e5 + 1e6 + 1e7});
    CHECK(padGradient(alongX(PadMode::Mirror, 4, 3, 1), g, row({0, 0, 0})).v ==
          std::vector<double>{1 + 1e4, 10 + 1e3 + 1e5 + 1e7, 100 + 1e6});
    CHECK(padGradient(alongX(PadMode::Constant, 2, 3, 3), g, row({0, 0, 0})).v ==
          std::vector<double>{100, 1e3, 1e4});
}

TEST_CASE("Padding gradients are the derivatives of padding", "[reference]") {
    for (const auto mode : {PadMode::Zero, PadMode::Clamp, PadMode::Mirror, PadMode::MirrorWithEdge,
                            PadMode::Constant})
        for (const std::size_t size : {1, 2, 3, 5}) {
            INFO("mode " << int(mode) << ", size " << size);
            const Tensor x = random(2, size, 3, size, 1);
            const Pad p{.mode = mode,
                        .offsetX = -7,
                        .offsetY = 1,
                        .width = 13,
                        .height = 6,
                        .before = 4,
                        .after = 9,
                        .fillValue = 2};
            const Tensor g = randomLike(pad(p, x), 2);
            CHECK(checkGradient([&](const Tensor& t) { return dot(pad(p, t), g); }, x,
                                padGradient(p, g, x)));
        }
}
