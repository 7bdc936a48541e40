// How convolutions are archived: with a data source that is SecureCoding, or else with the weights
// that they compute with.
#pragma once

#include "mps/Archive.hpp"
#include "mps/ConvolutionPass.hpp"

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

    std::string className() const override { return "CNNConvolutionWeights"; }
    void encode(MPS::KeyedArchiver& coder) const override;

private:
    friend void archiveWeights(Archive&, const ConvolutionWeights&,
                               const MPS::CNNConvolutionDescriptor&);
    void archive(Archive& archive);

    MPS::CNNConvolutionDescriptor descriptor_;
    std::vector<float> weights_, biases_;
    std::string label_;
    MPS::DataType kernelType_ = MPS::DataType::Float32;
};

} // namespace mpsvk::mps
