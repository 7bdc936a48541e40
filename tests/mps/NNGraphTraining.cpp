// Graphs that train: updates through data sources, on the device and on the host.
#include "mps/NNGraphNetwork.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace mpsvk::test::network;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("updates on the device: every step equals the reference's") {
    for (const bool needed : {true, false}) {
        const Network network;
        Reference reference(*network.conv, *network.fc);
        const auto graph = network.training(needed);
        CHECK(network.conv->loads == network.conv->purges);
        for (int step = 0; step < 5; ++step) {
            INFO("step " << step << " needed " << needed);
            const Tensor x = inputs(10 + step % 2), t = targets(20 + step);
            const auto expected = reference.step(x, t);
            const auto labels = lossLabels(t);
            MPS::ImageBatch made;
            run([&](const MTL::CommandBuffer& commands) {
                made = graph.encodeBatch(commands, {upload(x)}, {labels});
            });
            REQUIRE(made.size() == (needed ? 4 : 0));
            if (needed)
                CHECK(reference::compare(download(made), expected.dx,
                                         fp32)); // with the old weights
            CHECK(reference::compare(lossesOf(labels), expected.losses, fp32));
            CHECK(reference::compare(network.conv->trained(), reference.c.weights, fp32));
            CHECK(reference::compare(network.conv->trainedBias(), reference.c.bias, fp32));
            CHECK(reference::compare(network.fc->trained(), reference.fcWeights, fp32));
            CHECK(reference::compare(network.fc->trainedBias(), reference.fcBias, fp32));
            CHECK(network.conv->updates == step + 1);
        }
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("plan:"));
        CHECK((graph.debugDescription().find("not needed") == std::string::npos) == needed);
    }
}

TEST_CASE("training by replay gives the bits of eager training, with steps in "
          "flight") {
    const Network replayed, eager;
    const auto fast = replayed.training(true), slow = eager.training(true);
    slow.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<MPS::StateBatch> a, b;
    MTL::CommandBuffer last;
    for (int step = 0; step < 8; ++step) {
        a.push_back(lossLabels(targets(30 + step)));
        b.push_back(lossLabels(targets(30 + step)));
        const auto x = upload(inputs(step));
        last = testQueue().commandBuffer();
        fast.encodeBatch(last, {x}, {a.back()});
        slow.encodeBatch(last, {x}, {b.back()});
        last.commit();
    }
    last.waitUntilCompleted();
    REQUIRE_FALSE(last.error());
    for (int step = 0; step < 8; ++step) CHECK(lossesOf(a[step]) == lossesOf(b[step]));
    CHECK(replayed.conv->trained() == eager.conv->trained());
    CHECK(replayed.fc->trainedBias() == eager.fc->trainedBias());
    CHECK_THAT(slow.debugDescription(), !ContainsSubstring("plan:"));
}

TEST_CASE("updates on the host come after completion, and equal the reference's") {
    const Network network(Source::Update::Host);
    Reference reference(*network.conv, *network.fc);
    const auto graph = network.training(false, MPS::NNTrainingStyle::UpdateDeviceCPU);
    for (int step = 0; step < 4; ++step) {
        INFO("step " << step);
        const Tensor x = inputs(10), t = targets(20 + step);
        const auto expected = reference.step(x, t);
        const auto labels = lossLabels(t);
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {upload(x)}, {labels});
            CHECK(network.conv->updates == step);
        });
        CHECK(reference::compare(lossesOf(labels), expected.losses, fp32));
        CHECK(reference::compare(network.conv->trained(), reference.c.weights, fp32));
        CHECK(reference::compare(network.fc->trained(), reference.fcWeights, fp32));
        CHECK(network.conv->updates == step + 1);
    }
}

TEST_CASE("a source that returns nothing is asked and nothing changes") {
    for (const auto style :
         {MPS::NNTrainingStyle::UpdateDeviceGPU, MPS::NNTrainingStyle::UpdateDeviceCPU}) {
        const Network network(Source::Update::Nothing);
        const auto graph = network.training(false, style);
        const auto x = upload(inputs(1));
        std::vector<double> first;
        for (int step = 0; step < 3; ++step) {
            const auto labels = lossLabels(targets(2));
            run([&](const MTL::CommandBuffer& commands) {
                graph.encodeBatch(commands, {x}, {labels});
            });
            if (step == 0) first = lossesOf(labels);
            CHECK(lossesOf(labels) == first);
            CHECK(network.fc->updates == step + 1);
        }
        CHECK(network.conv->loads == network.conv->purges);
    }
}

TEST_CASE("without training nobody is asked, and the data gradient is the same") {
    const Network frozen, trained;
    const auto x = upload(inputs(1));
    const Tensor dx = result(frozen.training(true, MPS::NNTrainingStyle::UpdateDeviceNone), {x},
                             {lossLabels(targets(2))});
    CHECK(frozen.conv->updates == 0);
    CHECK_FALSE(frozen.conv->master);
    CHECK(reference::compare(dx, Reference(*frozen.conv, *frozen.fc).step(inputs(1), targets(2)).dx,
                             fp32));
    CHECK_THAT(refusal([&] { frozen.training(false, MPS::NNTrainingStyle::UpdateDeviceNone); }),
               ContainsSubstring("nothing to encode"));
}

TEST_CASE("gradient nodes take the forward node's training style") {
    const Network network;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode node(input, network.conv);
    CHECK(node.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceGPU);
    node.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceCPU);
    const auto gradient = node.gradientFilter(input);
    CHECK(gradient.as<MPS::CNNConvolutionGradientNode>());
    CHECK_FALSE(gradient.as<MPS::CNNFullyConnectedGradientNode>());
    CHECK(gradient.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceCPU);
    node.trainingGraph(input, [](MPS::NNFilterNode made, auto, auto, auto) {
        CHECK(made.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceCPU);
    });
}

TEST_CASE("two losses on one trunk, with a training graph each, are one update of their sum") {
    const auto train = [](float weight, float otherWeight, bool replayed) {
        const auto source = std::make_shared<Source>(1, 4, 4, 1);
        const MPS::CNNConvolutionNode trunk(MPS::NNImageNode(), source);
        const MPS::CNNNeuronTanHNode tanH(trunk.resultImage());
        std::vector<MPS::NNImageNode> ends;
        for (const float each : {weight, otherWeight}) {
            MPS::CNNLossDescriptor d(MPS::CNNLossType::MeanSquaredError,
                                     MPS::CNNReductionType::Sum);
            d.setWeight(each);
            const MPS::CNNLossNode loss(tanH.resultImage(), d);
            ends.push_back(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        }
        const auto graph = Network::finished(MPS::NNGraph(testDevice(), ends));
        if (!replayed) graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
        const auto before = source->trained();
        std::vector<std::vector<double>> steps{before};
        for (int step = 0; step < 2; ++step) {
            result(graph, {upload(reference::random(2, 3, 3, 4, 5))},
                   {lossLabels(reference::random(2, 3, 3, 4, 6)),
                    lossLabels(reference::random(2, 3, 3, 4, 7))});
            CHECK(source->updates == step + 1);
            steps.push_back(source->trained());
        }
        return steps;
    };
    const auto one = train(1, 0, true)[1], other = train(0, 2, true)[1];
    const auto both = train(1, 2, true);
    CHECK(both == train(1, 2, false));
    std::vector<double> expected = both[0];
    for (size_t i = 0; i < expected.size(); ++i)
        expected[i] += (one[i] - both[0][i]) + (other[i] - both[0][i]);
    CHECK(reference::compare(both[1], expected, fp32));
    CHECK_FALSE(reference::compare(both[2], both[1], fp32));
}

TEST_CASE("a gradient node's own data source trains the forward node, too") {
    for (const auto style :
         {MPS::NNTrainingStyle::UpdateDeviceGPU, MPS::NNTrainingStyle::UpdateDeviceNone}) {
        const auto train = [&](bool hasOwn) {
            const auto source = std::make_shared<Source>(1, 4, 4, 1),
                       own = hasOwn ? std::make_shared<Source>(1, 4, 4, 1) : source;
            const MPS::NNImageNode input;
            const MPS::CNNConvolutionNode node(input, source);
            const MPS::CNNLossNode loss(node.resultImage(), {MPS::CNNLossType::MeanSquaredError,
                                                             MPS::CNNReductionType::Sum});
            const MPS::CNNConvolutionGradientNode gradient(loss.resultImage(), input,
                                                           node.convolutionGradientState(), own);
            gradient.setTrainingStyle(style);
            const auto graph =
                Network::finished(MPS::NNGraph(testDevice(), gradient.resultImage(), true));
            std::vector<std::vector<double>> made;
            for (int step = 0; step < 3; ++step)
                made.push_back(result(graph, {upload(reference::random(2, 3, 3, 4, 5))},
                                      {lossLabels(reference::random(2, 3, 3, 4, 6))})
                                   .v);
            const bool isTrained = style == MPS::NNTrainingStyle::UpdateDeviceGPU;
            CHECK(own->updates == (isTrained ? 3 : 0));
            CHECK((made[1] != made[0]) == isTrained);
            if (hasOwn) CHECK(source->updates == 0);
            made.push_back(own->trained());
            made.push_back(own->trainedBias());
            return made;
        };
        CHECK(train(true) == train(false));
    }
}

TEST_CASE("finite differences agree with the gradient of the weights through "
          "the whole graph") {
    const Network network;
    const Tensor x = reference::image(inputs(1), 0), t = reference::image(targets(2), 0);
    const auto start = doubles(network.conv->w);
    const auto lossAt = [&](const std::vector<double>& weights) {
        Network other;
        other.conv->w = floats(weights);
        const MPS::NNImageNode input, labels;
        const MPS::NNForwardLossNode loss(
            other.forward(input).resultImage(), labels,
            {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto graph = Network::finished(MPS::NNGraph(testDevice(), loss.resultImage(), true));
        return result(graph, {upload(x), upload(t)}).v.at(0);
    };
    const auto graph = network.training(false);
    run([&](const MTL::CommandBuffer& commands) {
        graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)});
    });
    std::vector<double> gradient = network.conv->trained();
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = (start[i] - gradient[i]) / rate;
    CHECK(reference::checkGradient(lossAt, start, gradient,
                                   {.step = 1e-2, .tolerance = 2e-2, .samples = 12}));
}

TEST_CASE("what nobody needs is not computed: the first data gradient, or the weights' gradients") {
    const auto dispatches = [](bool needed, MPS::NNTrainingStyle style) {
        const Network network;
        const auto graph = network.training(needed, style);
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {upload(inputs(1))}, {lossLabels(targets(2))});
        });
        const std::string text = graph.debugDescription();
        return std::stoi(text.substr(text.find("plan: ") + 6));
    };
    const int all = dispatches(true, MPS::NNTrainingStyle::UpdateDeviceGPU);
    CHECK(dispatches(false, MPS::NNTrainingStyle::UpdateDeviceGPU) < all);
    CHECK(dispatches(true, MPS::NNTrainingStyle::UpdateDeviceNone) < all);
}
