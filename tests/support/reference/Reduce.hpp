#pragma once
// Reductions over rows, columns, channels and images, weighted sums of channels, and local
// correlation.

#include "Tensor.hpp"

namespace mpsvk::reference {

enum class ReduceAxis { Row, Column, Channels, Image };
enum class ReduceOperation { Minimum, Maximum, ArgumentMinimum, ArgumentMaximum, Mean, Sum };

// NaN wins only where there is nothing else. Arguments are those of channels.
Tensor reduce(ReduceAxis axis, ReduceOperation operation, const Tensor& source);
// The gradient of the mean over an image for a source of the size given.
Tensor spatialMeanGradient(const Tensor& sourceGradient, const Tensor& source);

enum class Weighting { Sum, SumOverNonZero, Mean };
Tensor weightedSum(const Tensor& source, const Tensor& weights, Weighting weighting);

struct Correlation {
    std::ptrdiff_t windowX = 0, windowY = 0, strideX = 1, strideY = 1;
    EdgeMode edge = EdgeMode::Zero;
    std::ptrdiff_t otherX = 0, otherY = 0; // the pixel of the other image of the first pixel
};
// For the first width x height pixels of `source`.
Tensor correlate(const Correlation& correlation, const Tensor& source, const Tensor& other);

} // namespace mpsvk::reference
