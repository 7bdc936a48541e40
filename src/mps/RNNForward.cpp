#include "mps/RNNSequence.hpp"

namespace mpsvk::mps {

void RNNForward::encode(std::span<const RNNStep> steps, std::span<const ArrayView> sources,
                        std::span<const ArrayView> destinations, bool isBackward,
                        bool addsToDestinations) {
    multiplyInputs(steps, sources);
    for (size_t i = 0; i < steps.size(); ++i) {
        const size_t t = isBackward ? steps.size() - 1 - i : i;
        encodeStep(steps[t], sources[t], destinations.empty() ? ArrayView{} : destinations[t],
                   addsToDestinations);
    }
}

// Gates without a product begin with zeros, so that all later products add.
void RNNForward::multiplyInputs(std::span<const RNNStep> steps,
                                std::span<const ArrayView> sources) {
    if (std::popcount(shape_.inputGates) != int(shape_.gates()))
        for (const RNNStep& step : steps) encoder_.list().fill(step.gates, 0);
    for (const GateRun& run : RNNShape::runs(shape_.inputGates)) {
        std::vector<ArrayView> results;
        for (const RNNStep& step : steps)
            results.push_back(gateColumns(step.gates, step.rows, run));
        const MatrixOperand weights = weightRows(RNNShape::Input, run);
        forEachStretch(encoder_.limits(), sources, results, [&](const RowStretch& stretch) {
            encodeProduct(encoder_, {.left = stretch.operandA(encoder_.limits()),
                                     .right = weights,
                                     .result = stretch.operandB(encoder_.limits()),
                                     .transposeRight = true,
                                     .interior = shape_.inputs,
                                     .matrices = stretch.matrices});
        });
    }
}

void RNNForward::addProducts(const RNNStep& step, State state, RNNShape::Part part,
                             uint32_t gates) {
    const uint64_t rows = state == State::Cell ? step.rows : step.previousRows;
    const bool isMixed = state == State::Mixed;
    const uint64_t interior = padded() * (isMixed ? shape_.mixes() : 1);
    const vk::BufferSlice& slice = state == State::Previous       ? step.previous
                                   : state == State::PreviousCell ? step.previousCell
                                   : state == State::Cell         ? step.cell
                                                                  : step.mixed;
    const uint32_t mask = part == RNNShape::Memory ? shape_.memoryGates : gates;
    for (GateRun run : RNNShape::runs(gates)) {
        run.index = uint32_t(RNNShape::indexOf(mask, run.gate));
        encodeProduct(encoder_, {.left = bound(packedRows(slice, rows, interior)),
                                 .right = isMixed ? weights_[part] : weightRows(part, run),
                                 .result = bound(gateColumns(step.gates, rows, run)),
                                 .transposeRight = true,
                                 .interior = interior,
                                 .beta = 1});
    }
}

void RNNForward::encodeStep(const RNNStep& step, const ArrayView& source,
                            const ArrayView& destination, bool adds) {
    StepDispatch dispatch = stepDispatch(step.rows);
    auto& p = dispatch.p;
    p.previousRows = uint32_t(step.previousRows);
    p.addsToOuter = adds;
    bind(dispatch, 1, step.gates, p.gates);
    bind(dispatch, 5, step.output, p.result);
    if (destination) bind(dispatch, 6, bound(destination), p.outer);
    if (shape_.unitTransform) bind(dispatch, 3, bound(source), p.inputs);
    const bool hasPrevious = step.previousRows > 0;
    if (hasPrevious && shape_.recurrentGates)
        addProducts(step, State::Previous, RNNShape::Recurrent, shape_.recurrentGates);

    if (shape_.isLSTM()) {
        bind(dispatch, 10, step.previousCell, p.previousCell);
        bind(dispatch, 11, step.cell, p.cell);
        constexpr uint32_t outputGate = 8;
        const uint32_t dense = shape_.hasDenseMemory() ? shape_.memoryGates : 0;
        if (hasPrevious && dense & ~outputGate)
            addProducts(step, State::PreviousCell, RNNShape::Memory, dense & ~outputGate);
        if (dense & outputGate) {
            encodeStepDispatch(dispatch, "", 1);
            addProducts(step, State::Cell, RNNShape::Memory, outputGate);
            encodeStepDispatch(dispatch, "", 2);
            return;
        }
    } else if (shape_.isGRU()) {
        constexpr uint32_t candidate = 4;
        bind(dispatch, 10, step.previous, p.previous);
        if (shape_.mixes() && hasPrevious) {
            p.mixes = shape_.memoryGates;
            bind(dispatch, 11, step.mixed, p.mixed);
            encodeStepDispatch(dispatch, "", 1);
            addProducts(step, State::Mixed, RNNShape::Memory, candidate);
            encodeStepDispatch(dispatch, "", 2);
            return;
        }
    }
    encodeStepDispatch(dispatch, "", 3);
}

} // namespace mpsvk::mps
