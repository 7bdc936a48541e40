#include "BatchNormalization.hpp"

#include <cmath>

namespace mpsvk::reference {

namespace {

void check(const BatchNormalization& b, const ChannelStatistics& s, const Tensor& x) {
    require(b.gamma.size() == x.c && b.beta.size() == x.c, "There is a gamma for each channel.");
    require(s.mean.size() == x.c && s.variance.size() == x.c, "There is a mean for each channel.");
}

} // namespace

ChannelStatistics statistics(const Tensor& x) {
    ChannelStatistics s{std::vector<double>(x.c), std::vector<double>(x.c)};
    const double count = double(x.n * x.h * x.w);
    for (std::size_t i = 0; i < x.size(); ++i) s.mean[i % x.c] += x.v[i] / count;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double d = x.v[i] - s.mean[i % x.c];
        s.variance[i % x.c] += d * d / count;
    }
    return s;
}

Tensor forward(const BatchNormalization& b, const ChannelStatistics& s, const Tensor& x) {
    check(b, s, x);
    Tensor y = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = i % x.c;
        const double normalized = (x.v[i] - s.mean[c]) / std::sqrt(s.variance[c] + b.epsilon);
        y.v[i] = value(b.neuron, b.gamma[c] * normalized + b.beta[c], c);
    }
    return y;
}

BatchNormalizationGradient gradient(const BatchNormalization& b, const ChannelStatistics& s,
                                    bool ofBatch, const Tensor& g, const Tensor& x) {
    check(b, s, x);
    require(g.sameShape(x), "The gradient has the shape of the source.");
    BatchNormalizationGradient made{x, std::vector<double>(x.c), std::vector<double>(x.c)};
    std::vector<double> e(x.size()), normalized(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = i % x.c;
        normalized[i] = (x.v[i] - s.mean[c]) / std::sqrt(s.variance[c] + b.epsilon);
        e[i] = g.v[i] * derivative(b.neuron, b.gamma[c] * normalized[i] + b.beta[c], c);
        made.gamma[c] += e[i] * normalized[i];
        made.beta[c] += e[i];
    }
    const double count = double(x.n * x.h * x.w);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = i % x.c;
        const double ofStatistics =
            ofBatch ? made.beta[c] / count + normalized[i] * made.gamma[c] / count : 0;
        made.source.v[i] =
            b.gamma[c] / std::sqrt(s.variance[c] + b.epsilon) * (e[i] - ofStatistics);
    }
    return made;
}

} // namespace mpsvk::reference
