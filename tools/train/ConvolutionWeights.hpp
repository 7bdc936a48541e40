// The weights of one layer of the convolution family, and how an optimizer changes them.
#pragma once

#include <string>

#include "LayerOptimizer.hpp"
#include "Setup.hpp"

namespace mpsvk::train {

struct LayerShape {
    std::string label;
    MPS::CNNConvolutionDescriptor descriptor;
    Precision precision; ///< of the copies that the kernels read
};

/// Keeps fp32 weights on the device from the first step to the last; the kernels' own copies are
/// made from them.
class ConvolutionWeights : public MPS::CNNConvolutionDataSource {
public:
    /// Weights evenly from ±sqrt(6 / weights per output) (He), biases 0. `stream` tells the layers
    /// of a network apart.
    ConvolutionWeights(const MTL::Device& device, LayerShape shape, uint64_t seed, uint64_t stream,
                       const UpdateSettings& settings = {});

    void setLearningRate(float rate) { optimizer_.setLearningRate(rate); }

    /// Everything that training changes. No step may be in flight.
    void write(ByteWriter& archive) const;
    /// Throws FormatError when the archive holds another layer.
    void read(ByteReader& archive);

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::DataType kernelWeightsDataType() const override;
    MPS::CNNConvolutionDescriptor descriptor() const override { return shape_.descriptor; }
    std::span<const std::byte> weights() const override;
    std::span<const float> biasTerms() const override;
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return shape_.label; }
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commandBuffer, MPS::CNNConvolutionGradientState gradients,
           MPS::CNNConvolutionWeightsAndBiasesState current) override;

private:
    LayerShape shape_;
    MPS::CNNConvolutionWeightsAndBiasesState state_;
    LayerOptimizer optimizer_;
};

} // namespace mpsvk::train
