#include "Reduce.hpp"

#include <cmath>
#include <limits>

namespace mpsvk::reference {
namespace {

double reduced(ReduceOperation operation, const std::vector<double>& values) {
    if (operation == ReduceOperation::Sum || operation == ReduceOperation::Mean) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return operation == ReduceOperation::Sum ? sum : sum / double(values.size());
    }
    const bool least =
        operation == ReduceOperation::Minimum || operation == ReduceOperation::ArgumentMinimum;
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (std::isnan(values[best]) ? !std::isnan(values[i])
            : least                  ? values[i] < values[best]
                                     : values[i] > values[best]) {
            best = i;
        }
    }
    if (operation == ReduceOperation::ArgumentMinimum ||
        operation == ReduceOperation::ArgumentMaximum) {
        return double(best);
    }
    return values[best];
}

} // namespace

Tensor reduce(ReduceAxis axis, ReduceOperation operation, const Tensor& x) {
    const bool row = axis == ReduceAxis::Row || axis == ReduceAxis::Image;
    const bool column = axis == ReduceAxis::Column || axis == ReduceAxis::Image;
    const bool all = axis == ReduceAxis::Channels;
    Tensor result(x.n, column ? 1 : x.h, row ? 1 : x.w, all ? 1 : x.c);
    for (std::size_t n = 0; n < result.n; ++n) {
        for (std::size_t i = 0; i < result.h; ++i) {
            for (std::size_t j = 0; j < result.w; ++j) {
                for (std::size_t c = 0; c < result.c; ++c) {
                    std::vector<double> values;
                    for (std::size_t y = i; y < (column ? x.h : i + 1); ++y) {
                        for (std::size_t k = j; k < (row ? x.w : j + 1); ++k) {
                            for (std::size_t z = c; z < (all ? x.c : c + 1); ++z) {
                                values.push_back(x.at(n, y, k, z));
                            }
                        }
                    }
                    result.at(n, i, j, c) = reduced(operation, values);
                }
            }
        }
    }
    return result;
}

Tensor spatialMeanGradient(const Tensor& g, const Tensor& source) {
    require(g.h == 1 && g.w == 1 && g.n == source.n && g.c == source.c,
            "The gradient of a mean is one pixel per image.");
    Tensor result(source.n, source.h, source.w, source.c);
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::size_t image = i / (source.h * source.w * source.c);
        result.v[i] = g.at(image, 0, 0, i % source.c) / double(source.h * source.w);
    }
    return result;
}

Tensor weightedSum(const Tensor& x, const Tensor& w, Weighting weighting) {
    require(x.sameShape(w), "Each channel has a weight.");
    Tensor result(x.n, x.h, x.w, 1);
    for (std::size_t i = 0; i < result.size(); ++i) {
        double sum = 0, others = 0;
        for (std::size_t c = 0; c < x.c; ++c) {
            sum += x.v[i * x.c + c] * w.v[i * x.c + c];
            others += w.v[i * x.c + c] != 0;
        }
        if (weighting == Weighting::Mean) {
            sum /= double(x.c);
        }
        if (weighting == Weighting::SumOverNonZero) {
            sum = others == 0 ? 0 : sum / others;
        }
        result.v[i] = sum;
    }
    return result;
}

Tensor correlate(const Correlation& k, const Tensor& a, const Tensor& b) {
    const std::ptrdiff_t across = 2 * k.windowX + 1, down = 2 * k.windowY + 1;
    Tensor result(a.n, a.h, a.w, std::size_t(across * down));
    for (std::size_t n = 0; n < a.n; ++n) {
        for (std::size_t y = 0; y < a.h; ++y) {
            for (std::size_t x = 0; x < a.w; ++x) {
                for (std::ptrdiff_t f = 0; f < across * down; ++f) {
                    const auto otherX =
                        resolve(k.otherX + std::ptrdiff_t(x) + (f % across - k.windowX) * k.strideX,
                                b.w, k.edge);
                    const auto otherY =
                        resolve(k.otherY + std::ptrdiff_t(y) + (f / across - k.windowY) * k.strideY,
                                b.h, k.edge);
                    if (otherX < 0 || otherY < 0) {
                        continue;
                    }
                    double sum = 0;
                    for (std::size_t c = 0; c < a.c; ++c) {
                        sum +=
                            a.at(n, y, x, c) * b.at(n, std::size_t(otherY), std::size_t(otherX), c);
                    }
                    result.at(n, y, x, std::size_t(f)) = sum;
                }
            }
        }
    }
    return result;
}

} // namespace mpsvk::reference
