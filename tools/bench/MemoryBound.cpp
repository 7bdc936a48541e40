#include "Operands.hpp"
#include "Workloads.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNBatchNormalization.hpp>
#include <mpsvk/MPS/CNNDropout.hpp>
#include <mpsvk/MPS/CNNGroupNormalization.hpp>
#include <mpsvk/MPS/CNNInstanceNormalization.hpp>
#include <mpsvk/MPS/CNNMath.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNNormalization.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>
#include <mpsvk/MPS/CNNUpsampling.hpp>
#include <mpsvk/MPS/MatrixSoftMax.hpp>
#include <mpsvk/MPS/NNGramMatrixCalculation.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MTL/BlitCommandEncoder.hpp>

namespace mpsvk::bench {

namespace {

Images imagesOf(const MTL::CommandQueue& queue, const Case& c) {
    return {queue, c.mode == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                                    : MPS::ImageFeatureChannelFormat::Float32};
}

/// The gradient of `forward`, whose result is `scale` times the case's. It gets the forward source,
/// or the forward result where the class wants that.
template <class Forward, class Gradient>
Encode gradientOf(const Images& images, const Case& c, Forward forward, Gradient gradient,
                  bool readsResult = false, uint64_t scale = 1) {
    const uint64_t width = c.outputWidth() * scale, height = c.outputHeight() * scale;
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
    const MPS::ImageBatch y = images.make(c.n, width, height, c.ci);
    const MPS::ImageBatch g = images.random(c.n, width, height, c.ci, 2);
    const MPS::ImageBatch second = readsResult ? y : x;
    const MPS::StateBatch states = forward.resultStateBatch(x, {}, y);
    const auto kernel = std::make_shared<Gradient>(gradient);
    kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dx;
    run(images.queue, [&](const MTL::CommandBuffer& commands) {
        forward.encodeBatch(commands, x, states, y);
        // This encode takes over the forward kernel's geometry for the following ones.
        dx = kernel->encodeBatch(commands, g, second, states);
    });
    return [=](const MTL::CommandBuffer& commands) {
        kernel->encodeBatch(commands, g, second, states, dx);
    };
}

/// As a training step has it: with what the gradient needs.
template <class Forward> Encode forwardOf(const Images& images, const Case& c, Forward forward) {
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
    const MPS::ImageBatch y = images.make(c.n, c.w, c.h, c.ci);
    const MPS::StateBatch states = forward.resultStateBatch(x, {}, y);
    const auto kernel = std::make_shared<Forward>(forward);
    return [=](const MTL::CommandBuffer& commands) { kernel->encodeBatch(commands, x, states, y); };
}

Encode neuron(const Images& images, const Case& c, MPS::CNNNeuronType type) {
    const MTL::Device device = images.queue.device();
    const MPS::NNNeuronDescriptor descriptor(type);
    return gradientOf(images, c, MPS::CNNNeuron(device, descriptor),
                      MPS::CNNNeuronGradient(device, descriptor));
}

/// Results of a size and an offset of the case's own.
struct PlacedResult : MPS::NNPadding {
    PlacedResult(uint64_t width, uint64_t height, int64_t offset)
        : width(width), height(height), offset(offset) {}
    MPS::NNPaddingMethod paddingMethod() const override { return MPS::NNPaddingMethod::Custom; }
    MPS::ImageDescriptor destinationImageDescriptor(MPS::ImageBatch, MPS::StateBatch,
                                                    MPS::Kernel& kernel,
                                                    MPS::ImageDescriptor suggested) const override {
        dynamic_cast<MPS::CNNKernel&>(kernel).setOffset({offset, offset, 0});
        MPS::ImageDescriptor d = suggested;
        d.setWidth(width);
        d.setHeight(height);
        return d;
    }
    uint64_t width, height;
    int64_t offset;
};

/// As a training step does it, a forward pass in the same command buffer has kept where the maxima
/// were; of the time it is a thirtieth or less.
Encode maximumPooling(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    const auto forward = std::make_shared<MPS::CNNPoolingMax>(device, c.k, c.k, c.stride, c.stride);
    forward->setPadding(std::make_shared<PlacedResult>(c.outputWidth(), c.outputHeight(),
                                                       int64_t(c.k / 2 - c.pad)));
    forward->setEdgeMode(MPS::ImageEdgeMode::Clamp);
    const auto gradient =
        std::make_shared<MPS::CNNPoolingMaxGradient>(device, c.k, c.k, c.stride, c.stride);
    gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1),
                          g = images.random(c.n, c.outputWidth(), c.outputHeight(), c.ci, 2);
    MPS::ImageBatch dx;
    MPS::StateBatch states;
    run(images.queue, [&](const MTL::CommandBuffer& commands) {
        forward->encodeBatch(commands, x, &states, false);
        // This encode takes over the forward kernel's geometry for the following ones.
        dx = gradient->encodeBatch(commands, g, x, states);
    });
    return [=, latest = MTL::CommandBuffer()](const MTL::CommandBuffer& commands) mutable {
        if (!(commands == latest)) forward->encodeBatch(commands, x, &states, false);
        latest = commands;
        gradient->encodeBatch(commands, g, x, states, dx);
    };
}

Encode averagePooling(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    MPS::CNNPoolingAverage forward(device, c.k, c.k, c.stride, c.stride);
    const auto lead = int64_t(c.k / 2 - c.pad);
    forward.setOffset({lead, lead, 0});
    return gradientOf(images, c, forward,
                      MPS::CNNPoolingAverageGradient(device, c.k, c.k, c.stride, c.stride));
}

/// Over a window in the plane.
template <class Forward, class Gradient> Encode normalization(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    Forward forward(device, c.k, c.k);
    forward.setAlpha(1);
    forward.setBeta(0.5f);
    return gradientOf(images, c, forward, Gradient(device, c.k, c.k));
}

/// Gamma is 1 and beta 0.
template <class Interface> struct PlainNormalization : Interface {
    explicit PlainNormalization(const Case& c) : channels(c.ci), groups(c.groups) {}
    uint64_t numberOfFeatureChannels() const override { return channels; }
    std::span<const float> gamma() const override { return {}; }
    std::span<const float> beta() const override { return {}; }
    float epsilon() const override { return 1e-5f; }
    uint64_t channels, groups;
};

struct PlainGroups : PlainNormalization<MPS::CNNGroupNormalizationDataSource> {
    using PlainNormalization::PlainNormalization;
    uint64_t numberOfGroups() const override { return groups; }
};
struct PlainBatch : PlainNormalization<MPS::CNNBatchNormalizationDataSource> {
    using PlainNormalization::PlainNormalization;
    std::span<const float> mean() const override { return {}; }
    std::span<const float> variance() const override { return {}; }
    bool load() override { return true; }
    void purge() override {}
};

/// Statistics and normalization, or the gradients of parameters and source.
Encode batchNormalization(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
    const MPS::ImageBatch y = images.make(c.n, c.w, c.h, c.ci);
    const auto forward =
        std::make_shared<MPS::CNNBatchNormalization>(device, std::make_shared<PlainBatch>(c));
    const auto statistics = std::make_shared<MPS::CNNBatchNormalizationStatistics>(device);
    const MPS::CNNBatchNormalizationState state = forward->resultState(x[0], {}, y[0]);
    const auto encodeForward = [=](const MTL::CommandBuffer& commands) {
        statistics->encodeBatch(commands, x, state);
        forward->encodeBatch(commands, x, state, y);
    };
    if (c.pass == "forward") return encodeForward;
    const MPS::ImageBatch g = images.random(c.n, c.w, c.h, c.ci, 2);
    run(images.queue, encodeForward);
    const auto sums = std::make_shared<MPS::CNNBatchNormalizationStatisticsGradient>(device);
    const auto gradient = std::make_shared<MPS::CNNBatchNormalizationGradient>(device);
    return [=](const MTL::CommandBuffer& commands) {
        sums->encodeBatch(commands, g, x, state);
        gradient->encodeBatch(commands, g, x, state, y);
    };
}

/// x + y with one y per channel; the gradient of y, a sum over all pixels.
Encode broadcast(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
    const MPS::ImageBatch y = images.random(c.n, 1, 1, c.ci, 2);
    MPS::CNNAdd add(device);
    add.setSecondaryStrideInPixelsX(0);
    add.setSecondaryStrideInPixelsY(0);
    const auto kernel = std::make_shared<MPS::CNNAddGradient>(device, true);
    kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::StateBatch states;
    MPS::ImageBatch dy;
    run(images.queue, [&](const MTL::CommandBuffer& commands) {
        add.encodeBatch(commands, x, y, &states, false);
        dy = kernel->encodeBatch(commands, x, y, states);
    });
    return [=](const MTL::CommandBuffer& commands) {
        kernel->encodeBatch(commands, x, y, states, dy);
    };
}

/// Over the rows of a matrix.
template <class Forward, class Gradient>
Encode matrixSoftMax(const MTL::CommandQueue& queue, const Case& c) {
    const auto type = c.mode == "fp16" ? MPS::DataType::Float16 : MPS::DataType::Float32;
    const MPS::MatrixDescriptor shape(c.n, c.ci,
                                      MPS::MatrixDescriptor::rowBytesForColumns(c.ci, type), type);
    const MPS::Matrix x = randomMatrix(queue, shape, 1), y = randomMatrix(queue, shape, 2);
    const auto forward = std::make_shared<Forward>(queue.device());
    const auto encodeForward = [=](const MTL::CommandBuffer& commands) {
        forward->encode(commands, x, y);
    };
    if (c.pass == "forward") return encodeForward;
    run(queue, encodeForward);
    const MPS::Matrix g = randomMatrix(queue, shape, 3);
    const auto gradient = std::make_shared<Gradient>(queue.device());
    return [=](const MTL::CommandBuffer& commands) { gradient->encode(commands, g, y, x); };
}

} // namespace

Encode makeCopy(const MTL::CommandQueue& queue, const Case& c) {
    const Images images = imagesOf(queue, c);
    if (c.pass == "kernel") {
        const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
        const MPS::ImageBatch y = images.make(c.n, c.w, c.h, c.ci);
        const auto kernel = std::make_shared<MPS::CNNNeuron>(
            queue.device(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
        return [=](const MTL::CommandBuffer& commands) { kernel->encodeBatch(commands, x, y); };
    }
    const MTL::Buffer x = privateBuffer(queue, randomNumbers(c.n * c.h * c.w * c.ci, 1));
    const MTL::Buffer y =
        queue.device().newBuffer(x.length(), MTL::ResourceOptions::StorageModePrivate);
    return [=](const MTL::CommandBuffer& commands) {
        const MTL::BlitCommandEncoder blit = commands.blitCommandEncoder();
        blit.copyFromBuffer(x, 0, y, 0, x.length());
        blit.endEncoding();
    };
}

Encode makeMemoryBound(const MTL::CommandQueue& queue, const Case& c) {
    const Images images = imagesOf(queue, c);
    const MTL::Device device = queue.device();
    using MPS::ImageEdgeMode;
    if (c.name == "relu_gradient") return neuron(images, c, MPS::CNNNeuronType::ReLU);
    if (c.name == "sigmoid_gradient") return neuron(images, c, MPS::CNNNeuronType::Sigmoid);
    if (c.name == "gelu_gradient") return neuron(images, c, MPS::CNNNeuronType::GeLU);
    if (c.name == "pooling_max3s2_gradient") {
        return maximumPooling(images, c);
    }
    if (c.name == "pooling_average3s2_gradient") {
        return averagePooling(images, c);
    }
    if (c.name == "dropout_gradient") {
        const MTL::Size each{1, 1, 1};
        return gradientOf(images, c, MPS::CNNDropout(device, 0.5f, 1, each),
                          MPS::CNNDropoutGradient(device, 0.5f, 1, each));
    }
    if (c.name.starts_with("instancenorm")) {
        using Source = PlainNormalization<MPS::CNNInstanceNormalizationDataSource>;
        const MPS::CNNInstanceNormalization forward(device, std::make_shared<Source>(c));
        if (c.pass == "forward") return forwardOf(images, c, forward);
        return gradientOf(images, c, forward, MPS::CNNInstanceNormalizationGradient(device));
    }
    if (c.name == "groupnorm32_gradient") {
        return gradientOf(images, c,
                          MPS::CNNGroupNormalization(device, std::make_shared<PlainGroups>(c)),
                          MPS::CNNGroupNormalizationGradient(device));
    }
    if (c.name.starts_with("batchnorm")) return batchNormalization(images, c);
    if (c.name == "add_gradient_broadcast") return broadcast(images, c);
    if (c.name == "softmax_channels_gradient") {
        return gradientOf(images, c, MPS::CNNSoftMax(device), MPS::CNNSoftMaxGradient(device),
                          true);
    }
    if (c.name.starts_with("matrix_softmax"))
        return matrixSoftMax<MPS::MatrixSoftMax, MPS::MatrixSoftMaxGradient>(queue, c);
    if (c.name.starts_with("matrix_logsoftmax"))
        return matrixSoftMax<MPS::MatrixLogSoftMax, MPS::MatrixLogSoftMaxGradient>(queue, c);
    if (c.name == "lrn5_gradient") {
        MPS::CNNCrossChannelNormalization forward(device, 5);
        forward.setAlpha(1e-4f);
        forward.setBeta(0.75f);
        return gradientOf(images, c, forward, MPS::CNNCrossChannelNormalizationGradient(device, 5));
    }
    if (c.name == "spatial_norm5_gradient") {
        return normalization<MPS::CNNSpatialNormalization, MPS::CNNSpatialNormalizationGradient>(
            images, c);
    }
    if (c.name == "local_contrast9_gradient") {
        return normalization<MPS::CNNLocalContrastNormalization,
                             MPS::CNNLocalContrastNormalizationGradient>(images, c);
    }
    if (c.name == "upsample_bilinear2_gradient") {
        return gradientOf(images, c, MPS::CNNUpsamplingBilinear(device, 2, 2),
                          MPS::CNNUpsamplingBilinearGradient(device, 2, 2), false, 2);
    }
    if (c.name == "upsample_nearest2_gradient") {
        return gradientOf(images, c, MPS::CNNUpsamplingNearest(device, 2, 2),
                          MPS::CNNUpsamplingNearestGradient(device, 2, 2), false, 2);
    }
    throw FormatError("The benchmark case " + c.name + " is not known to this program.");
}

Encode makeGramMatrix(const MTL::CommandQueue& queue, const Case& c) {
    const Images images = imagesOf(queue, c);
    const float alpha = 1 / float(c.h * c.w);
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 1);
    if (c.pass == "forward") {
        const MPS::ImageBatch y = images.make(c.n, c.ci, 1, c.ci);
        const auto kernel = std::make_shared<MPS::NNGramMatrixCalculation>(queue.device(), alpha);
        return [=](const MTL::CommandBuffer& commands) { kernel->encodeBatch(commands, x, y); };
    }
    const MPS::ImageBatch g = images.random(c.n, c.ci, 1, c.ci, 2);
    const MPS::ImageBatch dx = images.make(c.n, c.w, c.h, c.ci);
    const auto kernel =
        std::make_shared<MPS::NNGramMatrixCalculationGradient>(queue.device(), alpha);
    return [=](const MTL::CommandBuffer& commands) { kernel->encodeBatch(commands, g, x, dx); };
}

Encode makeUpdate(const MTL::CommandQueue& queue, const Case& c) {
    const MTL::Device device = queue.device();
    const MPS::Vector gradient = randomVector(queue, c.parameters, 1);
    const MPS::Vector values = randomVector(queue, c.parameters, 2);
    const MPS::Vector first = randomVector(queue, c.parameters, 3);
    if (c.name == "sgd_momentum_update") {
        const auto optimizer = std::make_shared<MPS::NNOptimizerStochasticGradientDescent>(
            device, 0.9f, false,
            MPS::NNOptimizerDescriptor(0.01f, 1, MPS::NNRegularizationType::None, 0));
        return [=](const MTL::CommandBuffer& commands) {
            optimizer->encode(commands, gradient, values, first, values);
        };
    }
    if (c.name != "adam_update")
        throw FormatError("The benchmark case " + c.name + " is not known to this program.");
    // A velocity is never negative.
    std::vector<float> squares = randomNumbers(c.parameters, 4);
    for (float& square : squares) square *= square;
    const MPS::Vector second(privateBuffer(queue, squares),
                             MPS::VectorDescriptor(c.parameters, MPS::DataType::Float32));
    const auto optimizer = std::make_shared<MPS::NNOptimizerAdam>(device, 1e-3f);
    return [=](const MTL::CommandBuffer& commands) {
        optimizer->encode(commands, gradient, values, first, second, values);
    };
}

Encode makeWorkload(const MTL::CommandQueue& queue, const Case& c) {
    switch (c.group) {
    case Group::Copy: return makeCopy(queue, c);
    case Group::Convolution:
    case Group::ConvolutionTranspose:
    case Group::FullyConnected: return makeConvolution(queue, c);
    case Group::MatrixProduct: return makeMatrixProduct(queue, c);
    case Group::MemoryBound: return makeMemoryBound(queue, c);
    case Group::Update: return makeUpdate(queue, c);
    case Group::GramMatrix: return makeGramMatrix(queue, c);
    case Group::TrainingStep: break;
    }
    return makeTrainingStep(queue, c);
}

} // namespace mpsvk::bench
