// Updates that a graph's data sources encode, and those that they make on the host.
#include "mps/NNGraphNetwork.hpp"
#include "support/Kernels.hpp"
#include "support/Optimizers.hpp"
#include "support/TimeLimit.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("the updates of a graph are a dispatch, the last one apart, and train the same") {
    /// Lets no update join the one before.
    struct Apart : network::Source {
        using Source::Source;
        MPS::CNNConvolutionWeightsAndBiasesState
        update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
               MPS::CNNConvolutionWeightsAndBiasesState source) override {
            const auto state = Source::update(commands, gradient, source);
            commands.impl().list("").label(vk::CommandList::LabelKind::Insert, "updated");
            return state;
        }
    };
    struct Three {
        std::vector<std::shared_ptr<network::Source>> layers;
        MPS::NNGraph graph;
    };
    const auto three = []<class Layer>(const Layer*) {
        std::vector<std::shared_ptr<network::Source>> layers;
        MPS::NNImageNode image;
        for (uint64_t k = 0; k < 3; ++k) {
            layers.push_back(std::make_shared<Layer>(1, k + 1, k + 2, 5 * k));
            layers.back()->usesMaster = true;
            image = MPS::CNNConvolutionNode(image, layers.back()).resultImage();
        }
        const MPS::CNNLossNode loss(
            image, {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        MPS::NNGraph graph(testDevice(), loss.trainingGraph(std::nullopt, {}).at(0).resultImage(),
                           false);
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        return Three{layers, graph};
    };
    const Three together = three((const network::Source*)nullptr), apart = three((Apart*)nullptr);
    const network::Tensor target(1, 2, 3, 4, .5);
    const auto labels = lossLabels(target), otherLabels = lossLabels(target);
    const auto x = upload(network::Tensor(1, 2, 3, 1, 1.5));
    for (int step = 0; step < 5; ++step) {
        INFO("step " << step);
        run([&](const MTL::CommandBuffer& commands) {
            together.graph.encodeBatch(commands, {x}, {labels});
            // The first step reads the weights of the kernels, which is a command in between.
            CHECK(rangesOf(commands) == (step == 0 ? Ranges{2, 2, 2} : Ranges{4, 2}));
        });
        run([&](const MTL::CommandBuffer& commands) {
            apart.graph.encodeBatch(commands, {x}, {otherLabels});
            CHECK(rangesOf(commands) == Ranges{2, 2, 2});
        });
        CHECK(lossesOf(labels) == lossesOf(otherLabels));
        for (size_t k = 0; k < 3; ++k) {
            CHECK(together.layers[k]->trained() == apart.layers[k]->trained());
            CHECK(together.layers[k]->trainedBias() == apart.layers[k]->trainedBias());
        }
    }
    CHECK(together.graph.debugDescription().find("encodes are replayed") != std::string::npos);
}

TEST_CASE("replays use biases that a convolution without any has got from an update") {
    struct Unbiased : network::Source {
        using Source::Source;
        std::span<const float> biasTerms() const override { return {}; }
    };
    const auto source = std::make_shared<Unbiased>(1, 1, 1, 1);
    source->w = {0};
    const MPS::CNNConvolutionNode conv(MPS::NNImageNode(), source);
    const MPS::CNNLossNode loss(conv.resultImage(),
                                {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
    const MPS::NNGraph graph(testDevice(), loss.trainingGraph(std::nullopt, {}).at(0).resultImage(),
                             false);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    const auto one = upload(network::Tensor(1, 1, 1, 1, 1.0));
    const auto labels = lossLabels(network::Tensor(1, 1, 1, 1, 1.0));
    double weight = 0; // and bias
    for (int step = 0; step < 6; ++step) {
        INFO("step " << step);
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {one}, {labels});
        });
        const double missing = 1 - 2 * weight;
        CHECK(std::abs(lossesOf(labels)[0] - missing * missing) < 1e-5);
        weight += network::rate * 2 * missing;
    }
    CHECK(graph.debugDescription().find("encodes are replayed") != std::string::npos);
}

TEST_CASE("encodes made before an update on the host use the old weights, whenever they run") {
    const network::Network network(network::Source::Update::Host);
    const MPS::NNGraph graph = network.training(true, MPS::NNTrainingStyle::UpdateDeviceCPU);
    const auto x = upload(network::inputs(1));
    const auto encoded = [&](const MTL::CommandBuffer& commands) {
        return graph.encodeBatch(commands, {x}, {lossLabels(network::targets(2))});
    };
    const auto finish = [](const MTL::CommandBuffer& commands) {
        commands.commit();
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    };
    const MTL::CommandBuffer first = testQueue().commandBuffer(),
                             second = testQueue().commandBuffer(),
                             dropped = testQueue().commandBuffer(),
                             last = testQueue().commandBuffer();
    const auto a = encoded(first), b = encoded(second);
    finish(first);
    encoded(dropped);
    finish(second);
    CHECK(network.conv->updates == 2);
    CHECK(download(a).v == download(b).v);
    // What is made now uses what the last update has left, the program's commit or not.
    const MPS::NNGraph copy = graph.copy();
    const auto c = encoded(last);
    finish(last);
    CHECK(download(c).v != download(a).v);
    CHECK(result(copy, {x}, {lossLabels(network::targets(2))}).v == download(c).v);
}

TEST_CASE("a source that is updated on the host may load through the device") {
    struct Waiting : network::Source {
        using Source::Source;
        bool load() override {
            const MTL::Buffer from = testDevice().newBuffer(std::as_bytes(std::span(w))),
                              to = testDevice().newBuffer(from.length());
            run([&](const MTL::CommandBuffer& commands) {
                const auto blit = commands.blitCommandEncoder();
                blit.copyFromBuffer(from, 0, to, 0, from.length());
                blit.endEncoding();
            });
            w = network::floats(network::contents(to));
            return Source::load();
        }
    };
    using Update = network::Source::Update;
    const network::Network plain(Update::Host);
    network::Network waiting(Update::Host);
    waiting.conv = std::make_shared<Waiting>(3, 3, 4, 1, Update::Host);
    waiting.fc = std::make_shared<Waiting>(3, 4, 5, 3, Update::Host);
    for (const auto& each : {plain, waiting})
        REQUIRE(ends([each] {
            const auto graph = each.training(false, MPS::NNTrainingStyle::UpdateDeviceCPU);
            for (uint64_t step = 0; step < 3; ++step) {
                const auto labels = lossLabels(network::targets(1));
                run([&](const MTL::CommandBuffer& commands) {
                    graph.encodeBatch(commands, {upload(network::inputs(step))}, {labels});
                });
            }
        }));
    CHECK(waiting.conv->updates == 3);
    CHECK(waiting.conv->trained() == plain.conv->trained());
    CHECK(waiting.fc->trained() == plain.fc->trained());
}
