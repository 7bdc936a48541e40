// What kernels with a neuron in them share.
#pragma once

#include "mtl/Buffer.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>

namespace mpsvk::mps {

/// The slopes of PReLU on the device; empty for other types. Throws InvalidArgument for an unknown
/// type, or PReLU without slopes.
MTL::Buffer slopesOf(const std::string& who, const MTL::Device& device,
                     const MPS::NNNeuronDescriptor& descriptor);
/// PReLU has a slope for each of the channels.
void checkSlopes(const std::string& who, const MPS::NNNeuronDescriptor& descriptor,
                 uint64_t channels);
/// Of the same function.
inline bool areSame(const MPS::NNNeuronDescriptor& a, const MPS::NNNeuronDescriptor& b) {
    if (a.neuronType() != b.neuronType()) return false;
    return a.neuronType() == MPS::CNNNeuronType::None ||
           (a.a() == b.a() && a.b() == b.b() && a.c() == b.c() && a.data() == b.data());
}
vk::BufferSlice sliceOf(const MTL::Buffer& slopes);

} // namespace mpsvk::mps
