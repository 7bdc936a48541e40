// A recurrent layer over a sequence, forward and backward, on operands that are checked already.
#pragma once

#include "RNN.h"
#include "mps/MatrixProduct.hpp"
#include "mps/RNNShape.hpp"

namespace mpsvk::mps {

/// The memory of one time step, as glsl/RNN.h lays it out.
struct RNNStep {
    uint64_t rows = 0;
    vk::BufferSlice gates;  ///< sums of the products
    vk::BufferSlice output; ///< h1
    vk::BufferSlice cell;   ///< c1 of an LSTM
    vk::BufferSlice mixed;  ///< of a GRU: r * h0 and z * h0, what there is of them
    /// h0 and c0; the rows of this step beyond them begin with zeros.
    vk::BufferSlice previous, previousCell;
    uint64_t previousRows = 0;
};

/// `rows` rows of fp32 numbers without anything between them.
ArrayView packedRows(const vk::BufferSlice& slice, uint64_t rows, uint64_t columns);
/// Some columns of them.
ArrayView columnsOf(const ArrayView& all, uint64_t first, uint64_t count);

/// Rows of two operands that one product or copy covers: one after the other, or `matrices` of as
/// many rows each at equal distances.
struct RowStretch {
    ArrayView a, b;
    uint64_t matrices = 1, strideA = 0, strideB = 0;
    MatrixOperand operandA(const vk::Limits& limits) const;
    MatrixOperand operandB(const vk::Limits& limits) const;
};
void forEachStretch(const vk::Limits& limits, std::span<const ArrayView> a,
                    std::span<const ArrayView> b,
                    const std::function<void(const RowStretch&)>& visit);

/// The rows of each matrix, in the destination's type; they may be added to what is there.
void encodeRowCopy(Encoder& encoder, const MatrixOperand& source, const MatrixOperand& destination,
                   uint64_t matrices = 1, bool adds = false);

/// What both directions share.
class RNNSequence {
public:
    using Weights = std::array<MatrixOperand, RNNShape::PartCount>;

    RNNSequence(Encoder& encoder, const RNNShape& shape, const Weights& weights);

protected:
    uint64_t padded() const { return shape_.paddedOutputs(); }
    uint64_t quads() const { return padded() / 4; }
    /// The gates' columns of all gates' rows.
    ArrayView gateColumns(const vk::BufferSlice& gates, uint64_t rows, const GateRun& run) const;
    ArrayView outputs(const vk::BufferSlice& slice, uint64_t rows) const {
        return packedRows(slice, rows, padded());
    }
    /// Rows of the run's gates in a part of the weights.
    MatrixOperand weightRows(RNNShape::Part part, const GateRun& run) const;
    MatrixOperand bound(const ArrayView& view) const {
        return boundOperand(view, encoder_.limits());
    }

    /// A dispatch of one of the layer's step shaders.
    struct StepDispatch {
        glsl::RNNStepParameters p{};
        std::vector<Operand> operands;
        std::vector<vk::Constant> constants;
    };
    StepDispatch stepDispatch(uint64_t rows) const;
    /// Binds an array of the layer's own; `offset` becomes where it begins there.
    void bind(StepDispatch& dispatch, uint32_t number, const vk::BufferSlice& slice,
              uint32_t& offset) const;
    static void bind(StepDispatch& dispatch, uint32_t number, const MatrixOperand& operand,
                     glsl::MatrixView& view);
    void encodeStepDispatch(const StepDispatch& dispatch, const char* suffix,
                            uint32_t phases) const;

    Encoder& encoder_;
    const RNNShape& shape_;
    const Weights& weights_;
    vk::BufferSlice slopes_;
};

class RNNForward : public RNNSequence {
public:
    using RNNSequence::RNNSequence;
    virtual ~RNNForward() = default;

    /// In the order of time; each step's `previous` is the output of the one that is worked on
    /// before it. Without destinations the results are in the steps alone.
    void encode(std::span<const RNNStep> steps, std::span<const ArrayView> sources,
                std::span<const ArrayView> destinations, bool isBackward, bool addsToDestinations);

protected:
    /// What a product has on its left side.
    enum class State { Previous, PreviousCell, Cell, Mixed };
    /// Everything after the product with the source.
    void encodeStep(const RNNStep& step, const ArrayView& source, const ArrayView& destination,
                    bool adds);
    /// Adds the products with the weights of a part to the sums of these gates.
    virtual void addProducts(const RNNStep& step, State state, RNNShape::Part part, uint32_t gates);

private:
    void multiplyInputs(std::span<const RNNStep> steps, std::span<const ArrayView> sources);
};

struct RNNGradientRequest {
    std::span<const RNNStep> steps;
    std::span<const ArrayView> sources, sourceGradients;
    std::span<const ArrayView> destinationGradients; ///< may be empty
    const RNNSequence::Weights* weightGradients = nullptr;
    bool accumulates = false;
    /// Gradients with respect to h and c after the last step, for the rows of the first one; at the
    /// end those before the first step, if they are wanted.
    vk::BufferSlice carried, carriedCell;
    bool wantsInitial = false;
    std::function<void(size_t step)> afterStep; ///< may be empty
};

class RNNGradient : public RNNSequence {
public:
    RNNGradient(Encoder& encoder, const RNNShape& shape, const Weights& weights,
                const RNNGradientRequest& request);
    void encode();

private:
    void encodeStep(size_t t, const vk::BufferSlice& gateGradients);
    void multiplyBack(const RNNStep& step, const vk::BufferSlice& gateGradients,
                      RNNShape::Part part, uint32_t gates, const vk::BufferSlice& result,
                      bool adds);
    void encodeSources(size_t first, size_t end, const vk::BufferSlice& gateGradients);
    void encodeWeights(size_t first, size_t end, const vk::BufferSlice& gateGradients,
                       bool accumulates);
    /// The gradient of a part whose right factors are these rows (empty: zeros), a view per step.
    void accumulate(const vk::BufferSlice& gateGradients, size_t first, RNNShape::Part part,
                    uint32_t gates, std::vector<ArrayView> factors, bool accumulates);
    void sumRows(const ArrayView& source, const MatrixOperand& destination, bool accumulates);

    const RNNGradientRequest& request_;
    std::vector<uint64_t> firstRow_; ///< of each step, among the rows of all; and their number
    std::shared_ptr<const vk::BufferSlice> peepholeSums_;
};

} // namespace mpsvk::mps
