#include "support/reference/GroupNormalization.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

TEST_CASE("group normalization has the values of its formula", "[reference]") {
    // Two groups of one channel each: 1, 3 and 2, 6; mean 2 and 4, variance 1 and 4.
    GroupNormalization k;
    k.groups = 2;
    k.gamma = {2, 10};
    k.beta = {5, -1};
    const Tensor x(1, 1, 2, 2, {1, 2, 3, 6}), g(1, 1, 2, 2, {1, 0, 0, 1});
    CHECK(compare(forward(k, x).v, {3, -11, 7, 9}));
    const auto d = gradient(k, g, x);
    CHECK(compare(d.beta.v, {1, 1}));
    CHECK(compare(d.gamma.v, {-1, 1}));
    CHECK(compare(d.source.v, {0, 0, 0, 0}, {0, 1e-12})); // two elements always become -1 and 1
    k.groups = 1;                                         // 1, 2, 3, 6: mean 3, variance 3.5
    const double s = std::sqrt(3.5);
    CHECK(compare(forward(k, x).v, {5 - 4 / s, -1 - 10 / s, 5, -1 + 30 / s}));
}

TEST_CASE("group normalization gradients are the derivatives", "[reference]") {
    for (const std::size_t groups : {1, 2, 3, 6})
        for (const EdgeMode edge : {EdgeMode::Zero, EdgeMode::Clamp})
            for (const bool placed : {false, true}) {
                GroupNormalization k;
                k.groups = groups;
                k.epsilon = 1e-3;
                k.gamma = randomVector(6, 1, .5, 2);
                k.beta = randomVector(6, 2);
                k.edge = edge;
                if (placed) k.offsetX = -1, k.offsetY = 1, k.width = 4, k.height = 3;
                const Tensor x = random(2, 3, 4, 6, 3, -2, 3);
                const Tensor e = randomLike(forward(k, x), 4);
                const auto d = gradient(k, e, x);
                GradientCheckOptions options;
                options.tolerance = 1e-6;
                CHECK(checkGradient([&](const Tensor& t) { return dot(forward(k, t), e); }, x,
                                    d.source, options));
                const auto with = [&](std::vector<double> GroupNormalization::*member,
                                      const std::vector<double>& values) {
                    GroupNormalization changed = k;
                    changed.*member = values;
                    return dot(forward(changed, x), e);
                };
                const auto summed = [&](const Tensor& perImage) {
                    std::vector<double> sum(6);
                    for (std::size_t i = 0; i < perImage.size(); ++i) sum[i % 6] += perImage.v[i];
                    return sum;
                };
                CHECK(checkGradient(
                    [&](const std::vector<double>& v) {
                        return with(&GroupNormalization::gamma, v);
                    },
                    k.gamma, summed(d.gamma)));
                CHECK(checkGradient(
                    [&](const std::vector<double>& v) {
                        return with(&GroupNormalization::beta, v);
                    },
                    k.beta, summed(d.beta)));
            }
}
