#include "mps/OptimizerUpdate.hpp"

#include "mps/CNNBatchNormalization.hpp"
#include "mps/CNNConvolutionState.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <tuple>

namespace mpsvk::mps {

namespace {

std::string shapeText(const ArrayView& view) {
    return view.rows == 1
               ? std::to_string(view.columns) + " elements"
               : std::to_string(view.rows) + "x" + std::to_string(view.columns) + " elements";
}

/// A row of floats, as states keep them.
ArrayView rowOf(vk::BufferSlice slice, uint64_t bytes) {
    slice.size = bytes;
    return {std::move(slice), 1, bytes / sizeof(float), bytes, MPS::DataType::Float32};
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

void checkBetas(double beta1, double beta2) {
    const auto check = [](const char* name, double beta) {
        if (!(beta >= 0 && beta < 1))
            throw InvalidArgument(std::string("[NNOptimizerAdam] ") + name + " is " +
                                  std::to_string(beta) +
                                  " but must be at least 0 and less than 1.");
    };
    check("beta1", beta1);
    check("beta2", beta2);
}

OptimizerUpdate::OptimizerUpdate(const Subject& who, const MTL::CommandBuffer& commandBuffer,
                                 std::string_view shader)
    : who_(who), commandBuffer_(commandBuffer), shader_(shader),
      run_(Encoder::announces(who) ? nullptr : UpdateRun::of(commandBuffer)) {}

bool OptimizerUpdate::mayBeKnown(const MPS::CNNBatchNormalizationState& gradient) {
    // One that was reset since then has none.
    if (!run_ || !gradient || gradient.impl().gradients.pixels == 0) return false;
    closed_ = &gradient.impl();
    return true;
}

void OptimizerUpdate::open() {
    encoder_.emplace(commandBuffer_, who_);
    ranges_.reserve(2);
    readArrays_.reserve(2 * SlotCount);
}

template <class Handle>
typename Handle::Impl& OptimizerUpdate::checked(const Role& role, const Handle& handle) const {
    if (!handle) throw InvalidArgument(who_ + role + " is empty.");
    auto& impl = handle.impl();
    impl.checkUsable(who_, role, commandBuffer_);
    return impl;
}

void OptimizerUpdate::checkType(const Role& role, MPS::DataType type) const {
    if (type != MPS::DataType::Float32)
        throw InvalidArgument(who_ + role + " has the dataType " + std::to_string(uint32_t(type)) +
                              " but optimizers work on Float32.");
}

void OptimizerUpdate::place(size_t index, Slot slot, const Role& role, ArrayView view) {
    if (index == ranges_.size()) ranges_.emplace_back();
    Range& range = ranges_[index];
    const ArrayView& gradient = range[Gradient];
    if (slot != Gradient && (view.rows != gradient.rows || view.columns != gradient.columns))
        throw InvalidArgument(who_ + role + " has " + shapeText(view) + " but " + roles_[Gradient] +
                              " has " + shapeText(gradient) + ".");
    range[slot] = std::move(view);
    roles_[slot] = role.name;
}

void OptimizerUpdate::take(Slot slot, const char* role, const MPS::Vector& vector) {
    auto& storage = checked(role, vector);
    checkType(role, storage.descriptor.dataType());
    place(0, slot, role, storage.view());
    if (slot != Result) readArrays_.push_back(&storage);
}

void OptimizerUpdate::take(Slot slot, const char* role, const MPS::Matrix& matrix) {
    auto& storage = checked(role, matrix);
    checkType(role, storage.descriptor.dataType());
    if (slot != Gradient && matrix.matrices() != ranges_.size())
        throw InvalidArgument(who_ + role + " has " + std::to_string(matrix.matrices()) +
                              " matrices but " + roles_[Gradient] + " has " +
                              std::to_string(ranges_.size()) + ".");
    for (uint64_t k = 0; k < matrix.matrices(); ++k) place(k, slot, role, storage.view(k));
    if (slot != Result) readArrays_.push_back(&storage);
}

void OptimizerUpdate::placeParameter(size_t index, vk::BufferSlice gradient, uint64_t bytes,
                                     vk::BufferSlice values, vk::BufferSlice results) {
    const char* const part = index == 0 ? stateRoles_.first : stateRoles_.second;
    const auto fit = [&](const char* role, vk::BufferSlice& slice) {
        if (slice.size < bytes)
            throw InvalidArgument(who_ + role + " has " +
                                  std::to_string(slice.size / sizeof(float)) + " " + part +
                                  " but " + stateRoles_.gradient + " has gradients for " +
                                  std::to_string(bytes / sizeof(float)) + ".");
        return rowOf(std::move(slice), bytes);
    };
    place(index, Gradient, stateRoles_.gradient, rowOf(std::move(gradient), bytes));
    place(index, Values, stateRoles_.source, fit(stateRoles_.source, values));
    place(index, Result, "resultState", fit("resultState", results));
}

void OptimizerUpdate::take(const MPS::CNNConvolutionGradientState& gradient,
                           const MPS::CNNConvolutionWeightsAndBiasesState& source,
                           const MPS::CNNConvolutionWeightsAndBiasesState& result) {
    using Buffers = MPS::CNNConvolutionGradientState::Impl::Buffers;
    stateRoles_ = {"convolutionGradientState", "convolutionSourceState", "weights", "biases"};
    auto& gradients = checked(stateRoles_.gradient, gradient);
    if (gradients.temporary && !gradients.accumulated)
        throw InvalidArgument(who_ + stateRoles_.gradient +
                              " is a temporary state that has no gradients of weights and biases: "
                              "CNNConvolutionGradient comes first.");
    auto& from = checked(stateRoles_.source, source);
    auto& to = checked("resultState", result);
    const auto bytes = [&](Buffers which) { return gradients.resources[which].bufferBytes; };
    placeParameter(0, gradients.buffer(Buffers::Weights), bytes(Buffers::Weights),
                   from.weightsSlice(), to.weightsSlice());
    if (from.hasBiases && to.hasBiases)
        placeParameter(1, gradients.buffer(Buffers::Biases), bytes(Buffers::Biases),
                       from.biasesSlice(), to.biasesSlice());
    readStates_ = {&gradients, &from};
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
    auto& from = checked(roles.gradient, gradient);
    auto& valued = checked(roles.source, source);
    auto& to = checked("resultState", result);
    if (from.gradients.pixels == 0)
        throw InvalidArgument(who_ + roles.gradient +
                              " has no gradients of gamma and beta: "
                              "CNNBatchNormalizationStatisticsGradient comes first.");
    const auto& values = *valued.parameters;
    const auto bytes = [&](Gradients which) { return from.resources[which].bufferBytes; };
    placeParameter(0, from.buffer(Gradients::GradientForGamma), bytes(Gradients::GradientForGamma),
                   values.slice(Parameters::Gamma), to.buffer(ChannelPair::First));
    placeParameter(1, from.buffer(Gradients::GradientForBeta), bytes(Gradients::GradientForBeta),
                   values.slice(Parameters::Beta), to.buffer(ChannelPair::Second));
    readStates_ = {&from, &valued};
    closed_ = &from;
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
        const Role element(role, k);
        auto& storage = checked(element, vectors[k]);
        checkType(element, storage.descriptor.dataType());
        place(k, slot, element, storage.view());
        readArrays_.push_back(&storage);
    }
}

void OptimizerUpdate::checkOverlaps() {
    struct Operand {
        uint64_t memory;
        const ArrayView* view;
        size_t range, slot;
    };
    std::pmr::vector<Operand> operands(&memory_);
    operands.reserve(ranges_.size() * SlotCount);
    for (size_t k = 0; k < ranges_.size(); ++k)
        for (size_t slot = 0; slot < SlotCount; ++slot)
            if (const ArrayView& view = ranges_[k][slot])
                operands.push_back({(uint64_t)view.slice.buffer->handle(), &view, k, slot});
    std::ranges::sort(operands, {}, [](const Operand& o) {
        return std::tuple(o.memory, o.view->slice.begin(), o.range, o.slot);
    });
    const auto check = [&](const Operand& first, const Operand& second) {
        const auto [a, b] = std::minmax(first.slot, second.slot);
        if (b < Result) return; // neither is written
        if (!overlap(*first.view, *second.view)) return;
        const bool inPlace = first.range == second.range && a != b && b == Result &&
                             sameElements(*first.view, *second.view);
        if (inPlace) return;
        throw InvalidArgument(who_ + roles_[a] + " and " + roles_[b] + " overlap in memory.");
    };
    for (auto one = operands.begin(); one != operands.end(); ++one)
        for (auto other = one + 1; other != operands.end() && other->memory == one->memory &&
                                   other->view->slice.begin() < one->view->slice.end();
             ++other)
            check(*one, *other);
}

void OptimizerUpdate::record(const glsl::NNOptimizerParameters& parameters) {
    if (isKnown_) { // and none of its operands is temporary
        run_->setNumbers(parameters);
        if (closed_) closed_->gradients.closed = true;
        isRecorded_ = true;
        return;
    }
    checkOverlaps();
    if (run_) run_->add(shader_, parameters, ranges_);
    for (Range& range : ranges_) dispatchUpdate(*encoder_, shader_, parameters, range);
    std::ranges::sort(readArrays_);
    readArrays_.erase(std::unique(readArrays_.begin(), readArrays_.end()), readArrays_.end());
    for (ArrayStorage* storage : readArrays_) storage->wasRead();
    if (closed_) closed_->gradients.closed = true;
    if (readStates_[0]) readStates_[0]->wasRead();
    if (readStates_[1] != readStates_[0]) readStates_[1]->wasRead();
    isRecorded_ = true;
}

} // namespace mpsvk::mps
