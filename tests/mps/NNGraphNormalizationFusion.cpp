// Activations that become a part of the batch normalization before them, and their gradients of
// its gradient: against graphs that keep them apart.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "support/Normalizations.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <utility>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::NeuronType;

namespace {

/// Keeps the gradients that it is given, where they outlive the encode.
struct Watching : FixedNormalization {
    using FixedNormalization::FixedNormalization;
    CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer, CNNBatchNormalizationState state) override {
        latest = state.isTemporary() ? CNNBatchNormalizationState() : state;
        return {};
    }
    CNNBatchNormalizationState latest;
};

constexpr double epsilon = 1e-3;

/// tanh, batch normalization, an activation; the gradient of what `use` makes of it.
struct Layer {
    explicit Layer(const NNNeuronDescriptor& neuron)
        : source(std::make_shared<Watching>(std::vector<double>{.5, 1.5, .75, 1, 2, -.5},
                                            std::vector<double>{.1, .2, .3, -.4, .5, 0}, epsilon)),
          first(input), normalization(first.resultImage(), source),
          activation(normalization.resultImage(), neuron) {
        normalization.setLabel("norm");
    }
    NNGraph training() const {
        const CNNLossNode loss(activation.resultImage(), squares());
        return graphOf(loss.trainingGraph(std::nullopt, handler).at(0).resultImage());
    }
    std::shared_ptr<Watching> source;
    NNImageNode input;
    CNNNeuronTanHNode first;
    CNNBatchNormalizationNode normalization;
    CNNNeuronNode activation;
    GradientNodeBlock handler;
};

const Tensor& x() {
    static const Tensor made = reference::random(3, 5, 4, 6, 1);
    return made;
}
const Tensor& t() {
    static const Tensor made = reference::random(3, 5, 4, 6, 2);
    return made;
}

struct Result {
    Tensor dx;
    std::vector<double> dGamma, dBeta;
};

Result train(const Layer& layer, const NNGraph& graph) {
    Result made;
    made.dx = result(graph, {upload(x())}, {lossLabels(t())});
    // A state keeps its data source: what that keeps is taken from it.
    const auto state = std::exchange(layer.source->latest, {});
    if (!state) return made;
    made.dGamma = values(state.gradientForGamma());
    made.dBeta = values(state.gradientForBeta());
    return made;
}

const reference::Tolerance near{2e-5, 1e-6};

void compare(const Result& a, const Result& b) {
    CHECK(reference::compare(a.dx, b.dx, near));
    if (a.dGamma.empty() || b.dGamma.empty()) return;
    CHECK(reference::compare(a.dGamma, b.dGamma, near));
    CHECK(reference::compare(a.dBeta, b.dBeta, near));
}

uint64_t numberAfter(const std::string& text, const std::string& key) {
    const size_t at = text.find(key);
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + key.size()));
}

const NNNeuronDescriptor relu(CNNNeuronType::ReLU, .25f);

} // namespace

TEST_CASE("every activation trains as a part of a batch normalization") {
    const std::vector<float> slopes{.5f, .25f, .125f, .1f, .2f, .3f};
    std::vector<NNNeuronDescriptor> all{NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes),
                                        NNNeuronDescriptor(CNNNeuronType::ReLU, 0)};
    for (const CNNNeuronType type :
         {CNNNeuronType::Linear, CNNNeuronType::Sigmoid, CNNNeuronType::HardSigmoid,
          CNNNeuronType::TanH, CNNNeuronType::Absolute, CNNNeuronType::SoftPlus,
          CNNNeuronType::SoftSign, CNNNeuronType::ELU, CNNNeuronType::ReLUN, CNNNeuronType::GeLU})
        all.emplace_back(type, .75f, 1.25f);
    for (const NNNeuronDescriptor& neuron : all) {
        INFO("type " << int(neuron.neuronType()));
        const Layer fused(neuron), apart(neuron);
        apart.normalization.resultImage().setImageAllocator(Image::defaultAllocator());
        const auto fast = fused.training(), slow = apart.training();
        const Result expected = train(apart, slow), first = train(fused, fast);
        compare(first, expected);
        for (int round = 0; round < 2; ++round) { // replayed: the same bits
            const Result again = train(fused, fast);
            CHECK(again.dx.v == first.dx.v);
            CHECK(again.dGamma == first.dGamma);
            CHECK(again.dGamma.size() == 6);
        }
        CHECK_THAT(fast.debugDescription(),
                   ContainsSubstring(" is part of CNNBatchNormalizationNode \"norm\", and "
                                     "CNNNeuronGradientNode of CNNBatchNormalizationGradientNode"));
        CHECK_THAT(slow.debugDescription(),
                   ContainsSubstring("stays apart from CNNBatchNormalizationNode \"norm\": its "
                                     "source has an allocator of its own"));
    }
}

TEST_CASE("the fused gradient is that of the function") {
    const Layer layer(NNNeuronDescriptor(CNNNeuronType::TanH, 1.5f, .5f));
    const Result made = train(layer, layer.training());
    reference::BatchNormalization b;
    b.gamma = {.5, 1.5, .75, 1, 2, -.5};
    b.beta = {.1, .2, .3, -.4, .5, 0};
    b.epsilon = epsilon;
    b.neuron = {NeuronType::TanH, 1.5, .5, 0, {}};
    const auto loss = [&](const Tensor& input) {
        const Tensor a = reference::forward(tanH, input);
        const Tensor y = reference::forward(b, reference::statistics(a), a);
        double sum = 0;
        for (size_t i = 0; i < y.size(); ++i) sum += (y.v[i] - t().v[i]) * (y.v[i] - t().v[i]);
        return sum;
    };
    for (size_t i = 0; i < x().size(); i += 7) {
        Tensor up = x(), down = x();
        up.v[i] += 1e-5;
        down.v[i] -= 1e-5;
        const double numerical = (loss(up) - loss(down)) / 2e-5;
        CHECK(std::abs(made.dx.v[i] - numerical) < 1e-4 * (1 + std::abs(numerical)));
    }
}

TEST_CASE("two images less are written and read where an activation is fused") {
    const Layer fused(relu), apart(relu);
    const NNGraph fast = fused.training();
    // Apart, but replayed: a second reader that counts for nothing.
    const CNNNeuronLinearNode other(apart.normalization.resultImage(), 0, 0);
    const NNAdditionNode sum(apart.activation.resultImage(), other.resultImage());
    const CNNLossNode loss(sum.resultImage(), squares());
    const NNGraph slow = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
    compare(train(fused, fast), train(apart, slow));
    const std::string text = fast.debugDescription(), more = slow.debugDescription();
    CHECK(numberAfter(text, "plan: ") + 2 <= numberAfter(more, "plan: "));
    CHECK(numberAfter(text, "traffic ") + 4 * x().size() * 4 <= numberAfter(more, "traffic "));
    for (const auto& made : {again(fast), fast.copy()})
        CHECK(result(made, {upload(x())}, {lossLabels(t())}).v ==
              result(fast, {upload(x())}, {lossLabels(t())}).v);
}

TEST_CASE("an inference graph has the activation within the batch normalization") {
    const Layer layer(relu);
    const auto graph = graphOf(layer.activation.resultImage());
    CHECK_THAT(graph.debugDescription(),
               ContainsSubstring("2 steps") &&
                   ContainsSubstring("is part of CNNBatchNormalizationNode \"norm\""));
    const NNGraph both(testDevice(),
                       {layer.activation.resultImage(), layer.normalization.resultImage()});
    both.setFormat(ImageFeatureChannelFormat::Float32);
    CHECK_THAT(both.debugDescription(), ContainsSubstring("its source leaves the graph"));
    CHECK(reference::compare(result(graph, {upload(x())}), result(both, {upload(x())}), near));
}

TEST_CASE("what keeps an activation apart from a batch normalization in training") {
    const Layer plain(relu);
    const Result expected = train(plain, plain.training());
    const auto check = [&](const Layer& layer) {
        const auto graph = layer.training();
        compare(train(layer, graph), expected);
        CHECK_THAT(graph.debugDescription(), !ContainsSubstring("is part of"));
    };
    {
        const Layer layer(relu);
        layer.activation.setPaddingPolicy(
            NNDefaultPadding::paddingForTensorflowAveragePooling()); // a custom one
        check(layer);
    }
    {
        const Layer layer(relu);
        layer.normalization.resultImage().setImageAllocator(std::make_shared<PlainAllocator>());
        check(layer);
    }
    { // the activation's gradient is wanted
        Layer layer(relu);
        layer.handler = [](NNFilterNode gradient, auto, auto, auto) {
            if (gradient.as<CNNNeuronGradientNode>())
                gradient.resultImage().setExportFromGraph(true);
        };
        check(layer);
    }
    { // or its state
        const Layer layer(relu);
        layer.activation.resultState().setExportFromGraph(true);
        check(layer);
    }
    { // another function's gradient, by hand
        const Layer layer(relu);
        const CNNLossNode loss(layer.activation.resultImage(), squares());
        const CNNNeuronGradientNode other(loss.resultImage(), layer.normalization.resultImage(),
                                          layer.activation.resultState().as<NNGradientStateNode>(),
                                          NNNeuronDescriptor(CNNNeuronType::TanH, 1, 1));
        const CNNBatchNormalizationGradientNode last(
            other.resultImage(), layer.first.resultImage(),
            layer.normalization.resultState().as<NNGradientStateNode>());
        CHECK_THAT(graphOf(last.resultImage()).debugDescription(),
                   !ContainsSubstring("is part of"));
    }
}
