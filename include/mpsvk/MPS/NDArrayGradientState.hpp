// MPSNDArrayGradientState: what a gradient kernel on arrays has to know of the forward pass.
#pragma once

#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// Records a forward kernel's properties and the shapes of its arrays. Made by
/// NDArrayMultiaryBase::resultState and by the encodes that return a state; an encode that is given
/// one records anew. Keeps no memory, and so is never temporary. MPSNDArrayGradientState.
class NDArrayGradientState : public State {
public:
    NDArrayGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit NDArrayGradientState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
