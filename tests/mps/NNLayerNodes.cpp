// Nodes of softmax and dropout in graphs.
#include "support/Graphs.hpp"
#include "support/YOLOCases.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/SoftMax.hpp"

#include <mpsvk/MPS/NNLayerNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

MPS::CNNLossDescriptor squares() {
    return {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum};
}

MPS::NNGraph trainingOf(const MPS::NNImageNode& y) {
    const auto termini = MPS::CNNLossNode(y, squares()).trainingGraph(std::nullopt, {});
    MPS::NNGraph graph(testDevice(), termini.at(0).resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

/// A dropout between two neurons, and the mask that an encode used: 0 or 1 / p.
struct Dropout {
    Dropout()
        : graph(trainingOf(MPS::CNNDropoutNode(MPS::NNImageNode(), 0.5f, 11).resultImage())) {}
    /// For x = 1 and t = 0 the gradient is 2 m/p * m/p.
    std::vector<double> mask() const {
        Tensor all = result(graph, {ones}, {lossLabels(Tensor(2, 4, 4, 8))});
        for (double& value : all.v) value = std::sqrt(value / 2);
        return all.v;
    }
    MPS::NNGraph graph;
    MPS::ImageBatch ones = upload(Tensor(2, 4, 4, 8, 1));
};

} // namespace

TEST_CASE("softmax nodes differentiate at their result") {
    const Tensor x = reference::random(2, 3, 2, 5, 1), t = reference::random(2, 3, 2, 5, 2);
    const MPS::NNImageNode input;
    const auto soft = reference::softMax(x);
    CHECK(reference::compare(
        result(trainingOf(MPS::CNNSoftMaxNode(input).resultImage()), {upload(x)}, {lossLabels(t)}),
        reference::softMaxGradient(reference::fusedGradient({}, {soft, t}), soft), {2e-5}));
    const auto logSoft = reference::logSoftMax(x);
    CHECK(reference::compare(
        result(trainingOf(MPS::CNNLogSoftMaxNode(input).resultImage()), {upload(x)},
               {lossLabels(t)}),
        reference::logSoftMaxGradient(reference::fusedGradient({}, {logSoft, t}), logSoft),
        {2e-5}));
    const MPS::NNFilterNode gradient = MPS::CNNSoftMaxNode(input).gradientFilter(input);
    CHECK(gradient.as<MPS::CNNSoftMaxGradientNode>());
    CHECK_FALSE(gradient.as<MPS::CNNLogSoftMaxGradientNode>());
}

TEST_CASE("a YOLO loss node is the end of a training graph") {
    const auto loss = usualYOLOLoss({1, 2, 2.5, 1.5, 3, 3});
    const YOLOData data(loss, 2, 3, 4, 2);
    const MPS::CNNNeuronTanHNode neuron(MPS::NNImageNode(), 2, 1);
    const MPS::CNNYOLOLossNode node(neuron.resultImage(), YOLODescriptorOf(loss));
    CHECK(MPS::NNFilterNode(node).as<MPS::CNNYOLOLossNode>());
    CHECK_FALSE(MPS::NNFilterNode(node).as<MPS::CNNLossNode>());
    node.inputLabels().setHandle(named("boxes"));
    MPS::NNGraph graph(testDevice(), node.trainingGraph(std::nullopt, {}).at(0).resultImage(),
                       true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    CHECK(graph.sourceStateHandles().at(0)->label() == "boxes");
    const auto labels = lossLabels(data.t);
    const Tensor dx = result(graph, {upload(data.y)}, {labels});
    Tensor y = data.y;
    for (double& v : y.v) v = 2 * std::tanh(v);
    const reference::LossInputs inputs{y, data.t};
    const auto boxes = reference::assign(loss, inputs);
    Tensor expected = reference::fusedGradient(loss, inputs, boxes);
    for (size_t i = 0; i < y.size(); ++i) expected.v[i] *= 2 - y.v[i] * y.v[i] / 2;
    CHECK(reference::compare(dx, expected, {1e-5}));
    CHECK(reference::compare(lossesOf(labels), reference::forward(loss, inputs, boxes).v, {1e-5}));
}

TEST_CASE("a dropout node has Apple's properties and our defaults") {
    const MPS::NNImageNode input;
    const MPS::CNNDropoutNode plain(input), full(input, 0.25f, 7, {1, 0, 1});
    CHECK(plain.keepProbability() == 0.5f);
    CHECK(plain.seed() == 0);
    CHECK(plain.maskStrideInPixels().depth == 1);
    const auto gradient = full.gradientFilter(input).as<MPS::CNNDropoutGradientNode>();
    REQUIRE(gradient);
    CHECK(gradient.keepProbability() == 0.25f);
    CHECK(gradient.seed() == 7);
    CHECK(gradient.maskStrideInPixels().height == 0);
}

TEST_CASE(
    "every encode of a dropout draws a new mask, replayed or not, and encodeCount repeats one") {
    const Dropout replayed, eager;
    eager.graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<std::vector<double>> masks;
    for (int step = 0; step < 5; ++step) {
        INFO("step " << step);
        if (step == 2) // the loss, which comes after the dropout, has no use for these labels
            for (const auto* graph : {&replayed, &eager}) {
                const auto commands = testQueue().commandBuffer();
                const auto labels = lossLabels(Tensor(2, 1, 1, 1));
                CHECK(refusal([&] {
                          graph->graph.encodeBatch(commands, {graph->ones}, {labels});
                      }) != "");
            }
        masks.push_back(replayed.mask());
        for (double value : masks.back()) REQUIRE((value == 0 || value == 2));
        CHECK(eager.mask() == masks.back());
        for (int other = 0; other < step; ++other) CHECK(masks[other] != masks[step]);
    }
    CHECK_THAT(replayed.graph.debugDescription(), Catch::Matchers::ContainsSubstring("plan:"));
    CHECK(replayed.graph.encodeCount() == 5);
    for (const auto* graph : {&replayed, &eager}) {
        graph->graph.setEncodeCount(2);
        CHECK(graph->mask() == masks[2]);
        CHECK(graph->mask() == masks[3]);
        CHECK(graph->graph.encodeCount() == 4);
    }
    const Dropout resumed; // as a program would that goes on from a checkpoint
    resumed.graph.setEncodeCount(3);
    CHECK(resumed.mask() == masks[3]);
    CHECK(resumed.mask() == masks[4]);
}
