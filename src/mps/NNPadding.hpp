// The sums behind the padding policies, for one axis.
#pragma once

#include <mpsvk/MPS/NNPadding.hpp>

namespace mpsvk::mps {

struct PaddedAxis {
    uint64_t size = 0;  ///< of the destination; 0 when the window does not fit
    int64_t offset = 0; ///< of the kernel (of a backwards one: in the expanded frame)
};

PaddedAxis padAxis(MPS::NNPaddingMethod method, bool yAxis, uint64_t size, uint64_t taps,
                   uint64_t stride, uint64_t dilation, bool backwards);

} // namespace mpsvk::mps
