// Graphs of every class of nodes, as archives give them back and as copies.
#include "mps/BinaryKernels.hpp"
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "mps/NNNodeClasses.hpp"
#include "mps/NormalizationKernels.hpp"
#include "support/Normalizations.hpp"
#include "support/YOLOCases.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <set>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using network::Network;

namespace {

std::set<std::string> classesOf(const MPS::NNGraph& graph) {
    std::set<std::string> all;
    const std::string text = graph.debugDescription();
    for (const std::string& name : mps::NodeClasses::all().names())
        if (text.find(" " + name + ":") != std::string::npos ||
            text.find(" " + name + " ") != std::string::npos)
            all.insert(name);
    return all;
}

/// Compares a graph with its copy and with what an archive gives back, encode by encode; notes the
/// classes of its nodes.
struct Comparison {
    void operator()(const MPS::NNGraph& graph, const std::vector<MPS::ImageBatch>& images,
                    const std::function<std::vector<MPS::StateBatch>()>& states = {}) {
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        covered.merge(classesOf(graph));
        INFO(graph.debugDescription());
        const auto given = [&] { return states ? states() : std::vector<MPS::StateBatch>(); };
        const MPS::NNGraph others[] = {again(graph), graph.copy()};
        for (const auto& made : others) CHECK(made.debugDescription() == graph.debugDescription());
        for (int round = 0; round < 2; ++round) {
            const auto expected = result(graph, images, given()).v;
            for (const auto& made : others) CHECK(result(made, images, given()).v == expected);
        }
    }
    std::set<std::string> covered;
};

/// Where the derivative of the sum of `y` comes out.
MPS::NNImageNode gradientOf(const MPS::NNFilterNode& y) {
    return MPS::NNInitialGradientNode(y.resultImage())
        .trainingGraph(std::nullopt, {})
        .at(0)
        .resultImage();
}

void normalizations(Comparison& compare) {
    const std::vector<double> gamma{.5, 1.5, .75, 1, 2, .25}, beta{.1, .2, .3, -.4, .5, 0};
    GroupNormalization k;
    k.groups = 3;
    k.gamma = gamma;
    k.beta = beta;
    k.epsilon = 1e-3;
    const NNImageNode input;
    const CNNBatchNormalizationNode batch(input,
                                          std::make_shared<FixedNormalization>(gamma, beta, 1e-3));
    const CNNInstanceNormalizationNode instance(batch.resultImage(),
                                                std::make_shared<FixedInstances>(6, k));
    const CNNGroupNormalizationNode group(instance.resultImage(),
                                          std::make_shared<FixedGroups>(6, k));
    const auto x = upload(reference::random(2, 4, 3, 6, 1));
    compare(NNGraph(testDevice(), gradientOf(group), true), {x});
    compare(NNGraph(testDevice(), group.resultImage(), true), {x}); // of the source's statistics
    const CNNBatchNormalizationNode always(input,
                                           std::make_shared<FixedNormalization>(gamma, beta, 1e-3));
    always.setFlags(CNNBatchNormalizationFlags::CalculateStatisticsAlways);
    compare(NNGraph(testDevice(), always.resultImage(), true), {x});
}

void shapes(Comparison& compare) {
    const NNImageNode input;
    const NNPadNode pad(input, {1, 0, 1}, {0, 2, 2}, ImageEdgeMode::Constant);
    pad.setFillValue(.5f);
    const NNReshapeNode reshape(pad.resultImage(), 5, 6, 8);
    const CNNNeuronTanHNode other(reshape.resultImage());
    const NNConcatenationNode both({other.resultImage(), reshape.resultImage()});
    const NNGramMatrixCalculationNode gram(both.resultImage(), .25f);
    compare(NNGraph(testDevice(), gradientOf(gram), true),
            {upload(reference::random(2, 4, 4, 5, 1))});

    const auto source = [](uint64_t inputs, uint64_t outputs) {
        return std::make_shared<network::Source>(3, inputs, outputs, inputs);
    };
    const CNNConvolutionNode down(input, source(4, 8));
    const CNNConvolutionTransposeNode up(down.resultImage(), down.convolutionGradientState(),
                                         source(8, 4));
    compare(NNGraph(testDevice(), up.resultImage(), true),
            {upload(reference::random(2, 5, 5, 4, 1))});
    const CNNConvolutionTransposeNode alone(input, {}, source(4, 8));
    const auto termini = NNInitialGradientNode(alone.resultImage())
                             .trainingGraph(std::nullopt, [](NNFilterNode node, auto, auto, auto) {
                                 node.setTrainingStyle(NNTrainingStyle::UpdateDeviceNone);
                             });
    compare(NNGraph(testDevice(), termini.at(0).resultImage(), true),
            {upload(reference::random(2, 5, 5, 4, 1))});
}

} // namespace

TEST_CASE("graphs of every class of nodes come back from archives and copies") {
    Comparison compare;
    const NNImageNode input;
    { // neurons, each with values of its own
        const auto next = [](const NNFilterNode& node) { return node.resultImage(); };
        const CNNNeuronPReLUNode first(input, std::vector<float>{.5f, .25f, .75f, .1f, .2f});
        const CNNNeuronLinearNode linear(next(first), 1.5f, .25f);
        const CNNNeuronReLUNode relu(next(linear), .5f);
        const CNNNeuronELUNode elu(next(relu), .75f);
        const CNNNeuronReLUNNode relun(next(elu), .5f, 3);
        const CNNNeuronTanHNode tanH(next(relun), 1.5f, .5f);
        const CNNNeuronAbsoluteNode absolute(next(tanH));
        const CNNNeuronSoftPlusNode softPlus(next(absolute), 1.5f, .5f);
        const CNNNeuronSoftSignNode softSign(next(softPlus));
        const CNNNeuronGeLUNode gelu(next(softSign));
        const CNNNeuronHardSigmoidNode hard(next(gelu), .3f, .4f);
        const CNNNeuronExponentialNode exponential(next(hard), .5f, .25f, 2);
        const CNNNeuronLogarithmNode logarithm(next(exponential), .5f, 1.5f, 3);
        const CNNNeuronPowerNode power(next(logarithm), .5f, 1, 2);
        const CNNNeuronSigmoidNode sigmoid(next(power));
        const CNNNeuronNode last(next(sigmoid), NNNeuronDescriptor(CNNNeuronType::None));
        compare(NNGraph(testDevice(), gradientOf(last), true),
                {upload(reference::random(2, 3, 3, 5, 1))});
    }
    { // pooling
        const CNNPoolingMaxNode max(input, 3, 2, 1, 2);
        const CNNPoolingAverageNode average(max.resultImage(), 2, 3, 1, 1);
        average.setPaddingPolicy(NNDefaultPadding::padding(NNPaddingMethod::SizeValidOnly));
        const CNNPoolingL2NormNode norm(average.resultImage(), 2, 1);
        const CNNDilatedPoolingMaxNode dilated(norm.resultImage(), 2, 1, 2);
        compare(NNGraph(testDevice(), gradientOf(dilated), true),
                {upload(reference::distinct(2, 12, 8, 5, 1))});
    }
    { // layers
        const CNNSoftMaxNode softMax(input);
        const CNNDropoutNode dropout(softMax.resultImage(), .5f, 3, {1, 1, 0});
        const CNNLogSoftMaxNode logSoftMax(dropout.resultImage());
        const NNMultiplicationNode square(logSoftMax.resultImage(), logSoftMax.resultImage());
        compare(NNGraph(testDevice(), gradientOf(square), true),
                {upload(reference::random(2, 3, 3, 5, 1))});
    }
    { // arithmetic
        const NNImageNode other;
        const NNDivisionNode quotient(input, other);
        const NNComparisonNode comparison(quotient.resultImage(), other);
        comparison.setComparisonType(NNComparisonType::Greater);
        const NNSubtractionNode difference(comparison.resultImage(), input);
        difference.setSecondaryScale(.5f);
        const NNMultiplicationNode product(difference.resultImage(), input);
        product.setSecondaryStrideInPixelsX(0);
        product.setMaximumValue(2);
        const NNAdditionNode sum(product.resultImage(), difference.resultImage());
        sum.setBias(.25f);
        sum.setPrimaryScale(3);
        Tensor x = reference::random(2, 3, 1, 5, 1, 1, 2);
        compare(NNGraph(testDevice(), gradientOf(sum), true),
                {upload(x), upload(reference::random(2, 3, 1, 5, 2, 1, 2))});
    }
    { // losses
        const Nodes nodes;
        const auto t = reference::random(2, 3, 3, 5, 2, 0, 1);
        auto descriptor = squares(.5f);
        descriptor.setLabelSmoothing(.25f);
        const CNNLossNode loss(nodes.last.resultImage(), descriptor);
        compare(
            NNGraph(testDevice(), loss.trainingGraph(std::nullopt, {}).at(0).resultImage(), true),
            {upload(reference::distinct(2, 6, 6, 5, 1))},
            [&] { return std::vector<StateBatch>{lossLabels(t)}; });
        const NNImageNode labels, weights;
        const NNForwardLossNode forward(input, labels, weights, descriptor);
        const auto y = upload(reference::random(2, 3, 3, 5, 3)), w = upload(t);
        for (const auto& terminus :
             NNInitialGradientNode(forward.resultImage()).trainingGraph(std::nullopt, {}))
            compare(NNGraph(testDevice(), terminus.resultImage(), true), {y, w, w});
    }
    { // convolutions
        const Network network;
        compare(network.training(true, NNTrainingStyle::UpdateDeviceNone),
                {upload(network::inputs(1))},
                [] { return std::vector<StateBatch>{lossLabels(network::targets(2))}; });
    }
    { // reductions
        const NNReductionColumnSumNode columns(input);
        columns.setClipRectSource(MTL::RegionMake2D(0, 1, 3, 2));
        const NNReductionFeatureChannelsSumNode channels(input);
        channels.setWeight(.25f);
        const auto x = upload(reference::random(2, 4, 3, 5, 1));
        for (const NNFilterNode& node : std::initializer_list<NNFilterNode>{
                 columns, channels, NNReductionRowMinNode(input), NNReductionColumnMinNode(input),
                 NNReductionFeatureChannelsMinNode(input),
                 NNReductionFeatureChannelsArgumentMinNode(input), NNReductionRowMaxNode(input),
                 NNReductionColumnMaxNode(input), NNReductionFeatureChannelsMaxNode(input),
                 NNReductionFeatureChannelsArgumentMaxNode(input), NNReductionRowMeanNode(input),
                 NNReductionColumnMeanNode(input), NNReductionFeatureChannelsMeanNode(input),
                 NNReductionRowSumNode(input)})
            compare(NNGraph(testDevice(), node.resultImage(), true), {x});
        compare(NNGraph(testDevice(), gradientOf(NNReductionSpatialMeanNode(input)), true), {x});
    }
    { // local normalization and upsampling
        const CNNSpatialNormalizationNode spatial(input, 3);
        spatial.setAlpha(.5f);
        const CNNLocalContrastNormalizationNode contrast(spatial.resultImage(), 3);
        contrast.setP0(.75f);
        const CNNCrossChannelNormalizationNode across(contrast.resultImage(), 3);
        across.setBeta(.75f);
        const CNNUpsamplingNearestNode nearest(across.resultImage(), 2, 3);
        const CNNUpsamplingBilinearNode bilinear(nearest.resultImage(), 1.5, 1.25, true);
        compare(NNGraph(testDevice(), gradientOf(bilinear), true),
                {upload(reference::random(2, 4, 4, 5, 1))});
    }
    { // resampling
        const NNBilinearScaleNode bilinear(input, {5, 3, 1});
        const NNLanczosScaleNode lanczos(bilinear.resultImage(), {3, 4, 1});
        compare(NNGraph(testDevice(), lanczos.resultImage(), true),
                {upload(reference::random(2, 4, 4, 5, 1))});
    }
    { // binary convolutions, by one scale and by terms
        const BinaryConvolution k = rich(BinaryType::Xnor, 9, 5);
        const CNNBinaryConvolutionNode terms(input, std::make_shared<Bits>(k), floats(k.outputBias),
                                             floats(k.outputScale), floats(k.inputBias),
                                             floats(k.inputScale), CNNBinaryConvolutionType::XNOR,
                                             CNNBinaryConvolutionFlags::UseBetaScaling);
        compare(NNGraph(testDevice(), terms.resultImage(), true),
                {upload(reference::random(2, 6, 7, 9, 1))});
        BinaryConvolution whole = rich(BinaryType::And, 9, 5);
        whole.strideY = whole.dilationX = 1;
        const CNNBinaryFullyConnectedNode scaled(input, std::make_shared<Bits>(whole), 2,
                                                 CNNBinaryConvolutionType::AND, {});
        compare(NNGraph(testDevice(), scaled.resultImage(), true),
                {upload(reference::random(2, 2, 3, 9, 1))});
    }
    { // the loss of a detection grid
        const auto loss = usualYOLOLoss({1, 2, 2.5, 1.5, 3, 3});
        const YOLOData data(loss, 2, 3, 4, 2);
        const CNNNeuronTanHNode neuron(input, 2, 1);
        const CNNYOLOLossNode node(neuron.resultImage(), YOLODescriptorOf(loss));
        compare(
            NNGraph(testDevice(), node.trainingGraph(std::nullopt, {}).at(0).resultImage(), true),
            {upload(data.y)}, [&] { return std::vector<StateBatch>{lossLabels(data.t)}; });
    }
    normalizations(compare);
    shapes(compare);
    for (const std::string& node : mps::NodeClasses::all().names()) {
        INFO(node);
        CHECK(compare.covered.count(node) == 1);
    }
}
