// Reductions in graphs.
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Neuron.hpp"
#include "support/reference/Reduce.hpp"

#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNReductionNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::ReduceAxis;
using reference::ReduceOperation;
using reference::Tensor;

namespace {

const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};

struct Case {
    ReduceAxis axis;
    ReduceOperation operation;
    std::function<MPS::NNUnaryReductionNode(const MPS::NNImageNode&)> make;
};

template <class Node> MPS::NNUnaryReductionNode made(const MPS::NNImageNode& source) {
    const Node node(source);
    CHECK(MPS::NNFilterNode(node).as<Node>());
    CHECK(MPS::NNFilterNode(node).as<MPS::NNUnaryReductionNode>());
    return node;
}

const std::vector<Case>& cases() {
    using enum ReduceAxis;
    using enum ReduceOperation;
    static const std::vector<Case> all{
        {Row, Minimum, made<MPS::NNReductionRowMinNode>},
        {Row, Maximum, made<MPS::NNReductionRowMaxNode>},
        {Row, Mean, made<MPS::NNReductionRowMeanNode>},
        {Row, Sum, made<MPS::NNReductionRowSumNode>},
        {Column, Minimum, made<MPS::NNReductionColumnMinNode>},
        {Column, Maximum, made<MPS::NNReductionColumnMaxNode>},
        {Column, Mean, made<MPS::NNReductionColumnMeanNode>},
        {Column, Sum, made<MPS::NNReductionColumnSumNode>},
        {Channels, Minimum, made<MPS::NNReductionFeatureChannelsMinNode>},
        {Channels, Maximum, made<MPS::NNReductionFeatureChannelsMaxNode>},
        {Channels, Mean, made<MPS::NNReductionFeatureChannelsMeanNode>},
        {Channels, Sum, made<MPS::NNReductionFeatureChannelsSumNode>},
        {Channels, ArgumentMinimum, made<MPS::NNReductionFeatureChannelsArgumentMinNode>},
        {Channels, ArgumentMaximum, made<MPS::NNReductionFeatureChannelsArgumentMaxNode>},
        {Image, Mean, made<MPS::NNReductionSpatialMeanNode>}};
    return all;
}

MPS::NNGraph graphOf(const MPS::NNImageNode& image) {
    MPS::NNGraph graph(testDevice(), image, true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

/// tanh, a mean, tanh, and the gradient of the sum of squared distances from the labels.
struct Training {
    explicit Training(const MTL::Region& rect = MPS::RectNoClip) : first(input) {
        mean = MPS::NNReductionSpatialMeanNode(first.resultImage());
        mean.setClipRectSource(rect);
        const MPS::CNNNeuronTanHNode last(mean.resultImage());
        const MPS::CNNLossNode loss(
            last.resultImage(), {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
    }
    MPS::NNImageNode input;
    MPS::CNNNeuronTanHNode first;
    MPS::NNReductionSpatialMeanNode mean;
    MPS::NNGraph graph;
};

} // namespace

TEST_CASE("every reduction node reduces its rectangle") {
    const Tensor x = reference::distinct(2, 6, 7, 5, 1);
    for (const Case& each : cases()) {
        const MPS::NNImageNode input;
        const MPS::NNUnaryReductionNode node = each.make(input);
        INFO(int(each.axis) << " " << int(each.operation));
        CHECK(reference::compare(result(graphOf(node.resultImage()), {upload(x)}),
                                 reference::reduce(each.axis, each.operation, x), {2e-6}));
        node.setClipRectSource({{2, 1, 0}, {4, 3, 1}});
        CHECK(node.clipRectSource().size.width == 4);
        CHECK(reference::compare(
            result(graphOf(node.resultImage()), {upload(x)}),
            reference::reduce(each.axis, each.operation, reference::crop(x, {2, 1, 4, 3})),
            {2e-6}));
        if (each.axis != ReduceAxis::Image)
            CHECK(refusal([&] { node.gradientFilter(input); }).find("has no gradient") !=
                  std::string::npos);
    }
}

TEST_CASE("the node of a sum over channels has a weight") {
    const Tensor x = reference::random(1, 3, 2, 6, 2);
    const MPS::NNReductionFeatureChannelsSumNode node{MPS::NNImageNode()};
    CHECK(node.weight() == 1);
    node.setWeight(-0.5f);
    Tensor expected = reference::reduce(ReduceAxis::Channels, ReduceOperation::Sum, x);
    for (double& value : expected.v) value *= -0.5;
    CHECK(reference::compare(result(graphOf(node.resultImage()), {upload(x)}), expected));
}

TEST_CASE("a mean over the image is trained through, step after step") {
    const Tensor t = reference::random(2, 1, 1, 6, 4);
    for (const MTL::Region rect : {MPS::RectNoClip, MTL::Region{{1, 0, 0}, {3, 4, 1}}}) {
        const Training training(rect);
        for (uint64_t step = 0; step < 3; ++step) {
            const Tensor x = reference::random(2, 5, 4, 6, 5 + step);
            const reference::Region part =
                rect.size.width == 3 ? reference::Region{1, 0, 3, 4} : reference::Region{};
            const Tensor a = reference::forward(tanH, x), used = reference::crop(a, part);
            const Tensor y = reference::reduce(ReduceAxis::Image, ReduceOperation::Mean, used);
            Tensor g = reference::fusedGradient({}, {reference::forward(tanH, y), t});
            g = reference::spatialMeanGradient(reference::gradient(tanH, g, y), used);
            Tensor dx(2, 5, 4, 6);
            reference::paste(dx, {part.x, part.y}, 0, g);
            CHECK(reference::compare(result(training.graph, {upload(x)}, {lossLabels(t)}),
                                     reference::gradient(tanH, dx, x), {2e-5}));
        }
    }
    const MPS::NNImageNode input;
    const auto gradient = MPS::NNReductionSpatialMeanNode(input).gradientFilter(input);
    CHECK(gradient.as<MPS::NNReductionSpatialMeanGradientNode>());
}
