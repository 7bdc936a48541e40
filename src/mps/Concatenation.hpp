// Concatenation along the channels, and its gradient, as a graph runs them.
#pragma once

#include "mps/Stage.hpp"

#include <mpsvk/MPS/NNSlice.hpp>

namespace mpsvk::mps {

/// Copies each source into its channels of the result.
class ConcatenationStage : public Stage {
public:
    explicit ConcatenationStage(const MTL::Device& device) : slice_(device) {}
    MPS::Kernel& kernel() override { return slice_; }
    StageOutputs encode(const StageInputs& in) override;

private:
    MPS::NNSlice slice_;
};

/// Copies the channels of source `index` out of the gradient.
class ConcatenationGradientStage : public Stage {
public:
    ConcatenationGradientStage(const MTL::Device& device, size_t index)
        : slice_(device), index_(index) {}
    MPS::Kernel& kernel() override { return slice_; }
    StageOutputs encode(const StageInputs& in) override;

private:
    MPS::NNSlice slice_;
    size_t index_;
};

} // namespace mpsvk::mps
