// What upsampling and its gradient have in common: where along an axis results are sampled.
#pragma once

#include "mps/Pass.hpp"

namespace mpsvk::mps {

struct UpsamplingState : MPS::NNGradientState::Impl {
    using MPS::NNGradientState::Impl::Impl;
    double scaleX = 1, scaleY = 1;
    bool alignCorners = false;
};

void checkScaleFactors(const char* className, double x, double y);
/// Of an archive of a kernel that takes whole numbers.
void checkWholeFactors(const char* className, double x, double y);
/// floor(source * factor).
uint64_t upsampledSize(uint64_t source, double scale);

/// Result x is sampled at x * step / per.
struct SampleStep {
    /// For results 0 ... results - 1 of a source of `source` pixels. The fraction is the factor's
    /// own where it is one of whole numbers that stay below 2^30 when multiplied with positions,
    /// else the nearest one.
    SampleStep(double scale, bool alignCorners, uint64_t source, uint64_t results);
    uint32_t step = 1, per = 1;
    double error = 0; ///< of the last position, in pixels

    /// The value of the shaders' constants: 0 where it would take too many pipelines.
    uint32_t constantStep() const { return isSmall() ? step : 0; }
    uint32_t constantPer() const { return isSmall() ? per : 0; }

private:
    bool isSmall() const { return step <= 4 && per <= 8; }
};

void checkSampleStep(const std::string& who, const SampleStep& x, const SampleStep& y);

} // namespace mpsvk::mps
