// One encode of an optimizer: takes the operands, checks them, and records the update.
#pragma once

#include "NNOptimizer.h"
#include "mps/Encoder.hpp"
#include "mps/KnownUpdates.hpp"
#include "mps/Matrix.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNConvolutionState.hpp>

#include <array>
#include <memory_resource>

namespace mpsvk::mps {

/// Throws InvalidArgument unless both are at least 0 and less than 1.
void checkBetas(double beta1, double beta2);

/// Records an update of one tensor: as a part of a dispatch that is recorded already, or by one of
/// its own. Moves from the range's slices.
void dispatchUpdate(Encoder& encoder, std::string_view shader,
                    const glsl::NNOptimizerParameters& parameters, UpdateRange& range);
/// Whether it is such a dispatch.
bool isOptimizers(const vk::CommandList::Command& command);

class OptimizerUpdate {
public:
    /// In the order of the shaders' bindings, which begin at 1.
    enum Slot : size_t { Gradient, Values, Result, MomentA, MomentB, MomentC, SlotCount };
    /// What a tensor's update works on; slots may be empty.
    using Range = UpdateRange;
    static_assert(std::tuple_size_v<Range> == SlotCount);

    /// `shader` is a literal.
    OptimizerUpdate(const Subject& who, const MTL::CommandBuffer& commandBuffer,
                    std::string_view shader);
    ~OptimizerUpdate() {
        if (run_) run_->endUpdate(isRecorded_);
    }
    OptimizerUpdate(const OptimizerUpdate&) = delete;

    /// To be called first: whether the operands, the gradient first, are those of an update that
    /// was checked in the step before. Else they are to be taken. Throws InvalidArgument for an
    /// empty or committed command buffer.
    template <class Gradient, class... Operands>
    bool isKnown(const Gradient& gradient, const Operands&... operands) {
        isKnown_ = mayBeKnown(gradient) && run_->isKnown(shader_, gradient, operands...);
        if (!isKnown_) open();
        return isKnown_;
    }

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
    void record(const glsl::NNOptimizerParameters& parameters);

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
    void open();
    bool mayBeKnown(const Object&) const { return run_; }
    bool mayBeKnown(const MPS::CNNBatchNormalizationState& gradient);

    const Subject who_;
    const MTL::CommandBuffer& commandBuffer_;
    const std::string_view shader_;
    UpdateRun* const run_;
    bool isKnown_ = false, isRecorded_ = false;
    std::optional<Encoder> encoder_;    ///< of one that is not known
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
