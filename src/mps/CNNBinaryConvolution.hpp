// The weights and terms of a binary convolution on a device.
#pragma once

#include "mps/Archive.hpp"
#include "mps/ConvolutionPass.hpp"

#include <mpsvk/MPS/CNNBinaryConvolution.hpp>
#include <mpsvk/MTL/Buffer.hpp>

namespace mpsvk::mps {

/// A value per channel, or none for biases of 0 and scales of 1.
struct BinaryConvolutionTerms {
    std::vector<float> outputBias, outputScale, inputBias, inputScale;
    void archive(Archive& archive);
};

/// Never changed once it is made, so that kernels share it.
struct BinaryConvolutionData {
    /// What it was asked for. Without terms there is one output scale, and the biases are the data
    /// source's.
    struct Request {
        ConvolutionSource source;
        std::optional<BinaryConvolutionTerms> terms;
        float scaleValue = 1;
        MPS::CNNBinaryConvolutionType type = MPS::CNNBinaryConvolutionType::BinaryWeights;
        MPS::CNNBinaryConvolutionFlags flags = MPS::CNNBinaryConvolutionFlags::None;
        void archive(Archive& archive);
    };
    /// Throws InvalidArgument.
    BinaryConvolutionData(const MTL::Device& device, const std::string& className, Request request);

    /// The request with a data source that can be archived.
    Request archivable() const;
    bool scalesByBeta() const {
        return request.flags == MPS::CNNBinaryConvolutionFlags::UseBetaScaling;
    }

    Request request;
    MPS::CNNConvolutionDescriptor descriptor;
    std::string label;
    std::vector<uint32_t> bits; ///< the data source's weights
    std::vector<float> biases;  ///< and its bias terms, when it was asked for them
    uint64_t words = 0;         ///< of a pixel
    float outsideMagnitude = 0; ///< see glsl/CNNBinaryConvolution.h
    MTL::Buffer weights;
    MTL::Buffer inputs;   ///< biases and scales of the input channels
    MTL::Buffer channels; ///< scales and biases of the output channels, and PReLU's slopes
    MTL::Buffer outside;  ///< the bits of a pixel outside
};

/// What `Request::archive` wrote.
std::shared_ptr<const BinaryConvolutionData>
unarchivedBinaryData(const MTL::Device& device, const char* className, MPS::KeyedUnarchiver& coder);

/// The data source that stands for binary weights archived by value.
class ConstantBits : public MPS::CNNConvolutionDataSource, public MPS::SecureCoding {
public:
    explicit ConstantBits(const BinaryConvolutionData& data)
        : descriptor_(data.descriptor), bits_(data.bits), biases_(data.biases), label_(data.label) {
    }
    explicit ConstantBits(MPS::KeyedUnarchiver& coder);

    MPS::DataType dataType() const override { return MPS::DataType::UInt32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return descriptor_; }
    std::span<const std::byte> weights() const override { return std::as_bytes(std::span(bits_)); }
    std::span<const float> biasTerms() const override { return biases_; }
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return label_; }

    std::string className() const override { return "CNNBinaryConvolutionWeights"; }
    void encode(MPS::KeyedArchiver& coder) const override;

private:
    void archive(Archive& archive);

    MPS::CNNConvolutionDescriptor descriptor_;
    std::vector<uint32_t> bits_;
    std::vector<float> biases_;
    std::string label_;
};

} // namespace mpsvk::mps
