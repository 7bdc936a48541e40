// trainingGraph: what is built, in which order the handler hears of it, where it ends; and the
// gradients of arithmetic nodes, alone and where an image has several readers.
#include "support/GradientCheck.hpp"
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::Tensor;

namespace {

using Nodes = std::vector<MPS::NNFilterNode>;

struct Call {
    MPS::NNFilterNode gradient, inference;
    MPS::NNImageNode source, gradientSource;
};

MPS::NNGraph graphOf(const std::vector<MPS::NNImageNode>& results) {
    MPS::NNGraph graph(testDevice(), results);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

MPS::CNNLossDescriptor squares() {
    return {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum};
}

/// d(sum of y)/d(an input), for a y made of one input.
Tensor derivative(const MPS::NNImageNode& y, const Tensor& x) {
    const auto termini = MPS::NNInitialGradientNode(y).trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 1);
    return result(graphOf({termini[0].resultImage()}), {upload(x)});
}

Tensor map(Tensor tensor, const std::function<double(double)>& f) {
    for (double& value : tensor.v) value = f(value);
    return tensor;
}

/// The gradients with respect to two inputs of a node that combines them.
struct Pair {
    Tensor y, dx, dy;
};
Pair differentiate(const MPS::NNBinaryArithmeticNode& node, const Tensor& x, const Tensor& y,
                   const Tensor& g) {
    const MPS::NNImageNode incoming;
    const auto filters = node.gradientFilters(incoming);
    REQUIRE(filters.size() == 2);
    for (const auto& filter : filters)
        filter.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
    const auto graph = graphOf({filters[0].resultImage(), filters[1].resultImage()});
    const auto inputs = graph.sourceImageHandles();
    const auto forward = graphOf({node.resultImage()});
    Pair made;
    made.y = result(forward, {upload(x), upload(y)});
    std::vector<MPS::ImageBatch> given;
    for (const auto& handle : inputs)
        given.push_back(upload(!handle ? g : handle->label() == "x" ? x : y));
    std::vector<MPS::ImageBatch> others;
    MPS::ImageBatch first;
    run([&](const MTL::CommandBuffer& commands) {
        first = graph.encodeBatch(commands, given, {}, &others, nullptr);
    });
    made.dx = download(first);
    made.dy = download(others.at(0));
    return made;
}

const reference::Tolerance fp32{1e-5};

} // namespace

TEST_CASE("a product with itself: two gradients and the addition that joins them") {
    const MPS::NNImageNode input;
    const MPS::NNMultiplicationNode square(input, input);
    std::vector<Call> calls;
    const auto termini =
        MPS::NNInitialGradientNode(square.resultImage())
            .trainingGraph(std::nullopt,
                           [&](MPS::NNFilterNode gradient, MPS::NNFilterNode inference,
                               MPS::NNImageNode source, MPS::NNImageNode gradientSource) {
                               calls.push_back({gradient, inference, source, gradientSource});
                           });
    REQUIRE(calls.size() == 3);
    for (size_t i = 0; i < 2; ++i) {
        const auto gradient = calls[i].gradient.as<MPS::NNMultiplicationGradientNode>();
        REQUIRE(gradient);
        CHECK(gradient.isSecondarySourceFilter() == (i == 1));
        CHECK(calls[i].inference == square);
        CHECK(calls[i].source == input);
    }
    CHECK(calls[2].gradient.as<MPS::NNAdditionNode>());
    CHECK_FALSE(calls[2].inference);
    CHECK(calls[2].source == input);
    CHECK(calls[2].gradientSource == calls[1].gradient.resultImage());
    REQUIRE(termini.size() == 1);
    CHECK(termini[0] == calls[2].gradient);

    const Tensor x = reference::random(2, 4, 3, 5, 1);
    CHECK(reference::compare(result(graphOf({termini[0].resultImage()}), {upload(x)}),
                             map(x, [](double v) { return 2 * v; }), fp32));
}

TEST_CASE("an image with several readers gets the sum of their gradients") {
    const Tensor x = reference::random(2, 4, 4, 5, 1);
    {
        const MPS::NNImageNode input;
        CHECK(derivative(MPS::NNAdditionNode(input, input).resultImage(), x).v ==
              std::vector<double>(x.size(), 2));
    }
    { // a residual connection around a neuron
        const MPS::NNImageNode input;
        const MPS::CNNNeuronTanHNode tanH(input);
        const Tensor expected = map(x, [](double v) { return 2 - std::tanh(v) * std::tanh(v); });
        CHECK(reference::compare(
            derivative(MPS::NNAdditionNode(tanH.resultImage(), input).resultImage(), x), expected,
            fp32));
    }
    { // four readers of an image within the graph
        const MPS::NNImageNode input;
        const MPS::CNNNeuronLinearNode twice(input, 2, 0);
        const auto a = twice.resultImage();
        const MPS::NNMultiplicationNode square(a, a);
        const MPS::NNSubtractionNode difference(square.resultImage(), a);
        const MPS::NNAdditionNode sum(difference.resultImage(),
                                      MPS::CNNNeuronSigmoidNode(a).resultImage());
        const Tensor expected = map(x, [](double v) {
            const double s = 1 / (1 + std::exp(-2 * v));
            return 2 * (2 * 2 * v - 1 + s * (1 - s));
        });
        CHECK(reference::compare(derivative(sum.resultImage(), x), expected, {2e-5}));
    }
}

TEST_CASE("gradients of arithmetic take the forward scales along") {
    const Tensor x = reference::random(2, 3, 4, 5, 1), y = reference::random(2, 3, 4, 5, 2),
                 g = reference::random(2, 3, 4, 5, 3);
    const auto scaled = [](const auto& node) {
        node.setPrimaryScale(3);
        node.setSecondaryScale(-0.5f);
        node.setBias(0.25f);
        return node;
    };
    const MPS::NNImageNode a(named("x")), b(named("y"));
    const auto combine = [&](const std::function<double(double, double, double)>& f) {
        Tensor made = x;
        for (size_t i = 0; i < x.size(); ++i) made.v[i] = f(x.v[i], y.v[i], g.v[i]);
        return made;
    };
    const auto sum = differentiate(scaled(MPS::NNAdditionNode(a, b)), x, y, g);
    CHECK(reference::compare(
        sum.y, combine([](double p, double q, double) { return 3 * p - .5 * q + .25; }), fp32));
    CHECK(reference::compare(sum.dx, map(g, [](double v) { return 3 * v; }), fp32));
    CHECK(reference::compare(sum.dy, map(g, [](double v) { return -.5 * v; }), fp32));

    const auto difference = differentiate(scaled(MPS::NNSubtractionNode({a, b})), x, y, g);
    CHECK(reference::compare(
        difference.y, combine([](double p, double q, double) { return 3 * p + .5 * q + .25; }),
        fp32));
    CHECK(reference::compare(difference.dx, map(g, [](double v) { return 3 * v; }), fp32));
    CHECK(reference::compare(difference.dy, map(g, [](double v) { return .5 * v; }), fp32));

    const auto product = differentiate(scaled(MPS::NNMultiplicationNode(a, b)), x, y, g);
    CHECK(reference::compare(
        product.y, combine([](double p, double q, double) { return -1.5 * p * q + .25; }), fp32));
    CHECK(reference::compare(
        product.dx, combine([](double, double q, double v) { return -1.5 * q * v; }), fp32));
    CHECK(reference::compare(
        product.dy, combine([](double p, double, double v) { return -1.5 * p * v; }), fp32));
}

TEST_CASE("the gradient of a repeated operand is summed over what it was repeated along") {
    const Tensor x = reference::random(2, 3, 4, 5, 1), g = reference::random(2, 3, 4, 5, 3);
    const MPS::NNImageNode a(named("x")), b(named("y"));
    { // a factor per channel
        const Tensor y = reference::random(2, 1, 1, 5, 2);
        const MPS::NNMultiplicationNode node(a, b);
        node.setSecondaryStrideInPixelsX(0);
        node.setSecondaryStrideInPixelsY(0);
        const auto made = differentiate(node, x, y, g);
        Tensor dx = x, dy(2, 1, 1, 5);
        for (size_t n = 0; n < 2; ++n)
            for (size_t p = 0; p < 12; ++p)
                for (size_t c = 0; c < 5; ++c) {
                    const size_t i = (n * 12 + p) * 5 + c;
                    dx.v[i] = g.v[i] * y.at(n, 0, 0, c);
                    dy.at(n, 0, 0, c) += g.v[i] * x.v[i];
                }
        CHECK(reference::compare(made.dx, dx, fp32));
        CHECK(reference::compare(made.dy, dy, fp32));
    }
    { // a scalar on the left of a difference
        const Tensor s = reference::random(2, 1, 1, 1, 2);
        const MPS::NNSubtractionNode node(a, b);
        node.setPrimaryStrideInPixelsX(0);
        node.setPrimaryStrideInPixelsY(0);
        node.setPrimaryStrideInFeatureChannels(0);
        const auto made = differentiate(node, s, x, g);
        CHECK(reference::compare(made.dy, map(g, [](double v) { return -v; }), fp32));
        for (size_t n = 0; n < 2; ++n) {
            double sum = 0;
            for (double v : reference::image(g, n).v) sum += v;
            CHECK(std::abs(made.dx.at(n, 0, 0, 0) - sum) < 1e-4);
        }
    }
}

TEST_CASE("finite differences agree with a graph of arithmetic, a residual and two losses") {
    const auto build = [](const MPS::NNImageNode& input, const MPS::NNImageNode& labels) {
        const MPS::CNNNeuronTanHNode tanH(input);
        const MPS::NNMultiplicationNode gate(tanH.resultImage(), input);
        gate.setPrimaryScale(0.75f);
        const MPS::NNAdditionNode residual(gate.resultImage(), input);
        const MPS::CNNPoolingAverageNode pooling(residual.resultImage(), 2);
        const MPS::NNForwardLossNode first(pooling.resultImage(), labels, squares());
        const MPS::CNNNeuronSigmoidNode sigmoid(pooling.resultImage());
        const MPS::NNForwardLossNode second(sigmoid.resultImage(), labels, squares());
        return MPS::NNAdditionNode(first.resultImage(), second.resultImage());
    };
    const MPS::NNImageNode input(named("input")), labels(named("labels"));
    labels.setStopGradient(true);
    const auto loss = build(input, labels);
    const auto termini =
        MPS::NNInitialGradientNode(loss.resultImage()).trainingGraph(std::nullopt, {});
    MPS::NNImageNode gradient;
    for (const auto& terminus : termini)
        if (terminus.resultImage().handle() == input.handle()) gradient = terminus.resultImage();
    const Tensor x = reference::random(1, 4, 4, 3, 1), t = reference::random(1, 2, 2, 3, 2);
    const auto training = graphOf({gradient}), forward = graphOf({loss.resultImage()});
    const auto given = [&](const MPS::NNGraph& graph, const Tensor& at) {
        std::vector<MPS::ImageBatch> all;
        for (const auto& handle : graph.sourceImageHandles())
            all.push_back(upload(handle->label() == "input" ? at : t));
        return result(graph, all);
    };
    const auto f = [&](const Tensor& at) { return given(forward, at).v.at(0); };
    CHECK(reference::checkGradient(f, x, given(training, x), {.step = 1e-2, .tolerance = 1e-2}));
}

TEST_CASE("a branch ends at an image with stopGradient") {
    const MPS::NNImageNode input;
    const MPS::CNNNeuronTanHNode first(input);
    const MPS::CNNNeuronSigmoidNode second(first.resultImage());
    const auto count = [&](const MPS::GradientNodeBlock& also) {
        std::vector<Call> calls;
        const auto termini = MPS::CNNLossNode(second.resultImage(), squares())
                                 .trainingGraph(std::nullopt, [&](auto gradient, auto inference,
                                                                  auto source, auto g) {
                                     calls.push_back({gradient, inference, source, g});
                                     if (also) also(gradient, inference, source, g);
                                 });
        REQUIRE(termini.size() == 1);
        CHECK(termini[0] == calls.back().gradient);
        return calls.size();
    };
    CHECK(count({}) == 2);
    CHECK(count([](MPS::NNFilterNode gradient, auto, auto, auto) {
              gradient.resultImage().setStopGradient(true);
          }) == 1);
    CHECK(count([](auto, auto, MPS::NNImageNode source, auto) { source.setStopGradient(true); }) ==
          1);
    CHECK(first.resultImage().stopGradient());
    CHECK(count({}) == 1);
}

TEST_CASE("without a handler each gradient has its source's handle") {
    const MPS::NNImageNode left(named("left")), right(named("right"));
    const MPS::NNMultiplicationNode product(left, right);
    const auto termini =
        MPS::CNNLossNode(product.resultImage(), squares()).trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 2);
    CHECK(termini[0].resultImage().handle() == left.handle());
    CHECK(termini[1].resultImage().handle() == right.handle());
}

TEST_CASE("a backward graph of its own takes the gradient from outside") {
    const MPS::NNImageNode input(named("input")), incoming(named("gradient"));
    const MPS::CNNNeuronSigmoidNode sigmoid(input);
    const auto termini = sigmoid.trainingGraph(incoming, {});
    REQUIRE(termini.size() == 1);
    const auto graph = graphOf({termini[0].resultImage()});
    const Tensor x = reference::random(2, 3, 3, 4, 1), g = reference::random(2, 3, 3, 4, 2);
    std::vector<MPS::ImageBatch> given;
    for (const auto& handle : graph.sourceImageHandles())
        given.push_back(upload(handle->label() == "input" ? x : g));
    Tensor expected = x;
    for (size_t i = 0; i < x.size(); ++i) {
        const double s = 1 / (1 + std::exp(-x.v[i]));
        expected.v[i] = g.v[i] * s * (1 - s);
    }
    CHECK(reference::compare(result(graph, given), expected, fp32));
}

TEST_CASE("a branch ends where a kind of node has no gradient") {
    const MPS::NNImageNode a, b;
    const MPS::NNDivisionNode quotient(a, b);
    const MPS::CNNNeuronTanHNode tanH(quotient.resultImage());
    const auto termini =
        MPS::CNNLossNode(tanH.resultImage(), squares()).trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 1);
    CHECK(termini[0].as<MPS::CNNNeuronGradientNode>());
    CHECK_THAT(refusal([&] { quotient.gradientFilters(a); }),
               ContainsSubstring("This kind of node has no gradient."));

    const Tensor x = reference::random(1, 2, 2, 4, 1, 1, 2),
                 y = reference::random(1, 2, 2, 4, 2, 1, 2);
    Tensor expected = x;
    for (size_t i = 0; i < x.size(); ++i) expected.v[i] /= y.v[i];
    CHECK(reference::compare(result(graphOf({quotient.resultImage()}), {upload(x), upload(y)}),
                             expected, fp32));
    const MPS::NNComparisonNode less(a, b);
    CHECK(less.comparisonType() == MPS::NNComparisonType::Equal);
    less.setComparisonType(MPS::NNComparisonType::Less);
    for (size_t i = 0; i < x.size(); ++i) expected.v[i] = x.v[i] < y.v[i];
    CHECK(result(graphOf({less.resultImage()}), {upload(x), upload(y)}).v == expected.v);
}

TEST_CASE("loss nodes: predictions first, then labels, and a state that carries the settings") {
    const MPS::NNImageNode prediction, labels, weights, incoming;
    auto descriptor = squares();
    descriptor.setWeight(0.25f);
    const MPS::NNForwardLossNode loss(prediction, labels, weights, descriptor);
    CHECK(loss.weight() == 0.25f);
    const auto filters = loss.gradientFilters(incoming);
    REQUIRE(filters.size() == 2);
    CHECK_FALSE(filters[0].as<MPS::NNLossGradientNode>().isLabelsGradientFilter());
    CHECK(filters[1].as<MPS::NNLossGradientNode>().isLabelsGradientFilter());
    CHECK_FALSE(
        loss.gradientFilter(incoming).as<MPS::NNLossGradientNode>().isLabelsGradientFilter());

    const Tensor y = reference::random(2, 3, 3, 4, 1), t = reference::random(2, 3, 3, 4, 2),
                 w = reference::random(2, 3, 3, 4, 3, 0.5, 1), g(2, 1, 1, 1, 2);
    reference::Loss expected;
    expected.weight = 0.25;
    for (size_t i = 0; i < 2; ++i) {
        const auto graph = graphOf({filters[i].resultImage()});
        CHECK(graph.sourceImageHandles().size() == 4);
        const Tensor made = result(graph, {upload(g), upload(y), upload(t), upload(w)});
        const reference::LossInputs inputs{y, t, &w};
        CHECK(reference::compare(made,
                                 i ? reference::labelGradient(expected, inputs, g)
                                   : reference::gradient(expected, inputs, g),
                                 fp32));
    }
    const MPS::NNLossGradientNode bare(incoming, prediction, labels, std::nullopt, descriptor,
                                       false);
    const Tensor made = result(graphOf({bare.resultImage()}), {upload(g), upload(y), upload(t)});
    CHECK(reference::compare(made, reference::gradient(expected, {y, t}, g), fp32));
}

TEST_CASE("a gradient node of arithmetic becomes the one of its forward node's class") {
    const MPS::NNImageNode a, b, g;
    const auto check = [&]<class Forward, class Gradient>() {
        const Forward node(a, b);
        node.setSecondaryScale(3);
        const auto state = node.resultState().template as<MPS::NNBinaryGradientStateNode>();
        const MPS::NNArithmeticGradientNode plain(g, b, state, true), whole({g}, node, true);
        CHECK(plain.template as<Gradient>());
        CHECK(whole.template as<Gradient>());
        CHECK(plain.isSecondarySourceFilter());
        CHECK(whole.primaryScale() == Gradient({g}, node, true).primaryScale());
    };
    check.operator()<MPS::NNAdditionNode, MPS::NNAdditionGradientNode>();
    check.operator()<MPS::NNSubtractionNode, MPS::NNSubtractionGradientNode>();
    check.operator()<MPS::NNMultiplicationNode, MPS::NNMultiplicationGradientNode>();
    CHECK(
        refusal([&] { MPS::NNArithmeticGradientNode({g}, MPS::NNDivisionNode(a, b), false); }) ==
        "[NNArithmeticGradientNode] The forward node is a NNDivisionNode but must be an addition, "
        "a subtraction or a multiplication.");
    CHECK(refusal([&] {
              MPS::NNArithmeticGradientNode(g, a, MPS::NNBinaryGradientStateNode(), false);
          }) == "[NNArithmeticGradientNode] The forward node is not known but must be an addition, "
                "a subtraction or a multiplication.");
}

TEST_CASE("arithmetic nodes refuse what does not fit") {
    const MPS::NNImageNode a, b;
    CHECK(refusal([&] { MPS::NNAdditionNode(std::vector{a}); }) ==
          "[NNAdditionNode] 1 sources were given but there are two operands.");
    CHECK_THAT(
        refusal([&] { MPS::NNAdditionGradientNode({a}, MPS::NNSubtractionNode(a, b), false); }),
        ContainsSubstring("The forward node is a NNSubtractionNode."));
    CHECK_THAT(refusal([&] {
                   MPS::NNAdditionGradientNode({a, b}, MPS::NNAdditionNode(a, b), false);
               }),
               ContainsSubstring("2 gradient images"));
    CHECK_THAT(refusal([&] {
                   MPS::NNAdditionNode(a, b).gradientFilters({a, b});
               }),
               ContainsSubstring("was given 2"));
    const MPS::NNFilterNode base = MPS::NNAdditionNode(a, b);
    CHECK_THAT(refusal([&] { base.gradientFilter(a); }),
               ContainsSubstring("there are 2; use gradientFilters"));

    const MPS::NNAdditionNode sum(a, b);
    sum.setLabel("sum");
    const auto graph = graphOf({sum.resultImage()});
    CHECK_THAT(refusal([&] {
                   graph.encodeBatch(testQueue().commandBuffer(),
                                     {upload(Tensor(1, 2, 2, 4)), upload(Tensor(1, 3, 2, 4))});
               }),
               ContainsSubstring("\"sum\""));
}
