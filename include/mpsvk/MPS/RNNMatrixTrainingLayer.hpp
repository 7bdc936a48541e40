// MPSRNNMatrixTrainingLayer: a recurrent layer on matrices, forward and backward through time.
#pragma once

#include <mpsvk/MPS/RNNDescriptor.hpp>
#include <mpsvk/MPS/RNNState.hpp>

namespace mpsvk::MPS {

/// Which of a layer's weights; MPSRNNMatrixId. The memory gate is the descriptor's cell gate, and
/// GRUOutputGateInputGateWeights is Vh.
enum class RNNMatrixId : uint64_t {
    SingleGateInputWeights = 0,
    SingleGateRecurrentWeights = 1,
    SingleGateBiasTerms = 2,
    LSTMInputGateInputWeights = 3,
    LSTMInputGateRecurrentWeights = 4,
    LSTMInputGateMemoryWeights = 5,
    LSTMInputGateBiasTerms = 6,
    LSTMForgetGateInputWeights = 7,
    LSTMForgetGateRecurrentWeights = 8,
    LSTMForgetGateMemoryWeights = 9,
    LSTMForgetGateBiasTerms = 10,
    LSTMMemoryGateInputWeights = 11,
    LSTMMemoryGateRecurrentWeights = 12,
    LSTMMemoryGateMemoryWeights = 13,
    LSTMMemoryGateBiasTerms = 14,
    LSTMOutputGateInputWeights = 15,
    LSTMOutputGateRecurrentWeights = 16,
    LSTMOutputGateMemoryWeights = 17,
    LSTMOutputGateBiasTerms = 18,
    GRUInputGateInputWeights = 19,
    GRUInputGateRecurrentWeights = 20,
    GRUInputGateBiasTerms = 21,
    GRURecurrentGateInputWeights = 22,
    GRURecurrentGateRecurrentWeights = 23,
    GRURecurrentGateBiasTerms = 24,
    GRUOutputGateInputWeights = 25,
    GRUOutputGateRecurrentWeights = 26,
    GRUOutputGateInputGateWeights = 27,
    GRUOutputGateBiasTerms = 28,
    Count = 29,
};

/// One layer over a sequence of time steps. Row r of every matrix belongs to sequence r of a batch;
/// a matrix has inputFeatureChannels (outputFeatureChannels) columns in use. Sequences of different
/// lengths are sorted, the longest first: the number of rows never grows with time. The formulas
/// are RNNDescriptor's, with y = x * transpose(W) for rows; sums are formed in fp32. Matrices are
/// Float32 or Float16, each as it likes.
///
/// The weights are the caller's: a set of opaque matrices, with the same numbers of rows and
/// columns for weights, gradients and an optimizer's moments. What is beside the weights in them
/// stays 0. All arrays of matrices are in the order of time. A span of offsets holds one number of
/// bytes per matrix, from its first element to where the rows begin, or is empty; rows with an
/// offset may reach as far as the matrix's buffer.
///
/// Every encode throws InvalidArgument, before anything is recorded, for arrays of different
/// lengths, matrices that are empty, spent, of another device or type or too small, rows that grow
/// with time, a result that overlaps a source, and weights or states of another layer.
///
/// MPSRNNMatrixTrainingLayer.
class RNNMatrixTrainingLayer : public Kernel {
public:
    using Kernel::encode;

    /// Appends the weights to `trainableWeights`, filled from the data sources. Throws
    /// InvalidArgument when a source does not load or does not fit the descriptor.
    RNNMatrixTrainingLayer(const MTL::Device& device, const RNNDescriptor& rnnDescriptor,
                           std::vector<Matrix>* trainableWeights);
    RNNMatrixTrainingLayer(KeyedUnarchiver& coder, const MTL::Device& device);

    uint64_t inputFeatureChannels() const;
    uint64_t outputFeatureChannels() const;
    /// A state after (gradient: before) every time step instead of the last (first) one alone.
    bool storeAllIntermediateStates() const { return storeAllIntermediateStates_; }
    void setStoreAllIntermediateStates(bool v) { storeAllIntermediateStates_ = v; }
    bool recurrentOutputIsTemporary() const { return recurrentOutputIsTemporary_; }
    void setRecurrentOutputIsTemporary(bool v) { recurrentOutputIsTemporary_ = v; }
    bool trainingStateIsTemporary() const { return trainingStateIsTemporary_; }
    void setTrainingStateIsTemporary(bool v) { trainingStateIsTemporary_ = v; }
    /// Gradients of weights are added to what is in their matrices instead of replacing it.
    bool accumulateWeightGradients() const { return accumulateWeightGradients_; }
    void setAccumulateWeightGradients(bool v) { accumulateWeightGradients_ = v; }

    /// Zeros in the layout of the weights; for an optimizer's moments, too.
    void createWeightGradientMatrices(std::vector<Matrix>* matricesOut, DataType dataType) const;
    /// Temporary ones, zeros as well.
    void createTemporaryWeightGradientMatrices(std::vector<Matrix>* matricesOut, DataType dataType,
                                               const MTL::CommandBuffer& commandBuffer) const;
    /// Zeros in the layout and of the type of the weights.
    void createWeightMatrices(std::vector<Matrix>* matricesOut) const;

    /// Copies between a set that this layer made (weights or gradients) and a matrix: row = output
    /// channel, column = input channel, from `matrixOffset` (x: row, y: column) on. Biases and
    /// diagonals are one row. With copyFromWeightsToMatrix false the matrix is the source.
    void encodeCopyWeights(const MTL::CommandBuffer& commandBuffer,
                           const std::vector<Matrix>& weights, RNNMatrixId matrixId,
                           const Matrix& matrix, bool copyFromWeightsToMatrix,
                           const MTL::Origin& matrixOffset);

    /// Appends one state per time step to `trainingStates` (null: none is kept), and to
    /// `recurrentOutputStates` the state after the last step, or after every one. In these a
    /// sequence that has ended keeps its own last state. An empty recurrentInputState is zeros.
    void encodeForwardSequence(const MTL::CommandBuffer& commandBuffer,
                               const std::vector<Matrix>& sourceMatrices,
                               std::span<const uint64_t> sourceOffsets,
                               const std::vector<Matrix>& destinationMatrices,
                               std::span<const uint64_t> destinationOffsets,
                               std::vector<RNNMatrixTrainingState>* trainingStates,
                               const RNNRecurrentMatrixState& recurrentInputState,
                               std::vector<RNNRecurrentMatrixState>* recurrentOutputStates,
                               const std::vector<Matrix>& weights);
    void encodeForwardSequence(const MTL::CommandBuffer& commandBuffer,
                               const std::vector<Matrix>& sourceMatrices,
                               const std::vector<Matrix>& destinationMatrices,
                               std::vector<RNNMatrixTrainingState>* trainingStates,
                               const std::vector<Matrix>& weights) {
        encodeForwardSequence(commandBuffer, sourceMatrices, {}, destinationMatrices, {},
                              trainingStates, {}, nullptr, weights);
    }

    /// From the gradients with respect to the results, those with respect to the sources
    /// (`destinationGradients`; an empty array: not wanted) and the weights (`weightGradients`;
    /// likewise): sums over rows and time. Needs the weights and sources of the forward encodes
    /// whose states it is given.
    ///
    /// recurrentInputState is the gradient with respect to the state after the last step, from the
    /// gradient encode of what came later; `recurrentOutputStates` gets the gradient with respect
    /// to the state before the first step (or, in the order of time, before every step).
    void encodeGradientSequence(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<Matrix>& forwardSources,
                                std::span<const uint64_t> forwardSourceOffsets,
                                const std::vector<Matrix>& sourceGradients,
                                std::span<const uint64_t> sourceGradientOffsets,
                                const std::vector<Matrix>& destinationGradients,
                                std::span<const uint64_t> destinationOffsets,
                                const std::vector<Matrix>& weightGradients,
                                const std::vector<RNNMatrixTrainingState>& trainingStates,
                                const RNNRecurrentMatrixState& recurrentInputState,
                                std::vector<RNNRecurrentMatrixState>* recurrentOutputStates,
                                const std::vector<Matrix>& weights);
    void encodeGradientSequence(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<Matrix>& forwardSources,
                                const std::vector<Matrix>& sourceGradients,
                                const std::vector<Matrix>& destinationGradients,
                                const std::vector<Matrix>& weightGradients,
                                const std::vector<RNNMatrixTrainingState>& trainingStates,
                                const std::vector<Matrix>& weights) {
        encodeGradientSequence(commandBuffer, forwardSources, {}, sourceGradients, {},
                               destinationGradients, {}, weightGradients, trainingStates, {},
                               nullptr, weights);
    }

    std::string className() const override { return "RNNMatrixTrainingLayer"; }
    RNNMatrixTrainingLayer copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    std::shared_ptr<const mps::RNNShape> shape_;
    bool storeAllIntermediateStates_ = false, recurrentOutputIsTemporary_ = false;
    bool trainingStateIsTemporary_ = false, accumulateWeightGradients_ = false;
};

} // namespace mpsvk::MPS
