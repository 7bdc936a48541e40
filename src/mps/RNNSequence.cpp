#include "mps/RNNSequence.hpp"

#include "vk/Device.hpp"

#include <optional>

namespace mpsvk::mps {

namespace {

uint64_t bytesOf(const ArrayView& view) {
    return (view.rows - 1) * view.rowBytes + view.columns * MPS::bytesPerElement(view.dataType);
}

bool areAlike(const ArrayView& a, const ArrayView& b) {
    return a.slice.buffer == b.slice.buffer && a.rowBytes == b.rowBytes &&
           a.dataType == b.dataType && a.columns == b.columns;
}

/// The rows of both, when those of `b` follow those of `a`.
std::optional<ArrayView> joined(const vk::Limits& limits, const ArrayView& a, const ArrayView& b) {
    if (!areAlike(a, b) || b.slice.begin() != a.slice.begin() + a.rows * a.rowBytes)
        return std::nullopt;
    ArrayView both = a;
    both.rows += b.rows;
    both.slice.size = bytesOf(both);
    if (both.slice.size + limits.storageAlignment > limits.storageBufferRange) return std::nullopt;
    return both;
}

/// How far `b`, as large as `a`, lies behind it; 0 when no stride of a shader leads there.
uint64_t strideBetween(const ArrayView& a, const ArrayView& b) {
    if (!areAlike(a, b) || a.rows != b.rows || b.slice.begin() <= a.slice.begin()) return 0;
    const uint64_t stride = b.slice.begin() - a.slice.begin();
    return stride % MPS::bytesPerElement(a.dataType) ? 0 : stride;
}

MatrixOperand operandOf(const vk::Limits& limits, ArrayView first, uint64_t matrices,
                        uint64_t stride) {
    first.slice.size = bytesOf(first) + (matrices - 1) * stride;
    return boundOperand(first, limits, matrices, stride);
}

} // namespace

ArrayView packedRows(const vk::BufferSlice& slice, uint64_t rows, uint64_t columns) {
    ArrayView view{slice, rows, columns, columns * sizeof(float), MPS::DataType::Float32};
    view.slice.size = rows * view.rowBytes;
    return view;
}

ArrayView columnsOf(const ArrayView& all, uint64_t first, uint64_t count) {
    ArrayView part = all;
    part.columns = count;
    part.slice.offset += first * MPS::bytesPerElement(all.dataType);
    part.slice.size = bytesOf(part);
    return part;
}

MatrixOperand RowStretch::operandA(const vk::Limits& limits) const {
    return operandOf(limits, a, matrices, strideA);
}
MatrixOperand RowStretch::operandB(const vk::Limits& limits) const {
    return operandOf(limits, b, matrices, strideB);
}

void forEachStretch(const vk::Limits& limits, std::span<const ArrayView> a,
                    std::span<const ArrayView> b,
                    const std::function<void(const RowStretch&)>& visit) {
    constexpr uint64_t mostMatrices = 65535;
    for (size_t first = 0; first < a.size();) {
        RowStretch stretch{a[first], b[first]};
        size_t next = first + 1;
        for (; next < a.size(); ++next) {
            const auto moreA = joined(limits, stretch.a, a[next]),
                       moreB = joined(limits, stretch.b, b[next]);
            if (!moreA || !moreB) break;
            stretch.a = *moreA;
            stretch.b = *moreB;
        }
        if (next == first + 1 && next < a.size()) {
            stretch.strideA = strideBetween(a[first], a[next]);
            stretch.strideB = strideBetween(b[first], b[next]);
            const auto fits = [&](const ArrayView& view, uint64_t stride) {
                return bytesOf(view) + stretch.matrices * stride + limits.storageAlignment <=
                       limits.storageBufferRange;
            };
            while (stretch.strideA && stretch.strideB && next < a.size() &&
                   stretch.matrices < mostMatrices &&
                   strideBetween(a[next - 1], a[next]) == stretch.strideA &&
                   strideBetween(b[next - 1], b[next]) == stretch.strideB &&
                   fits(stretch.a, stretch.strideA) && fits(stretch.b, stretch.strideB)) {
                ++stretch.matrices;
                ++next;
            }
        }
        visit(stretch);
        first = next;
    }
}

RNNSequence::RNNSequence(Encoder& encoder, const RNNShape& shape, const Weights& weights)
    : encoder_(encoder), shape_(shape), weights_(weights) {
    const auto slopes = shape.slopes();
    if (!slopes.empty())
        slopes_ = encoder.commandBuffer()
                      .device()
                      .newBuffer(std::as_bytes(std::span(slopes)))
                      .impl()
                      .slice;
}

ArrayView RNNSequence::gateColumns(const vk::BufferSlice& gates, uint64_t rows,
                                   const GateRun& run) const {
    return columnsOf(packedRows(gates, rows, shape_.gateColumns()), run.gate * padded(),
                     run.count * padded());
}

MatrixOperand RNNSequence::weightRows(RNNShape::Part part, const GateRun& run) const {
    MatrixOperand rows = weights_[part];
    rows.view.matrixStride = 0; // the same for all time steps of a product
    rows.view.offset += uint32_t(run.index * padded() * rows.view.rowStride);
    rows.view.rows = uint32_t(run.count * padded());
    return rows;
}

RNNSequence::StepDispatch RNNSequence::stepDispatch(uint64_t rows) const {
    StepDispatch made;
    auto& p = made.p;
    p.rows = uint32_t(rows);
    p.channels = uint32_t(shape_.outputs);
    p.quads = uint32_t(quads());
    p.gateCount = shape_.gates();
    p.pNorm = shape_.pNorm;
    p.flip = shape_.flip;
    p.addsUnitInput = shape_.unitTransform;
    p.biasedGates = shape_.biasedGates;
    if (p.biasedGates) bind(made, 2, weights_[RNNShape::Bias], p.bias);
    p.peepholes = shape_.diagonalGates();
    if (p.peepholes) bind(made, 12, weights_[RNNShape::Memory], p.peephole);
    if (slopes_) made.operands.emplace_back(4, slopes_);
    float* parameters[5][3] = {{&p.a0, &p.b0, &p.c0},
                               {&p.a1, &p.b1, &p.c1},
                               {&p.a2, &p.b2, &p.c2},
                               {&p.a3, &p.b3, &p.c3},
                               {&p.a4, &p.b4, &p.c4}};
    for (uint32_t i = 0; i < shape_.neurons.size(); ++i) {
        const auto& neuron = shape_.neurons[i];
        *parameters[i][0] = neuron.a();
        *parameters[i][1] = neuron.b();
        *parameters[i][2] = neuron.c();
        made.constants.push_back(constant(32 + i, uint32_t(neuron.neuronType())));
    }
    return made;
}

void RNNSequence::bind(StepDispatch& dispatch, uint32_t number, const vk::BufferSlice& slice,
                       uint32_t& offset) const {
    if (!slice) return;
    const AlignedSlice aligned(slice, encoder_.limits());
    offset = uint32_t(aligned.skipped / 16);
    dispatch.operands.emplace_back(number, aligned.slice);
}

void RNNSequence::bind(StepDispatch& dispatch, uint32_t number, const MatrixOperand& operand,
                       glsl::MatrixView& view) {
    view = operand.view;
    dispatch.operands.emplace_back(number, operand.slice);
    dispatch.constants.push_back(constant(number, operand.typeConstant()));
}

void RNNSequence::encodeStepDispatch(const StepDispatch& dispatch, const char* suffix,
                                     uint32_t phases) const {
    const std::string name = shape_.isLSTM() ? "LSTM" : shape_.isGRU() ? "GRU" : "SingleGate";
    auto constants = dispatch.constants;
    constants.push_back(constant(37, phases));
    encoder_.dispatchBytes("RNN" + name + suffix, std::as_bytes(std::span(&dispatch.p, 1)),
                           Grid::of(uint64_t(dispatch.p.rows) * dispatch.p.quads),
                           dispatch.operands, constants, {});
}

void encodeRowCopy(Encoder& encoder, const MatrixOperand& source, const MatrixOperand& destination,
                   uint64_t matrices, bool adds) {
    glsl::RNNRowsParameters p{};
    p.source = source.view;
    p.destination = destination.view;
    p.rows = source.view.rows;
    p.columns = source.view.columns;
    p.matrices = uint32_t(matrices);
    p.beta = adds ? 1.f : 0.f;
    encoder.dispatch("RNNRowCopy", p, Grid::of(slicesFor(p.columns) * p.rows * p.matrices),
                     {{1, source.slice}, {2, destination.slice}},
                     {constant(1, source.typeConstant()), constant(2, destination.typeConstant())});
}

} // namespace mpsvk::mps
