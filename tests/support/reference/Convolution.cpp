#include "Convolution.hpp"

#include <cmath>

namespace mpsvk::reference {
namespace {

using Signed = std::ptrdiff_t;

Signed half(std::size_t taps, std::size_t dilation) {
    return static_cast<Signed>(((taps - 1) * dilation + 1) / 2);
}

// Which source pixel a tap of an output pixel reads, or -1 in either for none.
struct Reader {
    const Convolution& k;

    Signed row(std::size_t output, std::size_t tap, std::size_t height) const {
        return resolve(k.offsetY - half(k.kernelHeight, k.dilationY) + Signed(k.strideY * output) +
                           Signed(k.dilationY * tap),
                       height, k.edge);
    }
    Signed column(std::size_t output, std::size_t tap, std::size_t width) const {
        return resolve(k.offsetX - half(k.kernelWidth, k.dilationX) + Signed(k.strideX * output) +
                           Signed(k.dilationX * tap),
                       width, k.edge);
    }
};

Signed spread(Signed position, std::size_t stride, std::size_t size) {
    const auto step = static_cast<Signed>(stride);
    return position < 0 || position % step != 0 ? -1
                                                : resolve(position / step, size, EdgeMode::Zero);
}

struct TransposeReader {
    const ConvolutionTranspose& k;

    Signed row(std::size_t output, std::size_t tap, std::size_t height) const {
        return spread(Signed(output + k.dilationY * tap) + k.offsetY * Signed(k.strideY) +
                          k.kernelOffsetY - half(k.kernelHeight, k.dilationY),
                      k.strideY, height);
    }
    Signed column(std::size_t output, std::size_t tap, std::size_t width) const {
        return spread(Signed(output + k.dilationX * tap) + k.offsetX * Signed(k.strideX) +
                          k.kernelOffsetX - half(k.kernelWidth, k.dilationX),
                      k.strideX, width);
    }
};

// Calls visit(output, weight, input, count) for every product: indices of an output element and of
// the first of `count` consecutive weights and source elements.
template <class Reader, class Visit>
void products(const Convolution& k, const Reader& reader, const Tensor& output,
              const Tensor& source, Visit visit) {
    require(k.inputChannels % k.groups == 0 && k.outputChannels % k.groups == 0,
            "Groups divide the channels.");
    require(source.c == k.inputChannels && output.c == k.outputChannels && output.n == source.n,
            "The convolution has other channels or images.");
    const std::size_t depth = k.inputChannels / k.groups, group = k.outputChannels / k.groups;
    for (std::size_t n = 0; n < output.n; ++n) {
        for (std::size_t i = 0; i < output.h; ++i) {
            for (std::size_t j = 0; j < output.w; ++j) {
                for (std::size_t q = 0; q < k.kernelHeight; ++q) {
                    for (std::size_t p = 0; p < k.kernelWidth; ++p) {
                        const Signed y = reader.row(i, q, source.h);
                        const Signed x = reader.column(j, p, source.w);
                        if (y < 0 || x < 0) {
                            continue;
                        }
                        for (std::size_t o = 0; o < k.outputChannels; ++o) {
                            visit(output.index(n, i, j, o),
                                  ((o * k.kernelHeight + q) * k.kernelWidth + p) * depth,
                                  source.index(n, y, x, o / group * depth), depth);
                        }
                    }
                }
            }
        }
    }
}

void finish(const Convolution& k, Tensor& result) {
    require(k.bias.empty() || k.bias.size() == k.outputChannels, "A bias has one value a channel.");
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::size_t o = i % result.c;
        double value = result.v[i] + (k.bias.empty() ? 0 : k.bias[o]);
        if (k.normalization) {
            const FusedBatchNormalization& b = *k.normalization;
            value =
                b.gamma.at(o) * (value - b.mean.at(o)) / std::sqrt(b.variance.at(o) + b.epsilon) +
                b.beta.at(o);
        }
        result.v[i] = reference::value(k.neuron, value, o);
    }
}

template <class Reader>
Tensor apply(const Convolution& k, const Reader& reader, const Tensor& source, Tensor result) {
    require(k.weights.size() == k.weightCount(), "The number of weights does not fit.");
    products(k, reader, result, source,
             [&](std::size_t output, std::size_t weight, std::size_t input, std::size_t count) {
                 double sum = 0;
                 for (std::size_t c = 0; c < count; ++c) {
                     sum += k.weights[weight + c] * source.v[input + c];
                 }
                 result.v[output] += sum;
             });
    finish(k, result);
    return result;
}

template <class Reader>
Tensor transposed(const Convolution& k, const Reader& reader, const Tensor& gradient,
                  Tensor result) {
    require(k.weights.size() == k.weightCount(), "The number of weights does not fit.");
    products(k, reader, gradient, result,
             [&](std::size_t output, std::size_t weight, std::size_t input, std::size_t count) {
                 for (std::size_t c = 0; c < count; ++c) {
                     result.v[input + c] += k.weights[weight + c] * gradient.v[output];
                 }
             });
    return result;
}

template <class Reader>
std::vector<double> correlated(const Convolution& k, const Reader& reader, const Tensor& gradient,
                               const Tensor& source) {
    std::vector<double> result(k.weightCount());
    products(k, reader, gradient, source,
             [&](std::size_t output, std::size_t weight, std::size_t input, std::size_t count) {
                 for (std::size_t c = 0; c < count; ++c) {
                     result[weight + c] += gradient.v[output] * source.v[input + c];
                 }
             });
    return result;
}

Tensor shuffled(const Tensor& intermediate, std::size_t r, std::size_t height, std::size_t width) {
    require(intermediate.c % (r * r) == 0,
            "The square of the sub-pixel scale divides the channels.");
    const std::size_t depth = intermediate.c / (r * r);
    Tensor result(intermediate.n, height, width, depth);
    for (std::size_t n = 0; n < result.n; ++n) {
        for (std::size_t y = 0; y < height; ++y) {
            for (std::size_t x = 0; x < width; ++x) {
                for (std::size_t c = 0; c < depth; ++c) {
                    result.at(n, y, x, c) =
                        intermediate.at(n, y / r, x / r, depth * (r * (y % r) + x % r) + c);
                }
            }
        }
    }
    return result;
}

} // namespace

Convolution fullyConnected(const Tensor& source, std::vector<double> weights,
                           std::vector<double> bias) {
    Convolution k;
    k.inputChannels = source.c;
    k.outputChannels = weights.size() / (source.h * source.w * source.c);
    k.kernelWidth = source.w;
    k.kernelHeight = source.h;
    k.offsetX = static_cast<Signed>(source.w / 2);
    k.offsetY = static_cast<Signed>(source.h / 2);
    k.weights = std::move(weights);
    k.bias = std::move(bias);
    return k;
}

Convolution absolute(Convolution convolution) {
    convolution.weights = absolute(std::move(convolution.weights));
    convolution.bias = absolute(std::move(convolution.bias));
    convolution.normalization.reset();
    convolution.neuron = {};
    return convolution;
}

Tensor forward(const Convolution& k, const Tensor& source) {
    const std::size_t r = k.subPixelScale;
    Tensor result = apply(k, Reader{k}, source,
                          Tensor(source.n, (k.outputHeight + r - 1) / r,
                                 (k.outputWidth + r - 1) / r, k.outputChannels));
    return r == 1 ? result : shuffled(result, r, k.outputHeight, k.outputWidth);
}

Tensor dataGradient(const Convolution& k, const Tensor& sourceGradient, std::size_t sourceHeight,
                    std::size_t sourceWidth) {
    return transposed(k, Reader{k}, sourceGradient,
                      Tensor(sourceGradient.n, sourceHeight, sourceWidth, k.inputChannels));
}

std::vector<double> weightsGradient(const Convolution& k, const Tensor& sourceGradient,
                                    const Tensor& source) {
    return correlated(k, Reader{k}, sourceGradient, source);
}

std::vector<double> biasGradient(const Tensor& sourceGradient) {
    std::vector<double> result(sourceGradient.c);
    for (std::size_t i = 0; i < sourceGradient.size(); ++i) {
        result[i % sourceGradient.c] += sourceGradient.v[i];
    }
    return result;
}

Tensor forward(const ConvolutionTranspose& k, const Tensor& source) {
    return apply(k, TransposeReader{k}, source,
                 Tensor(source.n, k.outputHeight, k.outputWidth, k.outputChannels));
}

Tensor dataGradient(const ConvolutionTranspose& k, const Tensor& sourceGradient,
                    std::size_t sourceHeight, std::size_t sourceWidth) {
    return transposed(k, TransposeReader{k}, sourceGradient,
                      Tensor(sourceGradient.n, sourceHeight, sourceWidth, k.inputChannels));
}

std::vector<double> weightsGradient(const ConvolutionTranspose& k, const Tensor& sourceGradient,
                                    const Tensor& source) {
    return correlated(k, TransposeReader{k}, sourceGradient, source);
}

} // namespace mpsvk::reference
