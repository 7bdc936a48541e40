#pragma once
// Max, average and L2 pooling and their gradients.
//
// As for convolution, results and incoming gradients are counted from the clip rectangle.

#include "Tensor.hpp"

namespace mpsvk::reference {

enum class PoolingType { Max, Average, L2Norm };

// Which taps count:
//   Max, dilation 1   all, read through the edge mode
//   Max, dilated      Zero: all; Clamp: those inside the image (none: the result is 0)
//   Average           Zero: all; Clamp: those inside the image enlarged by zeroPad (none: 0)
//   L2Norm            all, read through the edge mode
// A maximum ignores NaN unless there is nothing else, and prefers the image to an equal zero
// outside it; the first maximum in raster order receives the gradient.
struct Pooling {
    PoolingType type = PoolingType::Max;
    std::size_t kernelWidth = 1, kernelHeight = 1;
    std::size_t strideX = 1, strideY = 1;
    std::size_t dilationX = 1, dilationY = 1; // of Max only
    std::size_t zeroPadX = 0, zeroPadY = 0;   // of Average only
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    EdgeMode edge = EdgeMode::Zero;
    std::size_t outputWidth = 1, outputHeight = 1; // the clip rectangle's size
};

Tensor forward(const Pooling& pooling, const Tensor& source);
// The derivative for the whole source, of the forward pass with these parameters.
Tensor gradient(const Pooling& pooling, const Tensor& sourceGradient, const Tensor& source);

// What a gradient kernel that is configured by hand writes: `pooling` holds secondaryOffset and
// secondaryEdgeMode; its output size has no meaning.
struct PoolingGradientPlacement {
    std::ptrdiff_t primaryOffsetX = 0, primaryOffsetY = 0;
    std::size_t sourceWidth = SIZE_MAX, sourceHeight = SIZE_MAX; // the property sourceSize
    Region clip = {};
};

void gradient(const Pooling& pooling, const PoolingGradientPlacement& placement,
              const Tensor& primary, const Tensor& secondary, Tensor& destination);

} // namespace mpsvk::reference
