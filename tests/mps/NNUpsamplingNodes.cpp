// Nodes of upsampling in graphs.
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Upsampling.hpp"

#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNUpsamplingNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;
using reference::Upsampling;

namespace {

/// The gradient of sum (y - t)^2 next to the reference's.
void check(const MPS::NNFilterNode& node, Upsampling k) {
    const Tensor x = reference::random(2, 3, 4, 5, 1);
    k.outputWidth = size_t(4 * k.scaleX), k.outputHeight = size_t(3 * k.scaleY);
    const Tensor y = forward(k, x), t = reference::randomLike(y, 2);
    const MPS::CNNLossDescriptor squares(MPS::CNNLossType::MeanSquaredError,
                                         MPS::CNNReductionType::Sum);
    const auto termini =
        MPS::CNNLossNode(node.resultImage(), squares).trainingGraph(std::nullopt, {});
    MPS::NNGraph graph(testDevice(), termini.at(0).resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}),
                             gradient(k, reference::fusedGradient({}, {y, t}), x), {2e-5}));
}

} // namespace

TEST_CASE("upsampling nodes train") {
    const MPS::NNImageNode input;
    check(MPS::CNNUpsamplingNearestNode(input, 2, 3), {false, 2, 3});
    check(MPS::CNNUpsamplingBilinearNode(input, 2, 1.5), {true, 2, 1.5});
    check(MPS::CNNUpsamplingBilinearNode(input, 2, 3, true), {true, 2, 3, true});
}

TEST_CASE("upsampling nodes have Apple's properties, and refuse factors that no kernel takes") {
    const MPS::NNImageNode input;
    const MPS::CNNUpsamplingNearestNode nearest(input, 2, 3);
    const MPS::CNNUpsamplingBilinearNode bilinear(input, 1.5, 2, true);
    CHECK(nearest.scaleFactorX() == 2);
    CHECK(nearest.scaleFactorY() == 3);
    CHECK(bilinear.scaleFactorX() == 1.5);
    CHECK(bilinear.alignCorners());
    CHECK_FALSE(MPS::CNNUpsamplingBilinearNode(input, 2, 2).alignCorners());
    const auto nearestGradient =
        nearest.gradientFilter(input).as<MPS::CNNUpsamplingNearestGradientNode>();
    REQUIRE(nearestGradient);
    CHECK(nearestGradient.scaleFactorY() == 3);
    const auto bilinearGradient =
        bilinear.gradientFilter(input).as<MPS::CNNUpsamplingBilinearGradientNode>();
    REQUIRE(bilinearGradient);
    CHECK(bilinearGradient.scaleFactorX() == 1.5);
    CHECK_FALSE(MPS::NNFilterNode(bilinearGradient).as<MPS::CNNUpsamplingNearestGradientNode>());

    CHECK(refusal([&] { MPS::CNNUpsamplingNearestNode(input, 0, 1); }) ==
          "[CNNUpsamplingNearestNode] The scale factors are 0.000000 and 1.000000 but each must be "
          "a finite number above 0.");
    const auto state = nearest.resultState().as<MPS::NNGradientStateNode>();
    CHECK(refusal([&] { MPS::CNNUpsamplingNearestGradientNode(input, input, state, 1.5, 2); }) ==
          "[CNNUpsamplingNearestGradientNode] The scale factors are 1.500000 and 2.000000 "
          "but each must be a whole number.");
}
