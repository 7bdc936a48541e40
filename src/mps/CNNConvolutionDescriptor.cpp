#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolutionState.hpp>

#include <algorithm>

namespace mpsvk::MPS {

CNNConvolutionDescriptor::CNNConvolutionDescriptor(uint64_t kernelWidth, uint64_t kernelHeight,
                                                   uint64_t inputFeatureChannels,
                                                   uint64_t outputFeatureChannels)
    : kernelWidth_(kernelWidth), kernelHeight_(kernelHeight),
      inputFeatureChannels_(inputFeatureChannels), outputFeatureChannels_(outputFeatureChannels) {
    if (!kernelWidth || !kernelHeight || !inputFeatureChannels || !outputFeatureChannels)
        throw InvalidArgument("[CNNConvolutionDescriptor] The kernel is " +
                              std::to_string(kernelWidth) + "x" + std::to_string(kernelHeight) +
                              " with " + std::to_string(inputFeatureChannels) + " input and " +
                              std::to_string(outputFeatureChannels) +
                              " output feature channels, but each must be at least 1.");
}

void CNNConvolutionDescriptor::setNeuronType(CNNNeuronType type, float parameterA,
                                             float parameterB) {
    if (type == CNNNeuronType::PReLU)
        throw InvalidArgument(
            "[CNNConvolutionDescriptor] setNeuronType was given PReLU, whose slopes need "
            "setNeuronToPReLU.");
    neuron_ = NNNeuronDescriptor(type, parameterA, parameterB);
}

void CNNConvolutionDescriptor::setNeuronToPReLU(std::span<const float> parametersA) {
    if (parametersA.size() != outputFeatureChannels_)
        throw InvalidArgument("[CNNConvolutionDescriptor] setNeuronToPReLU was given " +
                              std::to_string(parametersA.size()) + " slopes for " +
                              std::to_string(outputFeatureChannels_) + " output feature channels.");
    neuron_ = NNNeuronDescriptor::cnnNeuronPReLUDescriptor(parametersA);
}

void CNNConvolutionDescriptor::setBatchNormalizationParametersForInference(
    std::span<const float> mean, std::span<const float> variance, std::span<const float> gamma,
    std::span<const float> beta, float epsilon) {
    if (mean.empty() && variance.empty() && gamma.empty() && beta.empty()) {
        batchNormalization_.reset();
        return;
    }
    const auto values = [&](const char* name, std::span<const float> given, float otherwise) {
        if (given.empty()) return std::vector<float>(outputFeatureChannels_, otherwise);
        if (given.size() != outputFeatureChannels_)
            throw InvalidArgument(std::string("[CNNConvolutionDescriptor] ") + name + " has " +
                                  std::to_string(given.size()) + " values for " +
                                  std::to_string(outputFeatureChannels_) +
                                  " output feature channels.");
        return std::vector<float>(given.begin(), given.end());
    };
    batchNormalization_ =
        BatchNormalization{values("mean", mean, 0), values("variance", variance, 1),
                           values("gamma", gamma, 1), values("beta", beta, 0), epsilon};
}

uint64_t CNNConvolutionDescriptor::weightCount() const {
    const uint64_t taps = kernelWidth_ * kernelHeight_ * outputFeatureChannels_;
    return depthWise_ ? taps : taps * (inputFeatureChannels_ / std::max<uint64_t>(groups_, 1));
}

CNNWeightsQuantizationType CNNConvolutionDataSource::weightsQuantizationType() const {
    if (!lookupTableForUInt8Kernel().empty()) return CNNWeightsQuantizationType::LookupTable;
    if (!rangesForUInt8Kernel().empty()) return CNNWeightsQuantizationType::Linear;
    return CNNWeightsQuantizationType::None;
}

CNNConvolutionWeightsAndBiasesState
CNNConvolutionDataSource::update(MTL::CommandBuffer, CNNConvolutionGradientState,
                                 CNNConvolutionWeightsAndBiasesState) {
    return {};
}

bool CNNConvolutionDataSource::update(CNNConvolutionGradientState,
                                      CNNConvolutionWeightsAndBiasesState) {
    return false;
}

std::shared_ptr<CNNConvolutionDataSource> CNNConvolutionDataSource::copy(MTL::Device) const {
    return nullptr;
}

} // namespace mpsvk::MPS
