// The object behind MPS::CNNDropoutGradientState.
#pragma once

#include "mps/Pass.hpp"

#include <mpsvk/MPS/CNNDropout.hpp>

namespace mpsvk::MPS {

struct CNNDropoutGradientState::Impl : NNGradientState::Impl {
    using NNGradientState::Impl::Impl;
    std::vector<size_t> perImageBuffers() const override { return {0}; }
    uint64_t maskWidth() const { return maskStride.width ? record.clip.width : 1; }
    uint64_t maskHeight() const { return maskStride.height ? record.clip.height : 1; }
    uint64_t maskChannels() const { return maskStride.depth ? record.sourceChannels : 1; }
    uint64_t maskSlices() const { return mps::slicesFor(maskChannels()); }
    /// A byte for each channel of each slice, then up to the next place for a mask.
    uint64_t maskBytes() const;

    float keepProbability = 1;
    uint64_t seed = 0;
    MTL::Size maskStride;
    uint64_t images = 1; ///< that the state was made for: of an array of images all
};

} // namespace mpsvk::MPS
