// MPSRNNDescriptor and its subclasses: what a recurrent layer computes, and where its weights are.
//
// x is the input of a time step, h0 and c0 are the recurrent output and the memory cell of the step
// before, h1 and c1 those of this one; * is a product of a matrix and a vector (in the image layer
// a convolution), . is element by element. Each g is a neuron.
#pragma once

#include <mpsvk/MPS/CNNConvolutionDescriptor.hpp>

#include <array>

namespace mpsvk::mps {
class RNNShape;
}

namespace mpsvk::MPS {

enum class RNNSequenceDirection : uint64_t {
    Forward = 0,  ///< from the first time step to the last
    Backward = 1, ///< from the last to the first
};

/// What all layers have. A subclass converts to this class without loss. MPSRNNDescriptor.
///
/// Weights are data sources. For the matrix layers they have 1x1 kernels: [output][input]. Bias and
/// neuron of a gate are those of its input weights; a recurrent source's have no effect. A null
/// source stands for zeros that are not trained; without input weights a gate has no bias, either,
/// and no neuron.
class RNNDescriptor {
public:
    uint64_t inputFeatureChannels() const { return inputFeatureChannels_; }
    void setInputFeatureChannels(uint64_t v) { inputFeatureChannels_ = v; }
    uint64_t outputFeatureChannels() const { return outputFeatureChannels_; }
    void setOutputFeatureChannels(uint64_t v) { outputFeatureChannels_ = v; }
    /// Every W is the identity, whether there are input weights or not: both numbers of channels
    /// must be the same. Input weights then bring bias and neuron only.
    bool useLayerInputUnitTransformMode() const { return useLayerInputUnitTransformMode_; }
    void setUseLayerInputUnitTransformMode(bool v) { useLayerInputUnitTransformMode_ = v; }
    /// Float32 weights; also where the kernelWeightsDataType of any source says so. The image layer
    /// asks the sources alone.
    bool useFloat32Weights() const { return useFloat32Weights_; }
    void setUseFloat32Weights(bool v) { useFloat32Weights_ = v; }
    /// Counts for encodeBidirectionalSequence only.
    RNNSequenceDirection layerSequenceDirection() const { return layerSequenceDirection_; }
    void setLayerSequenceDirection(RNNSequenceDirection v) { layerSequenceDirection_ = v; }

protected:
    using Source = std::shared_ptr<CNNConvolutionDataSource>;
    enum class Kind : uint32_t { SingleGate, LSTM, GRU };
    /// The sources of one gate: W, U, and V where there is one.
    struct Gate {
        Source input, recurrent, memory;
    };
    /// Throws InvalidArgument for 0 channels.
    RNNDescriptor(Kind kind, const char* className, uint64_t inputFeatureChannels,
                  uint64_t outputFeatureChannels);

    std::array<Gate, 4> gates_;
    bool memoryWeightsAreDiagonal_ = false, flipOutputGates_ = false;
    NNNeuronDescriptor cellToOutput_{CNNNeuronType::TanH, 1, 1, 1};
    float gatePnormValue_ = 1;

private:
    friend class mps::RNNShape;

    Kind kind_;
    uint64_t inputFeatureChannels_, outputFeatureChannels_;
    bool useLayerInputUnitTransformMode_ = false, useFloat32Weights_ = false;
    RNNSequenceDirection layerSequenceDirection_ = RNNSequenceDirection::Forward;
};

/// h1 = g(W*x + U*h0 + b). MPSRNNSingleGateDescriptor.
class RNNSingleGateDescriptor : public RNNDescriptor {
public:
    RNNSingleGateDescriptor(uint64_t inputFeatureChannels, uint64_t outputFeatureChannels)
        : RNNDescriptor(Kind::SingleGate, "RNNSingleGateDescriptor", inputFeatureChannels,
                        outputFeatureChannels) {}

    const Source& inputWeights() const { return gates_[0].input; }
    void setInputWeights(Source v) { gates_[0].input = std::move(v); }
    const Source& recurrentWeights() const { return gates_[0].recurrent; }
    void setRecurrentWeights(Source v) { gates_[0].recurrent = std::move(v); }
};

/// I = gi(Wi*x + Ui*h0 + Vi*c0 + bi)     the input gate
/// F = gf(Wf*x + Uf*h0 + Vf*c0 + bf)     the forget gate
/// C = gc(Wc*x + Uc*h0 + Vc*c0 + bc)     the cell gate
/// c1 = F.c0 + I.C
/// O = go(Wo*x + Uo*h0 + Vo*c1 + bo)     the output gate, which sees the new cell
/// h1 = O.gh(c1)
///
/// MPSLSTMDescriptor.
class LSTMDescriptor : public RNNDescriptor {
public:
    LSTMDescriptor(uint64_t inputFeatureChannels, uint64_t outputFeatureChannels)
        : RNNDescriptor(Kind::LSTM, "LSTMDescriptor", inputFeatureChannels, outputFeatureChannels) {
    }

    /// The V are diagonals: their sources have one weight per output channel.
    bool memoryWeightsAreDiagonal() const { return memoryWeightsAreDiagonal_; }
    void setMemoryWeightsAreDiagonal(bool v) { memoryWeightsAreDiagonal_ = v; }

    const Source& inputGateInputWeights() const { return gates_[0].input; }
    void setInputGateInputWeights(Source v) { gates_[0].input = std::move(v); }
    const Source& inputGateRecurrentWeights() const { return gates_[0].recurrent; }
    void setInputGateRecurrentWeights(Source v) { gates_[0].recurrent = std::move(v); }
    const Source& inputGateMemoryWeights() const { return gates_[0].memory; }
    void setInputGateMemoryWeights(Source v) { gates_[0].memory = std::move(v); }

    const Source& forgetGateInputWeights() const { return gates_[1].input; }
    void setForgetGateInputWeights(Source v) { gates_[1].input = std::move(v); }
    const Source& forgetGateRecurrentWeights() const { return gates_[1].recurrent; }
    void setForgetGateRecurrentWeights(Source v) { gates_[1].recurrent = std::move(v); }
    const Source& forgetGateMemoryWeights() const { return gates_[1].memory; }
    void setForgetGateMemoryWeights(Source v) { gates_[1].memory = std::move(v); }

    const Source& outputGateInputWeights() const { return gates_[3].input; }
    void setOutputGateInputWeights(Source v) { gates_[3].input = std::move(v); }
    const Source& outputGateRecurrentWeights() const { return gates_[3].recurrent; }
    void setOutputGateRecurrentWeights(Source v) { gates_[3].recurrent = std::move(v); }
    const Source& outputGateMemoryWeights() const { return gates_[3].memory; }
    void setOutputGateMemoryWeights(Source v) { gates_[3].memory = std::move(v); }

    const Source& cellGateInputWeights() const { return gates_[2].input; }
    void setCellGateInputWeights(Source v) { gates_[2].input = std::move(v); }
    const Source& cellGateRecurrentWeights() const { return gates_[2].recurrent; }
    void setCellGateRecurrentWeights(Source v) { gates_[2].recurrent = std::move(v); }
    const Source& cellGateMemoryWeights() const { return gates_[2].memory; }
    void setCellGateMemoryWeights(Source v) { gates_[2].memory = std::move(v); }

    /// gh: TanH with all parameters 1 at first.
    CNNNeuronType cellToOutputNeuronType() const { return cellToOutput_.neuronType(); }
    void setCellToOutputNeuronType(CNNNeuronType v) { cellToOutput_.setNeuronType(v); }
    float cellToOutputNeuronParamA() const { return cellToOutput_.a(); }
    void setCellToOutputNeuronParamA(float v) { cellToOutput_.setA(v); }
    float cellToOutputNeuronParamB() const { return cellToOutput_.b(); }
    void setCellToOutputNeuronParamB(float v) { cellToOutput_.setB(v); }
    float cellToOutputNeuronParamC() const { return cellToOutput_.c(); }
    void setCellToOutputNeuronParamC(float v) { cellToOutput_.setC(v); }
};

/// z = gz(Wz*x + Uz*h0 + bz)             the input gate
/// r = gr(Wr*x + Ur*h0 + br)             the recurrent gate
/// c = Uh*(r.h0) + Vh*(z.h0)
/// h = gh(Wh*x + c + bh)                 the output gate
/// h1 = (1 - z^p)^(1/p).h + z.h0         with p = gatePnormValue
/// or with flipOutputGates
/// h1 = (1 - z^p)^(1/p).h0 + z.h
///
/// Uh is outputGateRecurrentWeights and Vh outputGateInputGateWeights: a conventional GRU has no
/// Vh, a minimal gated unit has no Uh. MPSGRUDescriptor.
class GRUDescriptor : public RNNDescriptor {
public:
    GRUDescriptor(uint64_t inputFeatureChannels, uint64_t outputFeatureChannels)
        : RNNDescriptor(Kind::GRU, "GRUDescriptor", inputFeatureChannels, outputFeatureChannels) {}

    const Source& inputGateInputWeights() const { return gates_[0].input; }
    void setInputGateInputWeights(Source v) { gates_[0].input = std::move(v); }
    const Source& inputGateRecurrentWeights() const { return gates_[0].recurrent; }
    void setInputGateRecurrentWeights(Source v) { gates_[0].recurrent = std::move(v); }

    const Source& recurrentGateInputWeights() const { return gates_[1].input; }
    void setRecurrentGateInputWeights(Source v) { gates_[1].input = std::move(v); }
    const Source& recurrentGateRecurrentWeights() const { return gates_[1].recurrent; }
    void setRecurrentGateRecurrentWeights(Source v) { gates_[1].recurrent = std::move(v); }

    const Source& outputGateInputWeights() const { return gates_[2].input; }
    void setOutputGateInputWeights(Source v) { gates_[2].input = std::move(v); }
    const Source& outputGateRecurrentWeights() const { return gates_[2].recurrent; }
    void setOutputGateRecurrentWeights(Source v) { gates_[2].recurrent = std::move(v); }
    const Source& outputGateInputGateWeights() const { return gates_[2].memory; }
    void setOutputGateInputGateWeights(Source v) { gates_[2].memory = std::move(v); }

    /// Greater than 0. For p other than 1, z counts as at most 1 - 2^-24 in (1 - z^p)^(1/p).
    float gatePnormValue() const { return gatePnormValue_; }
    void setGatePnormValue(float v) { gatePnormValue_ = v; }
    bool flipOutputGates() const { return flipOutputGates_; }
    void setFlipOutputGates(bool v) { flipOutputGates_ = v; }
};

} // namespace mpsvk::MPS
