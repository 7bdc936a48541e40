// What a graph makes of its nodes: activations within convolutions, copies left out, one arena.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cfloat>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::Source;

namespace {

struct SamePolicy : MPS::NNPadding {
    explicit SamePolicy(bool allowsFusion) : allowsFusion(allowsFusion) {}
    MPS::NNPaddingMethod paddingMethod() const override {
        using enum MPS::NNPaddingMethod;
        return SizeSame | Custom | (allowsFusion ? CustomAllowForNodeFusion : SizeValidOnly);
    }
    MPS::ImageDescriptor destinationImageDescriptor(MPS::ImageBatch, MPS::StateBatch, MPS::Kernel&,
                                                    MPS::ImageDescriptor suggested) const override {
        ++calls;
        return suggested;
    }
    bool allowsFusion;
    mutable int calls = 0;
};

/// A convolution and an activation, in nodes and in the references' words.
struct Pair {
    explicit Pair(bool whole = false)
        : source(std::make_shared<Source>(3, 4, 5, 1)),
          convolution(whole ? MPS::CNNConvolutionNode(MPS::CNNFullyConnectedNode(input, source))
                            : MPS::CNNConvolutionNode(input, source)),
          activation(convolution.resultImage(), 1.5f, .5f) {}
    static Tensor expected(const Source& source, const Tensor& x) {
        reference::Convolution c;
        c.inputChannels = 4;
        c.outputChannels = 5;
        c.kernelWidth = c.kernelHeight = 3;
        c.outputWidth = x.w;
        c.outputHeight = x.h;
        c.weights = network::doubles(source.w);
        c.bias = network::doubles(source.b);
        return reference::forward({reference::NeuronType::TanH, 1.5, .5, 0, {}},
                                  reference::forward(c, x));
    }
    std::shared_ptr<Source> source;
    MPS::NNImageNode input;
    MPS::CNNConvolutionNode convolution;
    MPS::CNNNeuronTanHNode activation;
};

const Tensor& x() {
    static const Tensor made = reference::random(2, 5, 6, 4, 1);
    return made;
}

} // namespace

TEST_CASE("an activation becomes a part of the convolution before it") {
    const Pair pair;
    pair.convolution.setLabel("conv");
    const auto graph = graphOf(pair.activation.resultImage());
    const Tensor expected = Pair::expected(*pair.source, x());
    CHECK(reference::compare(result(graph, {upload(x())}), expected, fp32));
    CHECK_THAT(graph.debugDescription(), ContainsSubstring("1 steps"));
    CHECK_THAT(graph.debugDescription(),
               ContainsSubstring("CNNNeuronTanHNode is part of CNNConvolutionNode \"conv\""));
    for (const auto& made : {again(graph), again(again(graph)), graph.copy()}) {
        CHECK(result(made, {upload(x())}).v == result(graph, {upload(x())}).v);
        CHECK_THAT(made.debugDescription(), ContainsSubstring("is part of"));
    }
    pair.source->w[0] += 1;
    graph.reloadFromDataSources();
    CHECK(
        reference::compare(result(graph, {upload(x())}), Pair::expected(*pair.source, x()), fp32));

    const Pair whole(true);
    const auto head = graphOf(whole.activation.resultImage());
    const Tensor small = reference::random(2, 3, 3, 4, 1);
    CHECK_THAT(head.debugDescription(), ContainsSubstring("1 steps"));
    CHECK(result(head, {upload(small)}).v.size() == 10);
}

TEST_CASE("the slopes of an activation are those of the channels that a convolution shuffles") {
    const auto source = std::make_shared<Source>(1, 4, 8, 1);
    MPS::CNNSubPixelConvolutionDescriptor shape(1, 1, 4, 8);
    shape.setSubPixelScaleFactor(2);
    source->shape = shape;
    std::vector<std::vector<double>> made;
    for (const bool fuses : {true, false}) {
        const MPS::CNNConvolutionNode convolution(MPS::NNImageNode(), source);
        if (!fuses) convolution.resultImage().setExportFromGraph(true);
        const std::vector<float> slopes{.5f, .25f};
        const MPS::CNNNeuronPReLUNode activation(convolution.resultImage(), slopes);
        const auto graph = graphOf(activation.resultImage());
        CHECK((graph.debugDescription().find("1 steps") != std::string::npos) == fuses);
        made.push_back(result(graph, {upload(x())}).v);
    }
    CHECK(made[0].size() == 2 * 10 * 12 * 2);
    CHECK(made[0] == made[1]);
    const MPS::CNNConvolutionNode convolution(MPS::NNImageNode(), source);
    const MPS::CNNNeuronPReLUNode few(convolution.resultImage(), std::vector<float>{1});
    CHECK_THROWS_WITH(graphOf(few.resultImage()), ContainsSubstring("PReLU has 4 slopes but 8"));
}

TEST_CASE("an activation stays apart where its source is wanted, and the result is the same") {
    const Tensor expected = Pair::expected(Source(3, 4, 5, 1), x());
    const auto check = [&](const MPS::NNGraph& graph, const std::string& why) {
        CHECK(reference::compare(result(graph, {upload(x())}), expected, fp32));
        CHECK_THAT(
            graph.debugDescription(),
            ContainsSubstring("CNNNeuronTanHNode stays apart from CNNConvolutionNode: " + why));
    };
    {
        const Pair pair;
        pair.convolution.resultImage().setExportFromGraph(true);
        const auto graph = graphOf(pair.activation.resultImage());
        check(graph, "its source leaves the graph");
        CHECK(graph.intermediateImageHandles().size() == 1);
    }
    {
        const Pair pair;
        const MPS::CNNNeuronReLUNode other(pair.convolution.resultImage());
        const MPS::NNGraph graph(testDevice(),
                                 {pair.activation.resultImage(), other.resultImage()});
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        check(graph, "its source has 2 readers");
    }
    {
        const Pair pair;
        pair.convolution.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
        check(graphOf(pair.activation.resultImage()), "its source has an allocator of its own");
    }
    for (const bool allowsFusion : {false, true}) {
        const Pair pair;
        const auto policy = std::make_shared<SamePolicy>(allowsFusion);
        pair.activation.setPaddingPolicy(policy);
        const auto graph = graphOf(pair.activation.resultImage());
        if (allowsFusion)
            CHECK(reference::compare(result(graph, {upload(x())}), expected, fp32));
        else
            check(graph, "it has a custom padding policy");
        CHECK((policy->calls > 0) != allowsFusion);
    }
    { // the convolution's own, which leaves all as it is
        const Pair pair;
        pair.source->shape.setNeuronType(MPS::CNNNeuronType::Linear, 1, 0);
        check(graphOf(pair.activation.resultImage()), "that has an activation already");
    }
    { // two activations: the second finds the place taken
        const Pair pair;
        const MPS::CNNNeuronLinearNode second(pair.activation.resultImage(), 1, 0);
        const auto graph = graphOf(second.resultImage());
        CHECK(reference::compare(result(graph, {upload(x())}), expected, fp32));
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("2 steps"));
    }
    { // in training the activation's gradient reads it
        const Pair pair;
        const MPS::CNNLossNode loss(pair.activation.resultImage(), squares());
        const auto graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        CHECK_THAT(graph.debugDescription(), !ContainsSubstring("is part of"));
    }
}

TEST_CASE("an activation becomes a part of the arithmetic before it") {
    const std::vector<float> slopes{.5f, .25f, 2, .125f};
    const Tensor y = reference::random(2, 5, 6, 4, 2, .5, 1),
                 row = reference::random(2, 1, 1, 4, 3);
    for (const MPS::NNNeuronDescriptor& neuron :
         {MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1.5f, .5f),
          MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes)}) {
        const auto check = [&]<class Node>(bool repeats) {
            std::vector<std::vector<double>> made;
            for (const bool fuses : {true, false}) {
                const MPS::NNImageNode a(named("a")), b(named("b"));
                const Node node(a, b);
                node.setPrimaryScale(.75f);
                node.setBias(.125f);
                node.setMinimumValue(-.5f);
                if (repeats) {
                    node.setSecondaryStrideInPixelsX(0);
                    node.setSecondaryStrideInPixelsY(0);
                }
                if (!fuses) node.resultImage().setExportFromGraph(true);
                const MPS::CNNNeuronNode activation(node.resultImage(), neuron);
                const auto graph = graphOf(activation.resultImage());
                CHECK_THAT(graph.debugDescription(),
                           ContainsSubstring(fuses ? "1 steps" : "its source leaves the graph"));
                made.push_back(result(graph, {upload(x()), upload(repeats ? row : y)}).v);
                CHECK(result(again(graph), {upload(x()), upload(repeats ? row : y)}).v ==
                      made.back());
            }
            CHECK(made[0] == made[1]);
        };
        check.operator()<MPS::NNAdditionNode>(false);
        check.operator()<MPS::NNAdditionNode>(true);
        check.operator()<MPS::NNSubtractionNode>(false);
        check.operator()<MPS::NNMultiplicationNode>(true);
        check.operator()<MPS::NNDivisionNode>(false);
    }
    // Slopes for fewer channels than there are.
    const MPS::NNImageNode a, b;
    const MPS::NNAdditionNode sum(a, b);
    const MPS::CNNNeuronPReLUNode few(sum.resultImage(), std::vector<float>{1, 2});
    const auto graph = graphOf(few.resultImage());
    CHECK_THROWS_WITH(result(graph, {upload(x()), upload(y)}),
                      ContainsSubstring("PReLU has 2 slopes but 4 feature channels"));
}

TEST_CASE("the gradient of a clamped sum is no copy") {
    const Tensor points(1, 1, 4, 1, {-1, -.1, .1, 1});
    const auto trained = [&](auto makeNode, float minimum, float maximum, double sign) {
        const MPS::NNImageNode x;
        const MPS::CNNNeuronTanHNode left(x, 1, 2), right(x, 1, 3);
        const auto node = makeNode(left.resultImage(), right.resultImage());
        node.setMinimumValue(minimum);
        node.setMaximumValue(maximum);
        const auto graph = graphOf(MPS::NNInitialGradientNode(node.resultImage())
                                       .trainingGraph(std::nullopt, {})
                                       .at(0)
                                       .resultImage());
        Tensor expected = points;
        for (double& v : expected.v) {
            const double a = std::tanh(2 * v), b = std::tanh(3 * v), y = a + sign * b;
            v = y > minimum && y < maximum ? 2 * (1 - a * a) + sign * 3 * (1 - b * b) : 0;
        }
        CHECK(reference::compare(result(graph, {upload(points)}), expected, fp32));
        CHECK(reference::compare(result(again(graph), {upload(points)}), expected, fp32));
    };
    const auto sum = [](auto a, auto b) { return MPS::NNAdditionNode(a, b); };
    const auto difference = [](auto a, auto b) { return MPS::NNSubtractionNode(a, b); };
    trained(sum, -1, 1, 1);
    trained(sum, -FLT_MAX, 1, 1);
    trained(sum, -1, FLT_MAX, 1);
    trained(difference, -.05f, FLT_MAX, -1);
}

TEST_CASE("gradients that only copy are left out") {
    const MPS::NNImageNode a(named("a")), b(named("b"));
    const MPS::CNNNeuronTanHNode left(a), right(b);
    const MPS::NNSubtractionNode difference(left.resultImage(), right.resultImage());
    const MPS::NNAdditionNode sum(difference.resultImage(), left.resultImage());
    const auto termini =
        MPS::NNInitialGradientNode(sum.resultImage()).trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 2);
    const Tensor y = reference::random(2, 5, 6, 4, 2);
    for (const auto& terminus : termini) {
        const bool isLeft = terminus.resultImage().handle() == a.handle();
        const auto graph = graphOf(terminus.resultImage());
        INFO(graph.debugDescription());
        Tensor expected = isLeft ? x() : y;
        for (double& v : expected.v) v = (isLeft ? 2 : -1) * (1 - std::tanh(v) * std::tanh(v));
        REQUIRE(graph.sourceImageHandles().size() == 2);
        CHECK(reference::compare(result(graph, {upload(x()), upload(y)}), expected, fp32));
        CHECK(reference::compare(result(again(graph), {upload(x()), upload(y)}), expected, fp32));
        CHECK_THAT(graph.debugDescription(),
                   ContainsSubstring("NNAdditionGradientNode only copies and is left out"));
        // Of a difference's second operand it is no copy.
        CHECK((graph.debugDescription().find("NNSubtractionGradientNode only copies") ==
               std::string::npos) == !isLeft);
    }
    // One that is asked for stays.
    const MPS::NNImageNode g(named("g"));
    const auto filters = MPS::NNAdditionNode(a, b).gradientFilters(g);
    const auto graph = graphOf(filters[1].resultImage());
    REQUIRE(graph.sourceImageHandles().size() == 3);
    CHECK(result(graph, {upload(x()), upload(y), upload(y)}).v == download(upload(x())).v);
    CHECK_THAT(graph.debugDescription(), !ContainsSubstring("left out"));
}

TEST_CASE("an input that only a left out gradient reads is still an input") {
    const MPS::NNImageNode a(named("a")), b(named("b")), g(named("g"));
    const auto filters = MPS::NNAdditionNode(a, b).gradientFilters(g);
    const MPS::CNNNeuronLinearNode twice(filters[1].resultImage(), 2, 0);
    const auto graph = graphOf(twice.resultImage());
    const auto handles = graph.sourceImageHandles();
    REQUIRE(handles.size() == 3);
    CHECK(graph.readCountForSourceImage(0) == 1);
    CHECK(graph.readCountForSourceImage(1) == 0);
    std::vector<MPS::ImageBatch> given;
    for (const auto& handle : handles)
        given.push_back(upload(handle == g.handle() ? x() : reference::random(2, 5, 6, 4, 3)));
    auto expected = download(upload(x())).v;
    for (double& v : expected) v *= 2;
    CHECK(result(graph, given).v == expected);
}

TEST_CASE("graphs on one queue share their memory for intermediate images") {
    const auto make = [] {
        const MPS::NNImageNode input;
        const MPS::CNNNeuronTanHNode first(input);
        const MPS::CNNNeuronSigmoidNode second(first.resultImage());
        const MPS::CNNPoolingMaxNode last(second.resultImage(), 64);
        return graphOf(last.resultImage());
    };
    const auto image = upload(reference::random(1, 128, 128, 64, 1)); // 4 MiB
    const auto one = make(), other = make();
    const auto first = result(one, {image});
    const uint64_t before = testDevice().currentAllocatedSize();
    CHECK(result(other, {image}).v == first.v);
    CHECK(testDevice().currentAllocatedSize() < before + (4 << 20));
    const std::string text = other.debugDescription();
    CHECK_THAT(text, ContainsSubstring("arena "));
    CHECK_THAT(text, ContainsSubstring("largest sum of live tensors 8388608 bytes"));
    // Both again, in one command buffer and one after the other.
    MPS::ImageBatch a, b;
    run([&](const MTL::CommandBuffer& commands) {
        a = one.encodeBatch(commands, {image});
        b = other.encodeBatch(commands, {image});
    });
    CHECK(download(a).v == first.v);
    CHECK(download(b).v == first.v);
}
