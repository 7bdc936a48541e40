// The spatial and the local contrast normalization as dispatches: the same formulas, the first with
// a mean of 0.
//
// A gradient takes two passes, since every result's power is needed by all pixels of its window:
// the first writes each result's terms as fp32, the second gathers them. (A tile of shared memory
// would hold the terms of small windows only, and compute most of them more than once.) Large
// windows are summed over rows first, then over columns.
#pragma once

#include "mps/CNNNormalization.hpp"

namespace mpsvk::mps {

struct WindowNormalization {
    LocalNormalizationValues values; ///< spatial: with p0 = pm = 0, ps = 1
    bool centred = false;            ///< local contrast

    /// Throws InvalidArgument when one image needs more scratch memory than the device can bind.
    void checkScratch(const std::string& who, const UnaryPass& pass) const;
    void encode(const UnaryPass& pass) const;

    void checkScratch(const std::string& who, const BinaryPass& pass,
                      const MPS::KernelWindow& window, const ForwardResults& results) const;
    /// `origin` is the source pixel of the clip rectangle's first pixel.
    void encodeGradient(const BinaryPass& pass, const MPS::KernelWindow& window,
                        const ForwardResults& results, const MPS::Offset& origin,
                        MPS::ImageEdgeMode edgeMode) const;
};

} // namespace mpsvk::mps
