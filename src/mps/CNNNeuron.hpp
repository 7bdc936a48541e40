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
/// Whether f(x), in whatever format it is kept, tells the derivative at x to the bit.
bool isKnownFromResult(const MPS::NNNeuronDescriptor& descriptor);

/// A neuron within a kernel whose public side has none.
struct FusedNeuron {
    MPS::NNNeuronDescriptor descriptor{MPS::CNNNeuronType::None};
    MTL::Buffer slopes;
    bool readsResult = false; ///< of a gradient: its source is the neuron's result
};
/// What graphs ask of kernels beyond their public side.
struct NeuronAccess {
    template <class Kernel>
    static void setNeuron(Kernel& kernel, const MPS::NNNeuronDescriptor& neuron,
                          bool readsResult = false) {
        kernel.neuron_ = std::make_shared<FusedNeuron>(
            FusedNeuron{neuron, slopesOf("[" + kernel.className() + "] ", kernel.device(), neuron),
                        readsResult});
    }
    static void readResult(MPS::CNNNeuronGradient& kernel) { kernel.readsResult_ = true; }
    template <class Kernel> static void setAddends(Kernel& kernel, MPS::ImageBatch images) {
        kernel.addends_ = std::move(images);
    }
};

/// Images that a kernel's encodes add, for as long as this lives, to the incoming gradients or to
/// what its neuron takes, of which they have the size and the channels.
template <class Kernel> class Addends {
public:
    Addends(Kernel& kernel, MPS::ImageBatch images) : kernel_(kernel) {
        NeuronAccess::setAddends(kernel_, std::move(images));
    }
    ~Addends() { NeuronAccess::setAddends(kernel_, {}); }
    Addends(const Addends&) = delete;
    Addends& operator=(const Addends&) = delete;

private:
    Kernel& kernel_;
};

} // namespace mpsvk::mps
