// MPSCNNBinaryConvolution and MPSCNNBinaryFullyConnected: convolutions whose weights are bits.
// Inference only: there are no gradients.
#pragma once

#include <mpsvk/MPS/CNNConvolutionDescriptor.hpp>

namespace mpsvk::mps {
struct BinaryConvolutionData;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

enum class CNNBinaryConvolutionFlags : uint64_t { None = 0, UseBetaScaling = 1 };
constexpr CNNBinaryConvolutionFlags operator|(CNNBinaryConvolutionFlags a,
                                              CNNBinaryConvolutionFlags b) {
    return CNNBinaryConvolutionFlags(uint64_t(a) | uint64_t(b));
}
constexpr CNNBinaryConvolutionFlags operator&(CNNBinaryConvolutionFlags a,
                                              CNNBinaryConvolutionFlags b) {
    return CNNBinaryConvolutionFlags(uint64_t(a) & uint64_t(b));
}

enum class CNNBinaryConvolutionType : uint64_t {
    BinaryWeights = 0, ///< weight bits stand for -1 and 1
    XNOR = 1,          ///< the input's bits too
    AND = 2,           ///< both stand for 0 and 1
};

/// With x the source, read through the edge mode, and u = (x + inputBias[c]) * inputScale[c],
///
///     y[i,j,o] = f(outputScale[o] * beta[i,j] * (sum over taps and c of u * B[o]) + outputBias[o])
///
/// where f is the descriptor's fused batch normalization and neuron. BinaryWeights takes u as it is
/// and the bits B as -1 and 1; XNOR takes u as -1 where u < 0 and 1 elsewhere, and B likewise; AND
/// takes both as 0 and 1. beta is 1 or, with UseBetaScaling, the mean of |u| over the channels and
/// taps of the window.
///
/// The data source's dataType is UInt32 and its weights are words [output][y][x][ceil(inputs/32)];
/// channel c is bit c % 32 of word c / 32, and bits beyond the last channel do not count. Groups,
/// depthwise and sub-pixel convolutions are refused. MPSCNNBinaryConvolution.
class CNNBinaryConvolution : public CNNKernel {
public:
    /// Every outputScale is `scaleValue`; outputBias is the data source's biasTerms.
    CNNBinaryConvolution(const MTL::Device& device,
                         std::shared_ptr<CNNConvolutionDataSource> convolutionData,
                         float scaleValue, CNNBinaryConvolutionType type,
                         CNNBinaryConvolutionFlags flags);
    /// Each span has a value per channel, or is empty for biases of 0 and scales of 1; they are
    /// copied. The data source's biasTerms are not asked for.
    CNNBinaryConvolution(const MTL::Device& device,
                         std::shared_ptr<CNNConvolutionDataSource> convolutionData,
                         std::span<const float> outputBiasTerms,
                         std::span<const float> outputScaleTerms,
                         std::span<const float> inputBiasTerms,
                         std::span<const float> inputScaleTerms, CNNBinaryConvolutionType type,
                         CNNBinaryConvolutionFlags flags);
    uint64_t inputFeatureChannels() const;
    uint64_t outputFeatureChannels() const;
    /// A data source that is SecureCoding was archived itself; another one's weights were, as the
    /// kernel has them.
    CNNBinaryConvolution(KeyedUnarchiver& coder, const MTL::Device& device);
    std::string className() const override { return "CNNBinaryConvolution"; }
    CNNBinaryConvolution copy(const MTL::Device& device) const;

protected:
    CNNBinaryConvolution(const MTL::Device& device,
                         std::shared_ptr<const mps::BinaryConvolutionData> data,
                         const char* className);
    std::shared_ptr<const mps::BinaryConvolutionData> dataFor(const MTL::Device& device) const;
    virtual bool isFullyConnected() const { return false; }
    void validate(const mps::UnaryPass& pass) const override;
    void archive(mps::Archive& archive) override;

private:
    uint64_t outputChannels(uint64_t) const override { return outputFeatureChannels(); }
    void dispatch(const mps::UnaryPass& pass) const override;

    std::shared_ptr<const mps::BinaryConvolutionData> data_;
};

/// A binary convolution whose window is the whole source: the result is one pixel, and `offset` is
/// not used. The padding policy is valid-only. MPSCNNBinaryFullyConnected.
class CNNBinaryFullyConnected : public CNNBinaryConvolution {
public:
    CNNBinaryFullyConnected(const MTL::Device& device,
                            std::shared_ptr<CNNConvolutionDataSource> convolutionData,
                            float scaleValue, CNNBinaryConvolutionType type,
                            CNNBinaryConvolutionFlags flags);
    CNNBinaryFullyConnected(const MTL::Device& device,
                            std::shared_ptr<CNNConvolutionDataSource> convolutionData,
                            std::span<const float> outputBiasTerms,
                            std::span<const float> outputScaleTerms,
                            std::span<const float> inputBiasTerms,
                            std::span<const float> inputScaleTerms, CNNBinaryConvolutionType type,
                            CNNBinaryConvolutionFlags flags);
    CNNBinaryFullyConnected(KeyedUnarchiver& coder, const MTL::Device& device);
    std::string className() const override { return "CNNBinaryFullyConnected"; }
    CNNBinaryFullyConnected copy(const MTL::Device& device) const;

private:
    CNNBinaryFullyConnected(const MTL::Device& device,
                            std::shared_ptr<const mps::BinaryConvolutionData> data);
    bool isFullyConnected() const override { return true; }
    void validate(const mps::UnaryPass& pass) const override;
};

} // namespace mpsvk::MPS
