#include "support/reference/SoftMax.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

TEST_CASE("Softmax has the published values", "[reference]") {
    const Tensor x(1, 1, 1, 3, {1, 2, 4}), g(1, 1, 1, 3, {1, -1, 0.5});
    const Tolerance printed{.relative = 5e-6};
    CHECK(compare(softMax(x).v, {0.0420101, 0.114195, 0.843795}, printed));
    CHECK(compare(softMaxGradient(g, softMax(x)).v, {0.0273186, -0.154131, 0.126812}, printed));
    CHECK(compare(logSoftMax(x).v, {-3.16985, -2.16985, -0.169846}, printed));
    CHECK(compare(logSoftMaxGradient(g, logSoftMax(x)).v, {0.978995, -1.0571, 0.0781026},
                  {.relative = 1e-5}));
    CHECK(softMax({1, 1, 1, 2, {1e4, 1e4}}).v == std::vector<double>{0.5, 0.5});
}

TEST_CASE("Softmax gradients are the derivatives of softmax", "[reference]") {
    const Tensor x = random(2, 2, 3, 7, 1, -3, 3), g = randomLike(x, 2);
    CHECK(checkGradient([&](const Tensor& t) { return dot(softMax(t), g); }, x,
                        softMaxGradient(g, softMax(x))));
    CHECK(checkGradient([&](const Tensor& t) { return dot(logSoftMax(t), g); }, x,
                        logSoftMaxGradient(g, logSoftMax(x))));
}
