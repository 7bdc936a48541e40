// Encodes that are refused halfway leave no trace; callbacks that graphs ask.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "mtl/CommandBuffer.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::Network;
using network::Source;

namespace {
bool isEmpty(const MTL::CommandBuffer& commands) {
    const auto& segments = commands.impl().segments;
    return segments.size() == 1 && segments[0]->commands.empty();
}
} // namespace

TEST_CASE("an encode that a later node refuses records nothing and reads nothing") {
    const MPS::NNImageNode a, b;
    const MPS::CNNDropoutNode dropout(a, 0.5f, 1);
    const MPS::NNAdditionNode sum(dropout.resultImage(), b);
    sum.setLabel("sum");
    const auto graph = graphOf(sum.resultImage()), twin = graphOf(sum.resultImage());
    graph.setLabel("net");
    const auto x = upload(reference::random(2, 3, 3, 4, 1)),
               small = upload(reference::random(2, 2, 3, 4, 2));
    for (const bool temporary : {false, true}) {
        const auto commands = testQueue().commandBuffer();
        MPS::ImageBatch input = x;
        size_t before = 0;
        if (temporary) {
            MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
            input = copy.encodeBatch(commands, x);
            before = commands.impl().segments[0]->commands.commands().size();
        }
        const std::string text = refusal([&] { graph.encodeBatch(commands, {input, small}); });
        CHECK_THAT(text, ContainsSubstring("[NNGraph \"net\"] In NNAdditionNode \"sum\": [CNNAdd "
                                           "\"sum\"] "));
        CHECK(graph.encodeCount() == 0);
        CHECK(commands.impl().segments.size() == 1);
        CHECK(commands.impl().segments[0]->commands.commands().size() == before);
        if (!temporary) continue;
        for (const MPS::Image& image : input)
            CHECK(image.as<MPS::TemporaryImage>().readCount() == 1);
        commands.commit();
        commands.waitUntilCompleted();
        CHECK_FALSE(commands.error());
    }
    // The next encode is as the first, masks included.
    CHECK(result(graph, {x, x}).v == result(twin, {x, x}).v);
}

TEST_CASE("what an update throws passes through, and the encode is as if it had not been") {
    struct Refusing : Source {
        using Source::Source;
        MPS::CNNConvolutionWeightsAndBiasesState
        update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
               MPS::CNNConvolutionWeightsAndBiasesState source) override {
            const auto made = Source::update(commands, gradient, source);
            if (refuses) throw std::runtime_error("not now");
            if (wrong)
                return MPS::CNNConvolutionWeightsAndBiasesState(
                    testDevice(), MPS::CNNConvolutionDescriptor(1, 1, 1, 1));
            return made;
        }
        bool refuses = true, wrong = false;
    };
    for (const bool replayed : {true, false}) {
        Network network;
        const auto source = std::make_shared<Refusing>(3, 3, 4, 1);
        network.conv = source;
        const auto graph = network.training(true);
        if (!replayed) graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
        const auto x = upload(network::inputs(1));
        const auto labels = lossLabels(network::targets(2));
        const auto commands = testQueue().commandBuffer();
        CHECK_THROWS_AS(graph.encodeBatch(commands, {x}, {labels}), std::runtime_error);
        CHECK(isEmpty(commands));
        source->refuses = false;
        source->wrong = true;
        CHECK_THROWS_AS(graph.encodeBatch(commands, {x}, {labels}), InvalidArgument);
        CHECK(isEmpty(commands));
        CHECK(graph.encodeCount() == 0);
        source->wrong = false;
        const auto dx = result(graph, {x}, {labels});
        const Network fresh;
        CHECK(dx.v == result(fresh.training(true), {x}, {lossLabels(network::targets(2))}).v);
    }
}

TEST_CASE("gradient nodes without a label are named by their forward nodes") {
    const MPS::NNImageNode x(named("x")), incoming(named("e"));
    const MPS::CNNPoolingMaxNode first(x, 2), second(first.resultImage(), 2);
    second.setLabel("second");
    MPS::NNFilterNode gradient;
    const auto termini =
        second.trainingGraph(incoming, [&](MPS::NNFilterNode made, auto, auto, auto) {
            if (!gradient) gradient = made;
        });
    const auto encode = [&] {
        return refusal([&] {
            result(graphOf(termini.at(0).resultImage()),
                   {upload(reference::random(1, 5, 5, 4, 1)),
                    upload(reference::random(1, 8, 8, 4, 2))});
        });
    };
    CHECK_THAT(encode(), ContainsSubstring("In CNNPoolingMaxGradientNode of \"second\": "));
    gradient.setLabel("own");
    CHECK_THAT(encode(), ContainsSubstring("In CNNPoolingMaxGradientNode \"own\": "));
}

TEST_CASE("an update cannot commit the command buffer that its graph is encoded into") {
    struct Committing : Source {
        using Source::Source;
        MPS::CNNConvolutionWeightsAndBiasesState
        update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
               MPS::CNNConvolutionWeightsAndBiasesState source) override {
            if (commits) commands.commit();
            return Source::update(commands, gradient, source);
        }
        bool commits = false;
    };
    Network network;
    const auto committing = std::make_shared<Committing>(3, 3, 4, 1);
    network.conv = committing;
    const MPS::NNGraph graph = network.training(false);
    const auto x = upload(network::inputs(1));
    const auto labels = lossLabels(network::targets(2));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    graph.encodeBatch(commands, {x}, {labels});
    committing->commits = true;
    CHECK(refusal([&] { graph.encodeBatch(commands, {x}, {labels}); }) ==
          "[CommandBuffer] commit was called while a graph is being encoded into it.");
    committing->commits = false;
    graph.encodeBatch(commands, {x}, {labels});
    commands.commit();
    commands.waitUntilCompleted();
    CHECK_FALSE(commands.error());
    CHECK(graph.encodeCount() == 2);
}

TEST_CASE("a loss node's callback is asked for the weight in every encode") {
    struct Asked : MPS::NNLossCallback {
        float scalarWeight(MPS::Image source, MPS::Image destination) override {
            CHECK(source.width() == 3);
            CHECK(destination.width() == expectedWidth);
            return float(++calls);
        }
        uint64_t expectedWidth = 1;
        int calls = 0;
    };
    const Tensor y = reference::random(2, 3, 3, 4, 1), t = reference::random(2, 3, 3, 4, 2);
    const MPS::NNImageNode input(named("y")), labels(named("t"));
    labels.setStopGradient(true);
    const MPS::NNForwardLossNode loss(input, labels, squares());
    CHECK(loss.propertyCallBack() == nullptr);
    const auto forward = std::make_shared<Asked>(), backward = std::make_shared<Asked>();
    loss.setPropertyCallBack(forward);
    CHECK(loss.propertyCallBack() == forward);
    const auto termini =
        MPS::NNInitialGradientNode(loss.resultImage()).trainingGraph(std::nullopt, {});
    const auto gradient = termini.at(0).as<MPS::NNLossGradientNode>();
    REQUIRE(gradient);
    const auto expected = reference::gradient({}, {y, t}, Tensor(2, 1, 1, 1, 1));
    const auto values = graphOf(loss.resultImage()), derivatives = graphOf(gradient.resultImage());
    for (int step = 1; step <= 3; ++step) {
        forward->calls = step - 1;
        auto scaled = expected;
        for (double& v : scaled.v) v *= step;
        CHECK(reference::compare(result(derivatives, {upload(y), upload(t)}), scaled, fp32));
        forward->calls = step - 1;
        auto losses = reference::forward(reference::Loss{}, {y, t});
        for (double& v : losses.v) v *= step;
        CHECK(reference::compare(result(values, {upload(y), upload(t)}), losses, fp32));
    }
    CHECK(forward->calls == 3);
    backward->expectedWidth = 3;
    backward->calls = 9; // of the gradient alone
    gradient.setPropertyCallBack(backward);
    auto scaled = expected;
    for (double& v : scaled.v) v *= 10;
    CHECK(reference::compare(result(graphOf(gradient.resultImage()), {upload(y), upload(t)}),
                             scaled, fp32));
    CHECK_THAT(refusal([&] { MPS::KeyedArchiver::archivedData(derivatives); }),
               ContainsSubstring("The propertyCallBack of a loss node cannot be archived"));
}

TEST_CASE("nodes and states say what they are") {
    const MPS::NNImageNode input;
    using Type = MPS::CNNNeuronType;
    const MPS::NNFilterNode relu =
        MPS::CNNNeuronNode(input, MPS::NNNeuronDescriptor(Type::ReLU, .5f));
    CHECK(relu.as<MPS::CNNNeuronReLUNode>().a() == .5f);
    CHECK_FALSE(relu.as<MPS::CNNNeuronTanHNode>());
    CHECK(MPS::NNFilterNode(MPS::CNNNeuronNode(input, MPS::NNNeuronDescriptor(Type::GeLU)))
              .as<MPS::CNNNeuronGeLUNode>());
    CHECK_FALSE(relu.as<MPS::NNTrainableNode>());
    const MPS::NNFilterNode conv =
        MPS::CNNConvolutionNode(input, std::make_shared<Source>(3, 4, 4, 1));
    CHECK(conv.as<MPS::NNTrainableNode>().trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceGPU);
    CHECK(conv.gradientFilter(input).as<MPS::NNTrainableNode>());
    CHECK_FALSE(conv.resultState().as<MPS::NNMultiaryGradientStateNode>());

    CHECK(MPS::NNAdditionNode(input, input).gradientClass() == "NNAdditionGradientNode");
    CHECK(MPS::NNMultiplicationNode(input, input).gradientClass() ==
          "NNMultiplicationGradientNode");
    CHECK(MPS::NNDivisionNode(input, input).gradientClass().empty());

    MPS::CNNConvolution kernel(testDevice(), std::make_shared<Source>(3, 4, 4, 1));
    const auto image = upload(reference::random(1, 5, 6, 4, 1))[0];
    const MPS::State state = kernel.resultState(image, {}, image);
    const auto size = state.as<MPS::ImageSizeEncodingState>();
    REQUIRE(size);
    CHECK(size.sourceWidth() == 6);
    CHECK(size.sourceHeight() == 5);
    CHECK_FALSE(MPS::State(testDevice(), 16).as<MPS::ImageSizeEncodingState>());
}
