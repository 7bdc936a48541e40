#pragma once
// The optimizers' update rules. Values and moments change in place.

#include "Tensor.hpp"

#include <limits>

namespace mpsvk::reference {

enum class Regularization { None, L1, L2 };

struct Optimizer {
    double learningRate = 0.001;
    double gradientRescale = 1;
    bool applyGradientClipping = false;
    double gradientClipMax = std::numeric_limits<float>::max();
    double gradientClipMin = -std::numeric_limits<float>::max();
    Regularization regularization = Regularization::None;
    double regularizationScale = 0;
};

using Values = std::vector<double>;

// Clip, then rescale, then regularize.
double preprocessed(const Optimizer& optimizer, double gradient, double value);

// Without momentum: momentum is null. Plain momentum keeps the learning rate inside the moment,
// Nesterov's does not.
void stochasticGradientDescent(const Optimizer& optimizer, double momentumScale, bool nesterov,
                               const Values& gradient, Values& values, Values* momentum);

void rmsProp(const Optimizer& optimizer, double decay, double epsilon, const Values& gradient,
             Values& values, Values& sumOfSquares);

struct Adam {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    std::uint64_t timeStep = 0; // advanced by one in every step
};

// maximumVelocity selects AMSGrad; null: plain Adam.
void step(Adam& adam, const Optimizer& optimizer, const Values& gradient, Values& values,
          Values& momentum, Values& velocity, Values* maximumVelocity = nullptr);

} // namespace mpsvk::reference
