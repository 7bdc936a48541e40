// A recurrent layer without its weights: which gates it has, and how their weights lie in matrices.
//
// The weights of all gates stand in one matrix, gate after gate, so that a time step is one
// product. Numbers of channels are rounded up to four there; what is added is 0 and stays so.
#pragma once

#include "mps/Encoder.hpp"

#include <mpsvk/MPS/RNNMatrixInferenceLayer.hpp>
#include <mpsvk/MPS/RNNMatrixTrainingLayer.hpp>

#include <bit>

namespace mpsvk::mps {

class Archive;

/// Consecutive gates that all have a kind of weights.
struct GateRun {
    uint32_t gate = 0, count = 0;
    uint32_t index = 0; ///< of the first one among the gates that have them
};

class RNNShape {
public:
    using Kind = MPS::RNNDescriptor::Kind;
    using Source = MPS::RNNDescriptor::Source;
    /// The matrices of a set of weights, in their order; those without any weights are left out.
    enum Part : uint32_t { Input, Recurrent, Memory, Bias, PartCount };

    /// Throws InvalidArgument, beginning with `who`, for a descriptor that no layer can be made of.
    /// Loads nothing.
    RNNShape(const std::string& who, const MPS::RNNDescriptor& descriptor);
    RNNShape() = default;
    void archive(Archive& archive);

    uint32_t gates() const { return kind == Kind::SingleGate ? 1 : kind == Kind::LSTM ? 4 : 3; }
    bool isLSTM() const { return kind == Kind::LSTM; }
    bool isGRU() const { return kind == Kind::GRU; }
    uint64_t paddedInputs() const { return vk::roundUp(inputs, 4); }
    uint64_t paddedOutputs() const { return vk::roundUp(outputs, 4); }
    uint64_t gateColumns() const { return gates() * paddedOutputs(); }
    /// Of a GRU: how many of Uh and Vh there are.
    uint32_t mixes() const { return isGRU() ? std::popcount(memoryGates) : 0; }
    bool hasDenseMemory() const { return isLSTM() && !diagonal && memoryGates; }
    uint32_t diagonalGates() const { return isLSTM() && diagonal ? memoryGates : 0; }

    /// 0 when the layer has no such weights.
    uint64_t partRows(Part part) const;
    uint64_t partColumns(Part part) const;
    size_t partIndex(Part part) const;
    size_t parts() const { return partIndex(PartCount); }
    MPS::MatrixDescriptor partDescriptor(Part part, MPS::DataType type) const;

    /// Where weights of an id lie.
    struct Place {
        Part part = Input;
        uint64_t row = 0, column = 0, rows = 0, columns = 0;
    };
    /// Throws InvalidArgument when the layer has none.
    Place place(const std::string& who, MPS::RNNMatrixId id) const;

    static std::vector<GateRun> runs(uint32_t gates);
    /// How many gates before this one are in the mask.
    static uint64_t indexOf(uint32_t mask, uint32_t gate) {
        return std::popcount(mask & ((1u << gate) - 1));
    }

    /// The slopes of PReLU for the shaders, [gate][channel]; empty when there are none.
    std::vector<float> slopes() const;
    bool fits(const RNNShape& other) const;

    Kind kind = Kind::SingleGate;
    uint64_t inputs = 1, outputs = 1;
    bool unitTransform = false, diagonal = false, flip = false;
    float pNorm = 1;
    MPS::DataType weightsType = MPS::DataType::Float32;
    /// Masks of the gates: 0 single or input, 1 forget or recurrent, 2 cell or a GRU's output, 3 an
    /// LSTM's output gate. memoryGates of a GRU: bit 0 Uh, bit 1 Vh.
    uint32_t inputGates = 0, recurrentGates = 0, memoryGates = 0, biasedGates = 0;
    /// Of the gates, and the last one of the cell's way to the output.
    std::array<MPS::NNNeuronDescriptor, 5> neurons{
        {MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None),
         MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None),
         MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None),
         MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None),
         MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None)}};
    MPS::RNNSequenceDirection direction = MPS::RNNSequenceDirection::Forward;

    /// What a descriptor keeps for a gate; its members are protected there.
    static Source source(const MPS::RNNDescriptor& descriptor, uint32_t gate, Part part);
    /// Throws InvalidArgument for neurons that no gate can have.
    void checkNeurons(const std::string& who) const;
};

/// The weights of a layer, filled from the data sources. Sets weightsType. Throws InvalidArgument.
std::vector<MPS::Matrix> loadedWeights(const std::string& who, const MTL::Device& device,
                                       RNNShape& shape, const MPS::RNNDescriptor& descriptor);

/// Each layer reads as many channels as the one before it writes. Throws InvalidArgument.
void checkChain(const std::string& who, const std::vector<const RNNShape*>& layers);
/// Both directions have layers, chained, that read the same sources and whose results can be
/// combined so. Throws InvalidArgument.
void checkDirections(const std::string& who, const std::vector<const RNNShape*> (&stacks)[2],
                     MPS::RNNBidirectionalCombineMode mode);

} // namespace mpsvk::mps
