#include "support/reference/BinaryConvolution.hpp"
#include "support/reference/Convolution.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::reference;

namespace {

BinaryConvolution small(BinaryType type) {
    BinaryConvolution k;
    k.type = type;
    k.inputs = 3;
    k.weights = {0b101}; // channels 0 and 2
    return k;
}

} // namespace

TEST_CASE("A binary convolution of one pixel is what one computes by hand", "[reference]") {
    const Tensor x(1, 1, 1, 3, {0.5, -2, -3});
    CHECK(forward(small(BinaryType::Weights), x).v[0] == 0.5 + 2 - 3);
    CHECK(forward(small(BinaryType::Xnor), x).v[0] == 1 + 1 - 1);
    CHECK(forward(small(BinaryType::And), x).v[0] == 1);
    BinaryConvolution k = small(BinaryType::Xnor);
    k.beta = true;
    k.outputScale = {3};
    k.outputBias = {-1};
    CHECK(forward(k, x).v[0] == 3 * (5.5 / 3) * 1 - 1);
    k.inputBias = {0, 2.5, 0};
    k.inputScale = {1, 2, -1};
    CHECK(forward(k, x).v[0] == 3 * (4.5 / 3) * 1 - 1);
    CHECK(magnitude(k, x).v[0] == 3 * (4.5 / 3) * 3 + 1);
}

TEST_CASE("Binary weights are a convolution with weights of -1 and 1", "[reference]") {
    BinaryConvolution k;
    k.kernelWidth = 3, k.kernelHeight = 2, k.inputs = 37, k.outputs = 3;
    k.strideX = 2, k.dilationY = 2, k.offsetX = 1, k.outputWidth = 3, k.outputHeight = 4;
    k.weights = randomBits(3 * 2 * 3 * 2, 1);
    Convolution plain;
    plain.kernelWidth = 3, plain.kernelHeight = 2;
    plain.inputChannels = 37, plain.outputChannels = 3;
    plain.strideX = 2, plain.dilationY = 2, plain.offsetX = 1;
    plain.outputWidth = 3, plain.outputHeight = 4;
    for (std::size_t o = 0; o < 3; ++o) {
        for (std::size_t q = 0; q < 2; ++q) {
            for (std::size_t r = 0; r < 3; ++r) {
                for (std::size_t c = 0; c < 37; ++c) {
                    plain.weights.push_back(k.bit(o, q, r, c) ? 1 : -1);
                }
            }
        }
    }
    const Tensor x = random(2, 4, 5, 37, 2);
    CHECK(compare(forward(k, x), forward(plain, x), {1e-12}));
}
