#include "mps/RNNSequence.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// Of the gradients of gates that are kept at once: those of more steps are worked on in turns.
constexpr uint64_t mostGateBytes = uint64_t(64) << 20;

} // namespace

RNNGradient::RNNGradient(Encoder& encoder, const RNNShape& shape, const Weights& weights,
                         const RNNGradientRequest& request)
    : RNNSequence(encoder, shape, weights), request_(request), firstRow_{0} {
    for (const RNNStep& step : request.steps) firstRow_.push_back(firstRow_.back() + step.rows);
}

void RNNGradient::encode() {
    const auto steps = request_.steps;
    const uint64_t rowBytes = shape_.gateColumns() * sizeof(float);
    const uint64_t most = std::min<uint64_t>(mostGateBytes, encoder_.limits().storageBufferRange -
                                                                encoder_.limits().storageAlignment);
    const uint64_t mostRows = std::max<uint64_t>(most / rowBytes, steps.front().rows);
    const auto gateGradients = encoder_.scratch(std::min(mostRows, firstRow_.back()) * rowBytes);
    const bool sums = request_.weightGradients && shape_.diagonalGates();
    const uint64_t sumColumns = std::popcount(shape_.diagonalGates()) * padded();
    if (sums) {
        peepholeSums_ = encoder_.scratch(steps.front().rows * sumColumns * sizeof(float));
        encoder_.list().fill(*peepholeSums_, 0);
    }
    bool accumulates = request_.accumulates;
    for (size_t end = steps.size(); end > 0;) {
        size_t first = end - 1;
        while (first > 0 && firstRow_[end] - firstRow_[first - 1] <= mostRows) --first;
        const auto gradientsOf = [&](size_t t) {
            vk::BufferSlice slice = *gateGradients;
            slice.offset += (firstRow_[t] - firstRow_[first]) * rowBytes;
            slice.size = steps[t].rows * rowBytes;
            return slice;
        };
        for (size_t t = end; t-- > first;) {
            encodeStep(t, gradientsOf(t));
            if (request_.afterStep) request_.afterStep(t);
        }
        if (!request_.destinationGradients.empty()) encodeSources(first, end, *gateGradients);
        if (request_.weightGradients) encodeWeights(first, end, *gateGradients, accumulates);
        accumulates = true;
        end = first;
    }
    if (!sums) return;
    MatrixOperand row = (*request_.weightGradients)[RNNShape::Memory];
    row.view.rows = 1;
    row.view.columns = uint32_t(sumColumns);
    sumRows(packedRows(*peepholeSums_, steps.front().rows, sumColumns), row, request_.accumulates);
}

void RNNGradient::encodeStep(size_t t, const vk::BufferSlice& gateGradients) {
    const RNNStep& step = request_.steps[t];
    const bool goesOn = t > 0 || request_.wantsInitial;
    StepDispatch dispatch = stepDispatch(step.rows);
    auto& p = dispatch.p;
    p.previousRows = uint32_t(step.previousRows);
    bind(dispatch, 1, step.gates, p.gates);
    bind(dispatch, 6, bound(request_.sourceGradients[t]), p.outer);
    bind(dispatch, 8, gateGradients, p.gateGradients);
    bind(dispatch, 9, request_.carried, p.carried);
    if (shape_.unitTransform) {
        bind(dispatch, 3, bound(request_.sources[t]), p.inputs);
        p.writesInputGradients = !request_.destinationGradients.empty();
        if (p.writesInputGradients)
            bind(dispatch, 7, bound(request_.destinationGradients[t]), p.inputGradients);
    }

    if (shape_.isGRU()) {
        bind(dispatch, 10, step.previous, p.previous);
        const bool mixes = shape_.mixes() && (step.previousRows > 0 || goesOn);
        if (mixes) {
            const uint64_t columns = shape_.mixes() * padded();
            const auto mixed = encoder_.scratch(step.rows * columns * sizeof(float));
            encodeStepDispatch(dispatch, "Gradient", 1);
            encodeProduct(encoder_,
                          {.left = bound(gateColumns(gateGradients, step.rows, {2, 1, 0})),
                           .right = weights_[RNNShape::Memory],
                           .result = bound(packedRows(*mixed, step.rows, columns)),
                           .interior = padded()});
            p.mixes = shape_.memoryGates;
            bind(dispatch, 11, *mixed, p.mixedGradients);
            encodeStepDispatch(dispatch, "Gradient", 2);
        } else {
            encodeStepDispatch(dispatch, "Gradient", 3);
        }
        if (goesOn)
            multiplyBack(step, gateGradients, RNNShape::Recurrent, shape_.recurrentGates,
                         request_.carried, true);
        return;
    }

    if (shape_.isLSTM()) {
        bind(dispatch, 10, step.previousCell, p.previousCell);
        bind(dispatch, 11, step.cell, p.cell);
        bind(dispatch, 13, request_.carriedCell, p.carriedCell);
        if (peepholeSums_) bind(dispatch, 14, *peepholeSums_, p.peepholeSums);
        p.sumsPeepholes = peepholeSums_ != nullptr;
        constexpr uint32_t outputGate = 8;
        const uint32_t dense = shape_.hasDenseMemory() ? shape_.memoryGates : 0;
        if (dense & outputGate) {
            encodeStepDispatch(dispatch, "Gradient", 1);
            encodeProduct(encoder_,
                          {.left = bound(gateColumns(gateGradients, step.rows, {3, 1, 0})),
                           .right = weightRows(RNNShape::Memory,
                                               {3, 1, uint32_t(RNNShape::indexOf(dense, 3))}),
                           .result = bound(outputs(request_.carriedCell, step.rows)),
                           .interior = padded(),
                           .beta = 1});
        }
        encodeStepDispatch(dispatch, "Gradient", dense & outputGate ? 2 : 3);
        if (goesOn)
            multiplyBack(step, gateGradients, RNNShape::Memory, dense & ~outputGate,
                         request_.carriedCell, true);
    } else {
        encodeStepDispatch(dispatch, "Gradient", 3);
    }
    if (!goesOn) return;
    if (!shape_.recurrentGates) encoder_.list().fill(outputs(request_.carried, step.rows).slice, 0);
    multiplyBack(step, gateGradients, RNNShape::Recurrent, shape_.recurrentGates, request_.carried,
                 false);
}

void RNNGradient::multiplyBack(const RNNStep& step, const vk::BufferSlice& gateGradients,
                               RNNShape::Part part, uint32_t gates, const vk::BufferSlice& result,
                               bool adds) {
    for (const GateRun& run : RNNShape::runs(gates)) {
        encodeProduct(encoder_, {.left = bound(gateColumns(gateGradients, step.rows, run)),
                                 .right = weightRows(part, run),
                                 .result = bound(outputs(result, step.rows)),
                                 .interior = run.count * padded(),
                                 .beta = adds ? 1.0 : 0.0});
        adds = true;
    }
}

// Where input weights are identities the steps have written these gradients.
void RNNGradient::encodeSources(size_t first, size_t end, const vk::BufferSlice& gateGradients) {
    if (shape_.unitTransform) return;
    auto runs = RNNShape::runs(shape_.inputGates);
    const bool none = runs.empty();
    if (none) runs.push_back({0, 1, 0});
    bool adds = false;
    for (const GateRun& run : runs) {
        std::vector<ArrayView> gradients;
        for (size_t t = first; t < end; ++t) {
            vk::BufferSlice slice = gateGradients;
            slice.offset +=
                (firstRow_[t] - firstRow_[first]) * shape_.gateColumns() * sizeof(float);
            gradients.push_back(gateColumns(slice, request_.steps[t].rows, run));
        }
        forEachStretch(
            encoder_.limits(), gradients, request_.destinationGradients.subspan(first, end - first),
            [&](const RowStretch& stretch) {
                const auto left = stretch.operandA(encoder_.limits());
                encodeProduct(encoder_, {.left = left,
                                         .right = none ? left : weightRows(RNNShape::Input, run),
                                         .result = stretch.operandB(encoder_.limits()),
                                         .interior = none ? 0 : run.count * padded(),
                                         .beta = adds ? 1.0 : 0.0,
                                         .matrices = stretch.matrices});
            });
        adds = true;
    }
}

void RNNGradient::encodeWeights(size_t first, size_t end, const vk::BufferSlice& gateGradients,
                                bool accumulates) {
    const auto factors = [&](auto view) {
        std::vector<ArrayView> all;
        for (size_t t = first; t < end; ++t) {
            const RNNStep& step = request_.steps[t];
            all.push_back(view(step, t));
        }
        return all;
    };
    const auto slices = [&](vk::BufferSlice RNNStep::*member, uint64_t columns, bool isPrevious) {
        return factors([&](const RNNStep& step, size_t) {
            return isPrevious && step.previousRows == 0
                       ? ArrayView{}
                       : packedRows(step.*member, step.rows, columns);
        });
    };
    if (shape_.inputGates)
        accumulate(gateGradients, first, RNNShape::Input, shape_.inputGates,
                   factors([&](const RNNStep&, size_t t) { return request_.sources[t]; }),
                   accumulates);
    if (shape_.recurrentGates)
        accumulate(gateGradients, first, RNNShape::Recurrent, shape_.recurrentGates,
                   slices(&RNNStep::previous, padded(), true), accumulates);
    if (shape_.mixes())
        accumulate(gateGradients, first, RNNShape::Memory, 4,
                   slices(&RNNStep::mixed, shape_.mixes() * padded(), true), accumulates);
    constexpr uint32_t outputGate = 8;
    const uint32_t dense = shape_.hasDenseMemory() ? shape_.memoryGates : 0;
    if (dense & ~outputGate)
        accumulate(gateGradients, first, RNNShape::Memory, dense & ~outputGate,
                   slices(&RNNStep::previousCell, padded(), true), accumulates);
    if (dense & outputGate)
        accumulate(gateGradients, first, RNNShape::Memory, dense & outputGate,
                   slices(&RNNStep::cell, padded(), false), accumulates);
    for (const GateRun& run : RNNShape::runs(shape_.biasedGates)) {
        MatrixOperand bias = (*request_.weightGradients)[RNNShape::Bias];
        bias.view.offset += uint32_t(run.index * padded());
        bias.view.columns = uint32_t(run.count * padded());
        sumRows(gateColumns(gateGradients, firstRow_[end] - firstRow_[first], run), bias,
                accumulates);
    }
}

void RNNGradient::accumulate(const vk::BufferSlice& gateGradients, size_t first,
                             RNNShape::Part part, uint32_t gates, std::vector<ArrayView> factors,
                             bool accumulates) {
    const uint64_t rowBytes = shape_.gateColumns() * sizeof(float);
    // Steps that begin with zeros add nothing; only the first one of a sequence does.
    size_t skipped = 0;
    while (skipped < factors.size() && !factors[skipped]) ++skipped;
    const uint64_t skippedRows = firstRow_[first + skipped] - firstRow_[first];
    const uint64_t rows = firstRow_[first + factors.size()] - firstRow_[first + skipped];
    factors.erase(factors.begin(), factors.begin() + skipped);
    vk::BufferSlice gradients = gateGradients;
    std::shared_ptr<const vk::BufferSlice> packed;
    ArrayView all;
    if (rows > 0) {
        gradients.offset += skippedRows * rowBytes;
        // One product over the rows of all steps, of copies unless the rows lie together.
        const uint64_t columns = factors.front().columns, stride = vk::roundUp(columns, 4);
        std::vector<ArrayView> targets;
        size_t stretches = 0;
        forEachStretch(encoder_.limits(), factors, factors, [&](const RowStretch& stretch) {
            stretches += stretch.matrices;
            all = stretch.a;
        });
        if (stretches > 1) {
            packed = encoder_.scratch(rows * stride * sizeof(float));
            all = columnsOf(packedRows(*packed, rows, stride), 0, columns);
            for (size_t i = 0; i < factors.size(); ++i) {
                const size_t t = first + skipped + i;
                ArrayView target = all;
                target.rows = request_.steps[t].rows;
                target.slice.offset +=
                    (firstRow_[t] - firstRow_[first + skipped]) * target.rowBytes;
                targets.push_back(columnsOf(target, 0, columns));
            }
            forEachStretch(encoder_.limits(), factors, targets, [&](const RowStretch& stretch) {
                encodeRowCopy(encoder_, stretch.operandA(encoder_.limits()),
                              stretch.operandB(encoder_.limits()), stretch.matrices);
            });
        }
    }
    for (const GateRun& run : RNNShape::runs(gates)) {
        MatrixOperand result = (*request_.weightGradients)[part];
        if (!shape_.isGRU() || part != RNNShape::Memory) {
            const uint32_t mask = part == RNNShape::Memory ? shape_.memoryGates : gates;
            result.view.offset +=
                uint32_t(RNNShape::indexOf(mask, run.gate) * padded() * result.view.rowStride);
            result.view.rows = uint32_t(run.count * padded());
        }
        const auto left = bound(gateColumns(gradients, std::max<uint64_t>(rows, 1), run));
        encodeProduct(encoder_, {.left = left,
                                 .right = rows > 0 ? bound(all) : left,
                                 .result = result,
                                 .transposeLeft = true,
                                 .interior = rows,
                                 .beta = accumulates ? 1.0 : 0.0});
    }
}

// In two steps, so that many rows are not one invocation's.
void RNNGradient::sumRows(const ArrayView& source, const MatrixOperand& destination,
                          bool accumulates) {
    constexpr uint64_t rowsPerSum = 64;
    const auto sum = [&](const ArrayView& from, const MatrixOperand& to, uint64_t perSum,
                         bool adds) {
        const auto rows = bound(from);
        glsl::RNNRowsParameters p{};
        p.source = rows.view;
        p.destination = to.view;
        p.rows = uint32_t(from.rows);
        p.columns = uint32_t(from.columns);
        p.rowsPerSum = uint32_t(perSum);
        p.beta = adds ? 1.f : 0.f;
        encoder_.dispatch("RNNRowSum", p, Grid::of(slicesFor(p.columns) * to.view.rows),
                          {{1, rows.slice}, {2, to.slice}},
                          {constant(1, rows.typeConstant()), constant(2, to.typeConstant())});
    };
    if (source.rows <= rowsPerSum) {
        sum(source, destination, source.rows, accumulates);
        return;
    }
    // The second step adds few rows, too, unless there are very many.
    const uint64_t perSum = std::max<uint64_t>(rowsPerSum, vk::divideUp(source.rows, 256));
    const uint64_t parts = vk::divideUp(source.rows, perSum);
    const auto partial = encoder_.scratch(parts * source.columns * sizeof(float));
    const ArrayView sums = packedRows(*partial, parts, source.columns);
    sum(source, bound(sums), perSum, false);
    sum(sums, destination, parts, accumulates);
}

} // namespace mpsvk::mps
