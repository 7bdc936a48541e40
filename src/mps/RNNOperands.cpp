#include "mps/RNNOperands.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

namespace {

std::string text(uint64_t number) { return std::to_string(number); }

uint64_t rowLength(const ArrayView& view) {
    return view.columns * MPS::bytesPerElement(view.dataType);
}

/// Rows that lie between each other's do not.
bool overlap(const ArrayView& a, const ArrayView& b) {
    if (a.slice.buffer->handle() != b.slice.buffer->handle()) return false;
    if (a.slice.begin() >= b.slice.end() || b.slice.begin() >= a.slice.end()) return false;
    if (a.rowBytes != b.rowBytes) return true;
    const uint64_t apart =
        b.slice.begin() >= a.slice.begin()
            ? (b.slice.begin() - a.slice.begin()) % a.rowBytes
            : (a.rowBytes - (a.slice.begin() - b.slice.begin()) % a.rowBytes) % a.rowBytes;
    return apart < rowLength(a) || apart + rowLength(b) > a.rowBytes;
}

ArrayView spanOf(const MatrixOperand& operand) {
    ArrayView view;
    view.slice = operand.slice;
    const uint64_t skipped = operand.view.offset * MPS::bytesPerElement(operand.dataType);
    view.slice.offset += skipped;
    view.slice.size -= skipped;
    view.rows = 1;
    view.rowBytes = view.slice.size;
    view.columns = view.slice.size / sizeof(float);
    return view;
}

} // namespace

std::vector<ArrayView> RNNOperands::rows(const char* role, const std::vector<MPS::Matrix>& matrices,
                                         std::span<const uint64_t> offsets, uint64_t columns) {
    if (!offsets.empty() && offsets.size() != matrices.size())
        throw InvalidArgument(who() + role + " has " + text(matrices.size()) +
                              " matrices but there are " + text(offsets.size()) +
                              " offsets for them.");
    std::vector<ArrayView> views;
    views.reserve(matrices.size());
    for (size_t i = 0; i < matrices.size(); ++i) {
        const std::string name = std::string(role) + "[" + text(i) + "]";
        // The usual checks of a matrix.
        const MPS::Matrix& matrix = matrices[i];
        if (!matrix) throw InvalidArgument(who() + name + " is empty.");
        auto& impl = matrix.impl();
        impl.checkUsable(who(), name.c_str(), encoder().commandBuffer());
        const MPS::DataType type = matrix.dataType();
        if (type != MPS::DataType::Float32 && type != MPS::DataType::Float16)
            throw InvalidArgument(who() + name + " has the dataType " + text(uint32_t(type)) +
                                  " but must be Float32 or Float16.");
        if (matrix.columns() < columns)
            throw InvalidArgument(who() + name + " has " + text(matrix.columns()) +
                                  " columns but " + text(columns) + " are needed.");
        const uint64_t offset = offsets.empty() ? 0 : offsets[i];
        const uint64_t element = MPS::bytesPerElement(type);
        if (offset % element != 0)
            throw InvalidArgument(who() + "The offset in " + name + " is " + text(offset) +
                                  " but must be a multiple of the element's size, " +
                                  text(element) + ".");
        vk::BufferSlice whole = impl.slice();
        uint64_t begin = offset;
        if (!matrix.isTemporary()) {
            whole = impl.data().impl().slice;
            begin += matrix.offset();
        }
        const uint64_t bytes = (matrix.rows() - 1) * matrix.rowBytes() + columns * element;
        if (begin > whole.size || bytes > whole.size - begin)
            throw InvalidArgument(who() + name + " takes " + text(bytes) +
                                  " bytes from its offset on but the buffer has " +
                                  text(begin > whole.size ? 0 : whole.size - begin) + " there.");
        if (bytes + encoder().limits().storageAlignment > encoder().limits().storageBufferRange)
            throw InvalidArgument(who() + name + " spans " + text(bytes) +
                                  " bytes but the device binds at most " +
                                  text(encoder().limits().storageBufferRange) + ".");
        views.push_back({{whole.buffer, whole.offset + begin, bytes},
                         matrix.rows(),
                         columns,
                         matrix.rowBytes(),
                         type});
    }
    return views;
}

std::vector<ArrayView> RNNOperands::rowsLike(const char* role,
                                             const std::vector<MPS::Matrix>& matrices,
                                             std::span<const uint64_t> offsets, uint64_t columns,
                                             std::span<const uint64_t> rows) {
    if (matrices.size() != rows.size())
        throw InvalidArgument(who() + role + " has " + text(matrices.size()) +
                              " matrices but there are " + text(rows.size()) + " time steps.");
    auto views = this->rows(role, matrices, offsets, columns);
    for (size_t i = 0; i < rows.size(); ++i) {
        ArrayView& view = views[i];
        if (view.rows < rows[i])
            throw InvalidArgument(who() + role + "[" + text(i) + "] has " + text(view.rows) +
                                  " rows but the time step has " + text(rows[i]) + ".");
        view.slice.size -= (view.rows - rows[i]) * view.rowBytes;
        view.rows = rows[i];
    }
    return views;
}

std::vector<uint64_t>
RNNOperands::rowsOf(const char* role, const std::vector<ArrayView>& views,
                    std::span<const std::shared_ptr<const RNNShape>> layers) const {
    if (views.empty())
        throw InvalidArgument(who() + role + " is empty but a sequence has at least one step.");
    std::vector<uint64_t> rows;
    for (const ArrayView& view : views) {
        if (!rows.empty() && view.rows > rows.back())
            throw InvalidArgument(who() + role + "[" + text(rows.size()) + "] has " +
                                  text(view.rows) + " rows but the matrix before it only " +
                                  text(rows.back()) + ": sequences are sorted, the longest first.");
        rows.push_back(view.rows);
    }
    const auto& limits = const_cast<MatrixOperands&>(operands_).encoder().limits();
    for (const auto& layer : layers) {
        const uint64_t bytes = rows.front() * layer->gateColumns() * sizeof(float);
        if (bytes + limits.storageAlignment > limits.storageBufferRange)
            throw InvalidArgument(who() + "The gates of " + text(rows.front()) + " rows take " +
                                  text(bytes) + " bytes but the device binds at most " +
                                  text(limits.storageBufferRange) + ".");
    }
    return rows;
}

RNNSequence::Weights RNNOperands::weights(const char* role,
                                          const std::vector<MPS::Matrix>& matrices,
                                          const RNNShape& shape) {
    if (matrices.size() != shape.parts())
        throw InvalidArgument(who() + role + " has " + text(matrices.size()) +
                              " matrices but the layer's have " + text(shape.parts()) + ".");
    RNNSequence::Weights taken;
    for (uint32_t i = 0; i < RNNShape::PartCount; ++i) {
        const auto part = RNNShape::Part(i);
        if (shape.partRows(part) == 0) continue;
        const size_t index = shape.partIndex(part);
        const MPS::Matrix& matrix = matrices[index];
        const std::string name = std::string(role) + "[" + text(index) + "]";
        taken[part] = operands_.take(name.c_str(), matrix, {});
        taken[part].role = role;
        if (matrix.rows() != shape.partRows(part) || matrix.columns() != shape.partColumns(part) ||
            matrix.rowBytes() != matrix.columns() * MPS::bytesPerElement(matrix.dataType()))
            throw InvalidArgument(who() + name + " is " + text(matrix.rows()) + "x" +
                                  text(matrix.columns()) + " in rows of " +
                                  text(matrix.rowBytes()) + " bytes but the layer's is " +
                                  text(shape.partRows(part)) + "x" + text(shape.partColumns(part)) +
                                  " without padding.");
    }
    return taken;
}

const MPS::RNNRecurrentMatrixState::Impl*
RNNOperands::state(const MPS::RNNRecurrentMatrixState& state,
                   std::span<const std::shared_ptr<const RNNShape>> layers, uint64_t leastRows,
                   uint64_t mostRows) {
    if (!state) return nullptr;
    const char* role = "recurrentInputState";
    auto& impl = state.impl();
    impl.checkUsable(who(), role, encoder().commandBuffer());
    if (impl.outputs.size() != layers.size())
        throw InvalidArgument(who() + role + " has " + text(impl.outputs.size()) +
                              " layers but there are " + text(layers.size()) + ".");
    for (size_t i = 0; i < layers.size(); ++i) {
        const MPS::Matrix &output = impl.outputs[i], &cell = impl.cells[i];
        if (output.columns() != layers[i]->outputs || bool(cell) != layers[i]->isLSTM())
            throw InvalidArgument(
                who() + role + " has " + text(output.columns()) + " feature channels " +
                (cell ? "and a" : "and no") + " memory cell but layer " + text(i) + " has " +
                text(layers[i]->outputs) + " and " + (layers[i]->isLSTM() ? "one." : "none."));
        if (output.rows() < leastRows || output.rows() > mostRows)
            throw InvalidArgument(who() + role + " has " + text(output.rows()) + " rows but " +
                                  (output.rows() < leastRows
                                       ? "the first time step has " + text(leastRows)
                                       : "the sequence only " + text(mostRows)) +
                                  ".");
        output.impl().checkUsable(who(), "The recurrent output in recurrentInputState",
                                  encoder().commandBuffer());
        if (cell)
            cell.impl().checkUsable(who(), "The memory cell in recurrentInputState",
                                    encoder().commandBuffer());
    }
    return &impl;
}

void RNNOperands::checkApart(const char* resultRole, std::span<const ArrayView> results,
                             const char* sourceRole, std::span<const ArrayView> sources) const {
    for (size_t i = 0; i < results.size(); ++i)
        for (size_t j = 0; j < sources.size(); ++j)
            if (overlap(results[i], sources[j]))
                throw InvalidArgument(who() + resultRole + "[" + text(i) + "] overlaps " +
                                      sourceRole + "[" + text(j) + "] in memory.");
}

void RNNOperands::checkApart(const char* resultRole, std::span<const ArrayView> results,
                             const char* sourceRole, const RNNSequence::Weights& sources) const {
    for (size_t i = 0; i < results.size(); ++i)
        for (const MatrixOperand& source : sources)
            if (source.storage && overlap(results[i], spanOf(source)))
                throw InvalidArgument(who() + resultRole + "[" + text(i) + "] overlaps the " +
                                      sourceRole + " in memory.");
}

void RNNOperands::checkApart(const RNNSequence::Weights& results,
                             const RNNSequence::Weights& sources) const {
    for (const MatrixOperand& result : results)
        for (const MatrixOperand& source : sources)
            if (result.storage && source.storage && overlap(spanOf(result), spanOf(source)))
                throw InvalidArgument(who() + "weightGradients overlap the weights in memory.");
}

void RNNOperands::checkApartFromEachOther(const char* role,
                                          const RNNSequence::Weights& results) const {
    for (auto a = results.begin(); a != results.end(); ++a)
        for (auto b = a + 1; b != results.end(); ++b)
            if (a->storage && b->storage && overlap(spanOf(*a), spanOf(*b)))
                throw InvalidArgument(who() + role + " overlap each other in memory.");
}

std::vector<RNNStep> stepsOf(RNNOperands& operands, const RNNShape& shape,
                             const std::vector<MPS::RNNMatrixTrainingState>& states) {
    const std::string& who = operands.who();
    if (states.empty())
        throw InvalidArgument(who + "trainingStates is empty but a sequence has at least one "
                                    "step.");
    std::vector<RNNStep> steps;
    for (size_t i = 0; i < states.size(); ++i) {
        const std::string name = "trainingStates[" + text(i) + "]";
        if (!states[i]) throw InvalidArgument(who + name + " is empty.");
        const auto& state = states[i].impl();
        state.checkUsable(who, name.c_str(), operands.encoder().commandBuffer());
        if (!state.shape->fits(shape)) throw InvalidArgument(who + name + " is of another layer.");
        if (i > 0) {
            const auto& before = states[i - 1].impl();
            const bool follows = state.sequence == before.sequence
                                     ? state.index == before.index + 1
                                     : state.index == 0 && state.hasInitialState;
            if (!follows || state.step.rows > before.step.rows)
                throw InvalidArgument(who + name +
                                      " does not go on where the state before it "
                                      "ended: states come in the order of time.");
        }
        steps.push_back(state.step);
    }
    return steps;
}

void RNNOperands::willRead(const std::vector<MPS::Matrix>& matrices) {
    for (const MPS::Matrix& matrix : matrices)
        if (matrix.isTemporary()) read_.push_back(&matrix.impl());
}

void RNNOperands::markRead() {
    std::ranges::sort(read_);
    read_.erase(std::unique(read_.begin(), read_.end()), read_.end());
    for (mps::ArrayStorage* storage : read_) storage->wasRead();
}

} // namespace mpsvk::mps
