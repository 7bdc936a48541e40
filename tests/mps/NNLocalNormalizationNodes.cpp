// Nodes of the normalizations over a neighbourhood in graphs.
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Normalization.hpp"

#include <mpsvk/MPS/NNLocalNormalizationNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Normalization;
using reference::NormalizationType;
using reference::Tensor;

namespace {

const Tensor x = reference::random(2, 6, 5, 7, 1, -2, 2), t = reference::randomLike(x, 2);

/// The gradient of sum (y - t)^2.
Tensor trained(const MPS::NNFilterNode& node) {
    const MPS::CNNLossDescriptor squares(MPS::CNNLossType::MeanSquaredError,
                                         MPS::CNNReductionType::Sum);
    const auto termini =
        MPS::CNNLossNode(node.resultImage(), squares).trainingGraph(std::nullopt, {});
    MPS::NNGraph graph(testDevice(), termini.at(0).resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return result(graph, {upload(x)}, {lossLabels(t)});
}

Tensor expected(Normalization k) {
    k.outputWidth = x.w, k.outputHeight = x.h;
    const Tensor y = forward(k, x);
    return gradient(k, reference::fusedGradient({}, {y, t}), x);
}

} // namespace

TEST_CASE("normalization nodes train with their parameters") {
    const MPS::NNImageNode input;
    const MPS::CNNSpatialNormalizationNode spatial(input, 3);
    spatial.setAlpha(2);
    spatial.setBeta(.75f);
    spatial.setKernelHeight(4);
    CHECK(reference::compare(trained(spatial),
                             expected({NormalizationType::Spatial, 3, 4, 2, .75, 1}), {2e-5}));
    const MPS::CNNLocalContrastNormalizationNode contrast(input, 3);
    contrast.setDelta(.5f);
    contrast.setP0(.5f);
    contrast.setPs(2);
    CHECK(reference::compare(
        trained(contrast), expected({NormalizationType::LocalContrast, 3, 3, 1, .5, .5, .5, 0, 2}),
        {2e-5}));
    const MPS::CNNCrossChannelNormalizationNode cross(input, 3);
    cross.setBeta(1.25f);
    CHECK(reference::compare(
        trained(cross), expected({NormalizationType::CrossChannel, 3, 1, 1, 1.25, 1}), {2e-5}));
}

TEST_CASE("normalization nodes have Apple's properties, and gradient nodes those of theirs") {
    const MPS::NNImageNode input;
    const MPS::CNNSpatialNormalizationNode spatial(input);
    CHECK(spatial.alpha() == 1);
    CHECK(spatial.beta() == 5);
    CHECK(spatial.delta() == 1);
    CHECK(spatial.kernelWidth() == 5);
    CHECK(spatial.kernelHeight() == 5);
    CHECK(MPS::NNFilterNode(spatial).as<MPS::CNNNormalizationNode>().beta() == 5);
    spatial.setDelta(3);
    spatial.setKernelWidth(7);
    const auto spatialGradient =
        spatial.gradientFilter(input).as<MPS::CNNSpatialNormalizationGradientNode>();
    REQUIRE(spatialGradient);
    CHECK(spatialGradient.delta() == 3);
    CHECK(spatialGradient.kernelWidth() == 7);
    CHECK(spatialGradient.kernelHeight() == 5);

    const MPS::CNNLocalContrastNormalizationNode contrast(input);
    CHECK(contrast.alpha() == 1);
    CHECK(contrast.beta() == .5f);
    CHECK(contrast.delta() == 1.f / 1024);
    CHECK(contrast.p0() == 1);
    CHECK(contrast.pm() == 0);
    CHECK(contrast.ps() == 1);
    contrast.setPm(4);
    const auto contrastGradient =
        contrast.gradientFilter(input).as<MPS::CNNLocalContrastNormalizationGradientNode>();
    REQUIRE(contrastGradient);
    CHECK(contrastGradient.alpha() == 1);
    CHECK(contrastGradient.pm() == 4);

    const MPS::CNNCrossChannelNormalizationNode cross(input);
    CHECK(cross.kernelSizeInFeatureChannels() == 5);
    cross.setKernelSizeInFeatureChannels(9);
    const auto crossGradient =
        cross.gradientFilter(input).as<MPS::CNNCrossChannelNormalizationGradientNode>();
    REQUIRE(crossGradient);
    CHECK(crossGradient.kernelSize() == 9);
    CHECK_FALSE(MPS::NNFilterNode(cross).as<MPS::CNNSpatialNormalizationNode>());
    CHECK_FALSE(cross.gradientFilter(input).as<MPS::CNNNormalizationNode>());
}

TEST_CASE("a gradient node made by hand has to be given its parameters") {
    const MPS::NNImageNode input(named("x")), incoming(named("g"));
    const MPS::CNNLocalContrastNormalizationNode contrast(input, 3);
    const MPS::CNNLocalContrastNormalizationGradientNode byHand(
        incoming, input, contrast.resultState().as<MPS::NNGradientStateNode>(), 3, 3);
    CHECK(byHand.alpha() == 0);
    CHECK(byHand.beta() == .5f);
    Normalization k{NormalizationType::LocalContrast, 3, 3, 0, .5, 1. / 1024};
    k.outputWidth = x.w, k.outputHeight = x.h;
    for (const float alpha : {0.f, 1.f}) {
        byHand.setAlpha(alpha);
        MPS::NNGraph graph(testDevice(), byHand.resultImage(), true);
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        std::vector<MPS::ImageBatch> images;
        for (const auto& handle : graph.sourceImageHandles())
            images.push_back(upload(handle->label() == "x" ? x : t));
        REQUIRE(images.size() == 2);
        const Tensor dx = result(graph, images);
        k.alpha = alpha;
        CHECK(reference::compare(dx, gradient(k, t, x), {2e-5}));
    }
}
