#include "Operands.hpp"
#include "Workloads.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNGraph.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

namespace mpsvk::bench {

namespace {

constexpr uint64_t classes = 10;

/// Two convolutions of 5x5, two hidden layers' worth of weights, dropout.
class LeNet {
public:
    LeNet(const MTL::CommandQueue& queue, const Case& c) : queue_(queue), case_(c) {}

    MPS::NNGraph training() {
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Sum);
        descriptor.setWeight(1.0f / float(case_.n));
        const MPS::CNNLossNode loss(logits(), descriptor);
        const auto ends = loss.trainingGraph(std::nullopt, {});
        // Nobody wants the gradient of the pictures: it is not computed.
        const MPS::NNGraph graph(queue_.device(), ends.front().resultImage(), false);
        graph.setFormat(case_.mode == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                                             : MPS::ImageFeatureChannelFormat::Float32);
        return graph;
    }

private:
    std::shared_ptr<AdamWeights> weights(uint64_t width, uint64_t height, uint64_t inputs,
                                         uint64_t outputs) {
        const auto type = case_.mode == "fp16" ? MPS::DataType::Float16 : MPS::DataType::Float32;
        return std::make_shared<AdamWeights>(
            queue_, MPS::CNNConvolutionDescriptor(width, height, inputs, outputs), type, ++seed_);
    }

    MPS::NNImageNode logits() {
        const MPS::CNNConvolutionNode convolution1(MPS::NNImageNode(), weights(5, 5, case_.ci, 32));
        const MPS::CNNNeuronReLUNode relu1(convolution1.resultImage());
        const MPS::CNNPoolingMaxNode pooling1(relu1.resultImage(), 2);
        const MPS::CNNConvolutionNode convolution2(pooling1.resultImage(), weights(5, 5, 32, 64));
        const MPS::CNNNeuronReLUNode relu2(convolution2.resultImage());
        const MPS::CNNPoolingMaxNode pooling2(relu2.resultImage(), 2);
        const MPS::CNNFullyConnectedNode hidden(
            pooling2.resultImage(), weights((case_.w + 3) / 4, (case_.h + 3) / 4, 64, 1024));
        const MPS::CNNNeuronReLUNode relu3(hidden.resultImage());
        const MPS::CNNDropoutNode dropout(relu3.resultImage(), 0.5f, 1);
        return MPS::CNNFullyConnectedNode(dropout.resultImage(), weights(1, 1, 1024, classes))
            .resultImage();
    }

    MTL::CommandQueue queue_;
    Case case_;
    uint64_t seed_ = 0;
};

MPS::StateBatch labels(const MTL::Device& device, uint64_t count) {
    MPS::StateBatch made;
    for (uint64_t i = 0; i < count; ++i) {
        std::vector<float> label(classes, 0);
        label[(i * 7 + 3) % classes] = 1;
        made.push_back(MPS::CNNLossLabels(
            device, {label, MPS::DataLayout::HeightxWidthxFeatureChannels, {1, 1, classes}}));
    }
    return made;
}

} // namespace

Encode makeTrainingStep(const MTL::CommandQueue& queue, const Case& c) {
    if (!c.name.starts_with("train_lenet"))
        throw FormatError("The benchmark case " + c.name + " is not known to this program.");
    const Images images{queue, c.mode == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                                                : MPS::ImageFeatureChannelFormat::Float32};
    const MPS::ImageBatch pictures = images.random(c.n, c.w, c.h, c.ci, 1);
    const MPS::StateBatch classesOfPictures = labels(queue.device(), c.n);
    const MPS::NNGraph graph = LeNet(queue, c).training();
    return [=](const MTL::CommandBuffer& commands) {
        graph.encodeBatch(commands, {pictures}, {classesOfPictures});
    };
}

} // namespace mpsvk::bench
