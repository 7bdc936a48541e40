// Binary convolutions in graphs.
#include "mps/BinaryKernels.hpp"
#include "support/Graphs.hpp"

#include <mpsvk/MPS/NNConvolutionNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

MPS::NNGraph graphOf(const MPS::NNImageNode& image) {
    MPS::NNGraph graph(testDevice(), image, true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

constexpr auto beta = MPS::CNNBinaryConvolutionFlags::UseBetaScaling;

} // namespace

TEST_CASE("a binary convolution node has every term, and reloads its bits") {
    BinaryConvolution k = rich(BinaryType::Xnor, 9, 5);
    k.beta = true;
    const auto source = std::make_shared<Bits>(k);
    const MPS::CNNBinaryConvolutionNode node(
        MPS::NNImageNode(), source, floats(k.outputBias), floats(k.outputScale),
        floats(k.inputBias), floats(k.inputScale), MPS::CNNBinaryConvolutionType::XNOR, beta);
    node.setLabel("first");
    const MPS::NNGraph graph = graphOf(node.resultImage());
    const Tensor x = reference::random(2, 6, 7, 9, 1);
    auto kernel = kernelOf(k);
    kernel.destinationImageDescriptor(upload(reference::image(x, 0)));
    k.offsetX = kernel.offset().x, k.offsetY = kernel.offset().y;
    CHECK(reference::compare(result(graph, {upload(x)}), reference::forward(k, x)));
    source->words = k.weights = reference::randomBits(k.weights.size(), 99);
    const auto wrong = upload(Tensor(1, 6, 7, 3));
    const std::string before = refusal([&] { result(graph, {wrong}); });
    CHECK(before.find("[CNNBinaryConvolution \"first\"]") != std::string::npos);
    graph.reloadFromDataSources();
    CHECK(reference::compare(result(graph, {upload(x)}), reference::forward(k, x)));
    CHECK(refusal([&] { result(graph, {wrong}); }) == before);
    CHECK(MPS::NNFilterNode(node).as<MPS::CNNConvolutionNode>());
    CHECK_FALSE(MPS::NNFilterNode(node).as<MPS::CNNFullyConnectedNode>());
    CHECK_FALSE(MPS::NNFilterNode(node).as<MPS::CNNBinaryFullyConnectedNode>());
    CHECK_FALSE(node.resultState());
    CHECK(refusal([&] { node.gradientFilter(MPS::NNImageNode()); }) ==
          "[CNNBinaryConvolutionNode \"first\"] This kind of node has no gradient.");
}

TEST_CASE("a binary fully connected node covers its source") {
    BinaryConvolution k = rich(BinaryType::And, 9, 5);
    k.strideY = k.dilationX = 1, k.outputWidth = k.outputHeight = 1;
    const Tensor x = reference::random(2, 2, 3, 9, 1);
    const auto source = std::make_shared<Bits>(k);
    const MPS::CNNBinaryFullyConnectedNode rich(
        MPS::NNImageNode(), source, floats(k.outputBias), floats(k.outputScale),
        floats(k.inputBias), floats(k.inputScale), MPS::CNNBinaryConvolutionType::AND, {});
    CHECK(reference::compare(result(graphOf(rich.resultImage()), {upload(x)}),
                             reference::forward(k, x)));
    source->biases = floats(k.outputBias);
    k.inputBias = k.inputScale = {};
    k.outputScale.assign(5, 2);
    const MPS::CNNBinaryFullyConnectedNode plain(MPS::NNImageNode(), source, 2,
                                                 MPS::CNNBinaryConvolutionType::AND, {});
    CHECK(reference::compare(result(graphOf(plain.resultImage()), {upload(x)}),
                             reference::forward(k, x)));
    CHECK(MPS::NNFilterNode(plain).as<MPS::CNNBinaryConvolutionNode>());
    CHECK(refusal([] {
              MPS::CNNBinaryConvolutionNode(MPS::NNImageNode(), nullptr, 1,
                                            MPS::CNNBinaryConvolutionType::AND, {});
          }) == "[CNNBinaryConvolutionNode] The data source is null.");
}
