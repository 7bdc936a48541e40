// The object behind MPS::CNNArithmeticGradientState.
#pragma once

#include "mps/Pass.hpp"

#include <mpsvk/MPS/CNNMath.hpp>

namespace mpsvk::MPS {

struct CNNArithmeticGradientState::Impl : NNBinaryGradientState::Impl {
    using NNBinaryGradientState::Impl::Impl;
    /// Beside those in the records' windows.
    uint64_t primaryStrideInFeatureChannels = 1, secondaryStrideInFeatureChannels = 1;
    uint64_t resultChannels = 0; ///< that the forward kernel writes
    /// The only buffer, if any: per texel of the clip rectangle a word, whose bit c tells that
    /// channel c was not clamped.
    bool hasMask = false;
    uint64_t images = 1; ///< that the state was made for: of an array of images all
    std::vector<size_t> perImageBuffers() const override {
        return hasMask ? std::vector<size_t>{0} : std::vector<size_t>{};
    }
};

} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// Throws InvalidArgument when a mask of `state` was made for another number of images.
void checkMaskImages(const std::string& who, const char* role,
                     const MPS::CNNArithmeticGradientState::Impl& state, uint64_t images);
/// Throws InvalidArgument unless the stride is 0 or 1.
void checkUnitStride(const std::string& who, const char* property, uint64_t stride);

} // namespace mpsvk::mps
