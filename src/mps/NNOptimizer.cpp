#include "mps/OptimizerUpdate.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>

#include <cmath>

namespace mpsvk::MPS {

using glsl::NNOptimizerParameters;
using mps::OptimizerUpdate;

NNOptimizerDescriptor::NNOptimizerDescriptor(float learningRate, float gradientRescale,
                                             NNRegularizationType regularizationType,
                                             float regularizationScale)
    : learningRate_(learningRate), gradientRescale_(gradientRescale),
      regularizationType_(regularizationType), regularizationScale_(regularizationScale) {}

NNOptimizerDescriptor::NNOptimizerDescriptor(float learningRate, float gradientRescale,
                                             bool applyGradientClipping, float gradientClipMax,
                                             float gradientClipMin,
                                             NNRegularizationType regularizationType,
                                             float regularizationScale)
    : learningRate_(learningRate), gradientRescale_(gradientRescale),
      applyGradientClipping_(applyGradientClipping), gradientClipMax_(gradientClipMax),
      gradientClipMin_(gradientClipMin), regularizationType_(regularizationType),
      regularizationScale_(regularizationScale) {}

NNOptimizer::NNOptimizer(const MTL::Device& device, const NNOptimizerDescriptor& descriptor)
    : Kernel(device), descriptor_(descriptor) {}

namespace {

NNOptimizerDescriptor withRate(float learningRate) {
    NNOptimizerDescriptor made;
    made.setLearningRate(learningRate);
    return made;
}

/// What all optimizers have in common.
NNOptimizerParameters parametersOf(const mps::Subject& who, const NNOptimizerDescriptor& d) {
    if (d.regularizationType() > NNRegularizationType::L2)
        throw InvalidArgument(who + "regularizationType is " +
                              std::to_string(uint64_t(d.regularizationType())) +
                              " but types go from 0 to 2.");
    NNOptimizerParameters p{};
    p.clips = d.applyGradientClipping();
    p.clipMin = d.gradientClipMin();
    p.clipMax = d.gradientClipMax();
    p.rescale = d.gradientRescale();
    p.regularization = uint32_t(d.regularizationType());
    p.regularizationScale = d.regularizationScale();
    p.rate = d.learningRate();
    return p;
}

constexpr std::string_view descentShader = "NNOptimizerStochasticGradientDescent",
                           rmsPropShader = "NNOptimizerRMSProp", adamShader = "NNOptimizerAdam";

template <class Operand> struct Roles;
template <> struct Roles<Vector> {
    static constexpr const char *gradient = "inputGradientVector", *values = "inputValuesVector",
                                *result = "resultValuesVector", *momentum = "inputMomentumVector",
                                *velocity = "inputVelocityVector",
                                *maximum = "maximumVelocityVector",
                                *squares = "inputSumOfSquaresVector";
};
template <> struct Roles<Matrix> {
    static constexpr const char *gradient = "inputGradientMatrix", *values = "inputValuesMatrix",
                                *result = "resultValuesMatrix", *momentum = "inputMomentumMatrix",
                                *velocity = "inputVelocityMatrix",
                                *maximum = "maximumVelocityMatrix",
                                *squares = "inputSumOfSquaresMatrix";
};

template <class Operand>
void takeValues(OptimizerUpdate& update, const Operand& gradient, const Operand& values,
                const Operand& result) {
    update.take(OptimizerUpdate::Gradient, Roles<Operand>::gradient, gradient);
    update.take(OptimizerUpdate::Values, Roles<Operand>::values, values);
    update.take(OptimizerUpdate::Result, Roles<Operand>::result, result);
}

} // namespace

using SGD = NNOptimizerStochasticGradientDescent;

SGD::NNOptimizerStochasticGradientDescent(const MTL::Device& device, float learningRate)
    : NNOptimizer(device, withRate(learningRate)) {}

SGD::NNOptimizerStochasticGradientDescent(const MTL::Device& device, float momentumScale,
                                          bool useNesterovMomentum,
                                          const NNOptimizerDescriptor& descriptor)
    : NNOptimizer(device, descriptor), momentumScale_(momentumScale),
      useNesterovMomentum_(useNesterovMomentum) {}

void SGD::record(OptimizerUpdate& update, bool hasMomentum) {
    NNOptimizerParameters p = parametersOf(update.who(), descriptor());
    p.mode = !hasMomentum           ? glsl::optimizerModePlain
             : useNesterovMomentum_ ? glsl::optimizerModeNesterov
                                    : glsl::optimizerModeMomentum;
    p.beta1 = momentumScale_;
    update.record(p);
}

template <class Operand>
void SGD::encodeArrays(const MTL::CommandBuffer& commandBuffer, const Operand& gradient,
                       const Operand& values, const Operand& momentum, const Operand& result) {
    OptimizerUpdate update(*this, commandBuffer, descentShader);
    if (!update.isKnown(gradient, values, momentum, result)) {
        takeValues(update, gradient, values, result);
        if (momentum) update.take(OptimizerUpdate::MomentA, Roles<Operand>::momentum, momentum);
    }
    record(update, bool(momentum));
}

void SGD::encode(const MTL::CommandBuffer& commandBuffer, const Vector& gradient,
                 const Vector& values, const Vector& momentum, const Vector& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, result);
}

void SGD::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradient,
                 const Matrix& values, const Matrix& momentum, const Matrix& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, result);
}

void SGD::encode(const MTL::CommandBuffer& commandBuffer,
                 const CNNConvolutionGradientState& gradient,
                 const CNNConvolutionWeightsAndBiasesState& source,
                 const std::vector<Vector>& momenta,
                 const CNNConvolutionWeightsAndBiasesState& result) {
    encodeStates(commandBuffer, momenta, gradient, source, result);
}

void SGD::encode(const MTL::CommandBuffer& commandBuffer, const CNNBatchNormalizationState& state,
                 const std::vector<Vector>& momenta,
                 const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, state, result);
}

void SGD::encode(const MTL::CommandBuffer& commandBuffer,
                 const CNNBatchNormalizationState& gradient,
                 const CNNBatchNormalizationState& source, const std::vector<Vector>& momenta,
                 const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, gradient, source, result);
}

template <class... States>
void SGD::encodeStates(const MTL::CommandBuffer& commandBuffer, const std::vector<Vector>& momenta,
                       const States&... states) {
    OptimizerUpdate update(*this, commandBuffer, descentShader);
    if (!update.isKnown(states..., momenta)) {
        update.take(states...);
        if (!momenta.empty())
            update.takeMoments(OptimizerUpdate::MomentA, "inputMomentumVectors", momenta);
    }
    record(update, !momenta.empty());
}

NNOptimizerRMSProp::NNOptimizerRMSProp(const MTL::Device& device, float learningRate)
    : NNOptimizer(device, withRate(learningRate)) {}

NNOptimizerRMSProp::NNOptimizerRMSProp(const MTL::Device& device, double decay, float epsilon,
                                       const NNOptimizerDescriptor& descriptor)
    : NNOptimizer(device, descriptor), decay_(decay), epsilon_(epsilon) {}

void NNOptimizerRMSProp::record(OptimizerUpdate& update) {
    NNOptimizerParameters p = parametersOf(update.who(), descriptor());
    p.beta2 = float(decay_);
    p.rest2 = float(1 - decay_);
    p.epsilon = epsilon_;
    update.record(p);
}

template <class Operand>
void NNOptimizerRMSProp::encodeArrays(const MTL::CommandBuffer& commandBuffer,
                                      const Operand& gradient, const Operand& values,
                                      const Operand& squares, const Operand& result) {
    OptimizerUpdate update(*this, commandBuffer, rmsPropShader);
    if (!update.isKnown(gradient, values, squares, result)) {
        takeValues(update, gradient, values, result);
        update.take(OptimizerUpdate::MomentA, Roles<Operand>::squares, squares);
    }
    record(update);
}

void NNOptimizerRMSProp::encode(const MTL::CommandBuffer& commandBuffer, const Vector& gradient,
                                const Vector& values, const Vector& squares, const Vector& result) {
    encodeArrays(commandBuffer, gradient, values, squares, result);
}

void NNOptimizerRMSProp::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradient,
                                const Matrix& values, const Matrix& squares, const Matrix& result) {
    encodeArrays(commandBuffer, gradient, values, squares, result);
}

void NNOptimizerRMSProp::encode(const MTL::CommandBuffer& commandBuffer,
                                const CNNConvolutionGradientState& gradient,
                                const CNNConvolutionWeightsAndBiasesState& source,
                                const std::vector<Vector>& squares,
                                const CNNConvolutionWeightsAndBiasesState& result) {
    encodeStates(commandBuffer, squares, gradient, source, result);
}

void NNOptimizerRMSProp::encode(const MTL::CommandBuffer& commandBuffer,
                                const CNNBatchNormalizationState& state,
                                const std::vector<Vector>& squares,
                                const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, squares, state, result);
}

void NNOptimizerRMSProp::encode(const MTL::CommandBuffer& commandBuffer,
                                const CNNBatchNormalizationState& gradient,
                                const CNNBatchNormalizationState& source,
                                const std::vector<Vector>& squares,
                                const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, squares, gradient, source, result);
}

template <class... States>
void NNOptimizerRMSProp::encodeStates(const MTL::CommandBuffer& commandBuffer,
                                      const std::vector<Vector>& squares, const States&... states) {
    OptimizerUpdate update(*this, commandBuffer, rmsPropShader);
    if (!update.isKnown(states..., squares)) {
        update.take(states...);
        update.takeMoments(OptimizerUpdate::MomentA, "inputSumOfSquaresVectors", squares);
    }
    record(update);
}

NNOptimizerAdam::NNOptimizerAdam(const MTL::Device& device, float learningRate)
    : NNOptimizer(device, withRate(learningRate)) {}

NNOptimizerAdam::NNOptimizerAdam(const MTL::Device& device, double beta1, double beta2,
                                 float epsilon, uint64_t timeStep,
                                 const NNOptimizerDescriptor& descriptor)
    : NNOptimizer(device, descriptor), beta1_(beta1), beta2_(beta2), epsilon_(epsilon),
      timeStep_(timeStep) {
    mps::checkBetas(beta1, beta2);
}

void NNOptimizerAdam::record(OptimizerUpdate& update, bool hasMaximum) {
    const uint64_t step = timeStep_ + 1;
    const double t = double(step);
    NNOptimizerParameters p = parametersOf(update.who(), descriptor());
    p.mode = hasMaximum ? glsl::optimizerModeMaximum : glsl::optimizerModePlain;
    p.rate = float(learningRate() * std::sqrt(1 - std::pow(beta2_, t)) / (1 - std::pow(beta1_, t)));
    p.beta1 = float(beta1_);
    p.rest1 = float(1 - beta1_);
    p.beta2 = float(beta2_);
    p.rest2 = float(1 - beta2_);
    p.epsilon = epsilon_;
    update.record(p);
    timeStep_ = step;
}

template <class Operand>
void NNOptimizerAdam::encodeArrays(const MTL::CommandBuffer& commandBuffer, const Operand& gradient,
                                   const Operand& values, const Operand& momentum,
                                   const Operand& velocity, const Operand& maximum,
                                   const Operand& result) {
    OptimizerUpdate update(*this, commandBuffer, adamShader);
    if (!update.isKnown(gradient, values, momentum, velocity, maximum, result)) {
        takeValues(update, gradient, values, result);
        update.take(OptimizerUpdate::MomentA, Roles<Operand>::momentum, momentum);
        update.take(OptimizerUpdate::MomentB, Roles<Operand>::velocity, velocity);
        if (maximum) update.take(OptimizerUpdate::MomentC, Roles<Operand>::maximum, maximum);
    }
    record(update, bool(maximum));
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer, const Vector& gradient,
                             const Vector& values, const Vector& momentum, const Vector& velocity,
                             const Vector& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, velocity, Vector(), result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer, const Vector& gradient,
                             const Vector& values, const Vector& momentum, const Vector& velocity,
                             const Vector& maximum, const Vector& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, velocity, maximum, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradient,
                             const Matrix& values, const Matrix& momentum, const Matrix& velocity,
                             const Matrix& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, velocity, Matrix(), result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradient,
                             const Matrix& values, const Matrix& momentum, const Matrix& velocity,
                             const Matrix& maximum, const Matrix& result) {
    encodeArrays(commandBuffer, gradient, values, momentum, velocity, maximum, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNConvolutionGradientState& gradient,
                             const CNNConvolutionWeightsAndBiasesState& source,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const CNNConvolutionWeightsAndBiasesState& result) {
    encode(commandBuffer, gradient, source, momenta, velocities, {}, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNConvolutionGradientState& gradient,
                             const CNNConvolutionWeightsAndBiasesState& source,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const std::vector<Vector>& maxima,
                             const CNNConvolutionWeightsAndBiasesState& result) {
    encodeStates(commandBuffer, momenta, velocities, maxima, gradient, source, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNBatchNormalizationState& state,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, velocities, {}, state, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNBatchNormalizationState& state,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const std::vector<Vector>& maxima,
                             const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, velocities, maxima, state, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNBatchNormalizationState& gradient,
                             const CNNBatchNormalizationState& source,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, velocities, {}, gradient, source, result);
}

void NNOptimizerAdam::encode(const MTL::CommandBuffer& commandBuffer,
                             const CNNBatchNormalizationState& gradient,
                             const CNNBatchNormalizationState& source,
                             const std::vector<Vector>& momenta,
                             const std::vector<Vector>& velocities,
                             const std::vector<Vector>& maxima,
                             const CNNNormalizationGammaAndBetaState& result) {
    encodeStates(commandBuffer, momenta, velocities, maxima, gradient, source, result);
}

template <class... States>
void NNOptimizerAdam::encodeStates(const MTL::CommandBuffer& commandBuffer,
                                   const std::vector<Vector>& momenta,
                                   const std::vector<Vector>& velocities,
                                   const std::vector<Vector>& maxima, const States&... states) {
    OptimizerUpdate update(*this, commandBuffer, adamShader);
    if (!update.isKnown(states..., momenta, velocities, maxima)) {
        update.take(states...);
        update.takeMoments(OptimizerUpdate::MomentA, "inputMomentumVectors", momenta);
        update.takeMoments(OptimizerUpdate::MomentB, "inputVelocityVectors", velocities);
        if (!maxima.empty())
            update.takeMoments(OptimizerUpdate::MomentC, "maximumVelocityVectors", maxima);
    }
    record(update, !maxima.empty());
}

} // namespace mpsvk::MPS
