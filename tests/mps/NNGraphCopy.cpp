// Copies of graphs: kernels and weights of their own, one copy of each data source.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "mps/NormalizationKernels.hpp"
#include "support/Normalizations.hpp"

#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>
#include <mpsvk/MPS/NNGroupwiseNormalizationNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using network::Network;
using network::Source;

namespace {

/// Makes a copy for others to train.
struct CopiedSource : Source {
    using Source::Source;
    std::shared_ptr<MPS::CNNConvolutionDataSource> copy(MTL::Device device) const override {
        CHECK(device == testDevice());
        auto made = std::make_shared<CopiedSource>(
            shape.kernelWidth(), shape.inputFeatureChannels(), shape.outputFeatureChannels(), 0);
        made->w = std::vector<float>(w.size(), 1); // the kernels keep what they have
        copies.push_back(made);
        return made;
    }
    mutable std::vector<std::shared_ptr<CopiedSource>> copies;
};

MPS::NNGraph training(const std::shared_ptr<Source>& source) {
    const MPS::NNImageNode input(named("input"));
    const MPS::CNNConvolutionNode first(input, source), second(first.resultImage(), source);
    const MPS::CNNLossNode loss(second.resultImage(), squares());
    return graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
}

MTL::Buffer bufferOf(const std::vector<float>& values) {
    return testDevice().newBuffer(std::as_bytes(std::span(values)));
}

/// Its updates load what it does not give itself.
template <class Base> struct Loading : Base {
    using Base::Base;
    MPS::CNNNormalizationGammaAndBetaState updateGammaAndBeta(MTL::CommandBuffer,
                                                              MPS::StateBatch) override {
        return {bufferOf({1, 2, 3, 4}), bufferOf({-1, 1, 0, 2})};
    }
};
struct LoadingBatch : FixedNormalization {
    using FixedNormalization::FixedNormalization;
    MPS::CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer, MPS::CNNBatchNormalizationState) override {
        return {bufferOf({4, 3, 2, 1}), bufferOf({1, 0, -1, 2})};
    }
    MPS::CNNNormalizationMeanAndVarianceState
    updateMeanAndVariance(MTL::CommandBuffer, MPS::CNNBatchNormalizationState) override {
        return {bufferOf({.1f, .2f, .3f, .4f}), bufferOf({2, 3, 4, 5})};
    }
};

Tensor encoded(const MPS::NNGraph& graph, uint64_t seed) {
    return result(graph, {upload(reference::random(2, 4, 4, 4, seed))},
                  {lossLabels(reference::random(2, 4, 4, 4, seed + 1))});
}

} // namespace

TEST_CASE("a copied graph trains by itself, on one copy of each data source") {
    const auto source = std::make_shared<CopiedSource>(3, 4, 4, 1);
    const auto graph = training(source);
    graph.setLabel("net");
    for (int i = 0; i < 2; ++i) encoded(graph, 10 + i);
    const auto copy = graph.copy(testDevice());
    REQUIRE(source->copies.size() == 1); // for two forward and two gradient nodes
    CHECK(copy != graph);
    CHECK(copy.label() == "net");
    CHECK(copy.device() == testDevice());
    CHECK(copy.encodeCount() == 2);
    CHECK(copy.format() == MPS::ImageFeatureChannelFormat::Float32);
    CHECK(copy.sourceImageHandles() == graph.sourceImageHandles());

    const auto before = source->trained();
    const int asked = source->updates;
    const auto other = encoded(copy, 20);
    CHECK(source->updates == asked);
    CHECK(source->trained() == before);
    CHECK(source->copies[0]->updates == 2);
    CHECK(source->copies[0]->trained() != before);
    CHECK(encoded(graph, 20).v == other.v); // as the copy went, from where it was made
    CHECK(source->trained() == source->copies[0]->trained());
    copy.setLabel("copy");
    copy.setFormat(MPS::ImageFeatureChannelFormat::Float16);
    CHECK(graph.label() == "net");
    CHECK(graph.format() == MPS::ImageFeatureChannelFormat::Float32);
}

TEST_CASE("a graph goes by what its nodes said when it was made, and so do its copies") {
    const auto first = std::make_shared<Source>(3, 4, 4, 1),
               second = std::make_shared<Source>(1, 4, 4, 5);
    const MPS::NNImageNode input(named("input"));
    const MPS::CNNConvolutionNode a(input, first);
    const MPS::CNNNeuronReLUNode relu(a.resultImage());
    const MPS::CNNPoolingAverageNode pooling(relu.resultImage(), 2);
    const MPS::CNNConvolutionNode b(pooling.resultImage(), second);
    const MPS::CNNLossNode loss(b.resultImage(), squares());
    a.resultImage().setExportFromGraph(true);
    const auto termini = loss.trainingGraph(std::nullopt, {});
    const auto dx = termini.at(0).resultImage();
    const auto graph = graphOf(dx);
    const auto x = upload(reference::random(1, 4, 4, 4, 5));
    const auto labels = lossLabels(reference::random(1, 2, 2, 4, 6));
    const auto exports = graph.intermediateImageHandles();
    REQUIRE(exports.size() == 1);
    CHECK(graph.sourceImageHandles().at(0) == input.handle());

    // For a second graph.
    a.resultImage().setExportFromGraph(false);
    pooling.setPaddingPolicy(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    for (const auto& terminus : termini)
        if (terminus.as<MPS::NNTrainableNode>())
            terminus.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceNone);
    input.setHandle(named("another"));
    pooling.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float16);
    CHECK(graphOf(dx).intermediateImageHandles().empty());

    const auto copy = graph.copy();
    CHECK(copy.intermediateImageHandles() == exports);
    CHECK(copy.sourceImageHandles() == graph.sourceImageHandles());
    CHECK(graph.sourceImageHandles().at(0)->label() == "input");
    const auto made = result(graph, {x}, {labels});
    CHECK(first->updates == 1);
    CHECK(result(copy, {x}, {labels}).v == made.v);
    CHECK(first->updates == 2);
}

TEST_CASE("a source that makes no copy is shared") {
    const auto source = std::make_shared<Source>(3, 4, 4, 1);
    const auto graph = training(source);
    encoded(graph, 10);
    const auto copy = graph.copy();
    encoded(copy, 11);
    CHECK(source->updates == 4);
    graph.reloadFromDataSources(); // to where the copy has gone
    const auto fresh = training(source);
    const auto dx = encoded(graph, 12);
    CHECK(dx.v == encoded(fresh, 12).v);
}

TEST_CASE("a copied graph's normalizations have what updates have loaded") {
    GroupNormalization two;
    two.groups = 2;
    const auto groups = std::make_shared<Loading<FixedGroups>>(4, two);
    const auto batch = std::make_shared<LoadingBatch>(4);
    const auto made = [&] {
        const MPS::NNImageNode input(named("input"));
        const MPS::CNNBatchNormalizationNode first(input, batch);
        first.setFlags(MPS::CNNBatchNormalizationFlags::CalculateStatisticsNever);
        const MPS::CNNInstanceNormalizationNode second(
            first.resultImage(), std::make_shared<Loading<FixedInstances>>(4, two));
        const MPS::CNNGroupNormalizationNode third(second.resultImage(), groups);
        const MPS::CNNLossNode loss(third.resultImage(), squares());
        return graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
    };
    const auto graph = made();
    encoded(graph, 10);
    groups->setNumberOfGroups(4); // for kernels made anew
    const auto copy = graph.copy();
    groups->setNumberOfGroups(2);
    const auto fresh = made();
    const auto dx = encoded(graph, 12);
    CHECK(encoded(copy, 12).v == dx.v);
    CHECK(encoded(fresh, 12).v != dx.v);
}

TEST_CASE("a copy outlives its original, and keeps dropouts in step") {
    MPS::NNGraph copy, twin;
    {
        const MPS::NNImageNode input;
        const MPS::CNNDropoutNode dropout(input, 0.5f, 3);
        const auto graph = graphOf(dropout.resultImage());
        const auto x = upload(Tensor(1, 4, 4, 4, 1));
        result(graph, {x});
        copy = graph.copy();
        twin = graph.copy();
        CHECK(result(copy, {x}).v == result(graph, {x}).v);
    }
    const auto x = upload(Tensor(1, 4, 4, 4, 1));
    const auto first = result(twin, {x}).v, second = result(twin, {x}).v;
    CHECK(first != second);
    CHECK(result(copy, {x}).v == second);
    CHECK(refusal([] { MPS::NNGraph().copy(); }) == "[NNGraph] The graph handle is empty.");
}
