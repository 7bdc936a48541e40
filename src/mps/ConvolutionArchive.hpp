// How convolutions are archived: with a data source that is SecureCoding, or else with the weights
// that they compute with.
#pragma once

#include "mps/Archive.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/DeferredReload.hpp"

#include <algorithm>

namespace mpsvk::mps {

void archiveWeights(Archive& archive, const ConvolutionWeights& weights,
                    const MPS::CNNConvolutionDescriptor& descriptor);
/// What `archiveWeights` wrote.
ConvolutionSource unarchivedSource(MPS::KeyedUnarchiver& coder);

/// The data source that stands for weights archived by value; updates leave it as it is.
class ConstantWeights : public MPS::CNNConvolutionDataSource, public MPS::SecureCoding {
public:
    explicit ConstantWeights(const MPS::CNNConvolutionDescriptor& descriptor)
        : descriptor_(descriptor) {}
    explicit ConstantWeights(MPS::KeyedUnarchiver& coder);

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return descriptor_; }
    std::span<const std::byte> weights() const override {
        return std::as_bytes(std::span(weights_));
    }
    std::span<const float> biasTerms() const override { return biases_; }
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return label_; }
    MPS::DataType kernelWeightsDataType() const override { return kernelType_; }
    void setNeuron(const MPS::NNNeuronDescriptor& neuron) {
        descriptor_.setFusedNeuronDescriptor(neuron);
    }

    std::string className() const override { return "CNNConvolutionWeights"; }
    void encode(MPS::KeyedArchiver& coder) const override;

private:
    friend struct ConvolutionAccess;
    void archive(Archive& archive);

    MPS::CNNConvolutionDescriptor descriptor_;
    std::vector<float> weights_, biases_;
    std::string label_;
    MPS::DataType kernelType_ = MPS::DataType::Float32;
};

/// What graphs ask of a convolution kernel beyond its public side.
struct ConvolutionAccess {
    /// Such a source of the weights that the kernel computes with at the moment.
    template <class Kernel>
    static std::shared_ptr<ConstantWeights> weightsByValue(const Kernel& kernel) {
        return weightsByValue(*kernel.weights_, kernel.descriptor_);
    }
    static std::shared_ptr<ConstantWeights>
    weightsByValue(const ConvolutionWeights& weights,
                   const MPS::CNNConvolutionDescriptor& descriptor);
    template <class Kernel> static void takeWeights(Kernel& kernel, const Kernel& other) {
        kernel.weights_->take(*other.weights_);
    }
    template <class Kernel> static bool hasBias(const Kernel& kernel) {
        return kernel.weights_->hasBias();
    }
    /// Another source of the same weights.
    template <class Kernel> static void setDataSource(Kernel& kernel, ConvolutionSource source) {
        kernel.weights_->setSource(std::move(source));
    }
    template <class Kernel> static uint64_t loadVersion(const Kernel& kernel) {
        return kernel.weights_->loadVersion();
    }
    template <class Kernel>
    static void loadedAgain(Kernel& kernel, const MTL::CommandBuffer& commands) {
        kernel.weights_->loadedAgain(commands);
    }
    template <class Kernel> static void encodeWasUndone(Kernel& kernel) {
        kernel.weights_->forgetDerived();
    }
    template <class Kernel> static DeferredReload deferredReload(Kernel& kernel) {
        return [&kernel, old = kernel.weights_, who = Subject(kernel).text()] {
            return [&kernel, loaded = old->loadedAnew(who)] { kernel.weights_ = loaded; };
        };
    }
};

/// A data source of another's weights, for a kernel with a neuron of its own.
class SourceWithNeuron : public MPS::CNNConvolutionDataSource {
public:
    SourceWithNeuron(ConvolutionSource source, MPS::NNNeuronDescriptor neuron)
        : source_(std::move(source)), neuron_(std::move(neuron)) {}
    MPS::DataType dataType() const override { return source_->dataType(); }
    MPS::CNNConvolutionDescriptor descriptor() const override {
        auto d = source_->descriptor();
        d.setFusedNeuronDescriptor(neuron_);
        // Slopes are those of the result's channels, which a sub-pixel convolution has in blocks.
        const uint64_t blocks = d.subPixelScaleFactor() * d.subPixelScaleFactor();
        if (neuron_.neuronType() != MPS::CNNNeuronType::PReLU || blocks <= 1) return d;
        const std::vector<float>& slopes = neuron_.data();
        const uint64_t channels =
            std::min<uint64_t>(slopes.size(), d.outputFeatureChannels() / blocks);
        std::vector<float> all;
        for (uint64_t block = 0; block < blocks; ++block)
            all.insert(all.end(), slopes.begin(), slopes.begin() + int64_t(channels));
        d.setFusedNeuronDescriptor(MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(all));
        return d;
    }
    std::span<const std::byte> weights() const override { return source_->weights(); }
    std::span<const float> biasTerms() const override { return source_->biasTerms(); }
    bool load() override { return source_->load(); }
    void purge() override { source_->purge(); }
    std::string label() const override { return source_->label(); }
    std::span<const float> rangesForUInt8Kernel() const override {
        return source_->rangesForUInt8Kernel();
    }
    std::span<const float> lookupTableForUInt8Kernel() const override {
        return source_->lookupTableForUInt8Kernel();
    }
    MPS::CNNWeightsQuantizationType weightsQuantizationType() const override {
        return source_->weightsQuantizationType();
    }
    MPS::CNNConvolutionWeightsLayout weightsLayout() const override {
        return source_->weightsLayout();
    }
    MPS::DataType kernelWeightsDataType() const override {
        return source_->kernelWeightsDataType();
    }

private:
    ConvolutionSource source_;
    MPS::NNNeuronDescriptor neuron_;
};

} // namespace mpsvk::mps
