// Recurrent layers of references as descriptors, and their sequences as matrices.
#pragma once

#include "support/Matrices.hpp"
#include "support/Weights.hpp"
#include "support/reference/Recurrent.hpp"

#include <mpsvk/MPS/RNNMatrixTrainingLayer.hpp>

#include <functional>
#include <memory>

namespace mpsvk::test {

using reference::Neuron;
using reference::NeuronType;
using reference::Recurrent;
using reference::RecurrentKind;
using reference::Steps;

struct RecurrentOptions {
    bool hasInput = true, hasRecurrent = true, hasMemory = false;
    bool diagonal = false, identityInputs = false, flip = false;
    double pNorm = 1;
    std::vector<Neuron> neurons = {}; ///< of the gates; else sigmoids and tanh, as is usual
};

/// With random weights, as a Float16 or a Float32 layer stores them.
inline Recurrent randomLayer(RecurrentKind kind, size_t inputs, size_t outputs, uint64_t seed,
                             const RecurrentOptions& o = {},
                             MPS::DataType type = MPS::DataType::Float32) {
    Recurrent layer;
    layer.kind = kind;
    layer.inputs = inputs;
    layer.outputs = outputs;
    layer.diagonal = o.diagonal;
    layer.identityInputs = o.identityInputs;
    layer.flip = o.flip;
    layer.pNorm = o.pNorm;
    for (size_t i = 0; i < layer.gateCount(); ++i) {
        auto& gate = layer.gates[i];
        const auto some = [&](size_t count, uint64_t which, double scale) {
            return randomValues(count, seed * 100 + i * 10 + which, type, -scale, scale);
        };
        if (o.hasInput) {
            gate.w = some(outputs * inputs, 1, 0.7);
            gate.b = some(outputs, 2, 0.4);
        }
        if (o.hasRecurrent) gate.u = some(outputs * outputs, 3, 0.6);
        const bool mixes = kind == RecurrentKind::GRU && i == 2;
        if (o.hasMemory && (kind == RecurrentKind::LSTM || mixes))
            gate.v = some(o.diagonal ? outputs : outputs * outputs, 4, 0.5);
        const bool isCandidate = kind == RecurrentKind::SingleGate || i == 2;
        gate.neuron = isCandidate ? Neuron{NeuronType::TanH, 1, 1} : Neuron{NeuronType::Sigmoid};
        if (i < o.neurons.size()) gate.neuron = o.neurons[i];
        if (!o.hasInput) gate.neuron = {};
    }
    return layer;
}

inline MPS::NNNeuronDescriptor descriptorOf(const Neuron& n) {
    MPS::NNNeuronDescriptor d(MPS::CNNNeuronType(int(n.type)), float(n.a), float(n.b), float(n.c));
    d.setData({n.slopes.begin(), n.slopes.end()});
    return d;
}

/// The layer's descriptor, with weights that the layer keeps in this type.
class RecurrentDescriptor {
public:
    explicit RecurrentDescriptor(const Recurrent& layer,
                                 MPS::DataType type = MPS::DataType::Float32)
        : layer_(layer), type_(type) {}

    MPS::RNNSingleGateDescriptor singleGate() const {
        MPS::RNNSingleGateDescriptor d(layer_.inputs, layer_.outputs);
        d.setInputWeights(input(0));
        d.setRecurrentWeights(recurrent(0));
        return with(d);
    }
    MPS::LSTMDescriptor lstm() const {
        MPS::LSTMDescriptor d(layer_.inputs, layer_.outputs);
        d.setInputGateInputWeights(input(0));
        d.setInputGateRecurrentWeights(recurrent(0));
        d.setInputGateMemoryWeights(memory(0));
        d.setForgetGateInputWeights(input(1));
        d.setForgetGateRecurrentWeights(recurrent(1));
        d.setForgetGateMemoryWeights(memory(1));
        d.setCellGateInputWeights(input(2));
        d.setCellGateRecurrentWeights(recurrent(2));
        d.setCellGateMemoryWeights(memory(2));
        d.setOutputGateInputWeights(input(3));
        d.setOutputGateRecurrentWeights(recurrent(3));
        d.setOutputGateMemoryWeights(memory(3));
        d.setMemoryWeightsAreDiagonal(layer_.diagonal);
        d.setCellToOutputNeuronType(MPS::CNNNeuronType(int(layer_.cellToOutput.type)));
        d.setCellToOutputNeuronParamA(float(layer_.cellToOutput.a));
        d.setCellToOutputNeuronParamB(float(layer_.cellToOutput.b));
        d.setCellToOutputNeuronParamC(float(layer_.cellToOutput.c));
        return with(d);
    }
    MPS::GRUDescriptor gru() const {
        MPS::GRUDescriptor d(layer_.inputs, layer_.outputs);
        d.setInputGateInputWeights(input(0));
        d.setInputGateRecurrentWeights(recurrent(0));
        d.setRecurrentGateInputWeights(input(1));
        d.setRecurrentGateRecurrentWeights(recurrent(1));
        d.setOutputGateInputWeights(input(2));
        d.setOutputGateRecurrentWeights(recurrent(2));
        d.setOutputGateInputGateWeights(memory(2));
        d.setGatePnormValue(float(layer_.pNorm));
        d.setFlipOutputGates(layer_.flip);
        return with(d);
    }
    MPS::RNNDescriptor any() const {
        if (layer_.kind == RecurrentKind::SingleGate) return singleGate();
        if (layer_.kind == RecurrentKind::LSTM) return lstm();
        return gru();
    }

private:
    using Source = std::shared_ptr<MPS::CNNConvolutionDataSource>;
    Source source(const Values& weights, const Values& biases, size_t inputs,
                  const Neuron* neuron) const {
        if (weights.empty()) return nullptr;
        MPS::CNNConvolutionDescriptor d(1, 1, inputs, layer_.outputs);
        if (neuron) d.setFusedNeuronDescriptor(descriptorOf(*neuron));
        return std::make_shared<FixedWeights>(d, weights, biases, MPS::DataType::Float16);
    }
    Source input(size_t gate) const {
        const auto& g = layer_.gates[gate];
        return source(g.w, g.b, layer_.inputs, &g.neuron);
    }
    Source recurrent(size_t gate) const {
        return source(layer_.gates[gate].u, {}, layer_.outputs, nullptr);
    }
    Source memory(size_t gate) const {
        return source(layer_.gates[gate].v, {}, layer_.diagonal ? 1 : layer_.outputs, nullptr);
    }
    template <class Descriptor> Descriptor with(Descriptor d) const {
        d.setUseLayerInputUnitTransformMode(layer_.identityInputs);
        d.setUseFloat32Weights(type_ == MPS::DataType::Float32);
        return d;
    }

    Recurrent layer_;
    MPS::DataType type_;
};

/// Rows of each step, for sequences of these lengths (the longest first).
inline std::vector<size_t> rowsOf(const std::vector<size_t>& lengths) {
    std::vector<size_t> rows(lengths.at(0));
    for (size_t length : lengths)
        for (size_t t = 0; t < length; ++t) ++rows[t];
    return rows;
}

inline Steps randomSteps(const std::vector<size_t>& rows, size_t channels, uint64_t seed,
                         MPS::DataType type) {
    Steps steps;
    for (size_t t = 0; t < rows.size(); ++t)
        steps.push_back(randomValues(rows[t] * channels, seed * 1000 + t, type));
    return steps;
}

inline std::vector<MPS::Matrix> matricesOf(const Steps& steps, size_t channels,
                                           MPS::DataType type = MPS::DataType::Float32,
                                           uint64_t padding = 0) {
    std::vector<MPS::Matrix> made;
    for (const Values& step : steps)
        made.push_back(matrixOf(step, step.size() / channels, channels, type, padding));
    return made;
}

inline std::vector<MPS::Matrix> emptyMatrices(const std::vector<size_t>& rows, size_t channels,
                                              MPS::DataType type = MPS::DataType::Float32,
                                              uint64_t padding = 0) {
    std::vector<MPS::Matrix> made;
    for (size_t count : rows)
        made.push_back(matrixOf(Values(count * channels, 77), count, channels, type, padding));
    return made;
}

inline Steps valuesOf(const std::vector<MPS::Matrix>& matrices) {
    Steps steps;
    for (const MPS::Matrix& matrix : matrices) steps.push_back(valuesOf(matrix));
    return steps;
}

/// The arrays that a layer trains, with the ids by which it names them.
struct NamedWeights {
    MPS::RNNMatrixId id;
    Values* values;
    size_t rows, columns;
};
inline std::vector<NamedWeights> namedWeights(Recurrent& layer) {
    std::vector<NamedWeights> all;
    const size_t out = layer.outputs;
    const auto add = [&](uint64_t id, Values& values, size_t rows, size_t columns) {
        if (!values.empty()) all.push_back({MPS::RNNMatrixId(id), &values, rows, columns});
    };
    for (size_t i = 0; i < layer.gateCount(); ++i) {
        auto& gate = layer.gates[i];
        const bool isLSTM = layer.kind == RecurrentKind::LSTM,
                   isGRU = layer.kind == RecurrentKind::GRU;
        const uint64_t base = isLSTM ? 3 + 4 * i : isGRU ? 19 + 3 * i : 0;
        if (!layer.identityInputs) add(base, gate.w, out, layer.inputs);
        add(base + 1, gate.u, out, out);
        const bool four = isLSTM || (isGRU && i == 2);
        if (four) add(base + 2, gate.v, layer.diagonal ? 1 : out, out);
        add(base + (four ? 3 : 2), gate.b, 1, out);
    }
    return all;
}

} // namespace mpsvk::test
