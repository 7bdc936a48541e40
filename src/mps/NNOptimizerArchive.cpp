#include "mps/Archive.hpp"
#include "mps/OptimizerUpdate.hpp"

#include <mpsvk/MPS/NNOptimizer.hpp>

namespace mpsvk::MPS {

void NNOptimizerDescriptor::archive(mps::Archive& archive) {
    archive("learningRate", learningRate_);
    archive("gradientRescale", gradientRescale_);
    archive("applyGradientClipping", applyGradientClipping_);
    archive("gradientClipMax", gradientClipMax_);
    archive("gradientClipMin", gradientClipMin_);
    archive("regularizationType", regularizationType_);
    archive("regularizationScale", regularizationScale_);
}

void NNOptimizer::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("descriptor", descriptor_);
}

void NNOptimizerStochasticGradientDescent::archive(mps::Archive& archive) {
    NNOptimizer::archive(archive);
    archive("momentumScale", momentumScale_);
    archive("useNesterovMomentum", useNesterovMomentum_);
}

void NNOptimizerRMSProp::archive(mps::Archive& archive) {
    NNOptimizer::archive(archive);
    archive("decay", decay_);
    archive("epsilon", epsilon_);
}

void NNOptimizerAdam::archive(mps::Archive& archive) {
    NNOptimizer::archive(archive);
    archive("beta1", beta1_);
    archive("beta2", beta2_);
    archive("epsilon", epsilon_);
    archive("timeStep", timeStep_);
    mps::checkBetas(beta1_, beta2_);
}

} // namespace mpsvk::MPS
