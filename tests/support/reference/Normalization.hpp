#pragma once
// Spatial, local contrast and cross-channel normalization and their gradients.
//
// Results and incoming gradients are counted from the clip rectangle.

#include "Tensor.hpp"

namespace mpsvk::reference {

enum class NormalizationType { Spatial, LocalContrast, CrossChannel };

struct Normalization {
    NormalizationType type = NormalizationType::Spatial;
    std::size_t kernelWidth = 1, kernelHeight = 1; // of CrossChannel: kernelWidth channels
    double alpha = 1, beta = 5, delta = 1;
    double p0 = 1, pm = 0, ps = 1; // of LocalContrast only
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    EdgeMode edge = EdgeMode::Zero;
    std::size_t outputWidth = 1, outputHeight = 1; // the clip rectangle's size
};

Tensor forward(const Normalization& normalization, const Tensor& source);
// The derivative for the whole source, of the forward pass with these parameters.
Tensor gradient(const Normalization& normalization, const Tensor& sourceGradient,
                const Tensor& source);

} // namespace mpsvk::reference
