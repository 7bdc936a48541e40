#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Recurrent.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

const auto half = DataType::Float16, single = DataType::Float32;

[[maybe_unused]] const bool named = everyOther([] {
    std::vector<MPS::Matrix> weights;
    const auto layer = randomLayer(RecurrentKind::GRU, 3, 5, 1, {.flip = true, .pNorm = 2});
    MPS::RNNMatrixTrainingLayer made(testDevice(), RecurrentDescriptor(layer).gru(), &weights);
    made.setAccumulateWeightGradients(true);
    made.setStoreAllIntermediateStates(true);
    return made;
});

struct Sequence {
    Recurrent layer;
    std::vector<size_t> lengths = {9, 8, 8, 5}; ///< of the batch's sequences
    size_t split = 0; ///< where a second encode goes on with the state of the first
    DataType matrices = single, weights = single, gradients = single;
};

/// By central differences in double precision.
Values differences(const std::function<double()>& f, Values& x) {
    constexpr double step = 1e-5;
    Values slopes;
    for (double& value : x) {
        const double before = value;
        value = before + step;
        const double above = f();
        value = before - step;
        slopes.push_back((above - f()) / (2 * step));
        value = before;
    }
    return slopes;
}

double dot(const Steps& a, const Steps& b) {
    double sum = 0;
    for (size_t t = 0; t < a.size(); ++t)
        for (size_t i = 0; i < a[t].size(); ++i) sum += a[t][i] * b[t][i];
    return sum;
}

template <class T> std::vector<T> from(const std::vector<T>& all, size_t first, size_t end) {
    return {all.begin() + first, all.begin() + end};
}

class Checked {
public:
    explicit Checked(const Sequence& s)
        : s_(s), rows_(rowsOf(s.lengths)), x_(randomSteps(rows_, s.layer.inputs, 3, s.matrices)),
          cotangents_(randomSteps(rows_, s.layer.outputs, 4, s.matrices)),
          kernel_(testDevice(), RecurrentDescriptor(s.layer, s.weights).any(), &weights_) {
        CHECK(kernel_.inputFeatureChannels() == s.layer.inputs);
        CHECK(kernel_.outputFeatureChannels() == s.layer.outputs);
    }

    void weightsAreThose() {
        for (const auto& each : namedWeights(s_.layer))
            CHECK(copied(weights_, each) == *each.values);
    }

    void forward() {
        sources_ = matricesOf(x_, s_.layer.inputs, s_.matrices);
        const auto results = emptyMatrices(rows_, s_.layer.outputs, s_.matrices);
        std::vector<MPS::RNNRecurrentMatrixState> states;
        run([&](const MTL::CommandBuffer& commands) {
            forEachPart([&](size_t first, size_t end) {
                kernel_.encodeForwardSequence(
                    commands, from(sources_, first, end), {}, from(results, first, end), {},
                    &training_, states.empty() ? MPS::RNNRecurrentMatrixState() : states.back(),
                    &states, weights_);
            });
        });
        REQUIRE(training_.size() == rows_.size());
        const auto expected = reference::forward(s_.layer, x_);
        for (size_t t = 0; t < rows_.size(); ++t) {
            INFO("step " << t);
            CHECK(reference::compare(test::valuesOf(results[t]), expected.outputs[t],
                                     {s_.matrices == half ? 1e-3 : 3e-6}));
        }
        const size_t used = rows_[s_.split] * s_.layer.outputs;
        const auto first = [&](const Values& all) {
            return Values(all.begin(), all.begin() + used);
        };
        CHECK(reference::compare(test::valuesOf(states.back().getRecurrentOutputMatrix(0)),
                                 first(expected.lastOutput), {3e-6}));
        if (s_.layer.kind == RecurrentKind::LSTM)
            CHECK(reference::compare(test::valuesOf(states.back().getMemoryCellMatrix(0)),
                                     first(expected.lastCell), {3e-6}));
        else
            CHECK_FALSE(states.back().getMemoryCellMatrix(0));
        if (s_.split > 0) before_ = states.front();
    }

    void gradient() {
        const auto dy = matricesOf(cotangents_, s_.layer.outputs, s_.matrices);
        const auto dx = emptyMatrices(rows_, s_.layer.inputs, s_.matrices);
        std::vector<MPS::Matrix> gradients;
        kernel_.createWeightGradientMatrices(&gradients, s_.gradients);
        for (const auto& matrix : gradients)
            matrix.write(std::vector<float>(matrix.rows() * matrix.columns(), 5));
        std::vector<MPS::RNNRecurrentMatrixState> states;
        run([&](const MTL::CommandBuffer& commands) {
            forEachPartBackward([&](size_t first, size_t end) {
                kernel_.setAccumulateWeightGradients(!states.empty());
                kernel_.encodeGradientSequence(
                    commands, from(sources_, first, end), {}, from(dy, first, end), {},
                    from(dx, first, end), {}, gradients, from(training_, first, end),
                    states.empty() ? MPS::RNNRecurrentMatrixState() : states.back(), &states,
                    weights_);
            });
        });
        const auto loss = [&] {
            return dot(reference::forward(s_.layer, x_).outputs, cotangents_);
        };
        const double tolerance = s_.matrices == half ? 2e-3 : 1e-5;
        for (size_t t = 0; t < rows_.size(); ++t) {
            INFO("the source of step " << t);
            CHECK(reference::compare(test::valuesOf(dx[t]), differences(loss, x_[t]),
                                     {tolerance, 1e-9}));
        }
        for (const auto& each : namedWeights(s_.layer)) {
            INFO("weights with id " << uint64_t(each.id));
            CHECK(reference::compare(copied(gradients, each), differences(loss, *each.values),
                                     {s_.gradients == half ? 2e-3 : 1e-5, 1e-9}));
        }
        initialState(states.front());
    }

private:
    template <class Encode> void forEachPart(Encode encode) const {
        if (s_.split > 0) encode(size_t(0), s_.split);
        encode(s_.split, rows_.size());
    }
    template <class Encode> void forEachPartBackward(Encode encode) const {
        encode(s_.split, rows_.size());
        if (s_.split > 0) encode(size_t(0), s_.split);
    }

    Values copied(const std::vector<MPS::Matrix>& set, const NamedWeights& which) {
        const auto matrix = matrixOf(Values(which.rows * which.columns), which.rows, which.columns);
        run([&](const MTL::CommandBuffer& commands) {
            kernel_.encodeCopyWeights(commands, set, which.id, matrix, true, {});
        });
        return test::valuesOf(matrix);
    }

    /// The gradient with respect to the state that the last part begins with.
    void initialState(const MPS::RNNRecurrentMatrixState& gradient) const {
        const Steps x = from(x_, s_.split, x_.size()), g = from(cotangents_, s_.split, x_.size());
        const size_t count = rows_[s_.split] * s_.layer.outputs;
        Values h(count), c(count);
        if (before_) {
            h = test::valuesOf(before_.getRecurrentOutputMatrix(0));
            h.resize(count);
            if (before_.getMemoryCellMatrix(0)) {
                c = test::valuesOf(before_.getMemoryCellMatrix(0));
                c.resize(count);
            }
        }
        const auto loss = [&] { return dot(reference::forward(s_.layer, x, h, c).outputs, g); };
        INFO("the initial state");
        CHECK(reference::compare(test::valuesOf(gradient.getRecurrentOutputMatrix(0)),
                                 differences(loss, h), {2e-5, 1e-9}));
        if (s_.layer.kind == RecurrentKind::LSTM)
            CHECK(reference::compare(test::valuesOf(gradient.getMemoryCellMatrix(0)),
                                     differences(loss, c), {2e-5, 1e-9}));
    }

    Sequence s_;
    std::vector<size_t> rows_;
    Steps x_, cotangents_;
    std::vector<MPS::Matrix> weights_, sources_;
    MPS::RNNMatrixTrainingLayer kernel_;
    std::vector<MPS::RNNMatrixTrainingState> training_;
    MPS::RNNRecurrentMatrixState before_; ///< after the first part
};

void check(const Sequence& sequence) {
    Checked checked(sequence);
    checked.weightsAreThose();
    checked.forward();
    checked.gradient();
    conforms("RNNMatrixTrainingLayer", Aspect::Forward);
    conforms("RNNMatrixTrainingLayer", Aspect::Gradient);
    conforms("RNNMatrixTrainingState", Aspect::State);
    if (sequence.split > 0) conforms("RNNRecurrentMatrixState", Aspect::State);
    if (sequence.matrices == half) conforms("RNNMatrixTrainingLayer", Aspect::Half);
}

} // namespace

TEST_CASE("a single gate over ragged sequences equals the reference and its differences") {
    const auto kind = RecurrentKind::SingleGate;
    check({randomLayer(kind, 3, 5, 1)});
    check({randomLayer(kind, 8, 4, 2), {9, 9, 9}, 4});
    check({randomLayer(kind, 1, 1, 3), {8}});
    check({randomLayer(kind, 6, 6, 4, {.identityInputs = true}), {8, 5, 2}, 4});
    check({randomLayer(kind, 5, 3, 5, {.hasRecurrent = false})});
    check({randomLayer(kind, 5, 3, 5, {.hasInput = false}), {8, 8}});
}

TEST_CASE("an LSTM over ragged sequences equals the reference and its differences") {
    const auto kind = RecurrentKind::LSTM;
    check({randomLayer(kind, 3, 5, 11)});
    check({randomLayer(kind, 8, 8, 12), {9, 9, 9, 9}});
    check({randomLayer(kind, 5, 7, 13), {10, 9, 6, 6, 2}, 4});
    check({randomLayer(kind, 4, 5, 14, {.hasMemory = true}), {9, 8, 3}, 4});
    check({randomLayer(kind, 4, 5, 15, {.hasMemory = true, .diagonal = true}), {9, 8, 3}, 4});
    check({randomLayer(kind, 5, 5, 16, {.identityInputs = true}), {8, 7}, 3});
    check({randomLayer(kind, 3, 2, 17, {.hasRecurrent = false, .hasMemory = true}), {8, 8}});
    check({randomLayer(kind, 3, 5, 18, {.hasMemory = true}), {1, 1}}); // nothing recurs
}

TEST_CASE("a GRU over ragged sequences equals the reference and its differences") {
    const auto kind = RecurrentKind::GRU;
    check({randomLayer(kind, 3, 5, 21)});
    check({randomLayer(kind, 5, 7, 22, {.hasMemory = true}), {10, 9, 6, 6, 2}, 4});
    check({randomLayer(kind, 4, 4, 23, {.flip = true}), {9, 9}, 5});
    check({randomLayer(kind, 3, 5, 24, {.pNorm = 2}), {9, 8, 8}, 3});
    check({randomLayer(kind, 3, 5, 27, {.hasMemory = true}), {1, 1}});
    check({randomLayer(kind, 3, 5, 25, {.hasMemory = true, .flip = true, .pNorm = 1.5}), {8, 7}});
    check({randomLayer(kind, 5, 5, 26, {.hasMemory = true, .identityInputs = true}), {8, 3}, 2});
}

TEST_CASE("a minimal gated unit is a GRU without recurrent weights of the output gate") {
    auto layer = randomLayer(RecurrentKind::GRU, 3, 6, 31, {.hasMemory = true, .flip = true});
    layer.gates[2].u.clear();
    check({layer, {9, 7, 7}, 4});
}

TEST_CASE("gates without some of their weights compute with zeros there") {
    auto layer = randomLayer(RecurrentKind::LSTM, 3, 5, 32, {.hasMemory = true});
    layer.gates[1].w.clear();
    layer.gates[1].b.clear();
    layer.gates[1].neuron = {};
    layer.gates[0].u.clear();
    layer.gates[2].u.clear();
    layer.gates[1].v.clear();
    check({layer, {8, 8, 5}, 3});
    layer.gates[3].v.clear();
    layer.gates[3].u.clear();
    check({layer, {8, 4}});
    auto diagonal =
        randomLayer(RecurrentKind::LSTM, 3, 5, 33, {.hasMemory = true, .diagonal = true});
    diagonal.gates[1].v.clear();
    diagonal.gates[2].b.clear();
    diagonal.gates[2].b.resize(5);
    check({diagonal, {8, 8, 5}, 3});
    auto gru = randomLayer(RecurrentKind::GRU, 3, 5, 34);
    gru.gates[1] = {};
    gru.gates[0].u.clear();
    check({gru, {8, 8, 5}, 3});
}

TEST_CASE("every smooth neuron may stand in a gate") {
    const Neuron all[] = {{NeuronType::Linear, 0.7, 0.1},
                          {NeuronType::SoftPlus, 1.2, 0.8},
                          {NeuronType::SoftSign},
                          {NeuronType::GeLU},
                          {NeuronType::ELU, 0.5},
                          {NeuronType::Exponential, 0.3, -0.2, 2},
                          {NeuronType::None},
                          {NeuronType::Sigmoid}};
    for (size_t first = 0; first < 8; first += 4) {
        const RecurrentOptions o{.neurons = {all + first, all + first + 4}};
        auto layer = randomLayer(RecurrentKind::LSTM, 3, 5, 41 + first, o);
        layer.cellToOutput = {NeuronType::SoftSign};
        check({layer, {8, 6}});
    }
    Neuron slopes{NeuronType::PReLU};
    slopes.slopes = {0.5, -0.25, 0.125, 2, 0.75};
    check({randomLayer(RecurrentKind::SingleGate, 3, 5, 43, {.neurons = {slopes}}), {8, 5}});
}

TEST_CASE("a neuron that is infinite at zero is not seen beyond the last channel") {
    auto layer = randomLayer(RecurrentKind::GRU, 2, 3, 45);
    auto& gate = layer.gates[1];
    gate.neuron = {NeuronType::Power, 1, 0, -1};
    gate.b.assign(3, 2);
    for (Values* values : {&gate.w, &gate.u}) // the sums stay above 1
        for (double& value : *values) value /= 4;
    check({layer, {4, 3}});
}

TEST_CASE("an input gate that is closed has a gradient under a norm below 1") {
    auto layer = randomLayer(RecurrentKind::GRU, 2, 3, 46, {.pNorm = 0.5});
    auto& gate = layer.gates[0];
    gate.neuron = {NeuronType::HardSigmoid, 0.25, 0.5};
    gate.b.assign(3, -4);
    for (Values* values : {&gate.w, &gate.u}) // the sums stay below -2
        for (double& value : *values) value /= 4;
    check({layer, {4, 3}});
}

TEST_CASE("sources, weights and gradients of a recurrent layer may be Float16") {
    for (const auto kind : {RecurrentKind::SingleGate, RecurrentKind::LSTM, RecurrentKind::GRU}) {
        const RecurrentOptions o{.hasMemory = true};
        check({randomLayer(kind, 3, 5, 51, o, half), {9, 8, 5}, 4, half, half, half});
        check({randomLayer(kind, 8, 8, 52, {}, half), {8, 8}, 0, half, half, single});
        check({randomLayer(kind, 7, 6, 53, {}, single), {8, 8}, 0, half, single, single});
    }
    check({randomLayer(RecurrentKind::LSTM, 3, 5, 54, {.hasMemory = true, .diagonal = true}, half),
           {9, 8, 5},
           4,
           half,
           half,
           half});
}

TEST_CASE("many rows and the shaders with shared memory give the same") {
    check({randomLayer(RecurrentKind::LSTM, 5, 6, 61), std::vector<size_t>(70, 2)});
    const Environment direct("MPSVK_DISABLE", "direct_tile");
    check({randomLayer(RecurrentKind::GRU, 5, 6, 62, {.hasMemory = true}), {8, 8, 3}, 3});
}
