#pragma once
// The Gram matrix of each image's channels, as an image of C x 1 pixels, and its gradient.

#include "Tensor.hpp"

namespace mpsvk::reference {

Tensor gramMatrix(double alpha, const Tensor& source);
Tensor gramMatrixGradient(double alpha, const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
