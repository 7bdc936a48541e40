#include "support/reference/Reduce.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

TEST_CASE("Reductions of a small image are what one computes by hand", "[reference]") {
    // Two rows of three pixels with two channels.
    const Tensor x(1, 2, 3, 2, {1, 6, 2, 5, 3, 4, -1, -6, -2, -5, -3, -4});
    using enum ReduceOperation;
    CHECK(reduce(ReduceAxis::Row, Sum, x).v == std::vector<double>{6, 15, -6, -15});
    CHECK(reduce(ReduceAxis::Row, Minimum, x).v == std::vector<double>{1, 4, -3, -6});
    CHECK(reduce(ReduceAxis::Column, Maximum, x).v == std::vector<double>{1, 6, 2, 5, 3, 4});
    CHECK(reduce(ReduceAxis::Column, Mean, x).v == std::vector<double>(6, 0));
    CHECK(reduce(ReduceAxis::Channels, Mean, x).v ==
          std::vector<double>{3.5, 3.5, 3.5, -3.5, -3.5, -3.5});
    CHECK(reduce(ReduceAxis::Channels, ArgumentMaximum, x).v ==
          std::vector<double>{1, 1, 1, 0, 0, 0});
    CHECK(reduce(ReduceAxis::Image, Mean, x).v == std::vector<double>{0, 0});
    const double nan = std::nan("");
    CHECK(reduce(ReduceAxis::Channels, ArgumentMinimum, {1, 1, 1, 3, {nan, 2, 2}}).v[0] == 1);
    CHECK(std::isnan(reduce(ReduceAxis::Channels, Maximum, {1, 1, 1, 2, {nan, nan}}).v[0]));
}

TEST_CASE("The gradient of a mean is its derivative", "[reference]") {
    const Tensor x = random(2, 3, 4, 3, 1), g = random(2, 1, 1, 3, 2);
    CHECK(checkGradient(
        [&](const Tensor& t) {
            return dot(reduce(ReduceAxis::Image, ReduceOperation::Mean, t), g);
        },
        x, spatialMeanGradient(g, x)));
}

TEST_CASE("Weighted sums and correlations are what one computes by hand", "[reference]") {
    const Tensor x(1, 1, 1, 4, {1, 2, 3, 4}), w(1, 1, 1, 4, {0.5, 0, -1, 2});
    CHECK(weightedSum(x, w, Weighting::Sum).v[0] == 5.5);
    CHECK(weightedSum(x, w, Weighting::Mean).v[0] == 1.375);
    CHECK(weightedSum(x, w, Weighting::SumOverNonZero).v[0] == 5.5 / 3);
    CHECK(weightedSum(x, Tensor(1, 1, 1, 4), Weighting::SumOverNonZero).v[0] == 0);

    const Tensor a(1, 1, 2, 1, {2, 3}), b(1, 1, 2, 1, {5, 7});
    Correlation k;
    k.windowX = 1;
    CHECK(correlate(k, a, b).v == std::vector<double>{0, 10, 14, 15, 21, 0});
    k.edge = EdgeMode::Clamp;
    CHECK(correlate(k, a, b).v == std::vector<double>{10, 10, 14, 15, 21, 21});
    k = {.windowY = 1};
    CHECK(correlate(k, a, b).v == std::vector<double>{0, 10, 0, 0, 21, 0});
}
