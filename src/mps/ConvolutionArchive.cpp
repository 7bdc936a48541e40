#include "mps/ConvolutionArchive.hpp"

#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::mps {

ConstantWeights::ConstantWeights(MPS::KeyedUnarchiver& coder) : descriptor_(1, 1, 1, 1) {
    Archive archive(coder);
    this->archive(archive);
}

void ConstantWeights::archive(Archive& archive) {
    archive("descriptor", descriptor_);
    archive("weights", weights_);
    archive("biases", biases_);
    archive("label", label_);
    archive("kernelWeightsDataType", kernelType_);
}

void ConstantWeights::encode(MPS::KeyedArchiver& coder) const {
    Archive archive(coder);
    const_cast<ConstantWeights*>(this)->archive(archive);
}

std::shared_ptr<ConstantWeights>
ConvolutionAccess::weightsByValue(const ConvolutionWeights& weights,
                                  const MPS::CNNConvolutionDescriptor& descriptor) {
    auto values = std::make_shared<ConstantWeights>(descriptor);
    auto inUse = weights.values();
    values->weights_ = std::move(inUse.weights);
    values->biases_ = std::move(inUse.biases);
    values->label_ = weights.source()->label();
    values->kernelType_ = weights.source()->kernelWeightsDataType();
    // The weights in use have it folded in already.
    values->descriptor_.setBatchNormalizationParametersForInference({}, {}, {}, {}, 0);
    return values;
}

void archiveWeights(Archive& archive, const ConvolutionWeights& weights,
                    const MPS::CNNConvolutionDescriptor& descriptor) {
    if (!archive.isWriting()) return;
    ConvolutionSource source = weights.source();
    archive.object("dataSource", source, "The data source",
                   [&] { return ConvolutionAccess::weightsByValue(weights, descriptor); });
}

ConvolutionSource unarchivedSource(MPS::KeyedUnarchiver& coder) {
    auto source = coder.decodeObject<MPS::CNNConvolutionDataSource>("dataSource");
    if (!source) coder.refuse("The data source is null.");
    return source;
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

CNNConvolutionDescriptor::CNNConvolutionDescriptor(KeyedUnarchiver& coder, const MTL::Device&)
    : CNNConvolutionDescriptor(1, 1, 1, 1) {
    mps::Archive archive(coder);
    this->archive(archive);
}

void CNNConvolutionDescriptor::encode(KeyedArchiver& coder) const {
    mps::Archive archive(coder);
    CNNConvolutionDescriptor(*this).archive(archive);
}

void CNNConvolutionDescriptor::BatchNormalization::archive(mps::Archive& archive) {
    archive("mean", mean);
    archive("variance", variance);
    archive("gamma", gamma);
    archive("beta", beta);
    archive("epsilon", epsilon);
}

void CNNConvolutionDescriptor::archive(mps::Archive& archive) {
    archive("kernelWidth", kernelWidth_);
    archive("kernelHeight", kernelHeight_);
    archive("inputFeatureChannels", inputFeatureChannels_);
    archive("outputFeatureChannels", outputFeatureChannels_);
    archive("strideInPixelsX", strideInPixelsX_);
    archive("strideInPixelsY", strideInPixelsY_);
    archive("groups", groups_);
    archive("dilationRateX", dilationRateX_);
    archive("dilationRateY", dilationRateY_);
    archive("depthWise", depthWise_);
    archive("subPixelScaleFactor", subPixelScaleFactor_);
    archive("fusedNeuronDescriptor", neuron_);
    bool normalizes = batchNormalization_.has_value();
    archive("hasBatchNormalization", normalizes);
    if (!normalizes) return;
    if (archive.isReading()) batchNormalization_ = BatchNormalization();
    archive("batchNormalization", *batchNormalization_);
    const auto& bn = *batchNormalization_;
    for (const auto* each : {&bn.mean, &bn.variance, &bn.gamma, &bn.beta})
        if (each->size() != outputFeatureChannels_)
            throw InvalidArgument("[CNNConvolutionDescriptor] A batch normalization of " +
                                  std::to_string(each->size()) + " channels follows " +
                                  std::to_string(outputFeatureChannels_) + " output channels.");
}

// ---- kernels -----------------------------------------------------------------------------------

CNNConvolution::CNNConvolution(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNConvolution(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

void CNNConvolution::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("accumulatorPrecisionOption", precision_);
    mps::archiveWeights(archive, *weights_, descriptor_);
}

CNNFullyConnected::CNNFullyConnected(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNFullyConnected(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

CNNConvolutionGradient::CNNConvolutionGradient(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNConvolutionGradient(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

void CNNConvolutionGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("gradientOption", gradientOption_);
    archive("serializeWeightsAndBiases", serializeWeightsAndBiases_);
    mps::archiveWeights(archive, *weights_, descriptor_);
}

CNNFullyConnectedGradient::CNNFullyConnectedGradient(KeyedUnarchiver& coder,
                                                     const MTL::Device& device)
    : CNNFullyConnectedGradient(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

CNNConvolutionTranspose::CNNConvolutionTranspose(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNConvolutionTranspose(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

void CNNConvolutionTranspose::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("kernelOffsetX", kernelOffsetX_);
    archive("kernelOffsetY", kernelOffsetY_);
    archive("accumulatorPrecisionOption", precision_);
    mps::archiveWeights(archive, *weights_, descriptor_);
}

CNNConvolutionTransposeGradient::CNNConvolutionTransposeGradient(KeyedUnarchiver& coder,
                                                                 const MTL::Device& device)
    : CNNConvolutionTransposeGradient(deviceFor(coder, device), mps::unarchivedSource(coder)) {
    unarchive(coder);
}

void CNNConvolutionTransposeGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("gradientOption", gradientOption_);
    mps::archiveWeights(archive, *weights_, descriptor_);
}

} // namespace mpsvk::MPS
