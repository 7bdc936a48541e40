#pragma once
// Batch normalization with a neuron behind it, and its gradient.

#include "Neuron.hpp"

namespace mpsvk::reference {

struct BatchNormalization {
    std::vector<double> gamma, beta; // one per channel
    double epsilon = 1e-3;
    Neuron neuron = {};
};

// Of each channel, over all images and pixels; the variance is the population's.
struct ChannelStatistics {
    std::vector<double> mean, variance;
};

ChannelStatistics statistics(const Tensor& source);

Tensor forward(const BatchNormalization& normalization, const ChannelStatistics& statistics,
               const Tensor& source);

struct BatchNormalizationGradient {
    Tensor source;
    std::vector<double> gamma, beta;
};

// `ofBatch`: the statistics are the source's, and change with it.
BatchNormalizationGradient gradient(const BatchNormalization& normalization,
                                    const ChannelStatistics& statistics, bool ofBatch,
                                    const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
