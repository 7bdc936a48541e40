#include "ResNet.hpp"

#include <utility>

#include <mpsvk/MPS/NNArithmeticNodes.hpp>
#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>
#include <mpsvk/MPS/NNReductionNodes.hpp>

namespace mpsvk::train {

namespace {

MPS::NNImageNode relu(const MPS::NNImageNode& image) {
    return MPS::CNNNeuronReLUNode(image).resultImage();
}

} // namespace

ResNet::ResNet(ResNetLayers layers, const ResNetShape& shape)
    : layers_(std::move(layers)), shape_(shape) {}

MPS::NNImageNode ResNet::logits(const MPS::NNImageNode& input) const {
    const std::array<uint32_t, 4> blocks = shape_.depth == 50 ? std::array<uint32_t, 4>{3, 4, 6, 3}
                                                              : std::array<uint32_t, 4>{2, 2, 2, 2};
    Features x = normalized("stem", {input, shape_.channels}, 7, shape_.width, 2);
    x.image = relu(x.image);
    x.image = MPS::CNNPoolingMaxNode(x.image, 3, 2).resultImage();
    for (size_t stage = 0; stage < blocks.size(); ++stage) {
        for (uint32_t i = 0; i < blocks[stage]; ++i) {
            const std::string name =
                "stage " + std::to_string(stage + 1) + " block " + std::to_string(i + 1);
            x = block(name, x, shape_.width << stage, stage > 0 && i == 0 ? 2 : 1);
        }
    }
    const MPS::NNReductionSpatialMeanNode mean(x.image);
    return MPS::CNNFullyConnectedNode(
               mean.resultImage(),
               layers_.convolution("output", {1, 1, x.channels, shape_.classes}))
        .resultImage();
}

ResNet::Features ResNet::normalized(const std::string& name, const Features& x, uint64_t kernel,
                                    uint64_t channels, uint64_t stride, float gamma) const {
    MPS::CNNConvolutionDescriptor descriptor(kernel, kernel, x.channels, channels);
    descriptor.setStrideInPixelsX(stride);
    descriptor.setStrideInPixelsY(stride);
    const MPS::CNNConvolutionNode convolution(x.image, layers_.convolution(name, descriptor));
    const MPS::CNNBatchNormalizationNode normalization(
        convolution.resultImage(), layers_.batchNormalization(name, channels, gamma));
    return {normalization.resultImage(), channels};
}

/// Two 3x3 convolutions, or 1x1, 3x3 and 1x1 to four times the channels; their result and the
/// block's source, brought to the same shape, are added. With gamma 0 a block starts as the
/// identity, which is easier to train (Goyal et al., 2017).
ResNet::Features ResNet::block(const std::string& name, const Features& x, uint64_t channels,
                               uint64_t stride) const {
    const bool bottleneck = shape_.depth == 50;
    const uint64_t outputs = bottleneck ? 4 * channels : channels;
    Features y = x;
    if (bottleneck) {
        y = normalized(name + " narrow", y, 1, channels, 1);
        y = normalized(name + " middle", {relu(y.image), channels}, 3, channels, stride);
        y = normalized(name + " wide", {relu(y.image), channels}, 1, outputs, 1, 0);
    } else {
        y = normalized(name + " first", y, 3, channels, stride);
        y = normalized(name + " second", {relu(y.image), channels}, 3, channels, 1, 0);
    }
    const bool sameShape = stride == 1 && x.channels == outputs;
    const Features shortcut = sameShape ? x : normalized(name + " shortcut", x, 1, outputs, stride);
    const MPS::NNAdditionNode sum(y.image, shortcut.image);
    return {relu(sum.resultImage()), outputs};
}

} // namespace mpsvk::train
