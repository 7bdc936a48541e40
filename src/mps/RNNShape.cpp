#include "mps/RNNShape.hpp"

#include "mps/Archive.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

RNNDescriptor::RNNDescriptor(Kind kind, const char* className, uint64_t inputFeatureChannels,
                             uint64_t outputFeatureChannels)
    : kind_(kind), inputFeatureChannels_(inputFeatureChannels),
      outputFeatureChannels_(outputFeatureChannels) {
    if (!inputFeatureChannels || !outputFeatureChannels)
        throw InvalidArgument("[" + std::string(className) + "] " +
                              std::to_string(inputFeatureChannels) + " input and " +
                              std::to_string(outputFeatureChannels) +
                              " output feature channels were asked for but each number must be "
                              "at least 1.");
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

using MPS::CNNNeuronType;

RNNShape::Source RNNShape::source(const MPS::RNNDescriptor& descriptor, uint32_t gate, Part part) {
    const auto& of = descriptor.gates_.at(gate);
    return part == Input ? of.input : part == Recurrent ? of.recurrent : of.memory;
}

RNNShape::RNNShape(const std::string& who, const MPS::RNNDescriptor& d)
    : kind(d.kind_), inputs(d.inputFeatureChannels_), outputs(d.outputFeatureChannels_),
      unitTransform(d.useLayerInputUnitTransformMode_), diagonal(d.memoryWeightsAreDiagonal_),
      flip(d.flipOutputGates_), pNorm(d.gatePnormValue_),
      weightsType(d.useFloat32Weights_ ? MPS::DataType::Float32 : MPS::DataType::Float16),
      direction(d.layerSequenceDirection_) {
    if (!inputs || !outputs)
        throw InvalidArgument(who + "rnnDescriptor has " + std::to_string(inputs) + " input and " +
                              std::to_string(outputs) +
                              " output feature channels but each number must be at least 1.");
    if (unitTransform && inputs != outputs)
        throw InvalidArgument(who +
                              "useLayerInputUnitTransformMode needs as many input as output "
                              "feature channels but there are " +
                              std::to_string(inputs) + " and " + std::to_string(outputs) + ".");
    if (isGRU() && !(pNorm > 0))
        throw InvalidArgument(who + "gatePnormValue is " + std::to_string(pNorm) +
                              " but must be greater than 0.");
    for (uint32_t gate = 0; gate < gates(); ++gate) {
        const uint32_t bit = 1u << gate;
        const auto& of = d.gates_[gate];
        if (of.input) biasedGates |= bit;
        if (of.input && !unitTransform) inputGates |= bit;
        if (!isGRU() || gate < 2) {
            if (of.recurrent) recurrentGates |= bit;
            if (of.memory) memoryGates |= bit;
        } else {
            memoryGates |= (of.recurrent ? 1 : 0) | (of.memory ? 2 : 0);
        }
    }
    if (isLSTM()) neurons[4] = d.cellToOutput_;
    checkNeurons(who);
}

void RNNShape::checkNeurons(const std::string& who) const {
    for (size_t i = 0; i < neurons.size(); ++i) {
        const auto& neuron = neurons[i];
        if (neuron.neuronType() < CNNNeuronType::None ||
            neuron.neuronType() >= CNNNeuronType::Count)
            throw InvalidArgument(who + "A neuron's type is " +
                                  std::to_string(int(neuron.neuronType())) +
                                  " but types go from 0 to 15.");
        if (neuron.neuronType() != CNNNeuronType::PReLU) continue;
        if (i == 4)
            throw InvalidArgument(
                who + "cellToOutputNeuronType is PReLU but there is no place for its slopes.");
        if (neuron.data().size() < outputs)
            throw InvalidArgument(who + "PReLU has " + std::to_string(neuron.data().size()) +
                                  " slopes but there are " + std::to_string(outputs) +
                                  " output feature channels.");
    }
}

void RNNShape::archive(Archive& archive) {
    archive("kind", kind);
    archive("inputFeatureChannels", inputs);
    archive("outputFeatureChannels", outputs);
    archive("useLayerInputUnitTransformMode", unitTransform);
    archive("memoryWeightsAreDiagonal", diagonal);
    archive("flipOutputGates", flip);
    archive("gatePnormValue", pNorm);
    archive("weightsDataType", weightsType);
    archive("layerSequenceDirection", direction);
    archive("inputGates", inputGates);
    archive("recurrentGates", recurrentGates);
    archive("memoryGates", memoryGates);
    archive("biasedGates", biasedGates);
    static constexpr const char* names[] = {"neuron0", "neuron1", "neuron2", "neuron3", "neuron4"};
    for (size_t i = 0; i < neurons.size(); ++i) archive(names[i], neurons[i]);
    if (!archive.isReading()) return;
    const uint32_t all = (1u << gates()) - 1;
    const bool whole =
        uint32_t(kind) <= uint32_t(Kind::GRU) && inputs && outputs &&
        (weightsType == MPS::DataType::Float32 || weightsType == MPS::DataType::Float16) &&
        !((inputGates | recurrentGates | memoryGates | biasedGates) & ~all) &&
        (!unitTransform || (inputs == outputs && !inputGates)) && (!isGRU() || pNorm > 0);
    if (!whole) throw InvalidArgument("[RNNDescriptor] The archived values are of no layer.");
    checkNeurons("[RNNDescriptor] ");
}

uint64_t RNNShape::partRows(Part part) const {
    switch (part) {
    case Input: return std::popcount(inputGates) * paddedOutputs();
    case Recurrent: return std::popcount(recurrentGates) * paddedOutputs();
    case Memory:
        if (!memoryGates) return 0;
        if (isGRU()) return paddedOutputs();
        return std::popcount(memoryGates) * (diagonal ? 1 : paddedOutputs());
    default: return biasedGates ? 1 : 0;
    }
}

uint64_t RNNShape::partColumns(Part part) const {
    switch (part) {
    case Input: return paddedInputs();
    case Memory: return paddedOutputs() * (isGRU() ? mixes() : 1);
    case Bias: return std::popcount(biasedGates) * paddedOutputs();
    default: return paddedOutputs();
    }
}

size_t RNNShape::partIndex(Part part) const {
    size_t index = 0;
    for (uint32_t before = 0; before < part; ++before) index += partRows(Part(before)) > 0;
    return index;
}

MPS::MatrixDescriptor RNNShape::partDescriptor(Part part, MPS::DataType type) const {
    const uint64_t columns = partColumns(part);
    return {partRows(part), columns, columns * MPS::bytesPerElement(type), type};
}

namespace {

struct IdMeaning {
    RNNShape::Kind kind;
    uint32_t gate;
    RNNShape::Part part;
    bool isVh = false;
};

IdMeaning meaningOf(uint64_t id) {
    using Shape = RNNShape;
    constexpr Shape::Part three[] = {Shape::Input, Shape::Recurrent, Shape::Bias};
    constexpr Shape::Part four[] = {Shape::Input, Shape::Recurrent, Shape::Memory, Shape::Bias};
    if (id < 3) return {Shape::Kind::SingleGate, 0, three[id]};
    if (id < 19) return {Shape::Kind::LSTM, uint32_t(id - 3) / 4, four[(id - 3) % 4]};
    if (id < 25) return {Shape::Kind::GRU, uint32_t(id - 19) / 3, three[(id - 19) % 3]};
    // Uh stands with Vh, since both are multiplied in one product.
    switch (id) {
    case 25: return {Shape::Kind::GRU, 2, Shape::Input};
    case 26: return {Shape::Kind::GRU, 2, Shape::Memory};
    case 27: return {Shape::Kind::GRU, 2, Shape::Memory, true};
    default: return {Shape::Kind::GRU, 2, Shape::Bias};
    }
}

} // namespace

RNNShape::Place RNNShape::place(const std::string& who, MPS::RNNMatrixId id) const {
    if (uint64_t(id) >= uint64_t(MPS::RNNMatrixId::Count))
        throw InvalidArgument(who + "matrixId is " + std::to_string(uint64_t(id)) +
                              " but ids go from 0 to 28.");
    const IdMeaning means = meaningOf(uint64_t(id));
    const bool mixed = means.kind == Kind::GRU && means.part == Memory;
    const uint32_t bit = mixed ? (means.isVh ? 1 : 0) : means.gate;
    const uint32_t masks[] = {inputGates, recurrentGates, memoryGates, biasedGates};
    if (means.kind != kind || !(masks[means.part] >> bit & 1))
        throw InvalidArgument(who + "matrixId is " + std::to_string(uint64_t(id)) +
                              " but the layer has no such weights.");
    const uint64_t at = indexOf(masks[means.part], bit);
    Place place{means.part, at * paddedOutputs(), 0, outputs, outputs};
    if (means.part == Input) place.columns = inputs;
    if (means.part == Bias || mixed) std::swap(place.row, place.column);
    if (means.part == Memory && isLSTM() && diagonal) place.row = at;
    if (means.part == Bias || (means.part == Memory && isLSTM() && diagonal)) place.rows = 1;
    return place;
}

std::vector<GateRun> RNNShape::runs(uint32_t mask) {
    std::vector<GateRun> all;
    for (uint32_t gate = 0; mask >> gate; ++gate) {
        if (!(mask >> gate & 1)) continue;
        if (!all.empty() && all.back().gate + all.back().count == gate)
            ++all.back().count;
        else
            all.push_back({gate, 1, uint32_t(indexOf(mask, gate))});
    }
    return all;
}

std::vector<float> RNNShape::slopes() const {
    std::vector<float> all;
    for (size_t i = 0; i < neurons.size(); ++i) {
        if (neurons[i].neuronType() != CNNNeuronType::PReLU) continue;
        all.resize(gates() * paddedOutputs());
        std::copy_n(neurons[i].data().begin(), outputs, all.begin() + i * paddedOutputs());
    }
    return all;
}

bool RNNShape::fits(const RNNShape& other) const {
    return kind == other.kind && inputs == other.inputs && outputs == other.outputs &&
           unitTransform == other.unitTransform && diagonal == other.diagonal &&
           inputGates == other.inputGates && recurrentGates == other.recurrentGates &&
           memoryGates == other.memoryGates && biasedGates == other.biasedGates;
}

void checkChain(const std::string& who, const std::vector<const RNNShape*>& layers) {
    for (size_t i = 1; i < layers.size(); ++i)
        if (layers[i]->inputs != layers[i - 1]->outputs)
            throw InvalidArgument(who + "A layer has " + std::to_string(layers[i]->inputs) +
                                  " input feature channels but the one before it has " +
                                  std::to_string(layers[i - 1]->outputs) +
                                  " output feature channels.");
}

void checkDirections(const std::string& who, const std::vector<const RNNShape*> (&stacks)[2],
                     MPS::RNNBidirectionalCombineMode mode) {
    using Mode = MPS::RNNBidirectionalCombineMode;
    for (size_t which = 0; which < 2; ++which)
        if (stacks[which].empty())
            throw InvalidArgument(who + "No layer has the direction " +
                                  (which ? "Backward" : "Forward") +
                                  " but a bidirectional encode needs layers of both.");
    for (const auto& stack : stacks) checkChain(who, stack);
    const uint64_t inputs[2] = {stacks[0][0]->inputs, stacks[1][0]->inputs};
    if (inputs[1] != inputs[0])
        throw InvalidArgument(who + "The stacks of both directions have " +
                              std::to_string(inputs[0]) + " and " + std::to_string(inputs[1]) +
                              " input feature channels but they read the same sources.");
    if (mode > Mode::Concatenate)
        throw InvalidArgument(who + "bidirectionalCombineMode is " +
                              std::to_string(uint64_t(mode)) + " but modes go from 0 to 2.");
    const uint64_t outputs[2] = {stacks[0].back()->outputs, stacks[1].back()->outputs};
    if (mode == Mode::Add && outputs[0] != outputs[1])
        throw InvalidArgument(who + "The stacks of both directions have " +
                              std::to_string(outputs[0]) + " and " + std::to_string(outputs[1]) +
                              " output feature channels but their results are added.");
}

} // namespace mpsvk::mps
