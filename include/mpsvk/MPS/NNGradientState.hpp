// MPSNNGradientState: what a gradient kernel has to know of the forward pass.
#pragma once

#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// Records a forward kernel's properties (geometry, edge mode, channel ranges, sizes) at the moment
/// of its creation. Made by CNNKernel::resultState and by the encodes that return a state.
/// MPSNNGradientState.
class NNGradientState : public State {
public:
    NNGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit NNGradientState(std::shared_ptr<Impl> impl);
};

/// The same for a kernel with two sources. Not an NNGradientState. MPSNNBinaryGradientState.
class NNBinaryGradientState : public State {
public:
    NNBinaryGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit NNBinaryGradientState(std::shared_ptr<Impl> impl);
};

/// The same for a kernel with any number of sources. MPSNNMultiaryGradientState.
class NNMultiaryGradientState : public State {
public:
    NNMultiaryGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit NNMultiaryGradientState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
