#pragma once
// Softmax and log softmax over the channels of each pixel. Both gradients read the forward result.

#include "Tensor.hpp"

namespace mpsvk::reference {

Tensor softMax(const Tensor& source);
Tensor softMaxGradient(const Tensor& sourceGradient, const Tensor& forwardResult);

Tensor logSoftMax(const Tensor& source);
Tensor logSoftMaxGradient(const Tensor& sourceGradient, const Tensor& forwardResult);

} // namespace mpsvk::reference
