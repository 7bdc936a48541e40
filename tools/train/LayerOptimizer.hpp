// How the two arrays of a layer (weights and biases, gamma and beta) change with each step.
#pragma once

#include <array>
#include <span>
#include <vector>

#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MTL/Buffer.hpp>

#include "ByteStream.hpp"

namespace mpsvk::train {

enum class UpdateRule { Adam, StochasticGradientDescent };

struct UpdateSettings {
    UpdateRule rule = UpdateRule::Adam;
    float learningRate = 0.001f;
    float momentum = 0.9f; ///< of StochasticGradientDescent
    float weightDecay = 0; ///< adds weightDecay * w to the gradient
};

std::span<float> floats(const MTL::Buffer& buffer);

/// The same memory, as optimizers take it.
MPS::Vector vectorOf(const MTL::Buffer& buffer);

/// Takes one read off a temporary state's count, as an optimizer does.
void countRead(const MPS::State& state);

/// An optimizer whose step is v = v + share * (new - keep * v).
MPS::NNOptimizerStochasticGradientDescent adder(const MTL::Device& device, float share, float keep);

/// Updates in place and keeps the moments.
class LayerOptimizer {
public:
    LayerOptimizer(const MTL::Device& device, const UpdateSettings& settings,
                   std::array<uint64_t, 2> lengths);

    void setLearningRate(float rate);

    void encode(const MTL::CommandBuffer& commandBuffer,
                const MPS::CNNConvolutionGradientState& gradients,
                const MPS::CNNConvolutionWeightsAndBiasesState& values);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const MPS::CNNBatchNormalizationState& gradients,
                const MPS::CNNNormalizationGammaAndBetaState& values);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const std::array<MPS::Vector, 2>& gradients,
                const std::array<MPS::Vector, 2>& values);

    /// No step may be in flight.
    void write(ByteWriter& archive) const;
    /// Throws FormatError, naming `layer`, when the archive holds moments of other lengths.
    void read(ByteReader& archive, const std::string& layer);

private:
    std::vector<MTL::Buffer> moments() const;

    UpdateRule rule_;
    std::vector<MPS::Vector> momenta_, velocities_;
    MPS::NNOptimizerAdam adam_;
    MPS::NNOptimizerStochasticGradientDescent descent_;
};

/// Throws FormatError, naming `layer`, when what comes next has another length.
void readBuffer(ByteReader& archive, const MTL::Buffer& buffer, const std::string& layer);

} // namespace mpsvk::train
