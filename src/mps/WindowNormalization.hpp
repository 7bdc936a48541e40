// The spatial and the local contrast normalization as dispatches: the same formulas, the first with
// a mean of 0.
//
// Devices with enough registers walk down the rows and read each pixel once (mps/WindowStream).
// Others, windows too large for that and clamped edges with results far outside go through scratch
// memory: a gradient takes two passes then, since every result's power is needed by all pixels of
// its window. The first writes each result's terms as fp32, the second gathers them. Large windows
// are summed over rows first, then over columns.
#pragma once

#include "mps/CNNNormalization.hpp"

namespace mpsvk::mps {

struct WindowNormalization {
    LocalNormalizationValues values; ///< spatial: with p0 = pm = 0, ps = 1
    bool centred = false;            ///< local contrast

    /// Throws InvalidArgument when one image needs more scratch memory than the device can bind.
    void checkScratch(const std::string& who, const UnaryPass& pass) const;
    void encode(const UnaryPass& pass) const;

    struct Geometry {
        MPS::KernelWindow window;
        ForwardResults results;
        MPS::Offset origin; ///< the source pixel of the clip rectangle's first pixel
        MPS::ImageEdgeMode edgeMode;
    };
    void checkScratch(const std::string& who, const BinaryPass& pass, const Geometry& g) const;
    void encodeGradient(const BinaryPass& pass, const Geometry& g) const;
};

} // namespace mpsvk::mps
