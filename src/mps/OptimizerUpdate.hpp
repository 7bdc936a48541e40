// One encode of an optimizer: takes the operands, checks them, and records the update.
#pragma once

#include "NNOptimizer.h"
#include "mps/Encoder.hpp"
#include "mps/Matrix.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNConvolutionState.hpp>

#include <array>

namespace mpsvk::mps {

class OptimizerUpdate {
public:
    /// In the order of the shaders' bindings, which begin at 1.
    enum Slot : size_t { Gradient, Values, Result, MomentA, MomentB, MomentC, SlotCount };

    /// Throws InvalidArgument for an empty or committed command buffer.
    OptimizerUpdate(std::string who, const MTL::CommandBuffer& commandBuffer);

    /// What a refusal begins with.
    const std::string& who() const { return who_; }

    /// Operands of one kind, the gradient first. Throw InvalidArgument for what cannot take part or
    /// does not fit the gradient.
    void take(Slot slot, const char* role, const MPS::Vector& vector);
    void take(Slot slot, const char* role, const MPS::Matrix& matrix);
    /// Weights, and biases where source and result have them.
    void take(const MPS::CNNConvolutionGradientState& gradient,
              const MPS::CNNConvolutionWeightsAndBiasesState& source,
              const MPS::CNNConvolutionWeightsAndBiasesState& result);
    /// Gamma and beta.
    void take(const MPS::CNNBatchNormalizationState& state,
              const MPS::CNNNormalizationGammaAndBetaState& result);
    void take(const MPS::CNNBatchNormalizationState& gradient,
              const MPS::CNNBatchNormalizationState& source,
              const MPS::CNNNormalizationGammaAndBetaState& result);
    /// One vector for each parameter of the states: the first array decides how many are updated.
    void takeMoments(Slot slot, const char* role, const std::vector<MPS::Vector>& vectors);

    /// Checks that nothing overlaps, records, and lowers the read counts.
    void record(std::string_view shader, glsl::NNOptimizerParameters parameters);

private:
    using Range = std::array<ArrayView, SlotCount>;
    struct Part;

    /// The states of an encode: what they are called, and what their two parameters are.
    struct StateRoles {
        const char *gradient, *source, *first, *second;
    };
    void checkState(const char* role, const MPS::State& state) const;
    /// Parameter `index` of the states: `bytes` of gradients, and values and results that hold as
    /// many.
    void placeParameter(size_t index, const vk::BufferSlice& gradient, uint64_t bytes,
                        const vk::BufferSlice& values, const vk::BufferSlice& results);
    void takeNormalization(const StateRoles& roles, const MPS::CNNBatchNormalizationState& gradient,
                           const MPS::CNNBatchNormalizationState& source,
                           const MPS::CNNNormalizationGammaAndBetaState& result);
    void checkOperand(const char* role, ArrayStorage* storage, MPS::DataType type);
    void place(size_t range, Slot slot, const char* role, const ArrayView& view);
    void checkOverlaps(const Range& range) const;
    Part partOf(const Range& range) const;

    const std::string who_;
    Encoder encoder_;
    std::vector<Range> ranges_;
    std::array<const char*, SlotCount> roles_{};
    StateRoles stateRoles_{};
    bool momentsTaken_ = false;
    std::vector<ArrayStorage*> readArrays_;
    MPS::StateBatch readStates_;
};

} // namespace mpsvk::mps
