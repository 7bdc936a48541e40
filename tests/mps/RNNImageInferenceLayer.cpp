#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Sentence.hpp"
#include "support/Weights.hpp"
#include "support/reference/Convolution.hpp"

#include <mpsvk/MPS/KeyedArchiver.hpp>
#include <mpsvk/MPS/RNNImageInferenceLayer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::EdgeMode;
using reference::Neuron;
using reference::NeuronType;
using reference::Tensor;
using Mode = MPS::RNNBidirectionalCombineMode;
using Values = std::vector<double>;

namespace {

/// Weights of one gate: windows of three sizes.
struct Gate {
    Values w, u, v, b;
    Neuron neuron;
};
constexpr size_t wSide = 3, uSide = 2, vSide = 1;

struct Layer {
    enum Kind { SingleGate, LSTM, GRU } kind;
    size_t inputs, outputs;
    bool diagonal = false, unit = false;
    std::array<Gate, 4> gates = {};

    size_t gateCount() const { return kind == SingleGate ? 1 : kind == LSTM ? 4 : 3; }
};

Layer random(Layer layer, uint64_t seed) {
    for (size_t i = 0; i < layer.gateCount(); ++i) {
        auto& gate = layer.gates[i];
        const size_t out = layer.outputs;
        const auto some = [&](size_t count, uint64_t which) {
            return reference::rounded(
                reference::randomVector(count, seed * 100 + i * 10 + which, -0.4, 0.4),
                reference::Storage::Float32);
        };
        gate.w = some(out * wSide * wSide * layer.inputs, 1);
        gate.u = some(out * uSide * uSide * out, 2);
        if (layer.kind == Layer::LSTM || (layer.kind == Layer::GRU && i == 2))
            gate.v = some(layer.diagonal ? out : out * vSide * vSide * out, 3);
        gate.b = some(out, 4);
        gate.neuron = {layer.kind == Layer::SingleGate || i == 2 ? NeuronType::TanH
                                                                 : NeuronType::Sigmoid,
                       1, 1};
    }
    return layer;
}

using Source = std::shared_ptr<MPS::CNNConvolutionDataSource>;

Source source(const Values& weights, const Values& biases, size_t side, size_t inputs,
              size_t outputs, const Neuron& neuron) {
    MPS::CNNConvolutionDescriptor d(side, side, inputs, outputs);
    d.setFusedNeuronDescriptor(MPS::NNNeuronDescriptor(MPS::CNNNeuronType(int(neuron.type)),
                                                       float(neuron.a), float(neuron.b)));
    return std::make_shared<FixedWeights>(d, weights, biases);
}

MPS::RNNDescriptor descriptorOf(const Layer& layer) {
    const auto w = [&](size_t i) {
        const auto& gate = layer.gates[i];
        return source(gate.w, gate.b, wSide, layer.inputs, layer.outputs, gate.neuron);
    };
    const auto u = [&](size_t i) {
        return source(layer.gates[i].u, {}, uSide, layer.outputs, layer.outputs, {});
    };
    const auto v = [&](size_t i) {
        return source(layer.gates[i].v, {}, vSide, layer.diagonal ? 1 : layer.outputs,
                      layer.outputs, {});
    };
    if (layer.kind == Layer::SingleGate) {
        MPS::RNNSingleGateDescriptor d(layer.inputs, layer.outputs);
        d.setInputWeights(w(0));
        d.setRecurrentWeights(u(0));
        d.setUseLayerInputUnitTransformMode(layer.unit);
        return d;
    }
    if (layer.kind == Layer::GRU) {
        MPS::GRUDescriptor d(layer.inputs, layer.outputs);
        d.setInputGateInputWeights(w(0));
        d.setInputGateRecurrentWeights(u(0));
        d.setRecurrentGateInputWeights(w(1));
        d.setRecurrentGateRecurrentWeights(u(1));
        d.setOutputGateInputWeights(w(2));
        d.setOutputGateRecurrentWeights(u(2));
        d.setOutputGateInputGateWeights(v(2));
        return d;
    }
    MPS::LSTMDescriptor d(layer.inputs, layer.outputs);
    d.setInputGateInputWeights(w(0));
    d.setInputGateRecurrentWeights(u(0));
    d.setInputGateMemoryWeights(v(0));
    d.setForgetGateInputWeights(w(1));
    d.setForgetGateRecurrentWeights(u(1));
    d.setForgetGateMemoryWeights(v(1));
    d.setCellGateInputWeights(w(2));
    d.setCellGateRecurrentWeights(u(2));
    d.setCellGateMemoryWeights(v(2));
    d.setOutputGateInputWeights(w(3));
    d.setOutputGateRecurrentWeights(u(3));
    d.setOutputGateMemoryWeights(v(3));
    d.setMemoryWeightsAreDiagonal(layer.diagonal);
    return d;
}

struct Reference {
    const Layer& layer;
    EdgeMode edge = EdgeMode::Zero;
    Tensor h, c; ///< the state

    Tensor convolved(const Tensor& x, const Values& weights, size_t side) const {
        reference::Convolution k;
        k.inputChannels = x.c;
        k.outputChannels = layer.outputs;
        k.kernelWidth = k.kernelHeight = side;
        k.edge = edge;
        k.outputWidth = x.w;
        k.outputHeight = x.h;
        k.weights = weights;
        return reference::forward(k, x);
    }
    static Tensor combined(Tensor a, const Tensor& b, double (*f)(double, double)) {
        for (size_t i = 0; i < a.size(); ++i) a.v[i] = f(a.v[i], b.v[i]);
        return a;
    }
    static Tensor plus(const Tensor& a, const Tensor& b) {
        return combined(a, b, [](double x, double y) { return x + y; });
    }
    static Tensor times(const Tensor& a, const Tensor& b) {
        return combined(a, b, [](double x, double y) { return x * y; });
    }
    Tensor inputs(const Tensor& x, size_t i) const {
        const auto& gate = layer.gates[i];
        Tensor sum = layer.unit ? x : convolved(x, gate.w, wSide);
        for (size_t k = 0; k < sum.size(); ++k) sum.v[k] += gate.b[k % layer.outputs];
        return sum;
    }
    Tensor gate(const Tensor& x, size_t i, const Tensor* cell) const {
        const auto& gate = layer.gates[i];
        Tensor sum = plus(inputs(x, i), convolved(h, gate.u, uSide));
        if (cell && layer.diagonal)
            for (size_t k = 0; k < sum.size(); ++k)
                sum.v[k] += gate.v[k % layer.outputs] * cell->v[k];
        else if (cell)
            sum = plus(sum, convolved(*cell, gate.v, vSide));
        return reference::forward(gate.neuron, sum);
    }
    Tensor step(const Tensor& x) {
        if (h.size() == 0) h = c = Tensor(x.n, x.h, x.w, layer.outputs);
        if (layer.kind == Layer::SingleGate) {
            h = gate(x, 0, nullptr);
        } else if (layer.kind == Layer::LSTM) {
            const Tensor I = gate(x, 0, &c), F = gate(x, 1, &c), C = gate(x, 2, &c);
            c = plus(times(F, c), times(I, C));
            const Tensor O = gate(x, 3, &c);
            h = times(O, reference::forward(Neuron{NeuronType::TanH, 1, 1}, c));
        } else {
            const Tensor z = gate(x, 0, nullptr), r = gate(x, 1, nullptr);
            const auto& last = layer.gates[2];
            const Tensor sum = plus(inputs(x, 2), plus(convolved(times(r, h), last.u, uSide),
                                                       convolved(times(z, h), last.v, vSide)));
            const Tensor candidate = reference::forward(last.neuron, sum);
            for (size_t k = 0; k < h.size(); ++k)
                h.v[k] = (1 - z.v[k]) * candidate.v[k] + z.v[k] * h.v[k];
        }
        return h;
    }
};

const std::vector<Layer>& layers() {
    static const std::vector<Layer> all{
        random({Layer::SingleGate, 3, 5}, 1), random({Layer::LSTM, 3, 6}, 2),
        random({Layer::LSTM, 5, 4, true}, 3), random({Layer::GRU, 4, 5}, 4),
        random({Layer::SingleGate, 5, 5, false, true}, 5)};
    return all;
}

[[maybe_unused]] const bool named =
    everyOther([] { return MPS::RNNImageInferenceLayer(testDevice(), descriptorOf(layers()[1])); });

std::vector<Tensor> sequence(size_t steps, size_t channels, uint64_t seed, Variant variant = {}) {
    std::vector<Tensor> all;
    for (size_t t = 0; t < steps; ++t)
        all.push_back(
            reference::rounded(reference::random(2, 4, 5, channels, seed + t), variant.rounding()));
    return all;
}

/// Each step an image of two images.
std::vector<MPS::Image> uploaded(const std::vector<Tensor>& steps, Variant variant = {}) {
    std::vector<MPS::Image> all;
    for (const Tensor& step : steps) all.push_back(uploadArray(step, variant));
    return all;
}

std::vector<MPS::Image> empty(size_t steps, size_t channels, Variant variant = {}) {
    return uploaded(std::vector<Tensor>(steps, Tensor(2, 4, 5, channels, 9)), variant);
}

Tensor valuesOf(const MPS::Image& image) { return download(image.batchRepresentation()); }

} // namespace

TEST_CASE("recurrent layers on images equal the reference in every kind of image") {
    for (const Variant variant : variants())
        for (const Layer& layer : layers()) {
            INFO(variant.name() << ", kind " << int(layer.kind));
            const auto edge = layer.diagonal ? EdgeMode::Clamp : EdgeMode::Zero;
            MPS::RNNImageInferenceLayer kernel(testDevice(), descriptorOf(layer));
            if (layer.diagonal) kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
            kernel.setDestinationFeatureChannelOffset(4);
            kernel.setSourceFeatureChannelOffset(layer.unit ? 0 : 4);
            const auto x =
                sequence(4, layer.inputs + kernel.sourceFeatureChannelOffset(), 60, variant);
            const auto y = empty(4, layer.outputs + 5, variant);
            const auto sources = uploaded(x, variant);
            std::vector<MPS::RNNRecurrentImageState> states;
            run([&](const MTL::CommandBuffer& commands) {
                const auto part = [](const auto& all, size_t first) {
                    return std::vector(all.begin() + first, all.begin() + first + 2);
                };
                kernel.encodeSequence(commands, part(sources, 0), part(y, 0), {}, &states);
                kernel.encodeSequence(commands, part(sources, 2), part(y, 2), states.back(),
                                      &states);
            });
            Reference reference{layer, edge, {}, {}};
            for (size_t t = 0; t < 4; ++t) {
                INFO("step " << t);
                const Tensor expected = reference.step(
                    reference::channels(x[t], kernel.sourceFeatureChannelOffset(), layer.inputs));
                const Tensor actual = valuesOf(y[t]);
                CHECK(reference::compare(reference::channels(actual, 4, layer.outputs), expected,
                                         {variant.tolerance() + 1e-5}));
                CHECK(reference::channels(actual, 0, 4).v == Values(2 * 20 * 4, 9));
            }
            REQUIRE(states.size() == 2);
            CHECK(reference::compare(valuesOf(states[1].getRecurrentOutputImage(0)), reference.h,
                                     {1e-5}));
            if (layer.kind == Layer::LSTM)
                CHECK(reference::compare(valuesOf(states[1].getMemoryCellImage(0)), reference.c,
                                         {1e-5}));
            else
                CHECK_FALSE(states[1].getMemoryCellImage(0));
            CHECK_FALSE(states[1].getRecurrentOutputImage(1));
            conforms("RNNImageInferenceLayer", Aspect::Forward, variant);
        }
    conforms("RNNRecurrentImageState", Aspect::State);
}

TEST_CASE("a stack on images runs in both directions, separate, added or side by side") {
    const std::vector<Layer> stack{random({Layer::LSTM, 3, 5}, 11), random({Layer::GRU, 3, 6}, 12),
                                   random({Layer::GRU, 5, 8}, 13),
                                   random({Layer::SingleGate, 6, 8}, 14)};
    std::vector<MPS::RNNDescriptor> descriptors;
    for (size_t i = 0; i < 4; ++i) {
        descriptors.push_back(descriptorOf(stack[i]));
        if (i % 2) descriptors[i].setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
    }
    MPS::RNNImageInferenceLayer kernel(testDevice(), descriptors);
    CHECK(kernel.numberOfLayers() == 4);
    CHECK(kernel.inputFeatureChannels() == 3);
    CHECK(kernel.outputFeatureChannels() == 8);
    const auto x = sequence(3, 3, 70);
    std::vector<Tensor> forwards(3), backwards(3);
    Reference first{stack[0], EdgeMode::Zero, {}, {}}, second{stack[2], EdgeMode::Zero, {}, {}},
        third{stack[1], EdgeMode::Zero, {}, {}}, fourth{stack[3], EdgeMode::Zero, {}, {}};
    for (size_t t = 0; t < 3; ++t) forwards[t] = second.step(first.step(x[t]));
    for (size_t t = 3; t-- > 0;) backwards[t] = fourth.step(third.step(x[t]));
    const auto y = empty(3, 8), z = empty(3, 8), sum = empty(3, 8), wide = empty(3, 16);
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::ImageBatch sources = MPS::TemporaryImage::batch(
            commands, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 5, 4, 3, 2), 3);
        MPS::CNNNeuron fill(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
        const auto images = uploaded(x);
        for (size_t t = 0; t < 3; ++t) fill.encode(commands, images[t], sources[t]);
        kernel.encodeBidirectionalSequence(commands, sources, y, z);
        CHECK(sources[1].as<MPS::TemporaryImage>().readCount() == 0);
        kernel.setBidirectionalCombineMode(Mode::Add);
        kernel.encodeBidirectionalSequence(commands, images, sum, {});
        kernel.setBidirectionalCombineMode(Mode::Concatenate);
        kernel.encodeBidirectionalSequence(commands, images, wide, {});
    });
    for (size_t t = 0; t < 3; ++t) {
        CHECK(reference::compare(valuesOf(y[t]), forwards[t], {1e-5}));
        CHECK(reference::compare(valuesOf(z[t]), backwards[t], {1e-5}));
        CHECK(reference::compare(valuesOf(sum[t]), Reference::plus(forwards[t], backwards[t]),
                                 {1e-5}));
        const Tensor both = valuesOf(wide[t]);
        CHECK(reference::compare(reference::channels(both, 0, 8), forwards[t], {1e-5}));
        CHECK(reference::compare(reference::channels(both, 8, 8), backwards[t], {1e-5}));
    }
}

TEST_CASE("image states are stored after every step, and temporary ones given back") {
    MPS::RNNImageInferenceLayer kernel(
        testDevice(), {descriptorOf(layers()[1]), descriptorOf(random({Layer::GRU, 6, 4}, 21))});
    const auto x = uploaded(sequence(3, 3, 80));
    const auto y = empty(3, 4), again = empty(1, 4);
    kernel.setStoreAllIntermediateStates(true);
    kernel.setRecurrentOutputIsTemporary(true);
    run([&](const MTL::CommandBuffer& commands) {
        std::vector<MPS::RNNRecurrentImageState> states;
        kernel.encodeSequence(commands, x, y, {}, &states);
        REQUIRE(states.size() == 3);
        CHECK(states[1].isTemporary());
        kernel.encodeSequence(commands, {x[2]}, again, states[1], nullptr);
        CHECK(states[1].readCount() == 0);
        CHECK(states[1].getRecurrentOutputImage(0).as<MPS::TemporaryImage>().readCount() == 0);
    });
    CHECK(valuesOf(again[0]).v == valuesOf(y[2]).v);
}

TEST_CASE("a source that stands in several time steps and directions is read once") {
    auto back = descriptorOf(layers()[0]);
    back.setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
    MPS::RNNImageInferenceLayer one(testDevice(), descriptorOf(layers()[0])),
        both(testDevice(), {descriptorOf(layers()[0]), back});
    MPS::CNNNeuron fill(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    const auto x = sequence(1, 3, 85);
    const auto other = uploaded(x)[0];
    const auto y = empty(2, 5), forward = empty(3, 5), backward = empty(3, 5);
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::TemporaryImage twice(
            commands, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 5, 4, 3, 2));
        twice.setReadCount(3);
        fill.encode(commands, other, twice);
        one.encodeSequence(commands, {twice, twice}, y, {}, nullptr);
        CHECK(twice.readCount() == 2);
        for (const uint64_t left : {1, 0}) {
            both.encodeBidirectionalSequence(commands, {twice, other, twice}, forward, backward);
            CHECK(twice.readCount() == left);
        }
    });
    Reference reference{layers()[0], EdgeMode::Zero, {}, {}};
    for (size_t t = 0; t < 3; ++t) {
        const Tensor expected = reference.step(x[0]);
        if (t < 2) CHECK(reference::compare(valuesOf(y[t]), expected, {1e-5}));
        CHECK(reference::compare(valuesOf(forward[t]), expected, {1e-5}));
        CHECK(reference::compare(valuesOf(backward[2 - t]), expected, {1e-5}));
    }
}

TEST_CASE("copies and archives of a layer on images compute the same bits") {
    const auto x = uploaded(sequence(2, 3, 90));
    MPS::RNNImageInferenceLayer kernel(
        testDevice(), {descriptorOf(layers()[1]), descriptorOf(random({Layer::GRU, 6, 4}, 22)),
                       descriptorOf(random({Layer::LSTM, 4, 4, true}, 23))});
    auto copy = kernel.copy(testDevice());
    auto assigned = copy;
    assigned = kernel;
    auto again = MPS::KeyedUnarchiver::unarchivedObject<MPS::RNNImageInferenceLayer>(
        MPS::KeyedArchiver::archivedData(kernel), testDevice());
    std::vector<Values> results;
    for (auto* each : {&kernel, &copy, &assigned, &again, &kernel}) {
        const auto y = empty(2, 4);
        run([&](const MTL::CommandBuffer& commands) {
            each->encodeSequence(commands, x, y, {}, nullptr);
        });
        results.push_back(valuesOf(y[1]).v);
    }
    for (const Values& result : results) CHECK(result == results[0]);
    conforms("RNNImageInferenceLayer", Aspect::Archive);
}

TEST_CASE("a recurrent layer on images refuses what does not fit, with a sentence") {
    const auto refused = [](auto call) { return sentence<InvalidArgument>(call); };
    const std::string who = "[RNNImageInferenceLayer] ";
    MPS::RNNImageInferenceLayer k(testDevice(), descriptorOf(layers()[0]));
    const auto x = empty(2, 3), y = empty(2, 5);
    run([&](const MTL::CommandBuffer& commands) {
        const auto encode = [&](const std::vector<MPS::Image>& sources,
                                const std::vector<MPS::Image>& results,
                                const MPS::RNNRecurrentImageState& state = {}) {
            return refused([&] { k.encodeSequence(commands, sources, results, state, nullptr); });
        };
        CHECK(encode(x, {y[0]}) ==
              who + "destinationImages has 1 images but there are 2 time steps.");
        CHECK(encode(x, x) ==
              who + "destinationImages[0] has 3 feature channels but 5 are needed.");
        CHECK(encode({x[0], uploadArray(Tensor(2, 5, 5, 3))}, y) ==
              who + "sourceImages[1] has 2 of 5x5 pixels but the first source has 2 of 5x4.");
        CHECK(refused([&] { k.encode(commands, x[0], y[0]); }) ==
              who + "An image was given to an encode of CNNKernel but a sequence is encoded with "
                    "encodeSequence.");
        std::vector<MPS::RNNRecurrentImageState> states;
        MPS::RNNImageInferenceLayer(testDevice(), descriptorOf(layers()[1]))
            .encodeSequence(commands, x, empty(2, 6), {}, &states);
        CHECK(encode(x, y, states[0]) ==
              who + "recurrentInputState has other feature channels, another size or another kind "
                    "of layer than layer 0.");
        CHECK(refused([&] { k.encodeBidirectionalSequence(commands, x, y, y); }) ==
              who +
                  "No layer has the direction Backward but a bidirectional encode needs layers of "
                  "both.");
        k.setClipRect({{0, 0, 0}, {1, 1, 1}});
        CHECK(encode(x, y) == who + "offset or clipRect was set but a recurrent layer always works "
                                    "on whole images.");
        k.setClipRect(MPS::RectNoClip);
        k.setSourceFeatureChannelMaxCount(2);
        CHECK(encode(x, y) == who + "sourceFeatureChannelMaxCount was set but a recurrent layer "
                                    "reads as many channels as it has.");
        auto other = descriptorOf(random({Layer::GRU, 3, 5}, 31));
        other.setLayerSequenceDirection(MPS::RNNSequenceDirection::Backward);
        MPS::RNNImageInferenceLayer both(testDevice(), {descriptorOf(layers()[0]), other});
        both.setBidirectionalCombineMode(Mode::Concatenate);
        CHECK(refused([&] { both.encodeBidirectionalSequence(commands, x, empty(2, 10), {}); }) ==
              who + "The stack forward has 5 output feature channels but must have a multiple of 4 "
                    "for the other's to follow them.");
    });
    conforms("RNNImageInferenceLayer", Aspect::Misuse);
}
