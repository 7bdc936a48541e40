// Graphs of neurons, poolings and losses: results, gradients, replays, formats.
#include "mps/NNGraphRig.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using MPS::ImageFeatureChannelFormat;

TEST_CASE("a chain of nodes equals the chain of references") {
    for (const size_t size : {6, 5})
        for (const auto type : {reference::PoolingType::Max, reference::PoolingType::Average}) {
            INFO("size " << size << " pooling " << int(type));
            const Nodes nodes(type);
            const auto graph = graphOf(nodes.last.resultImage());
            const Tensor x = reference::distinct(3, size, 6, 5, 1);
            const Tensor expected = Chain{type}.forward(x);
            CHECK(reference::compare(result(graph, {upload(x)}), expected, fp32));
            CHECK(reference::compare(result(graph, {uploadApart(x)}), expected, fp32));
            MPS::Image single;
            run([&](const MTL::CommandBuffer& commands) {
                single = graph.encode(commands, {upload(x)[1]});
            });
            CHECK(reference::compare(download({single}), reference::image(expected, 1), fp32));
        }
}

TEST_CASE("a loss and its gradient through the chain equal the references") {
    for (const size_t size : {6, 5}) {
        const Training training(0.5f);
        const Tensor x = reference::distinct(3, size, 6, 5, 1);
        const Tensor y = chain.forward(x), t = reference::randomLike(y, 2, 0, 1);
        reference::Loss loss;
        loss.weight = 0.5;
        const auto labels = lossLabels(t);
        const Tensor dx = result(training.graph, {upload(x)}, {labels});
        CHECK(reference::compare(dx, chain.gradient(x, reference::fusedGradient(loss, {y, t})),
                                 fp32));
        CHECK(reference::compare(lossesOf(labels), reference::forward(loss, {y, t}).v, fp32));

        MPS::Image single;
        const auto one = lossLabels(reference::image(t, 1));
        run([&](const MTL::CommandBuffer& commands) {
            single = training.graph.encode(commands, {upload(x)[1]}, one, nullptr, nullptr);
        });
        CHECK(reference::compare(download({single}), reference::image(dx, 1), fp32));
    }
}

TEST_CASE("finite differences agree with a whole training graph") {
    const Training training;
    const Tensor x = reference::distinct(1, 4, 4, 3, 1);
    const Tensor t = reference::random(1, 2, 2, 3, 2, 0, 1);
    const Tensor dx = result(training.graph, {upload(x)}, {lossLabels(t)});

    const Nodes forward;
    const MPS::NNImageNode labels;
    const auto loss = graphOf(
        MPS::NNForwardLossNode(forward.last.resultImage(), labels, squares()).resultImage());
    const auto f = [&](const Tensor& at) { return result(loss, {upload(at), upload(t)}).v.at(0); };
    CHECK(reference::checkGradient(f, x, dx, {.step = 4e-3, .tolerance = 2e-2}));
}

TEST_CASE("one graph takes inputs of any size, again and again") {
    const auto graph = graphOf(Nodes().last.resultImage());
    for (int round = 0; round < 3; ++round)
        for (size_t size = 2; size < 8; ++size) {
            const Tensor x =
                reference::distinct(1 + size % 2, size, 9 - size, size, 10 * round + size);
            INFO("round " << round << " size " << size);
            CHECK(reference::compare(result(graph, {upload(x)}), chain.forward(x), fp32));
        }
}

TEST_CASE("a replayed graph gives the bits of an eager one") {
    const Training replayed, eager;
    eager.graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<MPS::ImageBatch> inputs;
    for (int i = 0; i < 3; ++i) inputs.push_back(upload(reference::distinct(2, 6, 6, 5, 20 + i)));

    std::vector<MPS::StateBatch> replayedLabels, eagerLabels;
    std::vector<MPS::ImageBatch> replayedResults, eagerResults;
    std::vector<MTL::CommandBuffer> inFlight;
    for (int step = 0; step < 8; ++step) {
        const Tensor t = reference::random(2, 3, 3, 5, 40 + step, 0, 1);
        replayedLabels.push_back(lossLabels(t));
        eagerLabels.push_back(lossLabels(t));
        const auto commands = testQueue().commandBuffer();
        const auto& input = inputs[step % 3];
        replayedResults.push_back(
            replayed.graph.encodeBatch(commands, {input}, {replayedLabels.back()}));
        eagerResults.push_back(eager.graph.encodeBatch(commands, {input}, {eagerLabels.back()}));
        commands.commit();
        inFlight.push_back(commands);
        if (step == 3) inFlight.back().waitUntilCompleted(); // before: several steps in flight
    }
    for (const auto& commands : inFlight) {
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    }
    for (int step = 0; step < 8; ++step) {
        INFO("step " << step);
        CHECK(download(replayedResults[step]).v == download(eagerResults[step]).v);
        CHECK(lossesOf(replayedLabels[step]) == lossesOf(eagerLabels[step]));
        for (int other = 0; other < step; ++other)
            CHECK(download(replayedResults[step]).v != download(replayedResults[other]).v);
    }
    CHECK_THAT(replayed.graph.debugDescription(), ContainsSubstring("plan:"));
    CHECK_THAT(eager.graph.debugDescription(), !ContainsSubstring("plan:"));
    CHECK(replayed.graph.encodeCount() == 8);
}

TEST_CASE("two encodes of one graph in one command buffer do not disturb each other") {
    const Training training;
    const Tensor t = reference::random(2, 3, 3, 5, 2, 0, 1);
    const auto a = upload(reference::distinct(2, 6, 6, 5, 1)),
               b = upload(reference::distinct(2, 6, 6, 5, 3));
    MPS::ImageBatch first, second, third;
    const auto firstLabels = lossLabels(t), secondLabels = lossLabels(t);
    run([&](const MTL::CommandBuffer& commands) {
        first = training.graph.encodeBatch(commands, {a}, {firstLabels});
        second = training.graph.encodeBatch(commands, {b}, {secondLabels});
        third = training.graph.encodeBatch(commands, {a}, {lossLabels(t)});
    });
    CHECK(download(first).v == download(third).v);
    CHECK(download(first).v != download(second).v);
    CHECK(download(second).v == result(training.graph, {b}, {lossLabels(t)}).v);
    CHECK(lossesOf(firstLabels) != lossesOf(secondLabels));
}

TEST_CASE("intermediate images are Float16 unless the graph or the node says otherwise") {
    const float value = 1 + 1.f / 4096; // 1 in half precision
    const Tensor x(1, 2, 2, 4, value);
    const auto through = [&](ImageFeatureChannelFormat graphFormat,
                             ImageFeatureChannelFormat nodeFormat) {
        const MPS::NNImageNode input;
        const MPS::CNNNeuronLinearNode first(input), last(first.resultImage(), 1, 0);
        first.resultImage().setFormat(nodeFormat);
        last.resultImage().setFormat(ImageFeatureChannelFormat::Float32);
        const MPS::NNGraph graph(testDevice(), last.resultImage(), true);
        if (graphFormat != ImageFeatureChannelFormat::None) graph.setFormat(graphFormat);
        return result(graph, {upload(x)}).v.at(0);
    };
    using enum ImageFeatureChannelFormat;
    CHECK(through(None, None) == 1);
    CHECK(through(Float16, None) == 1);
    CHECK(through(Float32, None) == value);
    CHECK(through(Float32, Float16) == 1);
    CHECK(through(None, Float32) == value);

    const MPS::NNImageNode input;
    const MPS::NNGraph graph(testDevice(), MPS::CNNNeuronReLUNode(input).resultImage(), true);
    CHECK(graph.format() == Float16);
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) {
        made = graph.encodeBatch(commands, {upload(x)});
    });
    CHECK(made[0].featureChannelFormat() == Float16);
    CHECK_FALSE(made[0].isTemporary());
    graph.setFormat(Float32); // after an encode: the plan is made anew
    CHECK(result(graph, {upload(x)}).v.at(0) == value);
}

TEST_CASE("a result node copies the format of its first source node") {
    const MPS::NNImageNode input;
    input.setFormat(ImageFeatureChannelFormat::Float32);
    const MPS::CNNNeuronReLUNode relu(input);
    CHECK(relu.resultImage().format() == ImageFeatureChannelFormat::Float32);
    CHECK(MPS::CNNPoolingMaxNode(relu.resultImage(), 2).resultImage().format() ==
          ImageFeatureChannelFormat::Float32);
}
