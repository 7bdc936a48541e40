#include "mps/RNNState.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

void RNNRecurrentMatrixState::Impl::wasReadWithMatrices() {
    wasRead();
    if (!temporary || readCount > 0) return;
    for (const auto* matrices : {&outputs, &cells})
        for (const Matrix& matrix : *matrices)
            if (matrix && matrix.impl().readCount() > 0) matrix.impl().setReadCount(0);
}

RNNRecurrentMatrixState::RNNRecurrentMatrixState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

RNNRecurrentMatrixState::Impl& RNNRecurrentMatrixState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool RNNRecurrentMatrixState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

Matrix RNNRecurrentMatrixState::getRecurrentOutputMatrix(uint64_t layerIndex) const {
    const auto& all = impl().outputs;
    return layerIndex < all.size() ? all[layerIndex] : Matrix();
}

Matrix RNNRecurrentMatrixState::getMemoryCellMatrix(uint64_t layerIndex) const {
    const auto& all = impl().cells;
    return layerIndex < all.size() ? all[layerIndex] : Matrix();
}

RNNMatrixTrainingState::RNNMatrixTrainingState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

RNNMatrixTrainingState::Impl& RNNMatrixTrainingState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool RNNMatrixTrainingState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

RNNMemory::RNNMemory(
    const RNNShape& shape, std::span<const uint64_t> rows, uint64_t initialRows, bool isBackward,
    const std::function<std::shared_ptr<const vk::BufferSlice>(uint64_t)>& allocate) {
    uint64_t total = 0;
    for (uint64_t count : rows) total += count;
    const uint64_t padded = shape.paddedOutputs() * sizeof(float);
    const uint64_t gateBytes = shape.gates() * padded, mixedBytes = shape.mixes() * padded;
    const uint64_t stateBytes = (initialRows + total) * padded;
    const uint64_t states = shape.isLSTM() ? 2 : 1;
    all = allocate(total * (gateBytes + mixedBytes) + states * stateBytes);
    uint64_t at = all->offset;
    const auto take = [&](uint64_t bytes) {
        const vk::BufferSlice slice{all->buffer, at, bytes};
        at += bytes;
        return slice;
    };
    const auto part = [](const vk::BufferSlice& from, uint64_t offset, uint64_t bytes) {
        return vk::BufferSlice{from.buffer, from.offset + offset, bytes};
    };
    const vk::BufferSlice gates = take(total * gateBytes), outputs = take(stateBytes);
    const vk::BufferSlice cells = shape.isLSTM() ? take(stateBytes) : vk::BufferSlice{};
    const vk::BufferSlice mixed = mixedBytes ? take(total * mixedBytes) : vk::BufferSlice{};
    if (initialRows) initial = part(outputs, 0, initialRows * padded);
    if (initialRows && cells) initialCell = part(cells, 0, initialRows * padded);
    uint64_t first = 0;
    for (uint64_t count : rows) {
        RNNStep& step = steps.emplace_back();
        step.rows = count;
        step.gates = part(gates, first * gateBytes, count * gateBytes);
        step.output = part(outputs, (initialRows + first) * padded, count * padded);
        if (cells) step.cell = part(cells, (initialRows + first) * padded, count * padded);
        if (mixed) step.mixed = part(mixed, first * mixedBytes, count * mixedBytes);
        first += count;
    }
    for (size_t i = 0; i < steps.size(); ++i) {
        const bool isFirst = isBackward ? i + 1 == steps.size() : i == 0;
        if (isFirst && !initialRows) continue;
        RNNStep& step = steps[i];
        const RNNStep* before = isFirst ? nullptr : &steps[isBackward ? i + 1 : i - 1];
        step.previousRows = std::min(step.rows, before ? before->rows : initialRows);
        const uint64_t bytes = step.previousRows * padded;
        step.previous = part(before ? before->output : initial, 0, bytes);
        if (cells) step.previousCell = part(before ? before->cell : initialCell, 0, bytes);
    }
}

vk::BufferSlice stateRows(const MPS::Matrix& matrix, uint64_t rows) {
    vk::BufferSlice slice = matrix.impl().slice();
    slice.size = rows * matrix.rowBytes();
    return slice;
}

RNNStateWriter::RNNStateWriter(Encoder& encoder,
                               std::span<const std::shared_ptr<const RNNShape>> layers,
                               uint64_t rows, size_t count, bool isTemporary, States* states)
    : encoder_(encoder), rows_(rows), target_(states) {
    if (!target_) return;
    const auto& commands = encoder.commandBuffer();
    for (size_t i = 0; i < count; ++i) {
        auto state = std::make_shared<MPS::RNNRecurrentMatrixState::Impl>(commands.device());
        if (isTemporary) state->makeTemporary(commands);
        for (const auto& layer : layers) {
            const MPS::MatrixDescriptor descriptor(rows, layer->outputs,
                                                   layer->paddedOutputs() * sizeof(float),
                                                   MPS::DataType::Float32);
            const auto make = [&]() -> MPS::Matrix {
                if (isTemporary) return MPS::TemporaryMatrix(commands, descriptor);
                return {commands.device(), descriptor};
            };
            state->outputs.push_back(make());
            state->cells.push_back(layer->isLSTM() ? make() : MPS::Matrix());
        }
        made_.emplace_back(std::move(state));
    }
}

void RNNStateWriter::copy(const MPS::Matrix& to, const vk::BufferSlice& from, uint64_t first,
                          uint64_t end) {
    if (first == end) return;
    const uint64_t rowBytes = to.rowBytes();
    vk::BufferSlice source = from, destination = to.impl().slice();
    for (vk::BufferSlice* slice : {&source, &destination}) {
        slice->offset += first * rowBytes;
        slice->size = (end - first) * rowBytes;
    }
    encoder_.list().copy(source, destination);
}

void RNNStateWriter::writeRows(size_t state, size_t layer, uint64_t first, uint64_t end,
                               const vk::BufferSlice& output, const vk::BufferSlice& cell) {
    const auto& made = made_.at(state).impl();
    copy(made.outputs[layer], output, first, end);
    if (made.cells[layer]) copy(made.cells[layer], cell, first, end);
}

void RNNStateWriter::write(size_t state, size_t layer, uint64_t rows, const vk::BufferSlice& output,
                           const vk::BufferSlice& cell) {
    writeRows(state, layer, 0, rows, output, cell);
    if (rows == rows_ || state == 0) return;
    const auto& before = made_.at(state - 1).impl();
    const auto all = [&](const MPS::Matrix& matrix) {
        return matrix ? matrix.impl().slice() : vk::BufferSlice{};
    };
    writeRows(state, layer, rows, rows_, all(before.outputs[layer]), all(before.cells[layer]));
}

void RNNStateWriter::finish() {
    if (target_) target_->insert(target_->end(), made_.begin(), made_.end());
}

} // namespace mpsvk::mps
