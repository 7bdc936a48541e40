// Normalizations of the library, configured as the reference's.
#pragma once

#include "mps/KernelPairs.hpp"
#include "support/reference/Normalization.hpp"

namespace mpsvk::test {

using reference::Normalization;
using reference::NormalizationType;
using reference::Tensor;

inline MPS::ImageEdgeMode edgeOf(const Normalization& k) {
    return k.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp
                                                : MPS::ImageEdgeMode::Zero;
}

template <class Kernel> void setValues(Kernel& kernel, const Normalization& k) {
    kernel.setAlpha(float(k.alpha));
    kernel.setBeta(float(k.beta));
    kernel.setDelta(float(k.delta));
    if constexpr (requires { kernel.setP0(1); }) {
        kernel.setP0(float(k.p0));
        kernel.setPm(float(k.pm));
        kernel.setPs(float(k.ps));
    }
}

template <class Forward, class Gradient, class... Sizes>
KernelPair pairOf(const Normalization& k, bool gradientHasValues, Sizes... sizes) {
    auto forward = std::make_unique<Forward>(testDevice(), sizes...);
    auto gradient = std::make_unique<Gradient>(testDevice(), sizes...);
    forward->setOffset({k.offsetX, k.offsetY, 0});
    forward->setEdgeMode(edgeOf(k));
    setValues(*forward, k);
    if (gradientHasValues) {
        setValues(*gradient, k);
        // Result 0 is centred on the pixel `offset`.
        gradient->setPrimaryOffset({-k.offsetX, -k.offsetY, 0});
        gradient->setSecondaryEdgeMode(edgeOf(k));
    }
    return {std::move(forward), std::move(gradient)};
}

/// The gradient with the parameters and the geometry, or with none: then the state brings them.
inline KernelPair pairOf(const Normalization& k, bool gradientHasValues) {
    const uint64_t w = k.kernelWidth, h = k.kernelHeight;
    switch (k.type) {
    case NormalizationType::Spatial:
        return pairOf<MPS::CNNSpatialNormalization, MPS::CNNSpatialNormalizationGradient>(
            k, gradientHasValues, w, h);
    case NormalizationType::LocalContrast:
        return pairOf<MPS::CNNLocalContrastNormalization,
                      MPS::CNNLocalContrastNormalizationGradient>(k, gradientHasValues, w, h);
    case NormalizationType::CrossChannel: break;
    }
    return pairOf<MPS::CNNCrossChannelNormalization, MPS::CNNCrossChannelNormalizationGradient>(
        k, gradientHasValues, w);
}

inline PairResult both(const Normalization& k, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
                       Variant variant, bool takesAll) {
    return encodePair(pairOf(k, !takesAll), x, g, variant, takesAll);
}

} // namespace mpsvk::test
