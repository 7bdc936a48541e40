#include "support/reference/Gram.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

TEST_CASE("The Gram matrix has the published values", "[reference]") {
    const Tensor x(1, 1, 2, 3, {1, 2, 3, -1, 0, 4});
    CHECK(gramMatrix(0.5, x).v == std::vector<double>{1, 1, -0.5, 1, 2, 3, -0.5, 3, 12.5});
    const Tensor g(1, 1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(gramMatrixGradient(0.5, g, x).v == std::vector<double>{22, 34, 46, 19, 25, 31});
}

TEST_CASE("The Gram matrix's gradient is its derivative", "[reference]") {
    const Tensor x = random(2, 3, 2, 5, 1), g = random(2, 1, 5, 5, 2);
    CHECK(checkGradient([&](const Tensor& t) { return dot(gramMatrix(0.3, t), g); }, x,
                        gramMatrixGradient(0.3, g, x)));
}
