#pragma once
// Instance and group normalization and their gradients.

#include "Tensor.hpp"

namespace mpsvk::reference {

// Statistics are over all pixels of an image and the channels of a group. With a size, the result
// is the rectangle of that size whose first pixel comes from the source's (offsetX, offsetY).
struct GroupNormalization {
    std::size_t groups = 1; // as many as channels: instance normalization
    double epsilon = 0;
    std::vector<double> gamma = {}, beta = {}; // empty: ones, zeros
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    EdgeMode edge = EdgeMode::Zero;
    std::size_t width = 0, height = 0; // 0: the source's
};

struct GroupNormalizationGradient {
    Tensor source;
    Tensor gamma, beta; // one pixel for each image
};

Tensor forward(const GroupNormalization& k, const Tensor& source);
// A result that repeats a pixel beyond a clamped edge is counted there.
GroupNormalizationGradient gradient(const GroupNormalization& k, const Tensor& sourceGradient,
                                    const Tensor& source);

} // namespace mpsvk::reference
