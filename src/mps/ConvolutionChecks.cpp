#include "mps/CNNNeuron.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

using MPS::CNNConvolutionDescriptor;

CNNConvolutionDescriptor descriptorOf(const char* className, const ConvolutionSource& source) {
    const std::string who = "[" + std::string(className) + "] ";
    if (!source) throw InvalidArgument(who + "The data source is null.");
    if (!source->load()) throw InvalidArgument(who + "The data source's load returned false.");
    CNNConvolutionDescriptor d = source->descriptor();
    source->purge();
    return d;
}

const CNNConvolutionDescriptor& checkedDescriptor(const std::string& who,
                                                  const CNNConvolutionDescriptor& d) {
    const uint64_t inputs = d.inputFeatureChannels(), outputs = d.outputFeatureChannels(),
                   groups = d.groups();
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

} // namespace mpsvk::mps
