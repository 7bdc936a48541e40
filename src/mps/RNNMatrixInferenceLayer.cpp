#include <mpsvk/MPS/RNNMatrixInferenceLayer.hpp>

#include "mps/Archive.hpp"
#include "mps/RNNOperands.hpp"
#include "mps/RNNStack.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

using Shape = mps::RNNShape;
using Layers = std::vector<std::shared_ptr<const Shape>>;
using mps::ArrayView;

/// A layer as it is archived.
struct StoredLayer {
    Shape shape;
    std::array<std::vector<float>, Shape::PartCount> values;

    void archive(mps::Archive& archive) {
        archive("layer", shape);
        static constexpr const char* names[] = {"inputWeights", "recurrentWeights", "memoryWeights",
                                                "biases"};
        for (uint32_t i = 0; i < Shape::PartCount; ++i) {
            archive(names[i], values[i]);
            const uint64_t needed =
                shape.partRows(Shape::Part(i)) *
                (shape.partRows(Shape::Part(i)) ? shape.partColumns(Shape::Part(i)) : 0);
            if (archive.isReading() && values[i].size() != needed)
                throw InvalidArgument("[RNNMatrixInferenceLayer] An archived layer has " +
                                      std::to_string(values[i].size()) + " weights where " +
                                      std::to_string(needed) + " are needed.");
        }
    }
};

StoredLayer stored(const Shape& shape, const std::vector<Matrix>& weights) {
    StoredLayer made{shape, {}};
    for (uint32_t i = 0; i < Shape::PartCount; ++i) {
        if (shape.partRows(Shape::Part(i)) == 0) continue;
        const Matrix& matrix = weights[shape.partIndex(Shape::Part(i))];
        made.values[i].resize(matrix.rows() * matrix.columns());
        matrix.read(made.values[i]);
    }
    return made;
}

std::vector<Matrix> weightsOf(const StoredLayer& layer, const MTL::Device& device) {
    std::vector<Matrix> made;
    for (uint32_t i = 0; i < Shape::PartCount; ++i) {
        if (layer.values[i].empty()) continue;
        made.emplace_back(device,
                          layer.shape.partDescriptor(Shape::Part(i), layer.shape.weightsType));
        made.back().write(layer.values[i]);
    }
    return made;
}

std::vector<const mps::RNNShape*> shapesOf(const Layers& layers) {
    std::vector<const mps::RNNShape*> shapes;
    for (const auto& layer : layers) shapes.push_back(layer.get());
    return shapes;
}

std::vector<mps::RNNSequence::Weights> operandsOf(mps::RNNOperands& operands, const Layers& layers,
                                                  const std::vector<std::vector<Matrix>>& weights) {
    std::vector<mps::RNNSequence::Weights> all;
    for (size_t i = 0; i < layers.size(); ++i)
        all.push_back(operands.weights("weights", weights[i], *layers[i]));
    return all;
}

} // namespace

RNNMatrixInferenceLayer::RNNMatrixInferenceLayer(const MTL::Device& device,
                                                 const std::vector<RNNDescriptor>& rnnDescriptors)
    : Kernel(device) {
    const std::string who = "[RNNMatrixInferenceLayer] ";
    if (rnnDescriptors.empty())
        throw InvalidArgument(who + "rnnDescriptors is empty but a stack has at least one layer.");
    for (const RNNDescriptor& descriptor : rnnDescriptors) {
        auto shape = std::make_shared<Shape>(who, descriptor);
        weights_.push_back(mps::loadedWeights(who, device, *shape, descriptor));
        layers_.push_back(std::move(shape));
    }
}

RNNMatrixInferenceLayer::RNNMatrixInferenceLayer(KeyedUnarchiver& coder, const MTL::Device& device)
    : Kernel(deviceFor(coder, device)) {
    unarchive(coder);
}

void RNNMatrixInferenceLayer::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("recurrentOutputIsTemporary", recurrentOutputIsTemporary_);
    archive("storeAllIntermediateStates", storeAllIntermediateStates_);
    archive("bidirectionalCombineMode", bidirectionalCombineMode_);
    uint64_t count = layers_.size();
    archive("numberOfLayers", count);
    if (archive.isReading() && (count == 0 || count > 65536))
        throw InvalidArgument("[RNNMatrixInferenceLayer] The archive has " + std::to_string(count) +
                              " layers.");
    for (uint64_t i = 0; i < count; ++i) {
        StoredLayer layer;
        if (!archive.isReading()) layer = stored(*layers_[i], weights_[i]);
        archive(("layer" + std::to_string(i)).c_str(), layer);
        if (!archive.isReading()) continue;
        weights_.push_back(weightsOf(layer, device()));
        layers_.push_back(std::make_shared<Shape>(layer.shape));
    }
}

RNNMatrixInferenceLayer RNNMatrixInferenceLayer::copy(const MTL::Device& device) const {
    RNNMatrixInferenceLayer made(*this);
    made.setDevice(device);
    if (made.device() == this->device()) return made; // the weights never change
    for (size_t i = 0; i < layers_.size(); ++i)
        made.weights_[i] = weightsOf(stored(*layers_[i], weights_[i]), made.device());
    return made;
}

uint64_t RNNMatrixInferenceLayer::inputFeatureChannels() const { return layers_.front()->inputs; }
uint64_t RNNMatrixInferenceLayer::outputFeatureChannels() const { return layers_.back()->outputs; }

void RNNMatrixInferenceLayer::encodeSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Matrix>& sourceMatrices,
    std::span<const uint64_t> sourceOffsets, const std::vector<Matrix>& destinationMatrices,
    std::span<const uint64_t> destinationOffsets,
    const RNNRecurrentMatrixState& recurrentInputState,
    std::vector<RNNRecurrentMatrixState>* recurrentOutputStates) {
    mps::RNNOperands operands(*this, device(), commandBuffer);
    mps::checkChain(subject(), shapesOf(layers_));
    auto sources =
        operands.rows("sourceMatrices", sourceMatrices, sourceOffsets, inputFeatureChannels());
    const auto rows = operands.rowsOf("sourceMatrices", sources, layers_);
    auto destinations = operands.rowsLike("destinationMatrices", destinationMatrices,
                                          destinationOffsets, outputFeatureChannels(), rows);
    const auto* initial = operands.state(recurrentInputState, layers_, rows.front(), UINT64_MAX);
    operands.checkApart("destinationMatrices", destinations, "sourceMatrices", sources);
    mps::RNNStateWriter writer(operands.encoder(), layers_, rows.front(),
                               storeAllIntermediateStates_ ? rows.size() : 1,
                               recurrentOutputIsTemporary_, recurrentOutputStates);
    const mps::RNNStackRequest request{.layers = layers_,
                                       .weights = operandsOf(operands, layers_, weights_),
                                       .rows = rows,
                                       .sources = std::move(sources),
                                       .destinations = std::move(destinations),
                                       .initial = initial,
                                       .writer = writer.isActive() ? &writer : nullptr,
                                       .storesAll = storeAllIntermediateStates_};
    mps::RNNStack(operands.encoder(), request).encode();
    writer.finish();
    operands.willRead(sourceMatrices);
    operands.markRead();
    if (initial) recurrentInputState.impl().wasReadWithMatrices();
}

void RNNMatrixInferenceLayer::encodeBidirectionalSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Matrix>& sourceSequence,
    const std::vector<Matrix>& destinationForwardMatrices,
    const std::vector<Matrix>& destinationBackwardMatrices) {
    const std::string who = subject();
    mps::RNNOperands operands(*this, device(), commandBuffer);
    Layers stacks[2];
    std::vector<std::vector<Matrix>> weights[2];
    for (size_t i = 0; i < layers_.size(); ++i) {
        const size_t which = layers_[i]->direction == RNNSequenceDirection::Backward;
        stacks[which].push_back(layers_[i]);
        weights[which].push_back(weights_[i]);
    }
    using Mode = RNNBidirectionalCombineMode;
    const Mode mode = bidirectionalCombineMode_;
    mps::checkDirections(who, {shapesOf(stacks[0]), shapesOf(stacks[1])}, mode);
    const uint64_t inputs = stacks[0][0]->inputs;
    const uint64_t outputs[2] = {stacks[0].back()->outputs, stacks[1].back()->outputs};
    if (mode != Mode::None && !destinationBackwardMatrices.empty())
        throw InvalidArgument(who + "destinationBackwardMatrices has " +
                              std::to_string(destinationBackwardMatrices.size()) +
                              " matrices but both directions' results are combined in the "
                              "forward destinations.");
    const auto sources = operands.rows("sourceSequence", sourceSequence, {}, inputs);
    const auto rows = operands.rowsOf("sourceSequence", sources, layers_);
    const bool concatenates = mode == Mode::Concatenate;
    auto forward = operands.rowsLike("destinationForwardMatrices", destinationForwardMatrices, {},
                                     outputs[0] + (concatenates ? outputs[1] : 0), rows);
    operands.checkApart("destinationForwardMatrices", forward, "sourceSequence", sources);
    std::vector<ArrayView> backward = forward;
    if (mode == Mode::None) {
        backward = operands.rowsLike("destinationBackwardMatrices", destinationBackwardMatrices, {},
                                     outputs[1], rows);
        operands.checkApart("destinationBackwardMatrices", backward, "sourceSequence", sources);
        operands.checkApart("destinationBackwardMatrices", backward, "destinationForwardMatrices",
                            forward);
    } else if (concatenates) {
        for (ArrayView& view : forward) view = mps::columnsOf(view, 0, outputs[0]);
        for (ArrayView& view : backward) view = mps::columnsOf(view, outputs[0], outputs[1]);
    }
    for (size_t which = 0; which < 2; ++which) {
        const mps::RNNStackRequest request{.layers = stacks[which],
                                           .weights =
                                               operandsOf(operands, stacks[which], weights[which]),
                                           .rows = rows,
                                           .sources = sources,
                                           .destinations = which ? backward : forward,
                                           .isBackward = which == 1,
                                           .addsToDestinations = which == 1 && mode == Mode::Add};
        mps::RNNStack(operands.encoder(), request).encode();
    }
    operands.willRead(sourceSequence);
    operands.markRead();
}

} // namespace mpsvk::MPS
