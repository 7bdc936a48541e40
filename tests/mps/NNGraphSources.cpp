// Data sources that graphs and nodes share, that do not load, and the memory of a training step.
#include "mps/NNGraphNetwork.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace mpsvk::test::network;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a graph that shares a source sees new weights after "
          "reloadFromDataSources only") {
    const Network network;
    Reference reference(*network.conv, *network.fc);
    const auto training = network.training(false);
    const auto inference = network.inference();
    const auto x = upload(inputs(1));
    const Tensor before = reference.forward(inputs(1));
    CHECK(reference::compare(result(inference, {x}), before, fp32));
    for (int epoch = 0; epoch < 2; ++epoch) {
        const Tensor old = reference.forward(inputs(1));
        for (int step = 0; step < 3; ++step) {
            reference.step(inputs(1), targets(step));
            run([&](const MTL::CommandBuffer& commands) {
                training.encodeBatch(commands, {x}, {lossLabels(targets(step))});
            });
        }
        CHECK(reference::compare(result(inference, {x}), old, fp32));
        inference.reloadFromDataSources();
        CHECK(reference::compare(result(inference, {x}), reference.forward(inputs(1)), fp32));
        CHECK_FALSE(reference::compare(reference.forward(inputs(1)), old, fp32));
    }
}

TEST_CASE("two nodes of one source: both ask for an update, and all uses come before the change") {
    for (const bool usesMaster :
         {true, false}) { // where an update starts from: its own result, the weights in use
        const auto source = std::make_shared<Source>(3, 4, 4, 1);
        source->usesMaster = usesMaster;
        const MPS::NNImageNode input;
        const MPS::CNNConvolutionNode first(input, source), second(first.resultImage(), source);
        const MPS::CNNLossNode loss(
            second.resultImage(), {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini = loss.trainingGraph(std::nullopt, {});
        const auto graph =
            Network::finished(MPS::NNGraph(testDevice(), termini.at(0).resultImage(), true));
        reference::Convolution c;
        c.inputChannels = c.outputChannels = 4;
        c.kernelWidth = c.kernelHeight = 3;
        c.outputWidth = c.outputHeight = 4;
        c.weights = doubles(source->w);
        c.bias = doubles(source->b);
        for (int step = 0; step < 3; ++step) {
            INFO("step " << step << " usesMaster " << usesMaster);
            const Tensor x = reference::random(2, 4, 4, 4, 10 + step),
                         t = reference::random(2, 4, 4, 4, 20 + step);
            const Tensor h = reference::forward(c, x), y = reference::forward(c, h);
            const Tensor dy = reference::fusedGradient(reference::Loss{}, {y, t}),
                         dh = reference::dataGradient(c, dy, 4, 4);
            CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}),
                                     reference::dataGradient(c, dh, 4, 4), fp32));
            const auto late = reference::weightsGradient(c, dy, h),
                       early = reference::weightsGradient(c, dh, x);
            if (usesMaster) { // else the second update does not know of the first
                Reference::descend(c.weights, late);
                Reference::descend(c.bias, reference::biasGradient(dy));
            }
            Reference::descend(c.weights, early);
            Reference::descend(c.bias, reference::biasGradient(dh));
            CHECK(reference::compare(source->trained(), c.weights, fp32));
            CHECK(source->updates == 2 * (step + 1));
        }
    }
}

TEST_CASE("a reload that fails halfway has loaded the sources before, and the graph goes on") {
    const Network network;
    const auto graph = network.inference();
    const auto x = upload(inputs(1));
    result(graph, {x});
    for (auto* const values : {&network.conv->w, &network.fc->w})
        for (float& v : *values) v *= 2;
    network.fc->failAt = network.fc->loads + 1;
    CHECK_THAT(refusal([&] { graph.reloadFromDataSources(); }),
               ContainsSubstring("[CNNFullyConnected \"source\"]"));
    CHECK_THAT(graph.debugDescription(), !ContainsSubstring("plan:"));
    const Network twin;
    for (float& v : twin.conv->w) v *= 2;
    CHECK(result(graph, {x}).v == result(twin.inference(), {x}).v);
    graph.reloadFromDataSources();
    CHECK(reference::compare(result(graph, {x}),
                             Reference(*network.conv, *network.fc).forward(inputs(1)), fp32));
}

TEST_CASE("steps after the first take no memory of the device") {
    const Network network;
    const auto graph = network.training(false);
    std::vector<MPS::ImageBatch> x = {upload(inputs(1)), upload(inputs(2))};
    std::vector<MPS::StateBatch> labels;
    for (int i = 0; i < 12; ++i) labels.push_back(lossLabels(targets(i)));
    const auto step = [&](int i) {
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {x[i % 2]}, {labels[i]});
        });
        return testDevice().currentAllocatedSize();
    };
    const uint64_t afterFirst = step(0);
    for (int i = 1; i < 12; ++i) CHECK(step(i) == afterFirst);
}

TEST_CASE("a source that does not load is refused with the node's name, an "
          "unused one is not loaded") {
    const Network network;
    network.conv->failAt = 1;
    CHECK_THAT(refusal([&] { network.inference(); }),
               ContainsSubstring("[CNNConvolutionNode \"conv\"]"));
    const Network pruned;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode used(input, pruned.conv), unused(used.resultImage(), pruned.fc);
    CHECK(unused.resultImage());
    Network::finished(MPS::NNGraph(testDevice(), used.resultImage(), true));
    CHECK(pruned.conv->loads > 0);
    CHECK(pruned.fc->loads == 0);
    CHECK_THAT(refusal([&] { MPS::CNNConvolutionNode(input, nullptr); }),
               ContainsSubstring("The data source is null."));
}
