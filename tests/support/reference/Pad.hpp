#pragma once
// Padding in x, y and channels, and its gradient.

#include "Tensor.hpp"

namespace mpsvk::reference {

enum class PadMode { Zero, Clamp, Mirror, MirrorWithEdge, Constant };

// Index 0 ... size - 1 that an index reads, or -1 for the fill value.
std::ptrdiff_t padIndex(PadMode mode, std::ptrdiff_t index, std::size_t size);

struct Pad {
    PadMode mode = PadMode::Zero;
    std::ptrdiff_t offsetX = 0, offsetY = 0; // the index that result pixel (0, 0) reads
    std::size_t width = 1, height = 1;       // of the result
    std::size_t before = 0, after = 0;       // channels
    double fillValue = 0;
    std::vector<double> fillValues = {}; // by channel of the result, instead
};

Tensor pad(const Pad& pad, const Tensor& source);
Tensor padGradient(const Pad& pad, const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
