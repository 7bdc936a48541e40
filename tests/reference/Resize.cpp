#include "support/reference/Resize.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

TEST_CASE("Resizing gives the published values", "[reference]") {
    const Tensor x(1, 1, 3, 1, {1, 2, 4});
    CHECK(compare(resize(x, 6, 1, false).v, {1, 1.5, 2, 3, 4, 4}));
    CHECK(compare(resize(x, 6, 1, true).v, {1, 1.4, 1.8, 2.4, 3.2, 4}));
    CHECK(compare(resize(x, 2, 1, false).v, {1, 3}));
    CHECK(compare(resize(x, 1, 1, true).v, {1}));
    CHECK(compare(resize(x, 3, 1, false, 1).v, {2, 4, 4}));
}

TEST_CASE("Regions and grids read where they say", "[reference]") {
    const Tensor x(1, 2, 3, 1, {1, 2, 4, 10, 20, 40});
    CHECK(cropAndResize(x, 3, 2, {{}}, EdgeMode::Zero).v == x.v);
    CHECK(compare(cropAndResize(x, 1, 1, {{0, 0, 1, 1}}, EdgeMode::Zero).v, {11}));
    CHECK(compare(cropAndResize(x, 3, 1, {{1, 0, -2, 0}, {0, 1, 0.5, 0}}, EdgeMode::Zero).v,
                  {4, 1, 0, 10, 15, 20}));
    CHECK(compare(cropAndResize(x, 3, 1, {{1, 0, -2, 0}}, EdgeMode::Clamp).v, {4, 1, 1}));
    const Tensor grid(1, 1, 3, 2, {0.5, 0, 2, 0.5, -0.25, 0});
    CHECK(compare(gridSample(x, grid, 0, 0, EdgeMode::Zero).v, {1.5, 22, 0.75}));
    CHECK(compare(gridSample(x, grid, 0, 0, EdgeMode::Clamp).v, {1.5, 22, 1}));
    CHECK(compare(gridSample(x, grid, 1, 0, EdgeMode::Zero).v, {1.5, 0, 3.5}));
}
