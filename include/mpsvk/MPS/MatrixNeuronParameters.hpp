// The activation within matrix kernels.
#pragma once

#include <mpsvk/MPS/CNNNeuron.hpp>

namespace mpsvk::MPS {

/// The activation that a matrix kernel ends with: None unless it is set. For its formulas see
/// CNNNeuronType. An unknown type, and PReLU where a kernel has no slopes for it, are refused by
/// encodes.
class MatrixNeuronParameters {
public:
    CNNNeuronType neuronType() const { return neuron_.neuronType(); }
    float neuronParameterA() const { return neuron_.a(); }
    float neuronParameterB() const { return neuron_.b(); }
    float neuronParameterC() const { return neuron_.c(); }
    void setNeuronType(CNNNeuronType neuronType, float parameterA = 0, float parameterB = 0,
                       float parameterC = 0) {
        neuron_ = NNNeuronDescriptor(neuronType, parameterA, parameterB, parameterC);
    }

protected:
    NNNeuronDescriptor neuron_{CNNNeuronType::None};
};

} // namespace mpsvk::MPS
