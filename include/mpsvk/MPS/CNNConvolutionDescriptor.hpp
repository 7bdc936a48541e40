// MPSCNNConvolutionDescriptor and the data source that brings a convolution its weights.
#pragma once

#include <mpsvk/MPS/CNNNeuron.hpp>

#include <algorithm>
#include <cfloat>
#include <memory>
#include <optional>

namespace mpsvk::MPS {

class CNNConvolutionGradientState;
class CNNConvolutionWeightsAndBiasesState;

/// Window, channels, stride, dilation and groups of a convolution, and what is fused after it.
/// MPSCNNConvolutionDescriptor.
class CNNConvolutionDescriptor {
public:
    /// Throws InvalidArgument when an argument is 0.
    CNNConvolutionDescriptor(uint64_t kernelWidth, uint64_t kernelHeight,
                             uint64_t inputFeatureChannels, uint64_t outputFeatureChannels);

    uint64_t kernelWidth() const { return kernelWidth_; }
    void setKernelWidth(uint64_t v) { kernelWidth_ = v; }
    uint64_t kernelHeight() const { return kernelHeight_; }
    void setKernelHeight(uint64_t v) { kernelHeight_ = v; }
    uint64_t inputFeatureChannels() const { return inputFeatureChannels_; }
    void setInputFeatureChannels(uint64_t v) { inputFeatureChannels_ = v; }
    uint64_t outputFeatureChannels() const { return outputFeatureChannels_; }
    void setOutputFeatureChannels(uint64_t v) { outputFeatureChannels_ = v; }
    uint64_t strideInPixelsX() const { return strideInPixelsX_; }
    void setStrideInPixelsX(uint64_t v) { strideInPixelsX_ = v; }
    uint64_t strideInPixelsY() const { return strideInPixelsY_; }
    void setStrideInPixelsY(uint64_t v) { strideInPixelsY_ = v; }
    /// Divides both channel counts; output channel o reads the input channels of its group only.
    uint64_t groups() const { return groups_; }
    void setGroups(uint64_t v) { groups_ = v; }
    uint64_t dilationRateX() const { return dilationRateX_; }
    void setDilationRateX(uint64_t v) { dilationRateX_ = v; }
    uint64_t dilationRateY() const { return dilationRateY_; }
    void setDilationRateY(uint64_t v) { dilationRateY_ = v; }
    /// Applied last; type None by default. Not for kernels that are trained.
    const NNNeuronDescriptor& fusedNeuronDescriptor() const { return neuron_; }
    void setFusedNeuronDescriptor(const NNNeuronDescriptor& v) { neuron_ = v; }

    /// Deprecated by Apple, used by programs that run: the same as setFusedNeuronDescriptor.
    void setNeuronType(CNNNeuronType type, float parameterA, float parameterB);
    CNNNeuronType neuronType() const { return neuron_.neuronType(); }
    float neuronParameterA() const { return neuron_.a(); }
    float neuronParameterB() const { return neuron_.b(); }
    /// One slope per output channel.
    void setNeuronToPReLU(std::span<const float> parametersA);

    /// y = gamma * (conv - mean) / sqrt(variance + epsilon) + beta, for inference only. Each span
    /// holds one value per output channel or is empty: mean 0, variance 1, gamma 1, beta 0. All
    /// empty removes the fusion.
    void setBatchNormalizationParametersForInference(std::span<const float> mean,
                                                     std::span<const float> variance,
                                                     std::span<const float> gamma,
                                                     std::span<const float> beta, float epsilon);
    struct BatchNormalization {
        std::vector<float> mean, variance, gamma, beta;
        float epsilon = FLT_MIN;
        void archive(mps::Archive& archive);
    };
    const std::optional<BatchNormalization>& batchNormalizationForInference() const {
        return batchNormalization_;
    }

    /// 0 for a regular convolution; outputs per input of a depthwise one, at least 1.
    uint64_t channelMultiplier() const {
        const uint64_t inputs = std::max<uint64_t>(inputFeatureChannels_, 1);
        return depthWise_ ? std::max<uint64_t>(outputFeatureChannels_ / inputs, 1) : 0;
    }
    uint64_t subPixelScaleFactor() const { return subPixelScaleFactor_; }
    /// Floats in the weights array: [output][y][x][input of the group], depthwise [output][y][x].
    uint64_t weightCount() const;

    /// Depthwise and sub-pixel descriptors come back as what they were.
    CNNConvolutionDescriptor(KeyedUnarchiver& coder, const MTL::Device& device);
    std::string className() const { return "CNNConvolutionDescriptor"; }
    void encode(KeyedArchiver& coder) const;
    void archive(mps::Archive& archive);

protected:
    bool depthWise_ = false;
    uint64_t subPixelScaleFactor_ = 1;

private:
    uint64_t kernelWidth_, kernelHeight_, inputFeatureChannels_, outputFeatureChannels_;
    uint64_t strideInPixelsX_ = 1, strideInPixelsY_ = 1, groups_ = 1, dilationRateX_ = 1,
             dilationRateY_ = 1;
    NNNeuronDescriptor neuron_{CNNNeuronType::None};
    std::optional<BatchNormalization> batchNormalization_;
};

/// The result is rearranged: scale^2 channels become one pixel block. Inference only.
/// MPSCNNSubPixelConvolutionDescriptor.
class CNNSubPixelConvolutionDescriptor : public CNNConvolutionDescriptor {
public:
    using CNNConvolutionDescriptor::CNNConvolutionDescriptor;
    void setSubPixelScaleFactor(uint64_t v) { subPixelScaleFactor_ = v; }
};

/// Output channel k*m + q depends on input channel k only, m = outputs / inputs.
/// MPSCNNDepthWiseConvolutionDescriptor.
class CNNDepthWiseConvolutionDescriptor : public CNNConvolutionDescriptor {
public:
    CNNDepthWiseConvolutionDescriptor(uint64_t kernelWidth, uint64_t kernelHeight,
                                      uint64_t inputFeatureChannels, uint64_t outputFeatureChannels)
        : CNNConvolutionDescriptor(kernelWidth, kernelHeight, inputFeatureChannels,
                                   outputFeatureChannels) {
        depthWise_ = true;
    }
};

enum class CNNWeightsQuantizationType : uint32_t { None = 0, Linear = 1, LookupTable = 2 };
enum class CNNConvolutionWeightsLayout : uint32_t { OHWI = 0 };
enum class NNConvolutionAccumulatorPrecisionOption : uint64_t { Half = 0, Float = 1 };

/// Where a convolution's weights come from, and how training changes them. Implemented by the user;
/// may be called from any thread. The order of calls is load, then the getters, then purge; what a
/// getter returns is used only between load and purge. `load` may submit GPU work and wait for it.
/// MPSCNNConvolutionDataSource.
class CNNConvolutionDataSource {
public:
    virtual ~CNNConvolutionDataSource() = default;

    /// Of weights(): Float32, Float16 or UInt8; of a transposed convolution Float32 or Float16, of
    /// a binary one UInt32.
    virtual DataType dataType() const = 0;
    virtual CNNConvolutionDescriptor descriptor() const = 0;
    /// descriptor().weightCount() elements of dataType(), [output][y][x][input of the group].
    virtual std::span<const std::byte> weights() const = 0;
    /// One per output channel, or empty for none.
    virtual std::span<const float> biasTerms() const = 0;
    /// False makes the kernel's constructor (or the reload) throw.
    virtual bool load() = 0;
    virtual void purge() = 0;
    virtual std::string label() const { return {}; }

    /// UInt8 weights: weight = u8/255*(max-min)+min with (min, max) per output channel.
    virtual std::span<const float> rangesForUInt8Kernel() const { return {}; }
    /// UInt8 weights: weight = table[u8], 256 entries.
    virtual std::span<const float> lookupTableForUInt8Kernel() const { return {}; }
    virtual CNNWeightsQuantizationType weightsQuantizationType() const;
    virtual CNNConvolutionWeightsLayout weightsLayout() const {
        return CNNConvolutionWeightsLayout::OHWI;
    }
    /// Float16 rounds the weights that the kernel computes with; Float32 keeps them.
    virtual DataType kernelWeightsDataType() const { return DataType::Float16; }

    /// Encodes an update of the weights (an optimizer, usually) and returns the state that holds
    /// them, or an empty one for no change.
    virtual CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commandBuffer, CNNConvolutionGradientState gradientState,
           CNNConvolutionWeightsAndBiasesState sourceState);
    /// Updates on the host; true makes the kernels reload from this source.
    virtual bool update(CNNConvolutionGradientState gradientState,
                        CNNConvolutionWeightsAndBiasesState sourceState);
    /// The source for a copy of a kernel; null shares this one.
    virtual std::shared_ptr<CNNConvolutionDataSource> copy(MTL::Device device) const;
};

} // namespace mpsvk::MPS
