#include "mps/CNNNeuron.hpp"
#include "mps/ConvolutionGradientPass.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cmath>

namespace mpsvk::mps {

using MPS::CNNConvolutionDescriptor;
using MPS::CNNConvolutionGradientState;
using Buffers = CNNConvolutionGradientState::Impl;

CNNConvolutionDescriptor descriptorOf(const char* className, const ConvolutionSource& source) {
    const std::string who = "[" + std::string(className) + "] ";
    if (!source) throw InvalidArgument(who + "The data source is null.");
    const LoadedSource loaded(who, *source);
    return source->descriptor();
}

const CNNConvolutionDescriptor& checkedDescriptor(const std::string& who,
                                                  const CNNConvolutionDescriptor& d) {
    const uint64_t inputs = d.inputFeatureChannels(), outputs = d.outputFeatureChannels(),
                   groups = d.groups();
    if (inputs == 0 || outputs == 0)
        throw InvalidArgument(who + "The convolution has " + std::to_string(inputs) +
                              " input and " + std::to_string(outputs) +
                              " output feature channels, but each must be at least 1.");
    constexpr uint64_t most = UINT32_MAX;
    if (inputs > most || outputs > most || d.kernelWidth() > most || d.kernelHeight() > most ||
        double(d.kernelWidth()) * double(d.kernelHeight()) * double(inputs) * double(outputs) >
            0x1p48)
        throw InvalidArgument(who + "The weights of " +
                              sizeText(d.kernelWidth(), d.kernelHeight()) + " windows over " +
                              std::to_string(inputs) + " input and " + std::to_string(outputs) +
                              " output feature channels are more than 2^48.");
    if (d.channelMultiplier() == 0 &&
        (groups == 0 || inputs % groups != 0 || outputs % groups != 0))
        throw InvalidArgument(who + "groups is " + std::to_string(groups) + " but must divide " +
                              std::to_string(inputs) + " input and " + std::to_string(outputs) +
                              " output feature channels.");
    if (d.channelMultiplier() != 0 && (groups != 1 || outputs % inputs != 0))
        throw InvalidArgument(
            who +
            "A depthwise convolution has 1 group and a multiple of its input channels as "
            "outputs, but there are " +
            std::to_string(groups) + " groups, " + std::to_string(inputs) + " inputs and " +
            std::to_string(outputs) + " outputs.");
    if (d.strideInPixelsX() == 0 || d.strideInPixelsY() == 0 || d.dilationRateX() == 0 ||
        d.dilationRateY() == 0)
        throw InvalidArgument(
            who + "The stride is " + sizeText(d.strideInPixelsX(), d.strideInPixelsY()) +
            " and the dilation " + sizeText(d.dilationRateX(), d.dilationRateY()) +
            ", but each must be at least 1.");
    const uint64_t blocks = d.subPixelScaleFactor() * d.subPixelScaleFactor();
    if (blocks == 0 || outputs % blocks != 0 ||
        (groups > 1 && outputs / blocks % 4 != 0 && blocks > 1))
        throw InvalidArgument(who + "subPixelScaleFactor is " +
                              std::to_string(d.subPixelScaleFactor()) +
                              " but its square must divide the " + std::to_string(outputs) +
                              " output feature channels.");
    checkSlopes(who, d.fusedNeuronDescriptor(), outputs);
    if (const auto& bn = d.batchNormalizationForInference())
        for (const auto& [name, values] : {std::pair("mean", &bn->mean),
                                           {"variance", &bn->variance},
                                           {"gamma", &bn->gamma},
                                           {"beta", &bn->beta}})
            if (values->size() != outputs)
                throw InvalidArgument(who + "The " + name +
                                      " of the fused batch normalization has " +
                                      std::to_string(values->size()) + " values but there are " +
                                      std::to_string(outputs) + " output feature channels.");
    return d;
}

void checkTrainable(const std::string& who, const CNNConvolutionDescriptor& d) {
    if (d.fusedNeuronDescriptor().neuronType() != MPS::CNNNeuronType::None ||
        d.batchNormalizationForInference())
        throw InvalidArgument(
            who + "The descriptor fuses a neuron or a batch normalization, which a convolution's "
                  "gradient does not differentiate; use kernels of their own for training.");
    if (d.subPixelScaleFactor() != 1)
        throw InvalidArgument(who + "The descriptor's subPixelScaleFactor is " +
                              std::to_string(d.subPixelScaleFactor()) +
                              " but gradients exist only for 1.");
}

void checkInputs(const std::string& who, const UnaryPass& pass, uint64_t channelOffset,
                 uint64_t inputs) {
    if (pass.sourceChannels < inputs)
        throw InvalidArgument(who + "sourceImage offers " + std::to_string(pass.sourceChannels) +
                              " feature channels from channel " + std::to_string(channelOffset) +
                              " on but the convolution reads " + std::to_string(inputs) + ".");
}

void checkPrecision(const std::string& who, MPS::NNConvolutionAccumulatorPrecisionOption precision,
                    const ConvolutionWeights& weights) {
    if (precision == MPS::NNConvolutionAccumulatorPrecisionOption::Half && weights.keepsFloat32())
        throw InvalidArgument(who + "accumulatorPrecisionOption is Half but the data source's "
                                    "kernelWeightsDataType is Float32, which needs Float.");
}

void checkState(const std::string& who, const char* role, const CNNConvolutionGradientState& state,
                const MPS::CNNConvolutionDescriptor& d) {
    const uint64_t weights = state.bufferSize(Buffers::Weights) / sizeof(float),
                   biases = state.bufferSize(Buffers::Biases) / sizeof(float);
    if (weights != d.weightCount() || biases != d.outputFeatureChannels())
        throw InvalidArgument(who + role + " is of a convolution with " + std::to_string(weights) +
                              " weights and " + std::to_string(biases) +
                              " output feature channels but this one has " +
                              std::to_string(d.weightCount()) + " and " +
                              std::to_string(d.outputFeatureChannels()) + ".");
    checkForwardWindow(who, state.impl().record.window, windowOf(d));
}

void checkSpreadReach(const std::string& who, const MPS::Offset& offset,
                      const MPS::Offset& kernelOffset, const MPS::KernelWindow& w,
                      uint64_t windowsX, uint64_t windowsY) {
    const auto fits = [](int64_t offset, int64_t kernelOffset, uint64_t taps, uint64_t dilation,
                         uint64_t stride, uint64_t windows) {
        const double extent = (double(taps) - 1) * double(dilation) + 1;
        return std::abs(double(kernelOffset)) + extent +
                   double(stride) * (std::abs(double(offset)) + double(windows)) <
               double(1 << 30);
    };
    if (fits(offset.x, kernelOffset.x, w.width, w.dilationX, w.strideX, windowsX) &&
        fits(offset.y, kernelOffset.y, w.height, w.dilationY, w.strideY, windowsY))
        return;
    throw InvalidArgument(
        who + "The " + sizeText(w.width, w.height) + " windows with the offset (" +
        std::to_string(offset.x) + ", " + std::to_string(offset.y) + "), the kernelOffset (" +
        std::to_string(kernelOffset.x) + ", " + std::to_string(kernelOffset.y) +
        "), the dilation " + sizeText(w.dilationX, w.dilationY) + " and the stride " +
        sizeText(w.strideX, w.strideY) + " reach further than 2^30 pixels.");
}

void checkGradient(const std::string& who, const BinaryPass& pass,
                   const MPS::CNNConvolutionDescriptor& d, bool ofWeights) {
    const auto checkChannels = [&](const char* role, uint64_t offered, uint64_t needed) {
        if (offered < needed)
            throw InvalidArgument(who + role + " offers " + std::to_string(offered) +
                                  " feature channels but the gradient reads " +
                                  std::to_string(needed) + ".");
    };
    checkChannels("sourceGradient", pass.primaryChannels, d.outputFeatureChannels());
    if (ofWeights) checkChannels("sourceImage", pass.secondaryChannels, d.inputFeatureChannels());
    if (ofWeights && pass.sourceStates.empty())
        throw InvalidArgument(
            who + "The gradient of weights and biases needs a gradient state to go to.");
    for (const MPS::State& state : pass.sourceStates)
        if (ofWeights && state != pass.sourceStates[0])
            throw InvalidArgument(
                who + "The batch has different gradient states but the gradient of weights and "
                      "biases is one sum, which needs the same state for every image.");
    for (const MPS::State& state : pass.sourceStates) {
        const auto gradient = state.as<CNNConvolutionGradientState>();
        if (!gradient)
            throw InvalidArgument(who + "gradientState is no gradient state of a convolution.");
        const Clip& clip = gradient.impl().record.clip;
        const MPS::Image& e = pass.primaries[0];
        if (e.width() != clip.width || e.height() != clip.height)
            throw InvalidArgument(who + "sourceGradient is " + sizeText(e.width(), e.height()) +
                                  " but the forward pass wrote " +
                                  sizeText(clip.width, clip.height) + ".");
        checkState(who, "gradientState", gradient, d);
        if (ofWeights) checkForwardSource(who, gradient.impl().record, pass.secondaries[0]);
    }
}

} // namespace mpsvk::mps
