#include "mps/OptimizerUpdate.hpp"

#include "mps/CNNBatchNormalization.hpp"
#include "mps/CNNConvolutionState.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

namespace {

using glsl::OptimizerRange;

constexpr uint64_t perGroup = glsl::optimizerElementsPerGroup;

constexpr uint32_t OptimizerRange::*offsets[] = {
    &OptimizerRange::gradientOffset, &OptimizerRange::valuesOffset,
    &OptimizerRange::resultOffset,   &OptimizerRange::momentAOffset,
    &OptimizerRange::momentBOffset,  &OptimizerRange::momentCOffset};
constexpr uint32_t OptimizerRange::*strides[] = {
    &OptimizerRange::gradientStride, &OptimizerRange::valuesStride,
    &OptimizerRange::resultStride,   &OptimizerRange::momentAStride,
    &OptimizerRange::momentBStride,  &OptimizerRange::momentCStride};

std::string shapeText(const ArrayView& view) {
    return view.rows == 1
               ? std::to_string(view.columns) + " elements"
               : std::to_string(view.rows) + "x" + std::to_string(view.columns) + " elements";
}

/// A row of floats, as states keep them.
ArrayView rowOf(const vk::BufferSlice& slice, uint64_t bytes) {
    return {{slice.buffer, slice.offset, bytes},
            1,
            bytes / sizeof(float),
            bytes,
            MPS::DataType::Float32};
}

bool sameElements(const ArrayView& a, const ArrayView& b) {
    return a.slice.buffer->handle() == b.slice.buffer->handle() &&
           a.slice.begin() == b.slice.begin() && (a.rows == 1 || a.rowBytes == b.rowBytes);
}

bool overlap(const ArrayView& a, const ArrayView& b) {
    if (a.slice.buffer->handle() != b.slice.buffer->handle()) return false;
    if (a.slice.end() <= b.slice.begin() || b.slice.end() <= a.slice.begin()) return false;
    if (a.rowBytes != b.rowBytes) return true;
    // Columns side by side in rows of one length do not.
    const uint64_t apart = a.slice.begin() > b.slice.begin() ? a.slice.begin() - b.slice.begin()
                                                             : b.slice.begin() - a.slice.begin();
    const uint64_t width = a.columns * sizeof(float), shift = apart % a.rowBytes;
    return shift < width || a.rowBytes - shift < width;
}

} // namespace

/// A range as a dispatch takes it.
struct OptimizerUpdate::Part {
    glsl::OptimizerRange range{};
    std::array<vk::BufferSlice, SlotCount> slices;
};

OptimizerUpdate::OptimizerUpdate(std::string who, const MTL::CommandBuffer& commandBuffer)
    : who_(std::move(who)), encoder_(commandBuffer, who_) {}

void OptimizerUpdate::checkOperand(const char* role, ArrayStorage* storage, MPS::DataType type) {
    if (!storage) throw InvalidArgument(who_ + role + " is empty.");
    storage->checkUsable(who_, role, encoder_.commandBuffer());
    if (type != MPS::DataType::Float32)
        throw InvalidArgument(who_ + role + " has the dataType " + std::to_string(uint32_t(type)) +
                              " but optimizers work on Float32.");
}

void OptimizerUpdate::place(size_t index, Slot slot, const char* role, const ArrayView& view) {
    if (index == ranges_.size()) ranges_.emplace_back();
    Range& range = ranges_[index];
    const ArrayView& gradient = range[Gradient];
    if (slot != Gradient && (view.rows != gradient.rows || view.columns != gradient.columns))
        throw InvalidArgument(who_ + role + " has " + shapeText(view) + " but " + roles_[Gradient] +
                              " has " + shapeText(gradient) + ".");
    range[slot] = view;
    roles_[slot] = role; // while it lasts: the caller keeps it for the encode, or sets another one
}

void OptimizerUpdate::take(Slot slot, const char* role, const MPS::Vector& vector) {
    auto* storage = vector ? &vector.impl() : nullptr;
    checkOperand(role, storage, vector ? vector.dataType() : MPS::DataType::Invalid);
    place(0, slot, role, storage->view());
    if (slot != Result) readArrays_.push_back(storage);
}

void OptimizerUpdate::take(Slot slot, const char* role, const MPS::Matrix& matrix) {
    auto* storage = matrix ? &matrix.impl() : nullptr;
    checkOperand(role, storage, matrix ? matrix.dataType() : MPS::DataType::Invalid);
    if (slot != Gradient && matrix.matrices() != ranges_.size())
        throw InvalidArgument(who_ + role + " has " + std::to_string(matrix.matrices()) +
                              " matrices but " + roles_[Gradient] + " has " +
                              std::to_string(ranges_.size()) + ".");
    for (uint64_t k = 0; k < matrix.matrices(); ++k) place(k, slot, role, storage->view(k));
    if (slot != Result) readArrays_.push_back(storage);
}

void OptimizerUpdate::checkState(const char* role, const MPS::State& state) const {
    if (!state) throw InvalidArgument(who_ + role + " is empty.");
    state.impl().checkUsable(who_, role, encoder_.commandBuffer());
}

void OptimizerUpdate::placeParameter(size_t index, const vk::BufferSlice& gradient, uint64_t bytes,
                                     const vk::BufferSlice& values,
                                     const vk::BufferSlice& results) {
    const char* const part = index == 0 ? stateRoles_.first : stateRoles_.second;
    const auto fit = [&](const char* role, const vk::BufferSlice& slice) {
        if (slice.size < bytes)
            throw InvalidArgument(who_ + role + " has " +
                                  std::to_string(slice.size / sizeof(float)) + " " + part +
                                  " but " + stateRoles_.gradient + " has gradients for " +
                                  std::to_string(bytes / sizeof(float)) + ".");
        return rowOf(slice, bytes);
    };
    place(index, Gradient, stateRoles_.gradient, rowOf(gradient, bytes));
    place(index, Values, stateRoles_.source, fit(stateRoles_.source, values));
    place(index, Result, "resultState", fit("resultState", results));
}

void OptimizerUpdate::take(const MPS::CNNConvolutionGradientState& gradient,
                           const MPS::CNNConvolutionWeightsAndBiasesState& source,
                           const MPS::CNNConvolutionWeightsAndBiasesState& result) {
    using Buffers = MPS::CNNConvolutionGradientState::Impl::Buffers;
    stateRoles_ = {"convolutionGradientState", "convolutionSourceState", "weights", "biases"};
    checkState(stateRoles_.gradient, gradient);
    checkState(stateRoles_.source, source);
    checkState("resultState", result);
    auto& from = source.impl();
    auto& to = result.impl();
    placeParameter(0, gradient.impl().buffer(Buffers::Weights),
                   gradient.bufferSize(Buffers::Weights), from.weightsSlice(), to.weightsSlice());
    if (from.hasBiases && to.hasBiases)
        placeParameter(1, gradient.impl().buffer(Buffers::Biases),
                       gradient.bufferSize(Buffers::Biases), from.biasesSlice(), to.biasesSlice());
    readStates_ = {gradient, source};
}

void OptimizerUpdate::take(const MPS::CNNBatchNormalizationState& state,
                           const MPS::CNNNormalizationGammaAndBetaState& result) {
    takeNormalization({"batchNormalizationState", "batchNormalizationState", "gammas", "betas"},
                      state, state, result);
}

void OptimizerUpdate::take(const MPS::CNNBatchNormalizationState& gradient,
                           const MPS::CNNBatchNormalizationState& source,
                           const MPS::CNNNormalizationGammaAndBetaState& result) {
    takeNormalization(
        {"batchNormalizationGradientState", "batchNormalizationSourceState", "gammas", "betas"},
        gradient, source, result);
}

void OptimizerUpdate::takeNormalization(const StateRoles& roles,
                                        const MPS::CNNBatchNormalizationState& gradient,
                                        const MPS::CNNBatchNormalizationState& source,
                                        const MPS::CNNNormalizationGammaAndBetaState& result) {
    using Gradients = MPS::CNNBatchNormalizationState::Impl::Buffers;
    using Parameters = BatchNormalizationParameters;
    stateRoles_ = roles;
    checkState(roles.gradient, gradient);
    checkState(roles.source, source);
    checkState("resultState", result);
    auto& from = gradient.impl();
    if (from.gradients.pixels == 0)
        throw InvalidArgument(who_ + roles.gradient +
                              " has no gradients of gamma and beta: "
                              "CNNBatchNormalizationStatisticsGradient comes first.");
    const auto& values = *source.impl().parameters;
    auto& to = result.impl();
    placeParameter(0, from.buffer(Gradients::GradientForGamma),
                   gradient.bufferSize(Gradients::GradientForGamma),
                   values.slice(Parameters::Gamma), to.buffer(ChannelPair::First));
    placeParameter(1, from.buffer(Gradients::GradientForBeta),
                   gradient.bufferSize(Gradients::GradientForBeta), values.slice(Parameters::Beta),
                   to.buffer(ChannelPair::Second));
    readStates_ = {gradient, source};
}

void OptimizerUpdate::takeMoments(Slot slot, const char* role,
                                  const std::vector<MPS::Vector>& vectors) {
    const size_t given = vectors.size();
    if (given == 0 || given > 2)
        throw InvalidArgument(who_ + role + " has " + std::to_string(given) +
                              " vectors but needs one for the " + stateRoles_.first +
                              " and may have a second one for the " + stateRoles_.second + ".");
    if (!momentsTaken_) {
        if (given > ranges_.size())
            throw InvalidArgument(who_ + role +
                                  " has 2 vectors but convolutionSourceState or resultState has no "
                                  "biases.");
        ranges_.resize(given);
    }
    if (given != ranges_.size())
        throw InvalidArgument(who_ + role + " has " + std::to_string(given) + " vectors but " +
                              roles_[MomentA] + " has " + std::to_string(ranges_.size()) + ".");
    momentsTaken_ = true;
    for (size_t k = 0; k < given; ++k) {
        auto* storage = vectors[k] ? &vectors[k].impl() : nullptr;
        const std::string element = std::string(role) + "[" + std::to_string(k) + "]";
        checkOperand(element.c_str(), storage,
                     vectors[k] ? vectors[k].dataType() : MPS::DataType::Invalid);
        place(k, slot, element.c_str(), storage->view());
        roles_[slot] = role;
        readArrays_.push_back(storage);
    }
}

void OptimizerUpdate::checkOverlaps(const Range& range) const {
    for (size_t a = 0; a < SlotCount; ++a)
        for (size_t b = std::max<size_t>(a + 1, Result); b < SlotCount; ++b) {
            if (!range[a] || !range[b] || !overlap(range[a], range[b])) continue;
            if (b == Result && sameElements(range[a], range[b])) continue; // in place
            throw InvalidArgument(who_ + roles_[a] + " and " + roles_[b] + " overlap in memory.");
        }
}

OptimizerUpdate::Part OptimizerUpdate::partOf(const Range& range) const {
    // Rows without gaps are one long row.
    const bool dense = std::ranges::all_of(
        range, [](const ArrayView& v) { return !v || v.rowBytes == v.columns * sizeof(float); });
    const uint64_t rows = range[Gradient].rows, columns = range[Gradient].columns;
    Part part;
    part.range.rows = dense ? 1 : uint32_t(rows);
    part.range.columns = uint32_t(dense ? rows * columns : columns);
    part.range.groups = uint32_t((rows * columns + perGroup - 1) / perGroup);
    for (size_t slot = 0; slot < SlotCount; ++slot) {
        if (!range[slot]) continue;
        const AlignedSlice bound(range[slot].slice, encoder_.limits());
        part.slices[slot] = bound.slice;
        part.range.*offsets[slot] = uint32_t(bound.skipped / sizeof(float));
        part.range.*strides[slot] = uint32_t(range[slot].rowBytes / sizeof(float));
    }
    return part;
}

void OptimizerUpdate::record(std::string_view shader, glsl::NNOptimizerParameters parameters) {
    for (const Range& range : ranges_) checkOverlaps(range);
    for (size_t k = 0; k < ranges_.size(); k += 2) {
        const Part first = partOf(ranges_[k]);
        const Part second = k + 1 < ranges_.size() ? partOf(ranges_[k + 1]) : Part();
        parameters.first = first.range;
        parameters.second = second.range;
        const auto& a = first.slices;
        const auto& b = second.slices;
        const uint64_t groups = uint64_t(first.range.groups) + second.range.groups;
        encoder_.dispatch(shader, parameters, Grid::of(groups * perGroup / 4),
                          {{1, a[0]},
                           {2, a[1]},
                           {3, a[2]},
                           {4, a[3]},
                           {5, a[4]},
                           {6, a[5]},
                           {9, b[0]},
                           {10, b[1]},
                           {11, b[2]},
                           {12, b[3]},
                           {13, b[4]},
                           {14, b[5]}});
    }
    std::ranges::sort(readArrays_);
    const auto repeated = std::ranges::unique(readArrays_);
    readArrays_.erase(repeated.begin(), repeated.end());
    for (ArrayStorage* storage : readArrays_) storage->wasRead();
    if (!readStates_.empty())
        if (const auto state = readStates_[0].as<MPS::CNNBatchNormalizationState>())
            state.impl().gradients.closed = true;
    MPS::markRead(readStates_);
}

} // namespace mpsvk::mps
