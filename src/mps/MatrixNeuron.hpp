// The activation within matrix kernels.
#pragma once

#include "mps/CNNNeuron.hpp"

namespace mpsvk::mps {

/// For kernels without slopes: throws InvalidArgument for an unknown type and for PReLU.
void checkNeuron(const std::string& who, const MPS::NNNeuronDescriptor& neuron);

/// Into a struct of glsl/<Family>.h, for neuronForward and neuronDerivative of glsl/neuron.glsl;
/// the type goes into a specialization constant.
template <class Parameters> void setNeuron(Parameters& p, const MPS::NNNeuronDescriptor& neuron) {
    p.a = neuron.a();
    p.b = neuron.b();
    p.c = neuron.c();
}

} // namespace mpsvk::mps
