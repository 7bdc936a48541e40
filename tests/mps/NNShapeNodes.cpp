// Nodes of reshape, pad, concatenation and the Gram matrix in graphs.
#include "support/Graphs.hpp"
#include "support/reference/Gram.hpp"
#include "support/reference/Pad.hpp"

#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNShapeNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::Tensor;

namespace {

/// The graph that computes the gradient of the sum of (y - t)^2 with respect to `input`.
MPS::NNGraph trainingOf(const MPS::NNImageNode& y, const MPS::NNImageNode& input) {
    const MPS::CNNLossNode loss(y,
                                {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
    for (const auto& terminus : loss.trainingGraph(std::nullopt, {}))
        if (terminus.resultImage().handle() == input.handle()) {
            MPS::NNGraph graph(testDevice(), terminus.resultImage(), true);
            graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
            return graph;
        }
    FAIL("there is no gradient of the input");
    return {};
}

Tensor slope(const Tensor& y, const Tensor& t) {
    Tensor g = y;
    for (size_t i = 0; i < g.size(); ++i) g.v[i] = 2 * (y.v[i] - t.v[i]);
    return g;
}

Tensor sum(Tensor a, const Tensor& b) {
    for (size_t i = 0; i < a.size(); ++i) a.v[i] += b.v[i];
    return a;
}

Tensor map(Tensor x, double (*f)(double)) {
    for (double& v : x.v) v = f(v);
    return x;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// a (3 channels), its sigmoid, b (5 channels), the sigmoid again.
struct Concatenation {
    MPS::NNImageNode a{named("a")}, b{named("b")};
    MPS::CNNNeuronSigmoidNode s{a};
    MPS::NNConcatenationNode node{{a, s.resultImage(), b, s.resultImage()}};

    static Tensor forward(const Tensor& x, const Tensor& y) {
        Tensor all(x.n, x.h, x.w, 20);
        const Tensor soft = map(x, sigmoid);
        reference::paste(all, {}, 0, x);
        reference::paste(all, {}, 4, soft);
        reference::paste(all, {}, 8, y);
        reference::paste(all, {}, 16, soft);
        return all;
    }
};

struct Settable : MPS::NNGramMatrixCallback {
    float alpha(MPS::Image source, MPS::Image destination) const override {
        sourceChannels = source.featureChannels();
        destinationWidth = destination.width();
        return value;
    }
    float value = 1;
    mutable uint64_t sourceChannels = 0, destinationWidth = 0;
};

} // namespace

TEST_CASE("a concatenation gives every source a multiple of four channels") {
    const Concatenation c;
    const Tensor a = reference::random(2, 3, 4, 3, 1), b = reference::random(2, 3, 4, 5, 2);
    MPS::NNGraph graph(testDevice(), c.node.resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    for (int step = 0; step < 3; ++step) // recorded and replayed
        CHECK(reference::compare(result(graph, {upload(a), upload(b)}),
                                 Concatenation::forward(a, b), {1e-6}));
    const auto commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              graph.encodeBatch(commands, {upload(a), upload(reference::random(2, 3, 5, 5, 2))});
          }).find("[NNConcatenation] Source 2 is 5x3 but source 0 4x3.") != std::string::npos);
    const MPS::Image one = upload(a)[0], other = upload(b)[0];
    MPS::Image y;
    run([&](const MTL::CommandBuffer& now) { y = graph.encode(now, {one, other}); });
    CHECK(reference::compare(download({y}),
                             Concatenation::forward(reference::image(a, 0), reference::image(b, 0)),
                             {1e-6}));
}

TEST_CASE("each source of a concatenation gets its channels of the gradient") {
    const Concatenation c;
    const Tensor a = reference::random(2, 3, 4, 3, 3), b = reference::random(2, 3, 4, 5, 4),
                 t = reference::random(2, 3, 4, 20, 5);
    const auto ofA = trainingOf(c.node.resultImage(), c.a),
               ofB = trainingOf(c.node.resultImage(), c.b);
    const Tensor g = slope(Concatenation::forward(a, b), t);
    Tensor dS = sum(reference::channels(g, 4, 3), reference::channels(g, 16, 3));
    for (size_t i = 0; i < dS.size(); ++i) {
        const double s = sigmoid(a.v[i]);
        dS.v[i] *= s * (1 - s);
    }
    for (int step = 0; step < 3; ++step) {
        CHECK(reference::compare(result(ofA, {upload(a), upload(b)}, {lossLabels(t)}),
                                 sum(reference::channels(g, 0, 3), dS)));
        CHECK(reference::compare(result(ofB, {upload(a), upload(b)}, {lossLabels(t)}),
                                 reference::channels(g, 8, 5)));
    }
}

TEST_CASE("gradient nodes of a concatenation know their source") {
    const Concatenation c;
    const MPS::NNImageNode gradient;
    CHECK(c.node.gradientFilters(gradient).size() == 4);
    CHECK_THAT(refusal([&] { c.node.gradientFilter(gradient); }),
               ContainsSubstring("gradientFilter gives one node but there are 4"));
    const auto state = c.node.resultState().as<MPS::NNGradientStateNode>();
    const MPS::NNConcatenationGradientNode made(gradient, c.b, state);
    CHECK(c.node.gradientFilters(gradient)[2].as<MPS::NNConcatenationGradientNode>());
    const Tensor a = reference::random(2, 3, 4, 3, 6), b = reference::random(2, 3, 4, 5, 7),
                 g = reference::rounded(reference::random(2, 3, 4, 20, 8),
                                        reference::Storage::Float32);
    MPS::NNGraph graph(testDevice(), made.resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    CHECK(result(graph, {upload(g), upload(b), upload(a)}).v == reference::channels(g, 8, 5).v);
    const auto commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              graph.encodeBatch(commands,
                                {upload(reference::random(2, 2, 4, 20, 8)), upload(b), upload(a)});
          }).find("sourceGradient is 4x2 but sourceImage 4x3.") != std::string::npos);
    CHECK(refusal([&] { MPS::NNConcatenationGradientNode(gradient, gradient, state); }) ==
          "[NNConcatenationGradientNode] sourceImage is none of the 4 sources of the "
          "concatenation.");
    const auto other = c.s.resultState().as<MPS::NNGradientStateNode>();
    CHECK(refusal([&] { MPS::NNConcatenationGradientNode(gradient, c.b, other); }) ==
          "[NNConcatenationGradientNode] gradientState is no result of an NNConcatenationNode.");
    CHECK(refusal([] { MPS::NNConcatenationNode(std::vector<MPS::NNImageNode>{}); }) ==
          "[NNConcatenationNode] A concatenation of no source was asked for.");
    c.node.setPaddingPolicy(MPS::NNDefaultPadding::paddingForTensorflowAveragePooling());
    CHECK_THAT(refusal([&] { MPS::NNGraph(testDevice(), c.node.resultImage(), true); }),
               ContainsSubstring("The padding policy is a custom one"));
}

TEST_CASE("pad and reshape nodes train") {
    const MPS::NNImageNode input(named("x"));
    const MPS::NNPadNode pad(input, {1, 2, 1}, {0, 1, 2}, MPS::ImageEdgeMode::Mirror);
    const MPS::NNReshapeNode flat(pad.resultImage(), 3, 4, 15);
    const Tensor x = reference::rounded(reference::random(2, 3, 4, 3, 9),
                                        reference::Storage::Float32),
                 t = reference::random(2, 4, 3, 15, 10);
    const reference::Pad p{.mode = reference::PadMode::Mirror,
                           .offsetX = -1,
                           .offsetY = -2,
                           .width = 5,
                           .height = 6,
                           .before = 1,
                           .after = 2};
    const Tensor padded = reference::pad(p, x), y(2, 4, 3, 15, padded.v);
    MPS::NNGraph inference(testDevice(), flat.resultImage(), true);
    inference.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    const auto training = trainingOf(flat.resultImage(), input);
    const Tensor g(2, 6, 5, 6, slope(y, t).v);
    for (int step = 0; step < 3; ++step) {
        CHECK(result(inference, {upload(x)}).v == y.v);
        CHECK(reference::compare(result(training, {upload(x)}, {lossLabels(t)}),
                                 reference::padGradient(p, g, x)));
    }
    MPS::Image one;
    run([&](const MTL::CommandBuffer& commands) {
        one = inference.encode(commands, {upload(x)[0]});
    });
    CHECK(one.width() == 3);
    CHECK(pad.gradientFilter(input).as<MPS::NNPadGradientNode>());
    CHECK(flat.gradientFilter(input).as<MPS::NNReshapeGradientNode>());
    const MPS::NNPadNode filled(input, {1, 0, 0}, {}, MPS::ImageEdgeMode::Constant);
    CHECK(filled.fillValue() == 0);
    filled.setFillValue(7);
    CHECK(filled.fillValue() == 7);
    MPS::NNGraph filling(testDevice(), filled.resultImage(), true);
    filling.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    CHECK(result(filling, {upload(Tensor(1, 1, 1, 1, 3.0))}).v == std::vector<double>{7, 3});
}

TEST_CASE("a Gram matrix node trains, and asks its callback for alpha in every encode") {
    const MPS::NNImageNode input(named("x"));
    const Tensor x = reference::random(2, 3, 4, 5, 11), t = reference::random(2, 1, 5, 5, 12);
    const auto expected = [&](double alpha) {
        return reference::gramMatrixGradient(alpha, slope(reference::gramMatrix(alpha, x), t), x);
    };
    const MPS::NNGramMatrixCalculationNode plain(input, 0.25f);
    CHECK(plain.alpha() == 0.25f);
    CHECK(MPS::NNGramMatrixCalculationNode(input).alpha() == 1);
    const auto gradient =
        plain.gradientFilter(input).as<MPS::NNGramMatrixCalculationGradientNode>();
    REQUIRE(gradient);
    CHECK(gradient.alpha() == 0.25f);
    const auto fixed = trainingOf(plain.resultImage(), input);
    for (int step = 0; step < 3; ++step)
        CHECK(reference::compare(result(fixed, {upload(x)}, {lossLabels(t)}), expected(0.25),
                                 {2e-5}));

    const MPS::NNGramMatrixCalculationNode asking(input, 9);
    const auto callback = std::make_shared<Settable>();
    asking.setPropertyCallBack(callback);
    CHECK(asking.propertyCallBack() == callback);
    const auto asked = trainingOf(asking.resultImage(), input);
    for (const float alpha : {0.5f, 0.5f, 0.125f, 0.0625f}) {
        callback->value = alpha;
        CHECK(reference::compare(result(asked, {upload(x)}, {lossLabels(t)}), expected(alpha),
                                 {2e-5}));
    }
    CHECK(callback->sourceChannels == 5);
    CHECK(callback->destinationWidth == 5);
}
