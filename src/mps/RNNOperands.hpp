// Takes and checks what the encodes of recurrent matrix layers are given. Every check throws
// InvalidArgument with a sentence that begins with `who`.
#pragma once

#include "mps/RNNState.hpp"

namespace mpsvk::mps {

class RNNOperands {
public:
    RNNOperands(const Subject& who, const MTL::Device& kernel,
                const MTL::CommandBuffer& commandBuffer)
        : operands_(who, kernel, commandBuffer) {}

    Encoder& encoder() { return operands_.encoder(); }
    MatrixOperands& matrices() { return operands_; }
    const std::string& who() const { return operands_.who(); }

    /// One matrix per time step with at least this many columns; rows from the offset on.
    std::vector<ArrayView> rows(const char* role, const std::vector<MPS::Matrix>& matrices,
                                std::span<const uint64_t> offsets, uint64_t columns);
    /// The same for matrices with at least the rows of each step; then they have as many.
    std::vector<ArrayView> rowsLike(const char* role, const std::vector<MPS::Matrix>& matrices,
                                    std::span<const uint64_t> offsets, uint64_t columns,
                                    std::span<const uint64_t> rows);
    /// The rows of each step: they never grow with time, and a step fits in what is bound at once.
    std::vector<uint64_t> rowsOf(const char* role, const std::vector<ArrayView>& views,
                                 std::span<const std::shared_ptr<const RNNShape>> layers) const;
    /// A set of weights, or of their gradients.
    RNNSequence::Weights weights(const char* role, const std::vector<MPS::Matrix>& matrices,
                                 const RNNShape& shape);
    /// A state with these layers, or an empty one.
    const MPS::RNNRecurrentMatrixState::Impl*
    state(const MPS::RNNRecurrentMatrixState& state,
          std::span<const std::shared_ptr<const RNNShape>> layers, uint64_t leastRows,
          uint64_t mostRows);
    void checkApart(const char* resultRole, std::span<const ArrayView> results,
                    const char* sourceRole, std::span<const ArrayView> sources) const;
    void checkApart(const char* resultRole, std::span<const ArrayView> results,
                    const char* sourceRole, const RNNSequence::Weights& sources) const;
    void checkApart(const RNNSequence::Weights& results, const RNNSequence::Weights& sources) const;
    void checkApartFromEachOther(const char* role, const RNNSequence::Weights& results) const;

    /// Lowers the read counts of what was named, once each.
    void willRead(const std::vector<MPS::Matrix>& matrices);
    void markRead();

private:
    MatrixOperands operands_;
    std::vector<ArrayStorage*> read_;
};

/// The steps of training states: of forward encodes of this layer, each going on where the one
/// before it ended.
std::vector<RNNStep> stepsOf(RNNOperands& operands, const RNNShape& shape,
                             const std::vector<MPS::RNNMatrixTrainingState>& states);

} // namespace mpsvk::mps
