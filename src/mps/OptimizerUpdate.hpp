// One encode of an optimizer: takes the operands, checks them, and records the update.
#pragma once

#include "NNOptimizer.h"
#include "mps/Encoder.hpp"
#include "mps/Matrix.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNConvolutionState.hpp>

#include <array>
#include <memory_resource>

namespace mpsvk::mps {

/// Throws InvalidArgument unless both are at least 0 and less than 1.
void checkBetas(double beta1, double beta2);

class OptimizerUpdate {
public:
    /// In the order of the shaders' bindings, which begin at 1.
    enum Slot : size_t { Gradient, Values, Result, MomentA, MomentB, MomentC, SlotCount };
    /// What a tensor's update works on; slots may be empty.
    using Range = std::array<ArrayView, SlotCount>;

    /// Throws InvalidArgument for an empty or committed command buffer.
    OptimizerUpdate(const Subject& who, const MTL::CommandBuffer& commandBuffer);

    /// What a refusal begins with.
    const Subject& who() const { return who_; }

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
    void record(std::string_view shader, const glsl::NNOptimizerParameters& parameters);

private:
    /// The states of an encode: what they are called, and what their two parameters are.
    struct StateRoles {
        const char *gradient, *source, *first, *second;
    };
    template <class Handle>
    typename Handle::Impl& checked(const Role& role, const Handle& handle) const;
    void checkType(const Role& role, MPS::DataType type) const;
    /// Parameter `index` of the states: `bytes` of gradients, and values and results that hold as
    /// many.
    void placeParameter(size_t index, vk::BufferSlice gradient, uint64_t bytes,
                        vk::BufferSlice values, vk::BufferSlice results);
    void takeNormalization(const StateRoles& roles, const MPS::CNNBatchNormalizationState& gradient,
                           const MPS::CNNBatchNormalizationState& source,
                           const MPS::CNNNormalizationGammaAndBetaState& result);
    void place(size_t range, Slot slot, const Role& role, ArrayView view);
    void checkOverlaps();
    /// As a part of a dispatch that is recorded already, or by one of its own.
    void dispatch(std::string_view shader, const glsl::NNOptimizerParameters& parameters,
                  Range& range);

    const Subject who_;
    Encoder encoder_;
    std::array<std::byte, 2048> stack_; // enough for two ranges: nothing is allocated then
    std::pmr::monotonic_buffer_resource memory_{stack_.data(), stack_.size()};
    std::pmr::vector<Range> ranges_{&memory_};
    std::array<const char*, SlotCount> roles_{};
    StateRoles stateRoles_{};
    bool momentsTaken_ = false;
    std::pmr::vector<ArrayStorage*> readArrays_{&memory_};
    std::array<MPS::State::Impl*, 2> readStates_{};
    /// Whose gradients the next ones are not added to.
    MPS::CNNBatchNormalizationState::Impl* closed_ = nullptr;
};

} // namespace mpsvk::mps
