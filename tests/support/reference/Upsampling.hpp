#pragma once
// Nearest and bilinear upsampling and their gradients.
//
// Results and incoming gradients are counted from the clip rectangle.

#include "Tensor.hpp"

namespace mpsvk::reference {

struct Upsampling {
    bool bilinear = false;
    double scaleX = 1, scaleY = 1; // whole numbers for nearest
    bool alignCorners = false;     // of bilinear only
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    EdgeMode edge = EdgeMode::Zero;                // bilinear: always Clamp
    std::size_t outputWidth = 1, outputHeight = 1; // the clip rectangle's size
};

Tensor forward(const Upsampling& upsampling, const Tensor& source);
// The derivative for a source of this shape.
Tensor gradient(const Upsampling& upsampling, const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
