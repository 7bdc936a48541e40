// Replays of graphs that states leave.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Trains two layers, and hands over the gradients of the first one's weights.
struct Trained {
    explicit Trained(bool eager = false) {
        const MPS::CNNConvolutionNode first(MPS::NNImageNode(), network.conv);
        first.resultState().setExportFromGraph(true);
        const MPS::CNNNeuronTanHNode tanH(first.resultImage());
        const MPS::CNNPoolingMaxNode pooling(tanH.resultImage(), 2);
        const MPS::CNNFullyConnectedNode last(pooling.resultImage(), network.fc);
        const MPS::CNNLossNode loss(
            last.resultImage(), {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        if (eager) graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    }
    MPS::StateBatch step(uint64_t seed) const {
        std::vector<MPS::StateBatch> states;
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {upload(network::inputs(seed))}, {labels}, nullptr,
                              &states);
        });
        return states.at(0);
    }
    network::Network network;
    MPS::NNGraph graph;
    /// The same each time: labels that are made anew may lie at other distances.
    MPS::StateBatch labels = lossLabels(network::targets(1));
};

std::vector<double> gradientsOf(const MPS::StateBatch& states) {
    return network::contents(
        states.at(0).as<MPS::CNNConvolutionGradientState>().gradientForWeights());
}

} // namespace

TEST_CASE("states that leave a graph stay what they are while they are held") {
    const Trained replayed, eager(true);
    std::vector<MPS::StateBatch> held;
    std::vector<std::vector<double>> expected;
    for (uint64_t step = 0; step < 6; ++step) {
        held.push_back(replayed.step(step));
        expected.push_back(gradientsOf(eager.step(step)));
        for (size_t k = 0; k < held.size(); ++k) CHECK(gradientsOf(held[k]) == expected[k]);
    }
    CHECK_FALSE(held[0][0].isTemporary());
    CHECK(replayed.network.conv->trained() == eager.network.conv->trained());

    // Let go of, a plan's states are those of the next step, and no plan is added.
    held.clear();
    const size_t plans = planCount(replayed.graph);
    for (uint64_t step = 6; step < 16; ++step)
        CHECK(gradientsOf(replayed.step(step)) == gradientsOf(eager.step(step)));
    CHECK(planCount(replayed.graph) == plans);
    CHECK(isReplayed(replayed.graph));
    CHECK(replayed.network.fc->trained() == eager.network.fc->trained());
}

TEST_CASE("as many plans are made as steps have states that are held") {
    const Trained one, two;
    MPS::StateBatch last;
    for (uint64_t step = 0; step < 6; ++step) {
        one.step(step);
        last = two.step(step);
    }
    CHECK(planCount(one.graph) == 1);
    CHECK(planCount(two.graph) == 2);

    // A buffer alone holds them too.
    const auto expected = gradientsOf(last);
    const MTL::Buffer buffer = last[0].as<MPS::CNNConvolutionGradientState>().gradientForWeights();
    last.clear();
    for (uint64_t step = 6; step < 10; ++step) two.step(step);
    CHECK(network::contents(buffer) == expected);
    CHECK(isReplayed(two.graph));
}

TEST_CASE("who keeps the states of all steps has them encoded anew") {
    const Trained trained, eager(true);
    std::vector<MPS::StateBatch> held;
    for (uint64_t step = 0; step < 12; ++step) {
        held.push_back(trained.step(step));
        CHECK(gradientsOf(held.back()) == gradientsOf(eager.step(step)));
    }
    CHECK_THAT(trained.graph.debugDescription(),
               ContainsSubstring("no plan fits, and none of the 8 latest ones was used again"));
    held.clear(); // until then
    for (uint64_t step = 12; step < 15; ++step)
        CHECK(gradientsOf(trained.step(step)) == gradientsOf(eager.step(step)));
    CHECK(isReplayed(trained.graph));
}

TEST_CASE("temporary states leave a graph for one reader") {
    const Trained trained;
    trained.graph.setOutputStateIsTemporary(true);
    for (uint64_t step = 0; step < 2; ++step) {
        std::vector<MPS::StateBatch> states;
        run([&](const MTL::CommandBuffer& commands) {
            trained.graph.encodeBatch(commands, {upload(network::inputs(step))},
                                      {lossLabels(network::targets(step))}, nullptr, &states);
            CHECK(states.at(0)[0].isTemporary());
            CHECK(states.at(0)[0].readCount() == 1);
        });
    }
    CHECK_THAT(trained.graph.debugDescription(),
               ContainsSubstring("states that leave the graph are to be temporary"));
    trained.graph.setOutputStateIsTemporary(false);
    CHECK_FALSE(trained.step(2).at(0).isTemporary());
    CHECK(isReplayed(trained.graph));

    // Those of nodes that have nothing to train, or are not trained, as well.
    const network::Network frozen;
    const MPS::CNNConvolutionNode convolution(MPS::NNImageNode(), frozen.conv);
    convolution.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceNone);
    const MPS::CNNPoolingMaxNode pooling(convolution.resultImage(), 2);
    for (const MPS::NNFilterNode& node :
         {MPS::NNFilterNode(convolution), MPS::NNFilterNode(pooling)})
        node.resultState().setExportFromGraph(true);
    const MPS::NNImageNode incoming;
    const auto graph = graphOf(pooling.trainingGraph(incoming, {}).at(0).resultImage());
    graph.setOutputStateIsTemporary(true);
    run([&](const MTL::CommandBuffer& commands) {
        std::vector<MPS::StateBatch> states;
        graph.encodeBatch(commands,
                          {upload(reference::random(4, 3, 3, 4, 1)), upload(network::inputs(1))},
                          {}, nullptr, &states);
        REQUIRE(states.size() == 2);
        for (const MPS::StateBatch& batch : states) CHECK(batch[0].readCount() == 1);
    });
}
