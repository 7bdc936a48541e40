#include <mpsvk/MPS/RNNMatrixTrainingLayer.hpp>

#include "mps/Archive.hpp"
#include "mps/RNNOperands.hpp"

#include <mpsvk/Error.hpp>

#include <atomic>

namespace mpsvk::MPS {

namespace {

std::vector<Matrix>& checked(const char* who, std::vector<Matrix>* matrices) {
    if (!matrices) throw InvalidArgument(std::string(who) + "There is no array to append to.");
    return *matrices;
}

using Shape = mps::RNNShape;

std::vector<MatrixDescriptor> descriptorsOf(const Shape& shape, DataType type) {
    std::vector<MatrixDescriptor> all;
    for (uint32_t part = 0; part < Shape::PartCount; ++part)
        if (shape.partRows(Shape::Part(part)) > 0)
            all.push_back(shape.partDescriptor(Shape::Part(part), type));
    return all;
}

void checkGradientType(const std::string& who, DataType type) {
    if (type != DataType::Float32 && type != DataType::Float16)
        throw InvalidArgument(who + "dataType is " + std::to_string(uint32_t(type)) +
                              " but must be Float32 or Float16.");
}

} // namespace

RNNMatrixTrainingLayer::RNNMatrixTrainingLayer(const MTL::Device& device,
                                               const RNNDescriptor& rnnDescriptor,
                                               std::vector<Matrix>* trainableWeights)
    : Kernel(device) {
    const char* who = "[RNNMatrixTrainingLayer] ";
    auto& target = checked(who, trainableWeights);
    auto shape = std::make_shared<Shape>(who, rnnDescriptor);
    const auto made = mps::loadedWeights(who, device, *shape, rnnDescriptor);
    target.insert(target.end(), made.begin(), made.end());
    shape_ = std::move(shape);
}

RNNMatrixTrainingLayer::RNNMatrixTrainingLayer(KeyedUnarchiver& coder, const MTL::Device& device)
    : Kernel(deviceFor(coder, device)), shape_(std::make_shared<Shape>()) {
    unarchive(coder);
}

void RNNMatrixTrainingLayer::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("storeAllIntermediateStates", storeAllIntermediateStates_);
    archive("recurrentOutputIsTemporary", recurrentOutputIsTemporary_);
    archive("trainingStateIsTemporary", trainingStateIsTemporary_);
    archive("accumulateWeightGradients", accumulateWeightGradients_);
    auto shape = std::make_shared<Shape>(*shape_);
    archive("layer", *shape);
    shape_ = std::move(shape);
}

uint64_t RNNMatrixTrainingLayer::inputFeatureChannels() const { return shape_->inputs; }
uint64_t RNNMatrixTrainingLayer::outputFeatureChannels() const { return shape_->outputs; }

void RNNMatrixTrainingLayer::createWeightGradientMatrices(std::vector<Matrix>* matricesOut,
                                                          DataType dataType) const {
    checkGradientType(subject(), dataType);
    auto& target = checked(subject().c_str(), matricesOut);
    for (const auto& descriptor : descriptorsOf(*shape_, dataType))
        target.emplace_back(device(), descriptor);
}

void RNNMatrixTrainingLayer::createTemporaryWeightGradientMatrices(
    std::vector<Matrix>* matricesOut, DataType dataType,
    const MTL::CommandBuffer& commandBuffer) const {
    checkGradientType(subject(), dataType);
    auto& target = checked(subject().c_str(), matricesOut);
    mps::MatrixOperands operands(*this, device(), commandBuffer);
    for (const auto& descriptor : descriptorsOf(*shape_, dataType)) {
        const TemporaryMatrix made(commandBuffer, descriptor);
        vk::BufferSlice all = made.impl().slice();
        all.size = vk::roundUp(all.size, 4);
        operands.encoder().list().fill(all, 0);
        target.push_back(made);
    }
}

void RNNMatrixTrainingLayer::createWeightMatrices(std::vector<Matrix>* matricesOut) const {
    createWeightGradientMatrices(matricesOut, shape_->weightsType);
}

void RNNMatrixTrainingLayer::encodeCopyWeights(const MTL::CommandBuffer& commandBuffer,
                                               const std::vector<Matrix>& weights,
                                               RNNMatrixId matrixId, const Matrix& matrix,
                                               bool copyFromWeightsToMatrix,
                                               const MTL::Origin& matrixOffset) {
    mps::RNNOperands operands(*this, device(), commandBuffer);
    const auto set = operands.weights("weights", weights, *shape_);
    const auto place = shape_->place(subject(), matrixId);
    auto other = operands.matrices().take("matrix", matrix, matrixOffset);
    operands.matrices().checkHolds(other, place.rows, place.columns);
    other = other.cut(place.rows, place.columns);
    auto part = set[place.part];
    operands.matrices().checkApart(other, part);
    part.view.offset += uint32_t(place.row * part.view.rowStride + place.column);
    part.view.rows = uint32_t(place.rows);
    part.view.columns = uint32_t(place.columns);
    mps::encodeRowCopy(operands.encoder(), copyFromWeightsToMatrix ? part : other,
                       copyFromWeightsToMatrix ? other : part);
    operands.willRead(copyFromWeightsToMatrix ? weights : std::vector{matrix});
    operands.markRead();
}

void RNNMatrixTrainingLayer::encodeForwardSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Matrix>& sourceMatrices,
    std::span<const uint64_t> sourceOffsets, const std::vector<Matrix>& destinationMatrices,
    std::span<const uint64_t> destinationOffsets,
    std::vector<RNNMatrixTrainingState>* trainingStates,
    const RNNRecurrentMatrixState& recurrentInputState,
    std::vector<RNNRecurrentMatrixState>* recurrentOutputStates,
    const std::vector<Matrix>& weights) {
    mps::RNNOperands operands(*this, device(), commandBuffer);
    mps::Encoder& encoder = operands.encoder();
    const std::span layers(&shape_, 1);
    const auto sources =
        operands.rows("sourceMatrices", sourceMatrices, sourceOffsets, shape_->inputs);
    const auto rows = operands.rowsOf("sourceMatrices", sources, layers);
    const auto destinations = operands.rowsLike("destinationMatrices", destinationMatrices,
                                                destinationOffsets, shape_->outputs, rows);
    const auto set = operands.weights("weights", weights, *shape_);
    const auto* initial = operands.state(recurrentInputState, layers, rows.front(), UINT64_MAX);
    operands.checkApart("destinationMatrices", destinations, "sourceMatrices", sources);
    operands.checkApart("destinationMatrices", destinations, "weights", set);

    const bool temporary = trainingStateIsTemporary_ || !trainingStates;
    const mps::RNNMemory memory(
        *shape_, rows, initial ? rows.front() : 0, false, [&](uint64_t bytes) {
            if (temporary) return encoder.scratch(bytes);
            return std::make_shared<const vk::BufferSlice>(
                vk::whole(encoder.device().memory().allocate(bytes, vk::MemoryKind::Device)));
        });
    if (initial) {
        encoder.list().copy(mps::stateRows(initial->outputs[0], rows.front()), memory.initial);
        if (memory.initialCell)
            encoder.list().copy(mps::stateRows(initial->cells[0], rows.front()),
                                memory.initialCell);
    }
    mps::RNNForward(encoder, *shape_, set)
        .encode(memory.steps, sources, destinations, false, false);

    const size_t steps = rows.size();
    mps::RNNStateWriter writer(encoder, layers, rows.front(),
                               storeAllIntermediateStates_ ? steps : 1, recurrentOutputIsTemporary_,
                               recurrentOutputStates);
    for (size_t t = 0; writer.isActive() && t < steps; ++t) {
        const auto& step = memory.steps[t];
        if (storeAllIntermediateStates_)
            writer.write(t, 0, rows[t], step.output, step.cell);
        else
            writer.writeRows(0, 0, t + 1 < steps ? rows[t + 1] : 0, rows[t], step.output,
                             step.cell);
    }
    writer.finish();

    static std::atomic<uint64_t> sequences{0};
    const uint64_t sequence = ++sequences;
    for (size_t t = 0; trainingStates && t < steps; ++t) {
        auto state = std::make_shared<RNNMatrixTrainingState::Impl>(device());
        if (trainingStateIsTemporary_) state->makeTemporary(commandBuffer);
        state->shape = shape_;
        state->step = memory.steps[t];
        state->sequence = sequence;
        state->index = t;
        state->hasInitialState = initial != nullptr;
        for (const auto* slice :
             {&state->step.gates, &state->step.output, &state->step.cell, &state->step.mixed}) {
            if (!*slice) continue;
            auto& resource = state->resources[state->addBuffer(slice->size)];
            resource.slice = *slice;
            resource.shared = memory.all;
        }
        trainingStates->emplace_back(std::move(state));
    }
    operands.willRead(sourceMatrices);
    operands.willRead(weights);
    operands.markRead();
    if (initial) recurrentInputState.impl().wasReadWithMatrices();
}

void RNNMatrixTrainingLayer::encodeGradientSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Matrix>& forwardSources,
    std::span<const uint64_t> forwardSourceOffsets, const std::vector<Matrix>& sourceGradients,
    std::span<const uint64_t> sourceGradientOffsets,
    const std::vector<Matrix>& destinationGradients, std::span<const uint64_t> destinationOffsets,
    const std::vector<Matrix>& weightGradients,
    const std::vector<RNNMatrixTrainingState>& trainingStates,
    const RNNRecurrentMatrixState& recurrentInputState,
    std::vector<RNNRecurrentMatrixState>* recurrentOutputStates,
    const std::vector<Matrix>& weights) {
    mps::RNNOperands operands(*this, device(), commandBuffer);
    mps::Encoder& encoder = operands.encoder();
    const std::span layers(&shape_, 1);
    const auto steps = mps::stepsOf(operands, *shape_, trainingStates);
    std::vector<uint64_t> rows;
    for (const mps::RNNStep& step : steps) rows.push_back(step.rows);
    const auto sources = operands.rowsLike("forwardSources", forwardSources, forwardSourceOffsets,
                                           shape_->inputs, rows);
    const auto gradients = operands.rowsLike("sourceGradients", sourceGradients,
                                             sourceGradientOffsets, shape_->outputs, rows);
    std::vector<mps::ArrayView> results;
    if (!destinationGradients.empty())
        results = operands.rowsLike("destinationGradients", destinationGradients,
                                    destinationOffsets, shape_->inputs, rows);
    const auto set = operands.weights("weights", weights, *shape_);
    mps::RNNSequence::Weights weightResults;
    if (!weightGradients.empty())
        weightResults = operands.weights("weightGradients", weightGradients, *shape_);
    const auto* later = operands.state(recurrentInputState, layers, 1, rows.front());
    operands.checkApart("destinationGradients", results, "forwardSources", sources);
    operands.checkApart("destinationGradients", results, "sourceGradients", gradients);
    operands.checkApart("destinationGradients", results, "weights", set);
    operands.checkApart(weightResults, set);
    operands.checkApart("forwardSources", sources, "weightGradients", weightResults);
    operands.checkApart("sourceGradients", gradients, "weightGradients", weightResults);
    operands.checkApart("destinationGradients", results, "weightGradients", weightResults);
    operands.checkApartFromEachOther("weightGradients", weightResults);

    const uint64_t carriedBytes = rows.front() * shape_->paddedOutputs() * sizeof(float);
    const auto begin = [&](const Matrix* gradient) {
        const auto carried = encoder.scratch(carriedBytes);
        const uint64_t given = gradient ? gradient->rows() * gradient->rowBytes() : 0;
        if (given > 0)
            encoder.list().copy(mps::stateRows(*gradient, gradient->rows()),
                                {carried->buffer, carried->offset, given});
        if (given < carriedBytes)
            encoder.list().fill({carried->buffer, carried->offset + given, carriedBytes - given},
                                0);
        return carried;
    };
    const auto carried = begin(later ? &later->outputs[0] : nullptr);
    std::shared_ptr<const vk::BufferSlice> carriedCell;
    if (shape_->isLSTM()) carriedCell = begin(later ? &later->cells[0] : nullptr);

    mps::RNNStateWriter writer(encoder, layers, rows.front(),
                               storeAllIntermediateStates_ ? steps.size() : 1,
                               recurrentOutputIsTemporary_, recurrentOutputStates);
    mps::RNNGradientRequest request;
    request.steps = steps;
    request.sources = sources;
    request.sourceGradients = gradients;
    request.destinationGradients = results;
    request.weightGradients = weightGradients.empty() ? nullptr : &weightResults;
    request.accumulates = accumulateWeightGradients_;
    request.carried = *carried;
    if (carriedCell) request.carriedCell = *carriedCell;
    request.wantsInitial = writer.isActive();
    request.afterStep = [&](size_t t) {
        if (writer.isActive() && (storeAllIntermediateStates_ || t == 0))
            writer.writeRows(t, 0, 0, rows.front(), request.carried, request.carriedCell);
    };
    mps::RNNGradient(encoder, *shape_, set, request).encode();
    writer.finish();

    for (const auto* read : {&forwardSources, &sourceGradients, &weights}) operands.willRead(*read);
    operands.markRead();
    markRead(StateBatch(trainingStates.begin(), trainingStates.end()));
    if (later) recurrentInputState.impl().wasReadWithMatrices();
}

} // namespace mpsvk::MPS
