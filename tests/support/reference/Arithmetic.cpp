#include "Arithmetic.hpp"

#include <cmath>

namespace mpsvk::reference {
namespace {

std::size_t locate(const Operand& o, const Tensor& t, std::size_t n, std::size_t y, std::size_t x,
                   std::size_t c) {
    const std::size_t row = o.offsetY + o.strideY * y, column = o.offsetX + o.strideX * x;
    require(row < t.h && column < t.w && o.strideChannels * c < t.c, "The operand is smaller.");
    return t.index(n, row, column, o.strideChannels * c);
}

// Calls visit(element of the result, of the primary, of the secondary).
template <class Visit>
void elements(const Arithmetic& a, const Tensor& primary, const Tensor& secondary, Visit visit) {
    require(primary.n == secondary.n, "Both operands have as many images.");
    std::size_t i = 0;
    for (std::size_t n = 0; n < primary.n; ++n) {
        for (std::size_t y = 0; y < a.outputHeight; ++y) {
            for (std::size_t x = 0; x < a.outputWidth; ++x) {
                for (std::size_t c = 0; c < a.outputChannels; ++c, ++i) {
                    visit(i, locate(a.primary, primary, n, y, x, c),
                          locate(a.secondary, secondary, n, y, x, c));
                }
            }
        }
    }
}

Tensor resultOf(const Arithmetic& a, const Tensor& primary) {
    return {primary.n, a.outputHeight, a.outputWidth, a.outputChannels};
}

double unclamped(const Arithmetic& a, double primary, double secondary) {
    const double x = a.primary.scale * primary, y = a.secondary.scale * secondary;
    switch (a.operation) {
    case ArithmeticOperation::Add: return x + y + a.bias;
    case ArithmeticOperation::Subtract: return x - y + a.bias;
    case ArithmeticOperation::Multiply: return x * y + a.bias;
    case ArithmeticOperation::Divide: return x / y + a.bias;
    }
    return NAN;
}

double slope(const Arithmetic& a, double x, double y, bool secondary) {
    const double p = a.primary.scale, s = a.secondary.scale;
    switch (a.operation) {
    case ArithmeticOperation::Add: return secondary ? s : p;
    case ArithmeticOperation::Subtract: return secondary ? -s : p;
    case ArithmeticOperation::Multiply: return p * s * (secondary ? x : y);
    case ArithmeticOperation::Divide: return secondary ? -p * x / (s * y * y) : p / (s * y);
    }
    return NAN;
}

double clamped(const Arithmetic& a, double value) {
    if (!a.clamps() || std::isnan(value)) {
        return value;
    }
    return std::fmin(std::fmax(value, a.minimum), a.maximum);
}

bool holds(ComparisonType type, double threshold, double x, double y) {
    switch (type) {
    case ComparisonType::Equal: return std::abs(x - y) <= threshold;
    case ComparisonType::NotEqual: return !(std::abs(x - y) <= threshold);
    case ComparisonType::Less: return x < y;
    case ComparisonType::LessOrEqual: return x <= y;
    case ComparisonType::Greater: return x > y;
    case ComparisonType::GreaterOrEqual: return x >= y;
    }
    return false;
}

} // namespace

Tensor forward(const Arithmetic& a, const Tensor& primary, const Tensor& secondary) {
    Tensor result = resultOf(a, primary);
    elements(a, primary, secondary, [&](std::size_t i, std::size_t x, std::size_t y) {
        result.v[i] = clamped(a, unclamped(a, primary.v[x], secondary.v[y]));
    });
    return result;
}

Tensor clampMask(const Arithmetic& a, const Tensor& primary, const Tensor& secondary) {
    Tensor result = resultOf(a, primary);
    elements(a, primary, secondary, [&](std::size_t i, std::size_t x, std::size_t y) {
        const double value = unclamped(a, primary.v[x], secondary.v[y]);
        result.v[i] = !a.clamps() || (a.minimum < value && value < a.maximum);
    });
    return result;
}

Tensor gradient(const Arithmetic& a, const Tensor& sourceGradient, const Tensor& primary,
                const Tensor& secondary, bool withRespectToSecondary) {
    require(sourceGradient.sameShape(resultOf(a, primary)),
            "An arithmetic gradient's source has the shape of the forward result.");
    const Tensor mask = clampMask(a, primary, secondary);
    Tensor result = withRespectToSecondary ? secondary : primary;
    result.v.assign(result.size(), 0);
    elements(a, primary, secondary, [&](std::size_t i, std::size_t x, std::size_t y) {
        if (mask.v[i] != 0) {
            result.v[withRespectToSecondary ? y : x] +=
                sourceGradient.v[i] *
                slope(a, primary.v[x], secondary.v[y], withRespectToSecondary);
        }
    });
    return result;
}

Tensor forward(const ArithmeticGradientKernel& k, const Tensor& g, const Tensor& secondary) {
    Tensor result(g.n, k.sumRows ? 1 : g.h, k.sumColumns ? 1 : g.w, k.sumChannels ? 1 : g.c);
    for (std::size_t n = 0; n < g.n; ++n) {
        for (std::size_t y = 0; y < g.h; ++y) {
            for (std::size_t x = 0; x < g.w; ++x) {
                for (std::size_t c = 0; c < g.c; ++c) {
                    double value = k.primaryScale * g.at(n, y, x, c);
                    if (k.multiply) {
                        value *= k.secondary.scale *
                                 secondary.v.at(locate(k.secondary, secondary, n, y, x, c));
                    }
                    result.at(n, k.sumRows ? 0 : y, k.sumColumns ? 0 : x, k.sumChannels ? 0 : c) +=
                        value;
                }
            }
        }
    }
    return result;
}

Tensor compareElements(ComparisonType type, double threshold, const Arithmetic& geometry,
                       const Tensor& primary, const Tensor& secondary) {
    Tensor result = resultOf(geometry, primary);
    elements(geometry, primary, secondary, [&](std::size_t i, std::size_t x, std::size_t y) {
        result.v[i] = holds(type, threshold, primary.v[x], secondary.v[y]) ? 1 : 0;
    });
    return result;
}

} // namespace mpsvk::reference
