// The weights of one convolution or fully connected layer, and how Adam changes them.
#pragma once

#include <array>
#include <string>

#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MTL/Buffer.hpp>

#include "ByteStream.hpp"
#include "Setup.hpp"

namespace mpsvk::train {

struct LayerShape {
    std::string label;
    uint64_t kernelWidth, kernelHeight;
    uint64_t inputs, outputs;
    Precision precision; ///< of the copies that the kernels read
};

/// Keeps fp32 weights on the device from the first step to the last; the kernels' own copies are
/// made from them.
class ConvolutionWeights : public MPS::CNNConvolutionDataSource {
public:
    /// Weights evenly from ±sqrt(6 / inputs per output) (He), biases 0. `stream` tells the layers
    /// of a network apart.
    ConvolutionWeights(const MTL::Device& device, LayerShape shape, uint64_t seed, uint64_t stream);

    void setLearningRate(float rate) { adam_.setLearningRate(rate); }

    /// Everything that training changes. No step may be in flight.
    void write(ByteWriter& archive) const;
    /// Throws FormatError when the archive holds another layer.
    void read(ByteReader& archive);

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::DataType kernelWeightsDataType() const override;
    MPS::CNNConvolutionDescriptor descriptor() const override;
    std::span<const std::byte> weights() const override;
    std::span<const float> biasTerms() const override;
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return shape_.label; }
    MPS::CNNConvolutionWeightsAndBiasesState
    update(const MTL::CommandBuffer& commandBuffer,
           const MPS::CNNConvolutionGradientState& gradients,
           const MPS::CNNConvolutionWeightsAndBiasesState& current) override;

private:
    /// The weights or the biases, and what Adam remembers of them.
    struct Parameters {
        Parameters(const MTL::Device& device, uint64_t count);
        MTL::Buffer values, momentum, velocity;
    };
    std::array<MTL::Buffer, 6> buffers() const;

    LayerShape shape_;
    Parameters weights_, biases_;
    MPS::CNNConvolutionWeightsAndBiasesState state_;
    std::vector<MPS::Vector> momenta_, velocities_;
    MPS::NNOptimizerAdam adam_;
};

} // namespace mpsvk::train
