#include "Neuron.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mpsvk::reference {
namespace {

double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

double slope(const Neuron& neuron, std::size_t channel) {
    return neuron.type == NeuronType::PReLU ? neuron.slopes.at(channel) : neuron.a;
}

// A base of -1 stands for e.
double logarithmOfBase(double base) { return base == -1 ? 1 : std::log(base); }

} // namespace

double value(const Neuron& neuron, double x, std::size_t channel) {
    const double a = neuron.a, b = neuron.b, c = neuron.c;
    switch (neuron.type) {
    case NeuronType::None: return x;
    case NeuronType::ReLU:
    case NeuronType::PReLU: return x >= 0 ? x : slope(neuron, channel) * x;
    case NeuronType::Linear: return a * x + b;
    case NeuronType::Sigmoid: return sigmoid(x);
    case NeuronType::HardSigmoid: return std::clamp(a * x + b, 0.0, 1.0);
    case NeuronType::TanH: return a * std::tanh(b * x);
    case NeuronType::Absolute: return std::abs(x);
    case NeuronType::SoftPlus:
        return a * (std::max(b * x, 0.0) + std::log1p(std::exp(-std::abs(b * x))));
    case NeuronType::SoftSign: return x / (1 + std::abs(x));
    case NeuronType::ELU: return x >= 0 ? x : a * std::expm1(x);
    case NeuronType::ReLUN: return std::min(x >= 0 ? x : a * x, b);
    case NeuronType::Power: return std::pow(a * x + b, c);
    case NeuronType::Exponential: return c == -1 ? std::exp(a * x + b) : std::pow(c, a * x + b);
    case NeuronType::Logarithm: return std::log(a * x + b) / logarithmOfBase(c);
    case NeuronType::GeLU: return 0.5 * x * std::erfc(-x * std::numbers::sqrt2 / 2);
    }
    return NAN;
}

double derivative(const Neuron& neuron, double x, std::size_t channel) {
    const double a = neuron.a, b = neuron.b, c = neuron.c;
    switch (neuron.type) {
    case NeuronType::None: return 1;
    case NeuronType::ReLU:
    case NeuronType::PReLU: return x >= 0 ? 1 : slope(neuron, channel);
    case NeuronType::Linear: return a;
    case NeuronType::Sigmoid: return sigmoid(x) * sigmoid(-x);
    case NeuronType::HardSigmoid: return a * x + b >= 0 && a * x + b <= 1 ? a : 0;
    case NeuronType::TanH: return a * b * (1 - std::tanh(b * x) * std::tanh(b * x));
    case NeuronType::Absolute: return x > 0 ? 1 : x < 0 ? -1 : 0;
    case NeuronType::SoftPlus: return a * b * sigmoid(b * x);
    case NeuronType::SoftSign: return 1 / ((1 + std::abs(x)) * (1 + std::abs(x)));
    case NeuronType::ELU: return x >= 0 ? 1 : a * std::exp(x);
    case NeuronType::ReLUN: return (x >= 0 ? x : a * x) < b ? (x >= 0 ? 1 : a) : 0;
    case NeuronType::Power: return c == 0 ? 0 : a * c * std::pow(a * x + b, c - 1);
    case NeuronType::Exponential: return a * logarithmOfBase(c) * value(neuron, x, channel);
    case NeuronType::Logarithm: return a / (logarithmOfBase(c) * (a * x + b));
    case NeuronType::GeLU:
        return 0.5 * std::erfc(-x * std::numbers::sqrt2 / 2) +
               x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    }
    return NAN;
}

Tensor forward(const Neuron& neuron, const Tensor& source) {
    Tensor result = source;
    for (std::size_t i = 0; i < result.size(); ++i) {
        result.v[i] = value(neuron, source.v[i], i % source.c);
    }
    return result;
}

Tensor gradient(const Neuron& neuron, const Tensor& sourceGradient, const Tensor& source) {
    require(sourceGradient.sameShape(source), "A neuron's gradient has the shape of its source.");
    Tensor result = source;
    for (std::size_t i = 0; i < result.size(); ++i) {
        result.v[i] = sourceGradient.v[i] * derivative(neuron, source.v[i], i % source.c);
    }
    return result;
}

} // namespace mpsvk::reference
