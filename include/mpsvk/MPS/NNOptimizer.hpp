// MPSNNOptimizer: what turns gradients into the next step's weights, on the GPU.
#pragma once

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNConvolutionState.hpp>
#include <mpsvk/MPS/Matrix.hpp>

#include <cfloat>

namespace mpsvk::mps {
class OptimizerUpdate;
}

namespace mpsvk::MPS {

enum class NNRegularizationType : uint64_t {
    None = 0,
    L1 = 1, ///< adds scale * sign(w) to the gradient, with sign(0) = 0
    L2 = 2, ///< adds scale * w
};

/// MPSNNOptimizerDescriptor.
class NNOptimizerDescriptor {
public:
    NNOptimizerDescriptor() = default;
    /// Without clipping.
    NNOptimizerDescriptor(float learningRate, float gradientRescale,
                          NNRegularizationType regularizationType, float regularizationScale);
    NNOptimizerDescriptor(float learningRate, float gradientRescale, bool applyGradientClipping,
                          float gradientClipMax, float gradientClipMin,
                          NNRegularizationType regularizationType, float regularizationScale);

    float learningRate() const { return learningRate_; }
    void setLearningRate(float v) { learningRate_ = v; }
    float gradientRescale() const { return gradientRescale_; }
    void setGradientRescale(float v) { gradientRescale_ = v; }
    bool applyGradientClipping() const { return applyGradientClipping_; }
    void setApplyGradientClipping(bool v) { applyGradientClipping_ = v; }
    float gradientClipMax() const { return gradientClipMax_; }
    void setGradientClipMax(float v) { gradientClipMax_ = v; }
    float gradientClipMin() const { return gradientClipMin_; }
    void setGradientClipMin(float v) { gradientClipMin_ = v; }
    NNRegularizationType regularizationType() const { return regularizationType_; }
    void setRegularizationType(NNRegularizationType v) { regularizationType_ = v; }
    /// Any number, negative ones too. Not used for None.
    float regularizationScale() const { return regularizationScale_; }
    void setRegularizationScale(float v) { regularizationScale_ = v; }
    void archive(mps::Archive& archive);

private:
    float learningRate_ = 0.001f, gradientRescale_ = 1;
    bool applyGradientClipping_ = false;
    float gradientClipMax_ = FLT_MAX, gradientClipMin_ = -FLT_MAX;
    NNRegularizationType regularizationType_ = NNRegularizationType::None;
    float regularizationScale_ = 0;
};

/// The base of the optimizers. For each element, with w the input value,
///
///     if applyGradientClipping: g = min(max(g, gradientClipMin), gradientClipMax)
///     g = g * gradientRescale
///     g = g + regularization
///
/// and then w and the moments as the subclass says. All operands are Float32. Moments are read and
/// overwritten; the result may be the very memory of the values, or else must not overlap anything.
/// What an encode takes down (learning rate, time step) is what holds at the encode.
///
/// The encode of a convolution's (a batch normalization's) states updates the weights (gamma) with
/// the first vector of each moment array, and the biases (beta) with the second one; with arrays of
/// length 1 the biases stay as they are. It reads the gradient state and the source state (read
/// counts fall by 1), not the result state. The values of a batch normalization are the parameters
/// that its kernel uses now; without a source state of its own, those of the gradient state.
///
/// Throws InvalidArgument for empty operands that must not be, another device, other types, shapes
/// that differ, spent temporaries and overlapping memory. MPSNNOptimizer.
class NNOptimizer : public Kernel {
public:
    float learningRate() const { return descriptor_.learningRate(); }
    void setLearningRate(float v) { descriptor_.setLearningRate(v); }
    float gradientRescale() const { return descriptor_.gradientRescale(); }
    bool applyGradientClipping() const { return descriptor_.applyGradientClipping(); }
    void setApplyGradientClipping(bool v) { descriptor_.setApplyGradientClipping(v); }
    float gradientClipMax() const { return descriptor_.gradientClipMax(); }
    float gradientClipMin() const { return descriptor_.gradientClipMin(); }
    NNRegularizationType regularizationType() const { return descriptor_.regularizationType(); }
    float regularizationScale() const { return descriptor_.regularizationScale(); }

protected:
    NNOptimizer(const MTL::Device& device, const NNOptimizerDescriptor& descriptor);
    const NNOptimizerDescriptor& descriptor() const { return descriptor_; }
    void archive(mps::Archive& archive) override;

private:
    NNOptimizerDescriptor descriptor_;
};

/// Without momentum        w = w - learningRate * g
/// with momentum           m = momentumScale * m + learningRate * g;  w = w - m
/// with Nesterov momentum  m = momentumScale * m + g
///                         w = w - learningRate * (g + momentumScale * m)
///
/// An empty momentum means without. MPSNNOptimizerStochasticGradientDescent.
class NNOptimizerStochasticGradientDescent : public NNOptimizer {
public:
    using Kernel::encode;

    NNOptimizerStochasticGradientDescent(const MTL::Device& device, float learningRate);
    NNOptimizerStochasticGradientDescent(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNOptimizerStochasticGradientDescent(deviceFor(coder, device), 0.001f) {
        unarchive(coder);
    }
    NNOptimizerStochasticGradientDescent(const MTL::Device& device, float momentumScale,
                                         bool useNesterovMomentum,
                                         const NNOptimizerDescriptor& descriptor);

    float momentumScale() const { return momentumScale_; }
    bool useNesterovMomentum() const { return useNesterovMomentum_; }
    /// The old spelling of useNesterovMomentum.
    bool useNestrovMomentum() const { return useNesterovMomentum_; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Vector& inputGradientVector,
                const Vector& inputValuesVector, const Vector& inputMomentumVector,
                const Vector& resultValuesVector);
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputGradientMatrix,
                const Matrix& inputValuesMatrix, const Matrix& inputMomentumMatrix,
                const Matrix& resultValuesMatrix);
    /// Without momentum vectors it updates the biases if source and result have some.
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNConvolutionGradientState& convolutionGradientState,
                const CNNConvolutionWeightsAndBiasesState& convolutionSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const CNNConvolutionWeightsAndBiasesState& resultState);
    /// Without momentum vectors they update gamma and beta.
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationState,
                const std::vector<Vector>& inputMomentumVectors,
                const CNNNormalizationGammaAndBetaState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationGradientState,
                const CNNBatchNormalizationState& batchNormalizationSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const CNNNormalizationGammaAndBetaState& resultState);

    std::string className() const override { return "NNOptimizerStochasticGradientDescent"; }
    NNOptimizerStochasticGradientDescent copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    template <class Operand>
    void encodeArrays(const MTL::CommandBuffer& commandBuffer, const Operand& gradient,
                      const Operand& values, const Operand& momentum, const Operand& result);
    template <class... States>
    void encodeStates(const MTL::CommandBuffer& commandBuffer, const std::vector<Vector>& momenta,
                      const States&... states);
    void record(mps::OptimizerUpdate& update, bool hasMomentum);

    float momentumScale_ = 0;
    bool useNesterovMomentum_ = false;
};

/// s = decay * s + (1 - decay) * g^2;  w = w - learningRate * g / (sqrt(s) + epsilon).
/// MPSNNOptimizerRMSProp.
class NNOptimizerRMSProp : public NNOptimizer {
public:
    using Kernel::encode;

    NNOptimizerRMSProp(const MTL::Device& device, float learningRate);
    NNOptimizerRMSProp(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNOptimizerRMSProp(deviceFor(coder, device), 0.001f) {
        unarchive(coder);
    }
    NNOptimizerRMSProp(const MTL::Device& device, double decay, float epsilon,
                       const NNOptimizerDescriptor& descriptor);

    double decay() const { return decay_; }
    float epsilon() const { return epsilon_; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Vector& inputGradientVector,
                const Vector& inputValuesVector, const Vector& inputSumOfSquaresVector,
                const Vector& resultValuesVector);
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputGradientMatrix,
                const Matrix& inputValuesMatrix, const Matrix& inputSumOfSquaresMatrix,
                const Matrix& resultValuesMatrix);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNConvolutionGradientState& convolutionGradientState,
                const CNNConvolutionWeightsAndBiasesState& convolutionSourceState,
                const std::vector<Vector>& inputSumOfSquaresVectors,
                const CNNConvolutionWeightsAndBiasesState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationState,
                const std::vector<Vector>& inputSumOfSquaresVectors,
                const CNNNormalizationGammaAndBetaState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationGradientState,
                const CNNBatchNormalizationState& batchNormalizationSourceState,
                const std::vector<Vector>& inputSumOfSquaresVectors,
                const CNNNormalizationGammaAndBetaState& resultState);

    std::string className() const override { return "NNOptimizerRMSProp"; }
    NNOptimizerRMSProp copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    template <class Operand>
    void encodeArrays(const MTL::CommandBuffer& commandBuffer, const Operand& gradient,
                      const Operand& values, const Operand& squares, const Operand& result);
    template <class... States>
    void encodeStates(const MTL::CommandBuffer& commandBuffer, const std::vector<Vector>& squares,
                      const States&... states);
    void record(mps::OptimizerUpdate& update);

    double decay_ = 0.9;
    float epsilon_ = 1e-8f;
};

/// t = t + 1, once per encode;  rate = learningRate * sqrt(1 - beta2^t) / (1 - beta1^t)
/// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
/// Adam     w = w - rate * m / (sqrt(v) + epsilon)
/// AMSGrad  V = max(V, v);  w = w - rate * m / (sqrt(V) + epsilon)
///
/// AMSGrad is chosen by maximum velocities; an empty one means Adam. MPSNNOptimizerAdam.
class NNOptimizerAdam : public NNOptimizer {
public:
    using Kernel::encode;

    NNOptimizerAdam(const MTL::Device& device, float learningRate);
    NNOptimizerAdam(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNOptimizerAdam(deviceFor(coder, device), 0.001f) {
        unarchive(coder);
    }
    /// Throws InvalidArgument unless beta1 and beta2 are at least 0 and less than 1.
    NNOptimizerAdam(const MTL::Device& device, double beta1, double beta2, float epsilon,
                    uint64_t timeStep, const NNOptimizerDescriptor& descriptor);

    double beta1() const { return beta1_; }
    double beta2() const { return beta2_; }
    float epsilon() const { return epsilon_; }
    /// t of the latest encode: the next one works with one more.
    uint64_t timeStep() const { return timeStep_; }
    void setTimeStep(uint64_t v) { timeStep_ = v; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Vector& inputGradientVector,
                const Vector& inputValuesVector, const Vector& inputMomentumVector,
                const Vector& inputVelocityVector, const Vector& resultValuesVector);
    void encode(const MTL::CommandBuffer& commandBuffer, const Vector& inputGradientVector,
                const Vector& inputValuesVector, const Vector& inputMomentumVector,
                const Vector& inputVelocityVector, const Vector& maximumVelocityVector,
                const Vector& resultValuesVector);
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputGradientMatrix,
                const Matrix& inputValuesMatrix, const Matrix& inputMomentumMatrix,
                const Matrix& inputVelocityMatrix, const Matrix& resultValuesMatrix);
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputGradientMatrix,
                const Matrix& inputValuesMatrix, const Matrix& inputMomentumMatrix,
                const Matrix& inputVelocityMatrix, const Matrix& maximumVelocityMatrix,
                const Matrix& resultValuesMatrix);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNConvolutionGradientState& convolutionGradientState,
                const CNNConvolutionWeightsAndBiasesState& convolutionSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const CNNConvolutionWeightsAndBiasesState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNConvolutionGradientState& convolutionGradientState,
                const CNNConvolutionWeightsAndBiasesState& convolutionSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const std::vector<Vector>& maximumVelocityVectors,
                const CNNConvolutionWeightsAndBiasesState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const CNNNormalizationGammaAndBetaState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const std::vector<Vector>& maximumVelocityVectors,
                const CNNNormalizationGammaAndBetaState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationGradientState,
                const CNNBatchNormalizationState& batchNormalizationSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const CNNNormalizationGammaAndBetaState& resultState);
    void encode(const MTL::CommandBuffer& commandBuffer,
                const CNNBatchNormalizationState& batchNormalizationGradientState,
                const CNNBatchNormalizationState& batchNormalizationSourceState,
                const std::vector<Vector>& inputMomentumVectors,
                const std::vector<Vector>& inputVelocityVectors,
                const std::vector<Vector>& maximumVelocityVectors,
                const CNNNormalizationGammaAndBetaState& resultState);

    std::string className() const override { return "NNOptimizerAdam"; }
    NNOptimizerAdam copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    template <class Operand>
    void encodeArrays(const MTL::CommandBuffer& commandBuffer, const Operand& gradient,
                      const Operand& values, const Operand& momentum, const Operand& velocity,
                      const Operand& maximum, const Operand& result);
    template <class... States>
    void encodeStates(const MTL::CommandBuffer& commandBuffer, const std::vector<Vector>& momenta,
                      const std::vector<Vector>& velocities, const std::vector<Vector>& maxima,
                      const States&... states);
    void record(mps::OptimizerUpdate& update, bool hasMaximum);

    double beta1_ = 0.9, beta2_ = 0.999;
    float epsilon_ = 1e-8f;
    uint64_t timeStep_ = 0;
};

} // namespace mpsvk::MPS
