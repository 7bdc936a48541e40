// Derivatives of activations that become a factor of the gradient of maximum pooling: in training,
// against graphs that keep them apart, to the bit.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <functional>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::Source;

namespace {

constexpr uint64_t channels = 6;
using Pooling = std::function<NNFilterNode(const NNImageNode&)>;

struct Window {
    const char* name;
    Pooling make;
};
const Window windows[] = {
    {"2x2, stride 2", [](const NNImageNode& x) { return CNNPoolingMaxNode(x, 2); }},
    {"3x2, stride 2", [](const NNImageNode& x) { return CNNPoolingMaxNode(x, 3, 2, 2, 2); }},
    {"3x3, stride 1", [](const NNImageNode& x) { return CNNPoolingMaxNode(x, 3, 3, 1, 1); }},
    {"dilated", [](const NNImageNode& x) { return CNNDilatedPoolingMaxNode(x, 2, 2, 2, 1, 2, 2); }},
};

/// A convolution, an activation, pooling, and another convolution: the gradient of the source.
NNGraph training(const NNNeuronDescriptor& neuron, const Pooling& pooling, bool fuses) {
    const auto source = [](uint64_t inputs, int seed) {
        return std::make_shared<Source>(3, inputs, channels, seed, Source::Update::Nothing);
    };
    const CNNConvolutionNode first(NNImageNode(), source(3, 1));
    const CNNNeuronNode activation(first.resultImage(), neuron);
    const NNFilterNode pooled = pooling(activation.resultImage());
    const CNNConvolutionNode last(pooled.resultImage(), source(channels, 5));
    const CNNLossNode loss(last.resultImage(), squares(.25f));
    const auto termini = loss.trainingGraph(std::nullopt, [&](NNFilterNode gradient, auto...) {
        if (!fuses && gradient.as<CNNPoolingGradientNode>())
            gradient.resultImage().setImageAllocator(Image::defaultAllocator());
    });
    return graphOf(termini.at(0).resultImage());
}

Tensor train(const NNGraph& graph, const Tensor& labels) {
    return result(graph, {upload(reference::random(3, 9, 8, 3, 1))}, {lossLabels(labels)});
}

/// Labels as large as the network's result.
Tensor labelsFor(const Pooling& pooling) {
    const NNGraph forward = graphOf(pooling(NNImageNode()).resultImage());
    const Tensor y = result(forward, {upload(reference::random(3, 9, 8, channels, 1))});
    return reference::random(3, y.h, y.w, channels, 2);
}

} // namespace

TEST_CASE("derivatives of activations are factors of the gradients of maximum pooling") {
    const NNNeuronDescriptor neurons[] = {NNNeuronDescriptor(CNNNeuronType::ReLU, 0),
                                          NNNeuronDescriptor(CNNNeuronType::ReLU, .25f),
                                          NNNeuronDescriptor(CNNNeuronType::ReLUN, .125f, 1.5f),
                                          NNNeuronDescriptor::cnnNeuronPReLUDescriptor(
                                              std::vector<float>{.5f, .25f, 0, .125f, .3f, 2})};
    for (const Window& window : windows) {
        const Tensor labels = labelsFor(window.make);
        for (const NNNeuronDescriptor& neuron : neurons) {
            INFO(window.name << ", neuron " << uint32_t(neuron.neuronType()) << " " << neuron.a());
            const NNGraph graph = training(neuron, window.make, true),
                          apart = training(neuron, window.make, false);
            const Tensor expected = train(apart, labels);
            CHECK(train(graph, labels).v == expected.v);
            CHECK(train(graph, labels).v == expected.v); // replayed
            CHECK_THAT(graph.debugDescription(), ContainsSubstring("GradientNode is part of CNN"));
            CHECK_THAT(apart.debugDescription(), !ContainsSubstring("GradientNode is part of CNN"));
            const auto halves = training(neuron, window.make, true);
            halves.setFormat(ImageFeatureChannelFormat::Float16);
            // A rounding may decide which of two is the maximum.
            const Tensor rounded = train(halves, labels);
            size_t far = 0;
            for (size_t i = 0; i < rounded.size(); ++i)
                far +=
                    std::abs(rounded.v[i] - expected.v[i]) > 4e-3 * std::abs(expected.v[i]) + 2e-3;
            CHECK(far * 50 <= rounded.size());
        }
    }
}

TEST_CASE("what is no activation known from its result stays apart from maximum pooling") {
    const Pooling pooling = windows[0].make;
    const Tensor labels = labelsFor(pooling);
    const NNNeuronDescriptor sigmoid(CNNNeuronType::Sigmoid);
    const NNGraph graph = training(sigmoid, pooling, true);
    CHECK(train(graph, labels).v == train(training(sigmoid, pooling, false), labels).v);
    CHECK_THAT(graph.debugDescription(), !ContainsSubstring("GradientNode is part of CNN"));
    const NNGraph average = training(
        NNNeuronDescriptor(CNNNeuronType::ReLU, 0),
        [](const NNImageNode& x) { return CNNPoolingAverageNode(x, 2); }, true);
    train(average, labels);
    CHECK_THAT(average.debugDescription(), !ContainsSubstring("GradientNode is part of CNN"));
}
