// What the normalizations over a neighbourhood and their gradients have in common.
#pragma once

#include "mps/Pass.hpp"

#include <mpsvk/MPS/CNNNormalization.hpp>

namespace mpsvk::mps {

struct LocalNormalizationState : MPS::NNGradientState::Impl {
    LocalNormalizationState(const StateRequest& request, const LocalNormalizationValues& values,
                            uint64_t kernelSize)
        : Impl(request.device, request.record), values(values), kernelSize(kernelSize) {}
    LocalNormalizationValues values;
    uint64_t kernelSize; ///< in channels
};

const LocalNormalizationState* localNormalizationState(const MPS::State& state);
MPS::StateBatch localNormalizationStates(const StateRequest& request,
                                         const LocalNormalizationValues& values,
                                         uint64_t kernelSize = 1);

/// beta as glsl/inversePower.glsl takes it.
struct SplitBeta {
    explicit SplitBeta(float beta);
    uint32_t whole = 0, quarters = 0;
    float rest = 0;
};

/// The forward results that a gradient image holds: result 0 is centred on source pixel `start` and
/// lies at pixel `gradient` of the image.
struct ForwardResults {
    ForwardResults(const BinaryPass& pass, const MPS::Offset& primary,
                   const MPS::Offset& secondary);
    int64_t startX, startY;
    int64_t gradientX = 0, gradientY = 0;
    uint64_t width, height;
};

/// Throws InvalidArgument when one image needs more than the device can bind.
void checkScratch(const std::string& who, const MTL::Device& device, uint64_t bytesPerImage);

void checkAlpha(const std::string& who, float alpha);

} // namespace mpsvk::mps
