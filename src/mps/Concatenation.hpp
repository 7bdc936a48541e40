// Concatenation along the channels, and its gradient, as a graph runs them.
#pragma once

#include "mps/Stage.hpp"

#include <mpsvk/MPS/NNSlice.hpp>

namespace mpsvk::mps {

/// Copies each source into its channels of the result, but for those that are there already.
class ConcatenationStage : public Stage {
public:
    explicit ConcatenationStage(const MTL::Device& device) : slice_(device) {}
    MPS::Kernel& kernel() override { return slice_; }
    StageOutputs encode(const StageInputs& in) override;

private:
    MPS::NNSlice slice_;
};

/// The channels of source `index` of the gradient: a view of them, or a copy.
class ConcatenationGradientStage : public Stage {
public:
    ConcatenationGradientStage(const MTL::Device& device, size_t index)
        : slice_(device), index_(index) {}
    MPS::Kernel& kernel() override { return slice_; }
    StageOutputs encode(const StageInputs& in) override;

private:
    bool mayBeView(const StageInputs& in, uint64_t channels) const;

    MPS::NNSlice slice_;
    size_t index_;
};

} // namespace mpsvk::mps
