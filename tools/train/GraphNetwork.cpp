#include "GraphNetwork.hpp"

#include <algorithm>

#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>
#include <mpsvk/MTL/Device.hpp>

#include "RandomStream.hpp"

namespace mpsvk::train {

namespace {

using Format = MPS::ImageFeatureChannelFormat;

constexpr uint64_t firstChannels = 32, secondChannels = 64, hiddenChannels = 128;

uint64_t half(uint64_t size) { return (size + 1) / 2; }

Format formatOf(Precision precision) {
    return precision == Precision::Float32 ? Format::Float32 : Format::Float16;
}

void waitFor(const MTL::CommandBuffer& commands) {
    commands.waitUntilCompleted();
    if (const MTL::CommandBufferError error = commands.error())
        throw DeviceError(error.description);
}

} // namespace

GraphNetwork::GraphNetwork(const MTL::Device& device, const Setup& setup, const IdxDataset& data)
    : device_(device), queue_(device.newCommandQueue()), setup_(setup), rows_(data.rows),
      columns_(data.columns), classes_(data.classes) {
    const std::array<LayerShape, layerCount> shapes = layerShapes();
    for (size_t i = 0; i < layerCount; ++i)
        layers_[i] = std::make_shared<ConvolutionWeights>(device, shapes[i], setup.seed, i);
    training_ = trainingGraph();
    inference_ = inferenceGraph();
    for (Operands& operands : operands_) operands = makeOperands();
}

bool GraphNetwork::poolsTwice() const { return std::max(half(rows_), half(columns_)) > 7; }

std::array<LayerShape, GraphNetwork::layerCount> GraphNetwork::layerShapes() const {
    const uint64_t width = poolsTwice() ? half(half(columns_)) : half(columns_);
    const uint64_t height = poolsTwice() ? half(half(rows_)) : half(rows_);
    const Precision precision = setup_.precision;
    return {LayerShape{"convolution 1", {3, 3, 1, firstChannels}, precision},
            LayerShape{"convolution 2", {3, 3, firstChannels, secondChannels}, precision},
            LayerShape{"hidden", {width, height, secondChannels, hiddenChannels}, precision},
            LayerShape{"output", {1, 1, hiddenChannels, classes_}, precision}};
}

GraphNetwork::Operands GraphNetwork::makeOperands() const {
    Operands made;
    const MPS::ImageDescriptor picture(Format::Unorm8, columns_, rows_, 1);
    made.images = MPS::Image::batch(device_, picture, setup_.batch);
    const MPS::CNNLossDataDescriptor none(std::vector<float>(classes_),
                                          MPS::DataLayout::HeightxWidthxFeatureChannels,
                                          MTL::Size{1, 1, classes_});
    for (uint32_t i = 0; i < setup_.batch; ++i)
        made.labels.push_back(MPS::CNNLossLabels(device_, none));
    return made;
}

MPS::NNImageNode GraphNetwork::logitsNode(const MPS::NNImageNode& input, bool training) const {
    const MPS::CNNConvolutionNode convolution1(input, layers_[firstConvolution]);
    const MPS::CNNNeuronReLUNode relu1(convolution1.resultImage());
    const MPS::CNNPoolingMaxNode pool1(relu1.resultImage(), 2);
    const MPS::CNNConvolutionNode convolution2(pool1.resultImage(), layers_[secondConvolution]);
    MPS::NNImageNode features = MPS::CNNNeuronReLUNode(convolution2.resultImage()).resultImage();
    if (poolsTwice()) features = MPS::CNNPoolingMaxNode(features, 2).resultImage();
    const MPS::CNNFullyConnectedNode hiddenNode(features, layers_[hidden]);
    features = MPS::CNNNeuronReLUNode(hiddenNode.resultImage()).resultImage();
    if (training) {
        const uint64_t seed = RandomStream(setup_.seed, RandomStream::Purpose::Dropout).next();
        features = MPS::CNNDropoutNode(features, 0.5f, seed).resultImage();
    }
    const MPS::NNImageNode logits =
        MPS::CNNFullyConnectedNode(features, layers_[output]).resultImage();
    logits.setFormat(Format::Float32);
    return logits;
}

MPS::NNGraph GraphNetwork::trainingGraph() const {
    const MPS::NNImageNode logits = logitsNode(MPS::NNImageNode(), true);
    MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                      MPS::CNNReductionType::Sum);
    descriptor.setWeight(1.0f / static_cast<float>(setup_.batch));
    const MPS::CNNLossNode loss(logits, descriptor);
    // Small gradients would vanish in fp16.
    loss.resultImage().setFormat(Format::Float32);
    const std::vector<MPS::NNFilterNode> ends =
        loss.trainingGraph(std::nullopt, [](const MPS::NNFilterNode& gradient, auto&&...) {
            gradient.resultImage().setFormat(Format::Float32);
        });
    // The logits tell the right guesses; nobody reads the gradient of the pictures.
    const MPS::NNGraph graph(device_, {logits, ends.front().resultImage()}, {true, false});
    graph.setFormat(formatOf(setup_.precision));
    return graph;
}

MPS::NNGraph GraphNetwork::inferenceGraph() const {
    const MPS::CNNSoftMaxNode softMax(logitsNode(MPS::NNImageNode(), false));
    softMax.resultImage().setFormat(Format::Float32);
    const MPS::NNGraph graph(device_, softMax.resultImage(), true);
    graph.setFormat(formatOf(setup_.precision));
    return graph;
}

void GraphNetwork::writeImages(const MPS::ImageBatch& images,
                               std::span<const std::byte> pixels) const {
    const size_t size = pixels.size() / images.size();
    for (size_t i = 0; i < images.size(); ++i) {
        images[i].writeBytes(pixels.subspan(i * size, size),
                             MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
    }
}

void GraphNetwork::writeLabels(const MPS::StateBatch& states,
                               std::span<const uint8_t> labels) const {
    std::vector<float> oneHot(classes_);
    for (size_t i = 0; i < states.size(); ++i) {
        oneHot[labels[i]] = 1;
        states[i].as<MPS::CNNLossLabels>().labelsImage().write(oneHot);
        oneHot[labels[i]] = 0;
    }
}

void GraphNetwork::submit(std::span<const std::byte> pixels, std::span<const uint8_t> labels,
                          float learningRate) {
    const Operands& operands = operands_[next_];
    next_ = 1 - next_;
    writeImages(operands.images, pixels);
    writeLabels(operands.labels, labels);
    for (const auto& layer : layers_) layer->setLearningRate(learningRate);

    Step step{queue_.commandBuffer(), {labels.begin(), labels.end()}, &operands, {}};
    step.logits = training_.encodeBatch(step.commands, {operands.images}, {operands.labels});
    step.commands.commit();
    running_.push_back(std::move(step));
}

StepResult GraphNetwork::finish() {
    const Step step = std::move(running_.front());
    running_.pop_front();
    waitFor(step.commands);
    StepResult result;
    std::vector<float> logits(classes_);
    for (size_t i = 0; i < step.truth.size(); ++i) {
        float loss = 0;
        step.operands->labels[i].as<MPS::CNNLossLabels>().lossImage().read(std::span(&loss, 1));
        result.loss += loss;
        step.logits[i].read(logits);
        const auto guess = std::ranges::max_element(logits) - logits.begin();
        result.correct += guess == step.truth[i] ? 1 : 0;
    }
    return result;
}

void GraphNetwork::prepareToClassify() { inference_.reloadFromDataSources(); }

std::vector<float> GraphNetwork::classify(std::span<const uint8_t> pixels) {
    const MPS::ImageBatch& images = operands_[0].images;
    writeImages(images, std::as_bytes(pixels));
    const MTL::CommandBuffer commands = queue_.commandBuffer();
    const MPS::ImageBatch probabilities = inference_.encodeBatch(commands, {images});
    commands.commit();
    waitFor(commands);
    std::vector<float> result(probabilities.size() * classes_);
    for (size_t i = 0; i < probabilities.size(); ++i)
        probabilities[i].read(std::span(result).subspan(i * classes_, classes_));
    return result;
}

std::vector<std::byte> GraphNetwork::archive() {
    ByteWriter out;
    for (const auto& layer : layers_) layer->write(out);
    out.number(training_.encodeCount()); // picks the dropout's next mask
    return std::move(out.bytes);
}

void GraphNetwork::restore(std::span<const std::byte> archive) {
    ByteReader in(archive, "the network in the checkpoint");
    for (const auto& layer : layers_) layer->read(in);
    training_.setEncodeCount(in.number<uint64_t>("the number of steps"));
    if (in.left() != 0) in.fail(in.offset(), "the network goes on after its last layer");
    training_.reloadFromDataSources();
}

} // namespace mpsvk::train
