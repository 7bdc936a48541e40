// Additions that become a part of the batch normalization before them: against graphs that keep
// them apart, to the bit.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "support/Normalizations.hpp"
#include "support/Optimizers.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cmath>
#include <functional>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using Neuron = std::optional<NNNeuronDescriptor>;
using Format = ImageFeatureChannelFormat;

namespace {

/// Trains gamma and beta on the device.
struct Descending : FixedNormalization {
    explicit Descending(size_t channels, uint64_t seed = 1)
        : FixedNormalization(random(channels, seed, .5, 2), random(channels, seed + 1), 1e-3),
          latest(vectorOf({gammas.begin(), gammas.end()}).data(),
                 vectorOf({betas.begin(), betas.end()}).data()) {
        means = floatsOf(random(channels, seed + 2));
        variances = floatsOf(random(channels, seed + 3, .5, 2));
    }
    CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commands, CNNBatchNormalizationState state) override {
        NNOptimizerStochasticGradientDescent(testDevice(), float(network::rate))
            .encode(commands, state, {}, latest);
        return latest;
    }
    CNNNormalizationGammaAndBetaState latest;
};

enum class Other { Source, Convolution, Normalization };

/// tanh, convolution, batch normalization, and the sum of that and something else of the same size,
/// with an activation or none.
struct Block {
    Block(const Neuron& neuron, Other other, bool isSecond, size_t channels = 6)
        : weights(std::make_shared<network::Source>(3, channels, channels, 1)),
          otherWeights(std::make_shared<network::Source>(3, channels, channels, 2)),
          norm(std::make_shared<Descending>(channels)),
          otherNorm(std::make_shared<Descending>(channels, 7)), start(input),
          convolution(start.resultImage(), weights), normalization(convolution.resultImage(), norm),
          otherConvolution(start.resultImage(), otherWeights),
          otherNormalization(otherConvolution.resultImage(), otherNorm),
          addend(other == Other::Source        ? start.resultImage()
                 : other == Other::Convolution ? otherConvolution.resultImage()
                                               : otherNormalization.resultImage()),
          sum(isSecond ? addend : normalization.resultImage(),
              isSecond ? normalization.resultImage() : addend) {
        normalization.setLabel("norm");
        otherNormalization.setLabel("other");
        sum.setLabel("sum");
        if (neuron) activation = CNNNeuronNode(sum.resultImage(), *neuron);
    }
    const Block& apart() const {
        for (const auto& node : {normalization, otherNormalization})
            node.resultImage().setImageAllocator(Image::defaultAllocator());
        return *this;
    }
    NNImageNode result() const { return activation ? activation.resultImage() : sum.resultImage(); }
    NNGraph training() const {
        const CNNLossNode loss(result(), squares(.0625f));
        return graphOf(loss.trainingGraph(std::nullopt, handler).at(0).resultImage());
    }
    std::vector<std::vector<double>> trained() const {
        return {weights->trained(),           otherWeights->trained(),
                values(norm->latest.gamma()), values(otherNorm->latest.gamma()),
                values(norm->latest.beta()),  values(otherNorm->latest.beta())};
    }

    std::shared_ptr<network::Source> weights, otherWeights;
    std::shared_ptr<Descending> norm, otherNorm;
    NNImageNode input;
    CNNNeuronTanHNode start;
    CNNConvolutionNode convolution;
    CNNBatchNormalizationNode normalization;
    CNNConvolutionNode otherConvolution;
    CNNBatchNormalizationNode otherNormalization;
    NNImageNode addend;
    NNAdditionNode sum;
    CNNNeuronNode activation;
    GradientNodeBlock handler;
};

Tensor x(size_t channels = 6) { return reference::random(3, 5, 4, channels, 1); }
Tensor t(size_t channels = 6) { return reference::random(3, 5, 4, channels, 2); }
Tensor train(const NNGraph& graph) { return result(graph, {upload(x())}, {lossLabels(t())}); }

uint64_t numberAfter(const std::string& text, const std::string& key) {
    const size_t at = text.find(key);
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + key.size()));
}

const NNNeuronDescriptor relu(CNNNeuronType::ReLU, .25f);
const char* const isPart = "NNAdditionNode \"sum\" is part of CNNBatchNormalizationNode \"";

} // namespace

TEST_CASE("an addition trains as a part of the batch normalization before it") {
    const auto prelu = NNNeuronDescriptor::cnnNeuronPReLUDescriptor(
        std::vector<float>{.5f, .25f, 0, .125f, .3f, 2});
    for (const Neuron& neuron : {Neuron(), Neuron(relu), Neuron(prelu),
                                 Neuron(NNNeuronDescriptor(CNNNeuronType::TanH, 1, 1))})
        for (const Other other : {Other::Source, Other::Convolution, Other::Normalization})
            for (const bool isSecond : {false, true}) {
                INFO("type " << (neuron ? int(neuron->neuronType()) : -1) << " other " << int(other)
                             << (isSecond ? " first" : " second"));
                const Block fused(neuron, other, isSecond), apart(neuron, other, isSecond);
                const auto fast = fused.training(), slow = apart.apart().training();
                for (int round = 0; round < 2; ++round) {
                    CHECK(train(fast).v == train(slow).v);
                    CHECK(fused.trained() == apart.trained());
                }
                CHECK(fused.trained()[2] != values(Descending(6).latest.gamma()));
                const std::string text = fast.debugDescription();
                const bool isOther = other == Other::Normalization && isSecond;
                CHECK_THAT(text,
                           ContainsSubstring(isPart + std::string(isOther ? "other" : "norm")));
                CHECK_THAT(slow.debugDescription(), !ContainsSubstring(isPart));
                CHECK(numberAfter(text, "[NNGraph] ") + 1 ==
                      numberAfter(slow.debugDescription(), "[NNGraph] "));
                CHECK(isReplayed(fast));
            }
}

TEST_CASE("an inference graph has the addition within the batch normalization") {
    for (const auto storage : {ImageStorage::Buffer, ImageStorage::Texture})
        for (const Neuron& neuron : {Neuron(), Neuron(relu)})
            for (const bool isSecond : {false, true}) {
                const Block fused(neuron, Other::Normalization, isSecond),
                    apart(neuron, Other::Normalization, isSecond);
                const auto fast = graphOf(fused.result()), slow = graphOf(apart.apart().result());
                const auto images = upload(x(), {.storage = storage});
                const Tensor expected = result(slow, {images});
                CHECK(result(fast, {images}).v == expected.v);
                for (const auto& made : {again(fast), fast.copy()}) {
                    CHECK(result(made, {images}).v == expected.v);
                    CHECK_THAT(made.debugDescription(), ContainsSubstring(isPart));
                }
                CHECK_THAT(fast.debugDescription(), ContainsSubstring("[NNGraph] 5 steps"));
                for (auto& gamma : fused.norm->gammas) gamma *= 2;
                for (auto& gamma : apart.norm->gammas) gamma *= 2;
                fast.reloadFromDataSources();
                slow.reloadFromDataSources();
                const Tensor reloaded = result(fast, {images});
                CHECK(reloaded.v == result(slow, {images}).v);
                CHECK(reloaded.v != expected.v);
            }
}

TEST_CASE("a normalization and its addend may read one image, of any kind") {
    const auto source = std::make_shared<Descending>(6);
    Tensor expected = x();
    for (size_t i = 0; i < expected.size(); ++i) {
        const size_t c = i % 6;
        expected.v[i] += expected.v[i] +
                         source->gammas[c] * (x().v[i] - source->means[c]) /
                             std::sqrt(source->variances[c] + 1e-3) +
                         source->betas[c];
    }
    const NNImageNode input;
    const CNNNeuronLinearNode same(input, 1, 0);
    for (const NNImageNode& image : {input, same.resultImage()}) {
        const CNNBatchNormalizationNode normalization(image, source);
        const NNAdditionNode sum(normalization.resultImage(), image);
        const NNAdditionNode later(sum.resultImage(), image);
        const auto graph = graphOf(later.resultImage());
        CHECK(graph.readCountForSourceImage(0) == (image == input ? 2 : 1));
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("is part of"));
        for (const auto& images : {upload(x()), upload(x(), {.storage = ImageStorage::Texture})})
            CHECK(reference::compare(result(graph, {images}), expected, fp32));
        Image whole;
        run([&](const MTL::CommandBuffer& commands) {
            whole = graph.encode(commands, std::vector<Image>{uploadArray(x())});
        });
        CHECK(reference::compare(download(whole.batchRepresentation()), expected, fp32));
    }
}

TEST_CASE("a temporary addend is read as often as the graph says") {
    const NNImageNode a(named("a")), b(named("b"));
    for (const NNImageNode& addend : {a, b}) {
        const CNNBatchNormalizationNode normalization(a, std::make_shared<Descending>(6));
        const NNAdditionNode sum(normalization.resultImage(), addend);
        const NNMultiplicationNode later(sum.resultImage(), addend);
        const auto graph = graphOf(later.resultImage());
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("is part of"));
        run([&](const MTL::CommandBuffer& commands) {
            std::vector<ImageBatch> images;
            for (size_t k = 0; k < graph.sourceImageHandles().size(); ++k) {
                images.push_back(TemporaryImage::batch(commands, {Format::Float32, 4, 5, 6}, 3));
                ImageBatchIncrementReadCount(images[k],
                                             int64_t(graph.readCountForSourceImage(k)) - 1);
            }
            graph.encodeBatch(commands, images);
            for (const ImageBatch& batch : images)
                for (const Image& image : batch) CHECK(image.as<TemporaryImage>().readCount() == 0);
        });
    }
}

TEST_CASE("images of a sum that lie at other distances are added one by one") {
    for (const bool isSecond : {false, true}) {
        const NNImageNode a(named("a")), b(named("b"));
        const CNNBatchNormalizationNode normalization(a, std::make_shared<Descending>(6));
        const NNImageNode z = normalization.resultImage();
        const NNAdditionNode sum(isSecond ? b : z, isSecond ? z : b);
        // Not replayed: a plan works on copies.
        sum.resultImage().setImageAllocator(std::make_shared<PlainAllocator>());
        const auto fast = graphOf(sum.resultImage());
        CHECK_THAT(fast.debugDescription(), ContainsSubstring("is part of"));
        z.setImageAllocator(std::make_shared<PlainAllocator>());
        const auto slow = graphOf(sum.resultImage());
        const size_t first = fast.sourceImageHandles()[0]->label() == "a" ? 0 : 1;
        for (const auto storage : {ImageStorage::Buffer, ImageStorage::Texture}) {
            std::vector<ImageBatch> images(2);
            images[first] = upload(x());
            images[1 - first] = uploadApart(t(), {.storage = storage});
            ImageBatch made[2];
            run([&](const MTL::CommandBuffer& commands) {
                made[0] = fast.encodeBatch(commands, images);
                made[1] = slow.encodeBatch(commands, images);
            });
            CHECK(download(made[0]).v == download(made[1]).v);
            CHECK(made[0][0].storage() == made[1][0].storage());
        }
    }
}

TEST_CASE("in half precision a normalization is not rounded before an addition") {
    for (const size_t channels : {6, 16})
        for (const auto storage : {ImageStorage::Buffer, ImageStorage::Texture}) {
            const NNImageNode a(named("a")), b(named("b"));
            const CNNBatchNormalizationNode normalization(a,
                                                          std::make_shared<Descending>(channels));
            const NNAdditionNode sum(normalization.resultImage(), b);
            const auto of = [&](Format format) {
                const auto graph = graphOf(sum.resultImage());
                graph.setFormat(format);
                return result(graph, {upload(x(channels), {Format::Float16, storage}),
                                      upload(t(channels), {Format::Float16, storage})});
            };
            const auto made = of(Format::Float16),
                       once = reference::rounded(of(Format::Float32), reference::Storage::Float16);
            if (storage == ImageStorage::Buffer) CHECK(made.v == once.v);
            CHECK(reference::compare(made, once, {Variant{Format::Float16, storage}.tolerance()}));
        }
    const auto training = [](const Block& block) {
        const auto graph = block.training();
        graph.setFormat(Format::Float16);
        return result(graph, {upload(x(), {.format = Format::Float16})}, {lossLabels(t())});
    };
    const Block fused(relu, Other::Source, true), apart(relu, Other::Source, true);
    CHECK(reference::compare(training(fused), training(apart.apart()), {2e-2, 4e-3}));
}

TEST_CASE("an image less is written and read where an addition is fused") {
    const Block fused(relu, Other::Source, true), apart(relu, Other::Source, true);
    const auto fast = fused.training();
    apart.normalization.resultImage().setFormat(Format::Float32); // apart, but replayed
    const auto slow = apart.training();
    CHECK(train(fast).v == train(slow).v);
    CHECK_THAT(slow.debugDescription(), !ContainsSubstring(isPart));
    const auto planOf = [](const std::string& text) { return text.substr(text.find("plan: ")); };
    const std::string text = planOf(fast.debugDescription()),
                      more = planOf(slow.debugDescription());
    const uint64_t image = 3 * 5 * 4 * 8 * 4;
    CHECK(numberAfter(text, "traffic ") + image <= numberAfter(more, "traffic "));
    CHECK(numberAfter(text, "read, ") + image == numberAfter(more, "read, "));
    CHECK(numberAfter(text, "plan: ") + 1 == numberAfter(more, "plan: "));
}

TEST_CASE("a sum of zeros is 0, as an addition has it") {
    const auto source = std::make_shared<FixedNormalization>(std::vector<double>(4, -1),
                                                             std::vector<double>(4, -0.0), 1);
    const NNImageNode a(named("a")), b(named("b"));
    const CNNBatchNormalizationNode normalization(a, source);
    const NNAdditionNode sum(normalization.resultImage(), b);
    const auto isNegative = [&](bool fuses) {
        const auto graph = graphOf(sum.resultImage());
        CHECK(fuses == (graph.debugDescription().find("is part of") != std::string::npos));
        const Tensor made =
            result(graph, {upload(Tensor(1, 1, 1, 4, 0.0)), upload(Tensor(1, 1, 1, 4, -0.0))});
        CHECK(made.v == std::vector<double>(4, 0));
        return std::signbit(made.v[0]);
    };
    CHECK(!isNegative(true));
    sum.setBias(-0.0f);
    CHECK(isNegative(false));
}

TEST_CASE("what keeps an addition apart from a batch normalization") {
    const auto check = [](const std::function<void(Block&)>& change, bool isSame = true) {
        Block plain(relu, Other::Source, false), changed(relu, Other::Source, false);
        change(changed);
        const auto graph = changed.training();
        CHECK_THAT(graph.debugDescription(), !ContainsSubstring(isPart));
        if (isSame) CHECK(train(graph).v == train(plain.training()).v);
    };
    check([](Block& b) { b.normalization.resultImage().setExportFromGraph(true); });
    check([](Block& b) { b.normalization.resultImage().setSynchronizeResource(true); });
    check([](Block& b) { b.normalization.resultImage().setFormat(Format::Float32); });
    check([](Block& b) {
        b.normalization.resultImage().setImageAllocator(std::make_shared<PlainAllocator>());
    });
    check([](Block& b) {
        b.sum.setPaddingPolicy(NNDefaultPadding::paddingForTensorflowAveragePooling());
    });
    check([](Block& b) { b.sum.resultState().setExportFromGraph(true); });
    check([](Block& b) { b.sum.setBias(.5f); }, false);
    check([](Block& b) { b.sum.setSecondaryScale(2); }, false);
    check([](Block& b) { b.sum.setMaximumValue(1); }, false);
    check( // two readers
        [](Block& b) {
            const CNNNeuronLinearNode other(b.normalization.resultImage(), 0, 0);
            const NNAdditionNode both(b.activation.resultImage(), other.resultImage());
            b.activation = CNNNeuronNode(both.resultImage(), relu);
        },
        false);
    check( // the same image twice
        [](Block& b) {
            const NNImageNode z = b.normalization.resultImage();
            b.sum = NNAdditionNode(z, z);
            b.sum.setLabel("sum");
            b.activation = CNNNeuronNode(b.sum.resultImage(), relu);
        },
        false);
    check( // an activation of its own
        [](Block& b) {
            const CNNNeuronSigmoidNode own(b.normalization.resultImage());
            b.sum = NNAdditionNode(own.resultImage(), b.addend);
            b.sum.setLabel("sum");
            b.activation = CNNNeuronNode(b.sum.resultImage(), relu);
        },
        false);
    const Block both(relu, Other::Source, false);
    const NNGraph results(testDevice(), {both.result(), both.normalization.resultImage()});
    CHECK_THAT(results.debugDescription(), !ContainsSubstring(isPart));
}

TEST_CASE("a normalization stays where its state is read before the addition") {
    const NNImageNode a(named("a")), b(named("b"));
    const CNNBatchNormalizationNode normalization(a, std::make_shared<Descending>(6));
    const CNNBatchNormalizationGradientNode gradient(
        b, a, normalization.resultState().as<NNGradientStateNode>());
    const NNAdditionNode sum(gradient.resultImage(), normalization.resultImage());
    const auto fast = graphOf(sum.resultImage());
    CHECK_THAT(fast.debugDescription(), !ContainsSubstring("is part of"));
    const auto made = result(fast, {upload(x()), upload(t())});
    normalization.resultImage().setImageAllocator(Image::defaultAllocator());
    CHECK(made.v == result(graphOf(sum.resultImage()), {upload(x()), upload(t())}).v);
}

TEST_CASE("addends of other sizes are repeated by an addition, or refused") {
    const NNImageNode a(named("a")), b(named("b"));
    const CNNBatchNormalizationNode normalization(a, std::make_shared<Descending>(6));
    const NNAdditionNode sum(normalization.resultImage(), b);
    const auto of = [&](const NNGraph& graph, size_t height, size_t width, size_t channels) {
        return result(graph, {upload(x()), upload(Tensor(3, height, width, channels, .5))});
    };
    const auto fused = graphOf(sum.resultImage());
    CHECK_THAT(fused.debugDescription(), ContainsSubstring("is part of"));
    const Tensor expected = of(fused, 5, 4, 6);
    const std::vector<std::array<size_t, 3>> others{{1, 1, 6}, {5, 1, 6}, {5, 4, 1}};
    for (const auto& [height, width, channels] : others) {
        const auto what = sentence<InvalidArgument>(
            [&, h = height, w = width, c = channels] { of(fused, h, w, c); });
        CHECK_THAT(what, ContainsSubstring("The images to be added are 3 of ") &&
                             ContainsSubstring("but those normalized are 3 of 4x5 with 6"));
    }
    CHECK(of(fused, 5, 4, 6).v == expected.v);
    sum.setSecondaryStrideInPixelsX(0);
    sum.setSecondaryStrideInPixelsY(0);
    const auto repeats = graphOf(sum.resultImage());
    CHECK_THAT(repeats.debugDescription(), !ContainsSubstring("is part of"));
    CHECK(of(repeats, 1, 1, 6).v == expected.v);
}
