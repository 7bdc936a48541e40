// The example programs' data sources in small graphs: what they keep after a step.
#include "support/Layers.hpp"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"

using namespace mpsvk;
using Catch::Approx;

namespace {

constexpr uint32_t width = 3, height = 2, channels = 2, batch = 3;
constexpr float rate = 0.25f;

MTL::Device device() {
    static const MTL::Device made = MTL::CreateSystemDefaultDevice();
    return made;
}

float element(size_t image, size_t i) {
    return static_cast<float>((7 * image + 3 * i * i) % 11) - 4;
}

/// One step of a graph of `node`, whose loss is the mean squared distance from 0.
void trainOnce(const MPS::NNFilterNode& node) {
    const MPS::CNNLossNode loss(node.resultImage(),
                                {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
    const auto ends = loss.trainingGraph(std::nullopt, {});
    const MPS::NNGraph graph(device(), ends.at(0).resultImage(), false);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    const auto images = MPS::Image::batch(
        device(), {MPS::ImageFeatureChannelFormat::Float32, width, height, channels}, batch);
    for (size_t image = 0; image < batch; ++image) {
        std::vector<float> values;
        for (size_t i = 0; i < width * height * channels; ++i) values.push_back(element(image, i));
        images[image].write(values);
    }
    const auto commands = device().newCommandQueue().commandBuffer();
    graph.encodeBatch(commands, {images},
                      {examples::makeLabels(device(), batch, {width, height, channels})});
    commands.commit();
    examples::waitFor(commands);
}

train::UpdateSettings descent() {
    return {
        .rule = train::UpdateRule::StochasticGradientDescent, .learningRate = rate, .momentum = 0};
}

} // namespace

TEST_CASE("a batch normalization of the examples keeps running statistics and learns") {
    const auto layer =
        std::make_shared<examples::BatchNormalization>(device(), "norm", channels, 1.0f, descent());
    trainOnce(MPS::CNNBatchNormalizationNode(MPS::NNImageNode(), layer));
    for (size_t c = 0; c < channels; ++c) {
        double sum = 0, squares = 0;
        const size_t count = width * height * batch;
        for (size_t image = 0; image < batch; ++image) {
            for (size_t i = c; i < width * height * channels; i += channels) {
                sum += element(image, i);
                squares += element(image, i) * element(image, i);
            }
        }
        const double mean = sum / count, variance = squares / count - mean * mean;
        CHECK(layer->mean()[c] == Approx(0.1 * mean).margin(1e-6));
        CHECK(layer->variance()[c] == Approx(0.9 + 0.1 * variance));
        // y = x^ and dy = 2 y: beta's gradient is 0, gamma's 2 N variance / (variance + epsilon).
        CHECK(layer->beta()[c] == Approx(0).margin(1e-4));
        const double gradient = 2 * count * variance / (variance + layer->epsilon());
        CHECK(layer->gamma()[c] == Approx(1 - rate * gradient));
    }
}

TEST_CASE("an instance normalization of the examples adds up the gradients of a batch") {
    const auto layer =
        std::make_shared<examples::InstanceNormalization>(device(), "norm", channels, descent());
    for (int step = 0; step < 2; ++step) {
        std::vector<float> before(layer->gamma().begin(), layer->gamma().end());
        trainOnce(MPS::CNNInstanceNormalizationNode(MPS::NNImageNode(), layer));
        for (size_t c = 0; c < channels; ++c) {
            double gradient = 0;
            for (size_t image = 0; image < batch; ++image) {
                double sum = 0, squares = 0;
                for (size_t i = c; i < width * height * channels; i += channels) {
                    sum += element(image, i);
                    squares += element(image, i) * element(image, i);
                }
                const double count = width * height, mean = sum / count;
                const double variance = squares / count - mean * mean;
                // y = gamma x^ and dy = 2 y.
                gradient += 2 * before[c] * count * variance / (variance + layer->epsilon());
            }
            CHECK(layer->gamma()[c] == Approx(before[c] - rate * gradient));
            CHECK(layer->beta()[c] == Approx(0).margin(1e-4));
        }
    }
}

TEST_CASE("layers of one label are one layer") {
    examples::Layers layers(device(), 5, train::Precision::Float32, descent());
    const auto layer = layers.convolution("layer", {3, 3, channels, channels});
    CHECK(layer == layers.convolution("layer", {3, 3, channels, channels}));
    CHECK(layer != layers.convolution("another", {3, 3, channels, channels}));
    const auto bytes = layer->weights();
    const std::vector<std::byte> before(bytes.begin(), bytes.end());
    trainOnce(MPS::CNNConvolutionNode(MPS::NNImageNode(), layer));
    CHECK(!std::ranges::equal(before, layer->weights()));
}
