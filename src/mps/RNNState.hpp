// The objects behind the states of recurrent matrix layers, and how they are filled.
#pragma once

#include "mps/RNNSequence.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/RNNState.hpp>

namespace mpsvk::MPS {

struct RNNRecurrentMatrixState::Impl : State::Impl {
    using State::Impl::Impl;
    /// A temporary state's matrices go with its read count.
    void wasReadWithMatrices();

    std::vector<Matrix> outputs, cells; ///< of each layer; a cell is empty where there is none
};

struct RNNMatrixTrainingState::Impl : State::Impl {
    using State::Impl::Impl;

    std::shared_ptr<const mps::RNNShape> shape;
    mps::RNNStep step;
    uint64_t sequence = 0, index = 0; ///< which forward encode, and which step of it
    bool hasInitialState = false;     ///< the encode was given one
};

} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// The memory of the time steps of a sequence, in one allocation.
struct RNNMemory {
    /// `rows` are those of each step. The step that is worked on first begins with `initialRows`
    /// rows of an initial state. Backward in time, step t begins with the rows of step t + 1.
    RNNMemory(const RNNShape& shape, std::span<const uint64_t> rows, uint64_t initialRows,
              bool isBackward,
              const std::function<std::shared_ptr<const vk::BufferSlice>(uint64_t)>& allocate);

    std::shared_ptr<const vk::BufferSlice> all;
    std::vector<RNNStep> steps;
    vk::BufferSlice initial, initialCell;
};

/// Fills recurrent states with what encodes leave.
class RNNStateWriter {
public:
    using States = std::vector<MPS::RNNRecurrentMatrixState>;

    /// `states` may be null. Makes `count` states for `rows` sequences.
    RNNStateWriter(Encoder& encoder, std::span<const std::shared_ptr<const RNNShape>> layers,
                   uint64_t rows, size_t count, bool isTemporary, States* states);
    bool isActive() const { return target_ != nullptr; }
    /// The first rows of a layer's state; the others are those of the state before.
    void write(size_t state, size_t layer, uint64_t rows, const vk::BufferSlice& output,
               const vk::BufferSlice& cell);
    /// Some rows only, from `first` on.
    void writeRows(size_t state, size_t layer, uint64_t first, uint64_t end,
                   const vk::BufferSlice& output, const vk::BufferSlice& cell);
    /// Appends the states.
    void finish();

private:
    void copy(const MPS::Matrix& to, const vk::BufferSlice& from, uint64_t first, uint64_t end);

    Encoder& encoder_;
    uint64_t rows_;
    States* target_;
    States made_;
};

/// The slice of a state's matrix, for the first `rows` of it.
vk::BufferSlice stateRows(const MPS::Matrix& matrix, uint64_t rows);

} // namespace mpsvk::mps
