// What the base classes of kernels on arrays hand to a kernel class: one encode, checked.
#pragma once

#include "mps/NDArrayCopy.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::mps {

/// A forward kernel's properties and the shapes of its arrays.
struct NDRecord {
    std::string className; ///< empty: nothing is recorded yet
    std::vector<NDLayout> sources;
    NDLayout destination;
    MPS::NDArrayOffsets strides;
    uint64_t axis = 0;
};

/// An encode. In `validate` the encoder is null and there are no operands.
struct NDPass {
    std::string who;
    std::vector<MPS::NDArray> sources;
    MPS::NDArray gradient, destination;
    MPS::State state;
    Encoder* encoder = nullptr;
    /// The arrays as they are bound: sources, then the gradient if there is one, then the
    /// destination.
    std::vector<NDOperand> operands;

    const NDLayout& source(size_t i) const { return sources[i].impl().layout; }
    const NDOperand& destinationOperand() const { return operands.back(); }
    const NDOperand& gradientOperand() const { return operands[sources.size()]; }
    /// Of the state.
    const NDRecord& record() const;
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct NDArrayGradientState::Impl : State::Impl {
    using State::Impl::Impl;
    mps::NDRecord record;
};

} // namespace mpsvk::MPS
