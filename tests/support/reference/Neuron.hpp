#pragma once
// f and f' of the sixteen activation functions; the result gradient is G * f'(X).

#include "Tensor.hpp"

namespace mpsvk::reference {

// Apple's values.
enum class NeuronType {
    None,
    ReLU,
    Linear,
    Sigmoid,
    HardSigmoid,
    TanH,
    Absolute,
    SoftPlus,
    SoftSign,
    ELU,
    PReLU,
    ReLUN,
    Power,
    Exponential,
    Logarithm,
    GeLU
};

struct Neuron {
    NeuronType type = NeuronType::None;
    double a = 0, b = 0, c = 0;
    std::vector<double> slopes = {}; // of PReLU, one per channel
};

double value(const Neuron& neuron, double x, std::size_t channel = 0);
double derivative(const Neuron& neuron, double x, std::size_t channel = 0);

Tensor forward(const Neuron& neuron, const Tensor& source);
Tensor gradient(const Neuron& neuron, const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
