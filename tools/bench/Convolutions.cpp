#include "Operands.hpp"
#include "Workloads.hpp"

#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::bench {

namespace {

MPS::CNNConvolutionDescriptor shapeOf(const Case& c) {
    const auto filled = [&c](MPS::CNNConvolutionDescriptor shape) {
        shape.setStrideInPixelsX(c.stride);
        shape.setStrideInPixelsY(c.stride);
        shape.setDilationRateX(c.dilation);
        shape.setDilationRateY(c.dilation);
        return shape;
    };
    if (c.groups > 1 && c.groups == c.ci)
        return filled(MPS::CNNDepthWiseConvolutionDescriptor(c.k, c.k, c.ci, c.co));
    MPS::CNNConvolutionDescriptor shape(c.k, c.k, c.ci, c.co);
    shape.setGroups(c.groups);
    return filled(shape);
}

// The window covers `pad` pixels before the first one.
void setPadding(MPS::CNNConvolution& kernel, const Case& c) {
    const auto lead = int64_t(((c.k - 1) * c.dilation + 1) / 2) - int64_t(c.pad);
    kernel.setOffset({lead, lead, 0});
}

// `pad` pixels are cut off the whole result.
void setPadding(MPS::CNNConvolutionTranspose& kernel, const Case& c) {
    const auto extent = int64_t((c.k - 1) * c.dilation + 1);
    const int64_t lead = extent / 2 - extent + 1 + int64_t(c.pad);
    kernel.setKernelOffsetX(lead);
    kernel.setKernelOffsetY(lead);
}

template <class Forward, class Gradient> Encode make(const Images& images, const Case& c) {
    const MTL::Device device = images.queue.device();
    const auto type = c.mode == "fp16" ? MPS::DataType::Float16 : MPS::DataType::Float32;
    const auto weights = std::make_shared<RandomWeights>(shapeOf(c), type, 1);
    Forward forward(device, weights);
    setPadding(forward, c);
    forward.setOptions(optionsOf(c));
    const MPS::ImageBatch x = images.random(c.n, c.w, c.h, c.ci, 2);
    if (c.pass == "forward") {
        const MPS::ImageBatch y = images.make(c.n, c.outputWidth(), c.outputHeight(), c.co);
        return [=, kernel = std::make_shared<Forward>(forward)](
                   const MTL::CommandBuffer& commands) { kernel->encodeBatch(commands, x, y); };
    }
    const MPS::ImageBatch g = images.random(c.n, c.outputWidth(), c.outputHeight(), c.co, 3);
    const MPS::StateBatch states = forward.resultStateBatch(x, {}, g);
    const auto kernel = std::make_shared<Gradient>(device, weights);
    kernel->setOptions(optionsOf(c));
    kernel->setGradientOption(c.pass == "data_gradient"
                                  ? MPS::CNNConvolutionGradientOption::GradientWithData
                                  : MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
    // The encode that makes its own result takes over the forward kernel's geometry.
    kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dx;
    run(images.queue, [&](const MTL::CommandBuffer& commands) {
        dx = kernel->encodeBatch(commands, g, x, states);
    });
    if (c.pass == "data_gradient")
        return [=](const MTL::CommandBuffer& commands) {
            kernel->encodeBatch(commands, g, x, states, dx);
        };
    // A gradient of weights is that of a new step: it is not added to another one.
    return [=, forward = std::make_shared<Forward>(forward)](const MTL::CommandBuffer& commands) {
        kernel->encodeBatch(commands, g, x, forward->temporaryResultStateBatch(commands, x, {}, g),
                            dx);
    };
}

} // namespace

Encode makeConvolution(const MTL::CommandQueue& queue, const Case& c) {
    const Images images{queue, c.mode == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                                                : MPS::ImageFeatureChannelFormat::Float32};
    if (c.group == Group::FullyConnected)
        return make<MPS::CNNFullyConnected, MPS::CNNFullyConnectedGradient>(images, c);
    if (c.group == Group::ConvolutionTranspose)
        return make<MPS::CNNConvolutionTranspose, MPS::CNNConvolutionTransposeGradient>(images, c);
    return make<MPS::CNNConvolution, MPS::CNNConvolutionGradient>(images, c);
}

} // namespace mpsvk::bench
