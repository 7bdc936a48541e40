#include "Loss.hpp"

#include "SoftMax.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

double smoothed(const Loss& loss, double label) {
    const double s = loss.labelSmoothing;
    if (s > 0 && loss.type == LossType::SoftMaxCrossEntropy) {
        return label * (1 - s) + s / static_cast<double>(loss.numberOfClasses);
    }
    if (s > 0 && loss.type == LossType::SigmoidCrossEntropy) {
        return label * (1 - s) + s / 2;
    }
    return label;
}

// What the element formulas see: y and t of one element, and the log softmax of its channel.
struct Element {
    double y, t, logSoftMax;
};

double elementLoss(const Loss& loss, Element e) {
    const double y = e.y, t = smoothed(loss, e.t);
    switch (loss.type) {
    case LossType::MeanAbsoluteError: return std::abs(y - t);
    case LossType::MeanSquaredError: return (y - t) * (y - t);
    case LossType::SoftMaxCrossEntropy: return -t * e.logSoftMax;
    case LossType::SigmoidCrossEntropy:
        return std::max(y, 0.0) - y * t + std::log1p(std::exp(-std::abs(y)));
    case LossType::CategoricalCrossEntropy: return t == 0 ? 0 : -t * std::log(y);
    case LossType::Hinge: return std::max(1 - (2 * t - 1) * y, 0.0);
    case LossType::Huber:
        return std::abs(y - t) <= loss.delta
                   ? 0.5 * (y - t) * (y - t)
                   : 0.5 * loss.delta * loss.delta + loss.delta * (std::abs(y - t) - loss.delta);
    case LossType::CosineDistance: return -y * t; // the 1 is added once an image
    case LossType::Log:
        return -t * std::log(y + loss.epsilon) - (1 - t) * std::log(1 - y + loss.epsilon);
    case LossType::KullbackLeiblerDivergence: return t == 0 ? 0 : t * (std::log(t) - y);
    }
    return NAN;
}

double elementGradient(const Loss& loss, Element e) {
    const double y = e.y, t = smoothed(loss, e.t), epsilon = loss.epsilon;
    switch (loss.type) {
    case LossType::MeanAbsoluteError: return sign(y - t);
    case LossType::MeanSquaredError: return 2 * (y - t);
    case LossType::SoftMaxCrossEntropy: return std::exp(e.logSoftMax) - t;
    case LossType::SigmoidCrossEntropy: return 1 / (1 + std::exp(-y)) - t;
    case LossType::CategoricalCrossEntropy: return t == 0 ? 0 : -t / y;
    case LossType::Hinge: return 1 + (1 - 2 * t) * y > 0 ? 1 - 2 * t : 0;
    case LossType::Huber: return std::clamp(y - t, -loss.delta, loss.delta);
    case LossType::CosineDistance:
    case LossType::KullbackLeiblerDivergence: return -t;
    case LossType::Log:
        return (y + epsilon - t - 2 * epsilon * t) / (y * (1 - y) + epsilon * (epsilon + 1));
    }
    return NAN;
}

double elementLabelGradient(const Loss& loss, Element e) {
    const double y = e.y, t = e.t;
    switch (loss.type) {
    case LossType::MeanAbsoluteError: return -sign(y - t);
    case LossType::MeanSquaredError: return -2 * (y - t);
    case LossType::SoftMaxCrossEntropy: return -(1 - loss.labelSmoothing) * e.logSoftMax;
    case LossType::SigmoidCrossEntropy: return -(1 - loss.labelSmoothing) * y;
    case LossType::CategoricalCrossEntropy: return -std::log(y);
    case LossType::Hinge: return 1 - (2 * t - 1) * y > 0 ? -2 * y : 0;
    case LossType::Huber: return -std::clamp(y - t, -loss.delta, loss.delta);
    case LossType::CosineDistance: return -y;
    case LossType::Log: return -std::log(y + loss.epsilon) + std::log(1 - y + loss.epsilon);
    case LossType::KullbackLeiblerDivergence: return t == 0 ? 0 : std::log(t) + 1 - y;
    }
    return NAN;
}

double weightOf(const LossInputs& inputs, std::size_t n, std::size_t y, std::size_t x,
                std::size_t c) {
    return inputs.weights ? inputs.weights->at(n, y, x, c) : 1;
}

// weight * formula(loss, element) of every element.
template <class Formula> Tensor weighted(const Loss& loss, const LossInputs& in, Formula formula) {
    const Tensor& p = in.predictions;
    for (const Tensor* other : {&in.labels, in.weights}) {
        require(!other ||
                    (other->n == p.n && other->h == p.h && other->w == p.w && other->c >= p.c),
                "Labels and weights cover the predictions.");
    }
    require(loss.type != LossType::CosineDistance ||
                (loss.reduction == Reduction::Sum && !in.weights),
            "Cosine distance has a scalar weight and reduces by sum.");
    const bool needsSoftMax = loss.type == LossType::SoftMaxCrossEntropy;
    const Tensor logSoftMaxes = needsSoftMax ? logSoftMax(p) : p;
    Tensor result(p.n, p.h, p.w, p.c);
    for (std::size_t n = 0; n < p.n; ++n) {
        for (std::size_t y = 0; y < p.h; ++y) {
            for (std::size_t x = 0; x < p.w; ++x) {
                for (std::size_t c = 0; c < p.c; ++c) {
                    const Element e{p.at(n, y, x, c), in.labels.at(n, y, x, c),
                                    logSoftMaxes.at(n, y, x, c)};
                    result.at(n, y, x, c) =
                        loss.weight * weightOf(in, n, y, x, c) * formula(loss, e);
                }
            }
        }
    }
    return result;
}

// The reduction's factor for an image: 1 / N where it takes a mean, 1 for a sum, 0 for 0 / 0.
double factor(const Loss& loss, const LossInputs& in, std::size_t imageIndex) {
    const Tensor& p = in.predictions;
    const std::size_t images = loss.reduceAcrossBatch ? p.n : 1;
    if (loss.reduction == Reduction::Mean) {
        const bool perPixel = loss.type == LossType::SoftMaxCrossEntropy;
        return 1 / static_cast<double>(images * p.h * p.w * (perPixel ? 1 : p.c));
    }
    if (loss.reduction != Reduction::SumByNonZeroWeights) {
        return 1;
    }
    std::size_t count = 0;
    for (std::size_t n = 0; n < p.n; ++n) {
        for (std::size_t y = 0; y < p.h; ++y) {
            for (std::size_t x = 0; x < p.w; ++x) {
                for (std::size_t c = 0; c < p.c; ++c) {
                    const bool counts = loss.reduceAcrossBatch || n == imageIndex;
                    count += counts && weightOf(in, n, y, x, c) != 0;
                }
            }
        }
    }
    return count == 0 ? 0 : 1 / static_cast<double>(count);
}

Tensor chained(const Loss& loss, const LossInputs& in, const Tensor& sourceGradient,
               Tensor result) {
    const bool whole = loss.reduction == Reduction::None;
    const std::size_t n = result.n;
    require(whole ? sourceGradient.sameShape(result) : sourceGradient.sameShape({n, 1, 1, 1}),
            "A loss gradient's source has the shape of the forward result.");
    const std::size_t perImage = result.size() / n;
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::size_t imageIndex = i / perImage;
        const double g =
            whole ? sourceGradient.v[i] : sourceGradient.v[loss.reduceAcrossBatch ? 0 : imageIndex];
        result.v[i] *= g;
    }
    for (std::size_t imageIndex = 0; imageIndex < n; ++imageIndex) {
        const double rho = factor(loss, in, imageIndex);
        for (std::size_t i = imageIndex * perImage; i < (imageIndex + 1) * perImage; ++i) {
            result.v[i] *= rho;
        }
    }
    return result;
}

} // namespace

Tensor forward(const Loss& loss, const LossInputs& in) {
    return reduced(loss, in, weighted(loss, in, elementLoss));
}

Tensor reduced(const Loss& loss, const LossInputs& in, const Tensor& elements) {
    if (loss.reduction == Reduction::None) {
        return elements;
    }
    Tensor result(elements.n, 1, 1, 1);
    const std::size_t perImage = elements.size() / elements.n;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        result.v[loss.reduceAcrossBatch ? 0 : i / perImage] += elements.v[i];
    }
    for (std::size_t n = 0; n < elements.n; ++n) {
        if (loss.type == LossType::CosineDistance) {
            result.v[loss.reduceAcrossBatch ? 0 : n] += loss.weight;
        }
    }
    for (std::size_t n = 0; n < elements.n; ++n) {
        result.v[n] *= factor(loss, in, n);
    }
    return result;
}

Tensor fusedGradient(const Loss& loss, const LossInputs& in) {
    return weighted(loss, in, elementGradient);
}

Tensor gradient(const Loss& loss, const LossInputs& in, const Tensor& sourceGradient) {
    return chained(loss, in, sourceGradient, weighted(loss, in, elementGradient));
}

Tensor labelGradient(const Loss& loss, const LossInputs& in, const Tensor& sourceGradient) {
    return chained(loss, in, sourceGradient, weighted(loss, in, elementLabelGradient));
}

} // namespace mpsvk::reference
