// Concatenations whose sources are written in place, against those that copy them: bit by bit.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "mps/NormalizationKernels.hpp"
#include "support/Normalizations.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::Source;

namespace {

using Make = std::function<NNFilterNode(const NNImageNode&)>;

std::shared_ptr<Source> weights(uint64_t size, uint64_t outputs) {
    return std::make_shared<Source>(size, 8, outputs, 1, Source::Update::Nothing);
}

/// Nodes that keep the size of an image of 8 channels, or change it.
std::vector<Make> producers() {
    using std::make_shared;
    const auto normalization = [](uint64_t channels) {
        GroupNormalization k;
        k.groups = 2;
        k.gamma = reference::randomVector(channels, 1, .5, 1.5);
        k.beta = reference::randomVector(channels, 2, -1, 1);
        k.epsilon = 1e-3;
        return k;
    };
    return {
        [](auto& x) { return CNNConvolutionNode(x, weights(3, 8)); },
        [](auto& x) { return CNNConvolutionNode(x, weights(1, 12)); },
        [](auto& x) { return CNNConvolutionTransposeNode(x, {}, weights(3, 5)); },
        [](auto& x) { return CNNPoolingMaxNode(x, 3, 1); },
        [](auto& x) { return CNNPoolingMaxNode(x, 2, 2); },
        [](auto& x) { return CNNPoolingAverageNode(x, 3, 2); },
        [](auto& x) { return CNNPoolingL2NormNode(x, 2, 1); },
        [](auto& x) { return CNNDilatedPoolingMaxNode(x, 2, 1, 2); },
        [](auto& x) { return CNNNeuronGeLUNode(x); },
        [=](auto& x) {
            const auto k = normalization(8);
            return CNNBatchNormalizationNode(
                x, make_shared<FixedNormalization>(k.gamma, k.beta, 1e-3));
        },
        [=](auto& x) {
            return CNNInstanceNormalizationNode(x,
                                                make_shared<FixedInstances>(8, normalization(8)));
        },
        [=](auto& x) {
            return CNNGroupNormalizationNode(x, make_shared<FixedGroups>(8, normalization(8)));
        },
        [](auto& x) { return CNNSpatialNormalizationNode(x, 3); },
        [](auto& x) { return CNNLocalContrastNormalizationNode(x, 3); },
        [](auto& x) { return CNNCrossChannelNormalizationNode(x, 3); },
        [](auto& x) {
            return CNNDropoutNode(x, .5f, 3, {1, 1, 1});
        },
        [](auto& x) { return CNNSoftMaxNode(x); },
        [](auto& x) { return CNNLogSoftMaxNode(x); },
        [](auto& x) { return CNNUpsamplingNearestNode(x, 2, 2); },
        [](auto& x) { return CNNUpsamplingBilinearNode(x, 2, 2, true); },
        [](auto& x) {
            return NNPadNode(x, {1, 1, 2}, {0, 2, 3}, ImageEdgeMode::Mirror);
        },
        [](auto& x) { return NNReshapeNode(x, 3, 5, 16); },
        [](auto& x) { return NNGramMatrixCalculationNode(x, .5f); },
        [](auto& x) { return NNReductionSpatialMeanNode(x); },
        [](auto& x) { return NNMultiplicationNode(x, x); },
    };
}

/// A convolution-like start, the node, an activation of it; both side by side, and side by side
/// with that once more; a loss behind.
struct Case {
    Case(const Make& make, bool copies) : start(input), made(make(start.resultImage())) {
        const CNNNeuronSoftPlusNode soft(made.resultImage());
        const NNConcatenationNode inner({made.resultImage(), soft.resultImage()});
        const CNNNeuronSigmoidNode third(inner.resultImage());
        last = NNConcatenationNode({third.resultImage(), inner.resultImage()});
        if (copies)
            for (const auto& image :
                 {made.resultImage(), soft.resultImage(), inner.resultImage(), third.resultImage()})
                image.setExportFromGraph(true);
        const auto termini =
            NNInitialGradientNode(CNNNeuronTanHNode(last.resultImage(), .5f, 2).resultImage())
                .trainingGraph(std::nullopt, [&](NNFilterNode gradient, auto, auto, auto) {
                    if (copies && gradient.as<NNConcatenationGradientNode>())
                        gradient.resultImage().setExportFromGraph(true);
                });
        gradient = termini.at(0).resultImage();
    }
    NNImageNode input;
    CNNNeuronTanHNode start;
    NNFilterNode made;
    NNConcatenationNode last;
    NNImageNode gradient;
};

/// x, its tanh and a convolution of it, side by side.
struct Branches {
    Branches() {
        convolution.setLabel("conv");
        both.setLabel("cat");
    }
    NNImageNode x;
    CNNConvolutionNode convolution{x, weights(3, 8)};
    CNNNeuronTanHNode tanH{x};
    NNConcatenationNode both{{convolution.resultImage(), tanH.resultImage(), x}};
};

const Tensor& x() {
    static const Tensor made = reference::distinct(3, 6, 5, 8, 1);
    return made;
}

size_t dispatches(const NNGraph& graph, const ImageBatch& images) {
    result(graph, {images});
    const std::string text = graph.debugDescription();
    const size_t at = text.find("plan: ");
    REQUIRE(at != std::string::npos);
    return std::stoul(text.substr(at + 6));
}

} // namespace

TEST_CASE("what producers write into a concatenation is what copies of it would be") {
    for (const auto format :
         {ImageFeatureChannelFormat::Float32, ImageFeatureChannelFormat::Float16})
        for (int number = 0; const Make& make : producers()) {
            const Case inPlace(make, false), copying(make, true);
            const ImageBatch images = upload(x());
            const auto compare = [&](const NNImageNode& a, const NNImageNode& b) {
                const NNGraph fast(testDevice(), a, true), slow(testDevice(), b, true);
                fast.setFormat(format);
                slow.setFormat(format);
                for (int round = 0; round < 2; ++round) // recorded and replayed
                    CHECK(result(fast, {images}).v == result(slow, {images}).v);
                INFO(fast.debugDescription());
                INFO(slow.debugDescription());
                CHECK_THAT(fast.debugDescription(),
                           ContainsSubstring("NNConcatenationNode copies nothing"));
                CHECK_THAT(slow.debugDescription(),
                           ContainsSubstring("NNConcatenationNode copies source 0 (it leaves the "
                                             "graph), source 1 (it leaves the graph)"));
            };
            INFO("producer " << number++);
            compare(inPlace.last.resultImage(), copying.last.resultImage());
            compare(inPlace.gradient, copying.gradient);
        }
}

TEST_CASE("a concatenation's gradient is read where it lies") {
    const Make same = [](auto& from) { return CNNNeuronGeLUNode(from); };
    const auto graph = graphOf(Case(same, false).gradient);
    const auto expected = result(graph, {upload(x())});
    CHECK_THAT(graph.debugDescription(),
               ContainsSubstring("NNConcatenationGradientNode lies within its source") &&
                   !ContainsSubstring("copies its channels"));
    // One image at a time, and from a temporary input: not replayed.
    const auto one = graphOf(Case(same, false).gradient);
    Image y;
    ImageBatch other;
    run([&](const MTL::CommandBuffer& commands) {
        y = one.encode(commands, {upload(reference::image(x(), 1))[0]});
        CNNNeuron copy(testDevice(), NNNeuronDescriptor(CNNNeuronType::None));
        const ImageBatch temporary = copy.encodeBatch(commands, upload(x()));
        ImageBatchIncrementReadCount(temporary, int64_t(graph.readCountForSourceImage(0)) - 1);
        other = graph.encodeBatch(commands, {temporary});
        CHECK(temporary[0].as<TemporaryImage>().readCount() == 0);
    });
    CHECK(download({y}).v == reference::image(expected, 1).v);
    CHECK(download(other).v == expected.v);
    // Channels that are no multiple of 4 share a slice with the gradient of zeros.
    const Make odd = [](auto& from) { return CNNConvolutionNode(from, weights(1, 5)); };
    const auto copying = graphOf(Case(odd, false).gradient);
    result(copying, {upload(x())});
    CHECK_THAT(copying.debugDescription(),
               ContainsSubstring("copies its channels") &&
                   ContainsSubstring("NNConcatenationNode copies nothing"));
}

TEST_CASE("what cannot be written in place is copied, and the graph says why") {
    const ImageBatch images = upload(x());
    const Branches plain;
    const auto graph = graphOf(plain.both.resultImage());
    const auto expected = result(graph, {images});
    CHECK_THAT(graph.debugDescription(),
               ContainsSubstring("NNConcatenationNode \"cat\" copies source 2 (it is an input)\n"));
    CHECK(dispatches(graph, images) == 3); // of the whole batch each
    const auto check = [&](const NNImageNode& image, const std::string& why) {
        const auto made = graphOf(image);
        CHECK(result(made, {images}).v == expected.v);
        CHECK_THAT(made.debugDescription(), ContainsSubstring(why));
    };
    {
        const Branches b;
        b.tanH.resultImage().setImageAllocator(Image::defaultAllocator());
        check(b.both.resultImage(), "copies source 1 (it has an allocator of its own");
    }
    {
        const Branches b;
        const NNGraph two(testDevice(), {b.both.resultImage(), b.tanH.resultImage()});
        two.setFormat(ImageFeatureChannelFormat::Float32);
        CHECK(result(two, {images}).v == expected.v);
        CHECK_THAT(two.debugDescription(),
                   ContainsSubstring("copies source 1 (it leaves the graph), source 2 (it is an"));
    }
    {
        const Branches b;
        b.both.resultImage().setImageAllocator(std::make_shared<PlainAllocator>());
        const CNNNeuronLinearNode copy(b.both.resultImage(), 1, 0);
        check(copy.resultImage(), "copies source 0 (the result has an allocator of its own)");
    }
    {
        const Branches b;
        b.tanH.resultImage().setFormat(ImageFeatureChannelFormat::Float16);
        const auto made = graphOf(b.both.resultImage());
        CHECK(reference::compare(result(made, {images}), expected, {1e-3}));
        CHECK_THAT(made.debugDescription(),
                   ContainsSubstring("source 1 (its format is not the result's)"));
    }
    { // an image of two concatenations lies in the later one
        const Branches b;
        const NNConcatenationNode twice({b.tanH.resultImage(), b.tanH.resultImage()});
        const NNConcatenationNode all({b.both.resultImage(), twice.resultImage()});
        const auto made = graphOf(all.resultImage());
        const auto both = result(made, {images});
        CHECK(reference::channels(both, 0, 24).v == expected.v);
        CHECK(reference::channels(both, 24, 8).v == reference::channels(expected, 8, 8).v);
        CHECK(reference::channels(both, 32, 8).v == reference::channels(expected, 8, 8).v);
        CHECK_THAT(made.debugDescription(),
                   ContainsSubstring("copies source 1 (it lies elsewhere already"));
    }
    { // textures
        const Branches b;
        const auto made = graphOf(b.both.resultImage());
        CHECK(
            result(made, {upload(x(), {ImageFeatureChannelFormat::Float32, ImageStorage::Texture})})
                .v == expected.v);
        CHECK_THAT(made.debugDescription(), ContainsSubstring("or in a texture"));
        CHECK(result(made, {images}).v == expected.v);
    }
    // Other shapes, and back.
    const Tensor large = reference::distinct(2, 7, 9, 8, 2);
    const auto fresh = graphOf(Branches().both.resultImage());
    CHECK(result(graph, {upload(large)}).v == result(fresh, {upload(large)}).v);
    CHECK(result(graph, {images}).v == expected.v);
    CHECK(result(again(graph), {images}).v == expected.v);
}
