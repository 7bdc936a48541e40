// What recurrent matrix layers carry from one sequence to the next, and from forward to gradient.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// Recurrent output and memory cell after a time step, for each layer of a stack; row r belongs to
/// sequence r. Of a gradient encode: the gradients with respect to them. All matrices are Float32.
/// Those of a temporary state are temporary matrices with a read count of their own, 1 at first;
/// an encode that is given the state needs them all. MPSRNNRecurrentMatrixState.
class RNNRecurrentMatrixState : public State {
public:
    RNNRecurrentMatrixState() = default;
    /// Sequences x outputFeatureChannels; empty for a layer that the stack does not have.
    Matrix getRecurrentOutputMatrix(uint64_t layerIndex) const;
    /// The same for the cell; empty for a layer that is no LSTM, too.
    Matrix getMemoryCellMatrix(uint64_t layerIndex) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit RNNRecurrentMatrixState(std::shared_ptr<Impl> impl);
};

/// What one time step of a forward encode leaves for the gradient. Its resources are the layer's
/// own. MPSRNNMatrixTrainingState.
class RNNMatrixTrainingState : public State {
public:
    RNNMatrixTrainingState() = default;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit RNNMatrixTrainingState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
