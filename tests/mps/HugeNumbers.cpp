// Numbers that no device holds are refused before they overflow.
#include "support/Images.hpp"
#include "support/Sentence.hpp"
#include "support/Weights.hpp"

#include <mpsvk/MPS/CNNMath.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>
#include <mpsvk/MPS/Matrix.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::Tensor;

namespace {

constexpr uint64_t beyond32 = uint64_t(1) << 32;

MPS::CNNNeuron identity() {
    return {testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Linear, 1, 0)};
}

/// What the encode says, of which nothing is recorded.
template <class Encode> std::string refusedEncode(Encode encode) {
    std::string text;
    run([&](const MTL::CommandBuffer& commands) { text = refusal([&] { encode(commands); }); });
    return text;
}

} // namespace

TEST_CASE("a channel offset that overflows is refused and the destination left alone") {
    const auto x = upload(reference::random(1, 5, 6, 8, 1));
    const Guarded y(1, 5, 6, 8);
    auto kernel = identity();
    kernel.setDestinationFeatureChannelOffset(UINT64_MAX - 3); // and 8 channels: 4
    CHECK_THAT(refusedEncode([&](const MTL::CommandBuffer& commands) {
                   kernel.encodeBatch(commands, x, y.images());
               }),
               ContainsSubstring("destinationImage has 8 feature channels but channels "
                                 "18446744073709551612 to"));
    CHECK(y.read().v == std::vector<double>(5 * 6 * 8, Guarded::poison));
}

TEST_CASE("matrices and vectors of more bytes than 64 bits can count are refused") {
    const MTL::Buffer buffer = testDevice().newBuffer(64);
    const uint64_t matrices = uint64_t(1) << 59, length = (uint64_t(1) << 62) + 4;
    CHECK(refusal([&] {
              MPS::Matrix(buffer,
                          MPS::MatrixDescriptor(2, 4, matrices, 16, 32, MPS::DataType::Float32));
          }) ==
          "[MatrixDescriptor] 576460752303423488 matrices of 2x4 have more bytes than 63 bits "
          "can count.");
    CHECK(refusal([&] {
              MPS::Vector(buffer, MPS::VectorDescriptor(length, MPS::DataType::Float32));
          }) ==
          "[VectorDescriptor] 1 vectors of length 4611686018427387908 have more bytes than 63 "
          "bits can count.");
}

TEST_CASE("more images than any device holds are a device's trouble") {
    const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 4, 4, 4,
                                 uint64_t(1) << 56);
    CHECK_THAT(sentence<DeviceError>([&] { MPS::Image(testDevice(), d); }),
               ContainsSubstring("72057594037927936 images with 4 feature channels, more than any "
                                 "device holds"));
}

TEST_CASE("windows and strides beyond 32 bits are refused where a result's size is asked for") {
    const MPS::Image x = upload(Tensor(1, 5, 5, 4))[0];
    const auto reaches = ContainsSubstring("reach further than 2^29 pixels.");
    for (const auto& [width, stride] : {std::array<uint64_t, 2>{2, beyond32}, {beyond32 + 2, 1}}) {
        INFO(width << " taps, stride " << stride);
        MPS::CNNPoolingMax pool(testDevice(), width, 2, stride, 1);
        CHECK_THAT(refusal([&] { pool.destinationImageDescriptor({x}); }), reaches);
        CHECK_THAT(
            refusedEncode([&](const MTL::CommandBuffer& commands) { pool.encode(commands, x); }),
            reaches);
    }
    MPS::CNNAdd add(testDevice());
    add.setPrimaryStrideInPixelsX(beyond32);
    CHECK_THAT(refusal([&] { add.destinationImageDescriptor({x, x}); }), reaches);
    CHECK_THAT(
        refusedEncode([&](const MTL::CommandBuffer& commands) { add.encode(commands, x, x); }),
        reaches);
}

TEST_CASE("a convolution whose weights overflow to none is refused") {
    const MPS::CNNConvolutionDescriptor d(uint64_t(1) << 62, 3, 4, 4);
    const auto source =
        std::make_shared<FixedWeights>(d, std::vector<double>(), std::vector<double>());
    CHECK_THAT(refusal([&] { MPS::CNNConvolution(testDevice(), source); }),
               ContainsSubstring("The weights of 4611686018427387904x3 windows over 4 input and 4 "
                                 "output feature channels are more than 2^48."));
}

TEST_CASE("offsets beyond 32 bits are refused and not cut to the bits that are left") {
    const auto x = upload(reference::random(1, 5, 6, 8, 2));
    const Guarded y(1, 5, 6, 8);
    const MPS::Offset far{int64_t(beyond32), 0, 0};
    const auto reaches =
        ContainsSubstring("ffset is (4294967296, 0) but each must be at most 2^30 either way.");
    const auto text = [&](auto kernel) {
        kernel.setOffset(far);
        return refusedEncode([&](const MTL::CommandBuffer& commands) {
            kernel.encodeBatch(commands, x, y.images());
        });
    };
    CHECK_THAT(text(identity()), reaches);
    CHECK_THAT(text(MPS::CNNSoftMax(testDevice())), reaches);
    MPS::CNNAdd add(testDevice());
    add.setPrimaryOffset(far);
    CHECK_THAT(refusedEncode([&](const MTL::CommandBuffer& commands) {
                   add.encodeBatch(commands, x, x, y.images());
               }),
               reaches);
    CHECK(y.read().v == std::vector<double>(5 * 6 * 8, Guarded::poison));
}
