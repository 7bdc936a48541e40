#include "mps/RNNImageLayer.hpp"

#include "mps/Archive.hpp"
#include "mps/Image.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

void RNNConvolutionWeights::fill(std::span<const Piece> pieces, uint64_t inputs, uint64_t outputs) {
    inputs_ = inputs;
    outputs_ = outputs;
    for (const Piece& piece : pieces) {
        width_ = std::max(width_, piece.source.descriptor.kernelWidth());
        height_ = std::max(height_, piece.source.descriptor.kernelHeight());
        isFloat32_ |= piece.source.isFloat32;
    }
    values_.assign(width_ * height_ * inputs * outputs, 0);
    for (const Piece& piece : pieces) {
        const auto& d = piece.source.descriptor;
        // The centres of all windows lie together.
        const uint64_t left = width_ / 2 - d.kernelWidth() / 2,
                       top = height_ / 2 - d.kernelHeight() / 2;
        const float* from = piece.source.weights.data();
        for (uint64_t o = 0; o < d.outputFeatureChannels(); ++o)
            for (uint64_t y = 0; y < d.kernelHeight(); ++y)
                for (uint64_t x = 0; x < d.kernelWidth(); ++x)
                    for (uint64_t i = 0; i < d.inputFeatureChannels(); ++i)
                        values_[(((piece.firstOutput + o) * height_ + top + y) * width_ + left +
                                 x) *
                                    inputs +
                                piece.firstInput + i] = *from++;
    }
}

void RNNConvolutionWeights::archive(Archive& archive) {
    archive("kernelWidth", width_);
    archive("kernelHeight", height_);
    archive("inputFeatureChannels", inputs_);
    archive("outputFeatureChannels", outputs_);
    archive("isFloat32", isFloat32_);
    archive("weights", values_);
}

RNNImageLayer::RNNImageLayer(const std::string& who, const MTL::Device& device,
                             const MPS::RNNDescriptor& descriptor)
    : device(device), shape(who, descriptor) {
    const uint64_t padded = shape.paddedOutputs();
    shape.weightsType = MPS::DataType::Float32;
    rows[0].resize(std::popcount(shape.biasedGates) * padded);
    rows[1].resize(std::popcount(shape.diagonalGates()) * padded);
    std::vector<RNNConvolutionWeights::Piece> pieces[convolutionCount];
    for (uint32_t gate = 0; gate < shape.gates(); ++gate)
        for (const auto part : {RNNShape::Input, RNNShape::Recurrent, RNNShape::Memory}) {
            const auto source = RNNShape::source(descriptor, gate, part);
            if (!source) continue;
            const std::string name = sourceName(shape, gate, part);
            RNNSource loaded = loadedSource(who, name, *source);
            if (part == RNNShape::Input) {
                checkSourceChannels(who, name, loaded, shape.inputs, shape.outputs);
                shape.neurons[gate] = loaded.descriptor.fusedNeuronDescriptor();
                std::ranges::copy(loaded.biases,
                                  rows[0].begin() +
                                      RNNShape::indexOf(shape.biasedGates, gate) * padded);
                if (!shape.unitTransform) pieces[0].push_back({loaded, 0, gate * padded});
            } else if (part == RNNShape::Memory && shape.diagonalGates()) {
                if (loaded.weights.size() != shape.outputs)
                    throw InvalidArgument(
                        who + name + " has " + std::to_string(loaded.weights.size()) +
                        " weights but a diagonal has " + std::to_string(shape.outputs) + ".");
                std::ranges::copy(loaded.weights,
                                  rows[1].begin() +
                                      RNNShape::indexOf(shape.diagonalGates(), gate) * padded);
            } else {
                checkSourceChannels(who, name, loaded, shape.outputs, shape.outputs);
                if (shape.isGRU() && gate == 2)
                    pieces[2].push_back(
                        {loaded, part == RNNShape::Memory ? (shape.mixes() - 1) * padded : 0, 0});
                else if (part == RNNShape::Memory && gate == 3)
                    pieces[newCell].push_back({loaded, 0, 0});
                else
                    pieces[part].push_back({loaded, 0, gate * padded});
            }
        }
    shape.checkNeurons(who);
    const uint64_t inputs[] = {shape.inputs, shape.outputs,
                               shape.isGRU() ? shape.mixes() * padded : shape.outputs,
                               shape.outputs};
    for (size_t i = 0; i < convolutionCount; ++i) {
        if (pieces[i].empty()) continue;
        sources[i] = std::make_shared<RNNConvolutionWeights>();
        sources[i]->fill(pieces[i], inputs[i], gatesOf(i).count * padded);
    }
    makeKernels();
}

GateRun RNNImageLayer::gatesOf(size_t convolution) const {
    const bool isGRU = shape.isGRU();
    switch (convolution) {
    case 0: return {0, shape.gates(), 0};
    case 1: return {0, isGRU ? 2 : shape.gates(), 0};
    case 2: return isGRU ? GateRun{2, 1, 0} : GateRun{0, 3, 0};
    default: return {3, 1, 0};
    }
}

void RNNImageLayer::makeKernels() {
    for (size_t i = 0; i < convolutionCount; ++i)
        if (sources[i]) convolutions[i].emplace(device, sources[i]);
    for (size_t i = 0; i < 2; ++i) {
        if (rows[i].empty()) continue;
        const auto part = i == 0 ? RNNShape::Bias : RNNShape::Memory;
        rowMatrices_[i] = MPS::Matrix(device, shape.partDescriptor(part, MPS::DataType::Float32));
        rowMatrices_[i].write(rows[i]);
    }
}

RNNSequence::Weights RNNImageLayer::rowOperands(const vk::Limits& limits) const {
    RNNSequence::Weights all;
    for (size_t i = 0; i < 2; ++i)
        if (rowMatrices_[i])
            all[i == 0 ? RNNShape::Bias : RNNShape::Memory] =
                boundOperand(rowMatrices_[i].impl().view(0), limits);
    return all;
}

void RNNImageLayer::moveTo(const MTL::Device& other) {
    device = other;
    makeKernels();
}

void RNNImageLayer::archive(Archive& archive) {
    archive("layer", shape);
    archive("biases", rows[0]);
    archive("diagonals", rows[1]);
    static constexpr const char* names[] = {"inputs", "recurrent", "memory", "newCell"};
    for (size_t i = 0; i < convolutionCount; ++i) {
        bool exists = sources[i] != nullptr;
        archive((std::string(names[i]) + "Exist").c_str(), exists);
        if (!exists) continue;
        if (archive.isReading()) sources[i] = std::make_shared<RNNConvolutionWeights>();
        archive(names[i], *sources[i]);
        const auto d = sources[i]->descriptor();
        const bool reads = i == 2 && shape.isGRU()
                               ? d.inputFeatureChannels() == shape.mixes() * shape.paddedOutputs()
                               : d.inputFeatureChannels() == (i ? shape.outputs : shape.inputs);
        if (!reads || d.outputFeatureChannels() != gatesOf(i).count * shape.paddedOutputs())
            throw InvalidArgument("[RNNImageInferenceLayer] An archived convolution does not fit "
                                  "its layer.");
    }
    if (!archive.isReading()) return;
    const uint64_t padded = shape.paddedOutputs();
    if (rows[0].size() != std::popcount(shape.biasedGates) * padded ||
        rows[1].size() != std::popcount(shape.diagonalGates()) * padded)
        throw InvalidArgument("[RNNImageInferenceLayer] Archived biases do not fit their layer.");
    makeKernels();
}

vk::BufferSlice sliceOf(const MPS::Image& image) { return image.impl().storage->buffer(); }

MPS::Image unboundedImage(const MTL::CommandBuffer& commands, const MPS::ImageDescriptor& size,
                          uint64_t channels) {
    MPS::ImageDescriptor d = size;
    d.setFeatureChannels(channels);
    d.setChannelFormat(MPS::ImageFeatureChannelFormat::Float32);
    d.setStorage(MPS::ImageStorage::Buffer);
    const MPS::TemporaryImage made(commands, d);
    made.setReadCount(UINT64_MAX);
    return made;
}

void copyChannels(const MTL::CommandBuffer& commands, const MPS::Image& source,
                  uint64_t sourceOffset, uint64_t channels, const MPS::Image& destination,
                  uint64_t destinationOffset) {
    MPS::CNNNeuron copy(commands.device(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    copy.setSourceFeatureChannelOffset(sourceOffset);
    copy.setSourceFeatureChannelMaxCount(channels);
    copy.setDestinationFeatureChannelOffset(destinationOffset);
    copy.encode(commands, source, destination);
}

MPS::Image RNNImageForward::image(uint64_t channels) const {
    return unboundedImage(encoder_.commandBuffer(), size_, channels);
}

RNNImageStep RNNImageForward::step(const MPS::Image& source, const RNNImageStep& previous) {
    const auto& commands = encoder_.commandBuffer();
    size_ = MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, source.width(),
                                 source.height(), 1, source.numberOfImages());
    previous_ = previous;
    made_ = {image(shape_.outputs), shape_.isLSTM() ? image(shape_.outputs) : MPS::Image()};
    const MPS::Image gates = image(shape_.gateColumns());
    if (shape_.mixes()) mixed_ = image(shape_.mixes() * padded());
    RNNStep step;
    step.rows = source.width() * source.height() * source.numberOfImages();
    step.gates = sliceOf(gates);
    step.output = sliceOf(made_.output);
    if (made_.cell) step.cell = sliceOf(made_.cell);
    if (mixed_) step.mixed = sliceOf(mixed_);
    if (previous.output) {
        step.previousRows = step.rows;
        step.previous = sliceOf(previous.output);
        if (previous.cell) step.previousCell = sliceOf(previous.cell);
    }
    ArrayView inputs;
    MPS::Image unit;
    if (auto& convolution = layer_.convolutions[0]) {
        convolution->setEdgeMode(edgeMode_);
        convolution->setSourceFeatureChannelOffset(sourceChannelOffset_);
        convolution->encode(commands, source, gates);
    } else {
        encoder_.list().fill(step.gates, 0);
        if (shape_.unitTransform) {
            unit = image(shape_.inputs);
            copyChannels(commands, source, sourceChannelOffset_, shape_.inputs, unit, 0);
            inputs = packedRows(sliceOf(unit), step.rows, padded());
        } else {
            MPS::markRead(MPS::ImageBatch{source});
        }
    }
    encodeStep(step, inputs, {}, false);
    return made_;
}

void RNNImageForward::addProducts(const RNNStep& step, State state, RNNShape::Part part, uint32_t) {
    const bool isNewCell = state == State::Cell;
    const size_t index = isNewCell ? RNNImageLayer::newCell : size_t(part);
    auto& convolution = layer_.convolutions[index];
    const MPS::Image& source = state == State::Previous       ? previous_.output
                               : state == State::PreviousCell ? previous_.cell
                               : isNewCell                    ? made_.cell
                                                              : mixed_;
    const GateRun run = layer_.gatesOf(index);
    const MPS::Image sums = image(run.count * padded());
    convolution->setEdgeMode(edgeMode_);
    convolution->encode(encoder_.commandBuffer(), source, sums);
    encodeRowCopy(encoder_, bound(packedRows(sliceOf(sums), step.rows, run.count * padded())),
                  bound(gateColumns(step.gates, step.rows, run)), 1, true);
}

} // namespace mpsvk::mps
