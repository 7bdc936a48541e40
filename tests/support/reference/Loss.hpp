#pragma once
// All losses, their reductions, and their derivatives with respect to predictions and labels.

#include "Tensor.hpp"

namespace mpsvk::reference {

// Apple's values.
enum class LossType {
    MeanAbsoluteError,
    MeanSquaredError,
    SoftMaxCrossEntropy,
    SigmoidCrossEntropy,
    CategoricalCrossEntropy,
    Hinge,
    Huber,
    CosineDistance,
    Log,
    KullbackLeiblerDivergence
};

enum class Reduction { None, Sum, Mean, SumByNonZeroWeights };

struct Loss {
    LossType type = LossType::MeanSquaredError;
    Reduction reduction = Reduction::Sum;
    bool reduceAcrossBatch = false;
    double weight = 1;
    double labelSmoothing = 0;
    std::size_t numberOfClasses = 1;
    double epsilon = 1e-7;
    double delta = 1;
};

// Labels and weights may have more channels than the predictions; the rest is not read. An
// element's weight is loss.weight times its value in `weights`.
struct LossInputs {
    const Tensor& predictions;
    const Tensor& labels;
    const Tensor* weights = nullptr;
};

// None: weight * loss of every element. Otherwise one value an image (n x 1 x 1 x 1); across the
// batch, the first image has the value and the others 0. CosineDistance reduces by Sum only.
Tensor forward(const Loss& loss, const LossInputs& inputs);

// What becomes of `elements`, the weighted losses of all elements.
Tensor reduced(const Loss& loss, const LossInputs& inputs, const Tensor& elements);

// MPSCNNLoss: weight * dl/dy, whatever the reduction.
Tensor fusedGradient(const Loss& loss, const LossInputs& inputs);

// MPSNNLossGradient: sourceGradient * the reduction's factor * weight * dl/dy; sourceGradient has
// the shape of the forward result, of which image 0 counts for all when the reduction is across the
// batch. SoftMaxCrossEntropy's dl/dy = softmax - label is the derivative only while sourceGradient
// and weight are one value over the channels of a pixel, and the labels there sum to 1.
Tensor gradient(const Loss& loss, const LossInputs& inputs, const Tensor& sourceGradient);
Tensor labelGradient(const Loss& loss, const LossInputs& inputs, const Tensor& sourceGradient);

} // namespace mpsvk::reference
