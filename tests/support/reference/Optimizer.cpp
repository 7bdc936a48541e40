#include "Optimizer.hpp"

#include <cmath>

namespace mpsvk::reference {

double preprocessed(const Optimizer& o, double gradient, double value) {
    double g = gradient;
    if (o.applyGradientClipping && g > o.gradientClipMax) {
        g = o.gradientClipMax;
    } else if (o.applyGradientClipping && g < o.gradientClipMin) {
        g = o.gradientClipMin;
    }
    g *= o.gradientRescale;
    if (o.regularization == Regularization::L2) {
        g += o.regularizationScale * value;
    }
    if (o.regularization == Regularization::L1) {
        g += o.regularizationScale * (value > 0 ? 1 : value < 0 ? -1 : 0);
    }
    return g;
}

void stochasticGradientDescent(const Optimizer& o, double momentumScale, bool nesterov,
                               const Values& gradient, Values& values, Values* momentum) {
    require(gradient.size() == values.size() && (!momentum || momentum->size() == values.size()),
            "Gradient, values and momentum have one length.");
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double g = preprocessed(o, gradient[i], values[i]);
        if (!momentum) {
            values[i] -= o.learningRate * g;
            continue;
        }
        double& m = (*momentum)[i];
        m = momentumScale * m + (nesterov ? g : o.learningRate * g);
        values[i] -= nesterov ? o.learningRate * (g + momentumScale * m) : m;
    }
}

void rmsProp(const Optimizer& o, double decay, double epsilon, const Values& gradient,
             Values& values, Values& sumOfSquares) {
    require(gradient.size() == values.size() && sumOfSquares.size() == values.size(),
            "Gradient, values and sums have one length.");
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double g = preprocessed(o, gradient[i], values[i]);
        sumOfSquares[i] = decay * sumOfSquares[i] + (1 - decay) * g * g;
        values[i] -= o.learningRate * g / (std::sqrt(sumOfSquares[i]) + epsilon);
    }
}

void step(Adam& adam, const Optimizer& o, const Values& gradient, Values& values, Values& momentum,
          Values& velocity, Values* maximumVelocity) {
    require(gradient.size() == values.size() && momentum.size() == values.size() &&
                velocity.size() == values.size() &&
                (!maximumVelocity || maximumVelocity->size() == values.size()),
            "Gradient, values and moments have one length.");
    const double t = static_cast<double>(++adam.timeStep);
    const double rate =
        o.learningRate * std::sqrt(1 - std::pow(adam.beta2, t)) / (1 - std::pow(adam.beta1, t));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double g = preprocessed(o, gradient[i], values[i]);
        momentum[i] = adam.beta1 * momentum[i] + (1 - adam.beta1) * g;
        velocity[i] = adam.beta2 * velocity[i] + (1 - adam.beta2) * g * g;
        double v = velocity[i];
        if (maximumVelocity) {
            v = (*maximumVelocity)[i] = std::fmax((*maximumVelocity)[i], v);
        }
        values[i] -= rate * momentum[i] / (std::sqrt(v) + adam.epsilon);
    }
}

} // namespace mpsvk::reference
