// Upsampling kernels of the library, configured as the reference's.
#pragma once

#include "mps/KernelPairs.hpp"
#include "support/reference/Upsampling.hpp"

#include <algorithm>

namespace mpsvk::test {

using reference::Tensor;
using reference::Upsampling;

/// The gradient with the geometry, or without it: then the state brings it.
inline KernelPair pairOf(const Upsampling& k, bool gradientHasGeometry) {
    KernelPair pair;
    const MTL::Device device = testDevice();
    const auto edge =
        k.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero;
    if (k.bilinear) {
        pair.forward = std::make_unique<MPS::CNNUpsamplingBilinear>(device, k.scaleX, k.scaleY,
                                                                    k.alignCorners);
        pair.gradient =
            std::make_unique<MPS::CNNUpsamplingBilinearGradient>(device, k.scaleX, k.scaleY);
    } else {
        pair.forward = std::make_unique<MPS::CNNUpsamplingNearest>(device, uint64_t(k.scaleX),
                                                                   uint64_t(k.scaleY));
        pair.gradient = std::make_unique<MPS::CNNUpsamplingNearestGradient>(
            device, uint64_t(k.scaleX), uint64_t(k.scaleY));
    }
    pair.forward->setOffset({k.offsetX, k.offsetY, 0});
    pair.forward->setEdgeMode(edge);
    if (gradientHasGeometry) {
        pair.gradient->setSecondaryOffset({k.offsetX, k.offsetY, 0});
        pair.gradient->setSecondaryEdgeMode(edge);
        pair.gradient->setClipRect({{uint64_t(std::max<std::ptrdiff_t>(0, k.offsetX)),
                                     uint64_t(std::max<std::ptrdiff_t>(0, k.offsetY)), 0},
                                    {UINT64_MAX, UINT64_MAX, UINT64_MAX}});
    }
    return pair;
}

inline PairResult both(const Upsampling& k, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
                       Variant variant, bool takesAll) {
    return encodePair(pairOf(k, !takesAll), x, g, variant, takesAll, k.alignCorners);
}

} // namespace mpsvk::test
