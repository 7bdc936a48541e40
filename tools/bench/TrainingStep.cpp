#include "TrainingStep.hpp"

#include "TrainedLayers.hpp"
#include "Workloads.hpp"

#include "train/ResNet.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

namespace mpsvk::bench {

namespace {

MPS::DataType kernelType(const Case& c) {
    return c.mode == "fp16" ? MPS::DataType::Float16 : MPS::DataType::Float32;
}

MPS::ImageFeatureChannelFormat imageFormat(const Case& c) {
    return c.mode == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                            : MPS::ImageFeatureChannelFormat::Float32;
}

/// Two convolutions of 5x5, two hidden layers' worth of weights, dropout.
class LeNet {
public:
    static constexpr uint64_t classes = 10;

    LeNet(const MTL::CommandQueue& queue, const Case& c) : queue_(queue), case_(c) {}

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

private:
    std::shared_ptr<AdamWeights> weights(uint64_t width, uint64_t height, uint64_t inputs,
                                         uint64_t outputs) {
        return std::make_shared<AdamWeights>(
            queue_, MPS::CNNConvolutionDescriptor(width, height, inputs, outputs),
            kernelType(case_), ++seed_);
    }

    MTL::CommandQueue queue_;
    Case case_;
    uint64_t seed_ = 0;
};

MPS::NNImageNode resNetLogits(const MTL::CommandQueue& queue, const Case& c,
                              const train::ResNetShape& shape, const Descent& descent) {
    uint64_t seed = 0;
    const train::ResNetLayers layers{
        [&](const std::string&, const MPS::CNNConvolutionDescriptor& descriptor) {
            return std::make_shared<MomentumWeights>(queue, descriptor, kernelType(c), ++seed,
                                                     descent);
        },
        // Gamma is 1 in all of them: operands of zeros would take less power, and so less time.
        [&](const std::string&, uint64_t channels, float) {
            return std::make_shared<MomentumNormalization>(queue, channels, descent);
        }};
    return train::ResNet(layers, shape).logits(MPS::NNImageNode());
}

/// The graph of a loss that is `scale` times the batch's mean, and its operands.
Training trainingOf(const MTL::CommandQueue& queue, const Case& c, const MPS::NNImageNode& logits,
                    uint64_t classes, float scale) {
    MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                      MPS::CNNReductionType::Sum);
    descriptor.setWeight(scale / float(c.n));
    const MPS::CNNLossNode loss(logits, descriptor);
    const auto ends = loss.trainingGraph(std::nullopt, {});
    Training made;
    // Nobody wants the gradient of the pictures: it is not computed.
    made.graph = MPS::NNGraph(queue.device(), ends.front().resultImage(), false);
    made.graph.setFormat(imageFormat(c));
    made.graph.setOptions(optionsOf(c));
    made.pictures = {Images{queue, imageFormat(c)}.random(c.n, c.w, c.h, c.ci, 1)};
    MPS::StateBatch labels;
    for (uint64_t i = 0; i < c.n; ++i) {
        std::vector<float> label(classes, 0);
        label[(i * 7 + 3) % classes] = 1;
        labels.push_back(MPS::CNNLossLabels(
            queue.device(),
            {label, MPS::DataLayout::HeightxWidthxFeatureChannels, {1, 1, classes}}));
    }
    made.labels = {std::move(labels)};
    return made;
}

} // namespace

Training makeTraining(const MTL::CommandQueue& queue, const Case& c) {
    if (c.network == "lenet")
        return trainingOf(queue, c, LeNet(queue, c).logits(), LeNet::classes, 1);
    if (c.network != "resnet18" && c.network != "resnet50")
        throw FormatError("The benchmark case " + c.name + ": the network \"" + c.network +
                          "\" is not known to this program.");
    const train::ResNetShape shape{.depth = c.network == "resnet50" ? 50u : 18u, .channels = c.ci};
    // Unscaled, much of the gradients would be too small for fp16. A picture's are the larger the
    // fewer there are.
    const Descent descent{.gradientScale = c.mode == "fp16" ? 16 * float(c.n) : 1};
    return trainingOf(queue, c, resNetLogits(queue, c, shape, descent), shape.classes,
                      descent.gradientScale);
}

Encode makeTrainingStep(const MTL::CommandQueue& queue, const Case& c) {
    return [training = makeTraining(queue, c)](const MTL::CommandBuffer& commands) {
        training.encode(commands);
    };
}

} // namespace mpsvk::bench
