#include "mps/Archive.hpp"
#include "mps/CNNLossPass.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

namespace mpsvk::MPS {

namespace {
const CNNLossDescriptor any(CNNLossType::MeanSquaredError, CNNReductionType::None);
}

void CNNLossDescriptor::archive(mps::Archive& archive) {
    archive("lossType", lossType_);
    archive("reductionType", reductionType_);
    archive("reduceAcrossBatch", reduceAcrossBatch_);
    archive("weight", weight_);
    archive("labelSmoothing", labelSmoothing_);
    archive("numberOfClasses", numberOfClasses_);
    archive("epsilon", epsilon_);
    archive("delta", delta_);
    if (archive.isReading()) mps::checkLossDescriptor("[CNNLossDescriptor] ", *this);
}

CNNLoss::CNNLoss(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNLoss(deviceFor(coder, device), any) {
    unarchive(coder);
}

void CNNLoss::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("descriptor", descriptor_);
}

NNForwardLoss::NNForwardLoss(KeyedUnarchiver& coder, const MTL::Device& device)
    : NNForwardLoss(deviceFor(coder, device), any) {
    unarchive(coder);
}

void NNForwardLoss::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("descriptor", descriptor_);
}

NNLossGradient::NNLossGradient(KeyedUnarchiver& coder, const MTL::Device& device)
    : NNLossGradient(deviceFor(coder, device), any) {
    unarchive(coder);
}

void NNLossGradient::archive(mps::Archive& archive) {
    CNNBinaryKernel::archive(archive);
    archive("descriptor", descriptor_);
    archive("computeLabelGradients", computeLabelGradients_);
}

} // namespace mpsvk::MPS
