#include "Normalization.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

using Signed = std::ptrdiff_t;

// An element of the source, or a zero outside it.
struct Element {
    std::size_t index = SIZE_MAX;
    double value = 0;
};

Element elementAt(const Tensor& source, std::size_t n, Signed y, Signed x, std::size_t c,
                  EdgeMode edge) {
    const Signed row = resolve(y, source.h, edge), column = resolve(x, source.w, edge);
    if (row < 0 || column < 0) {
        return {};
    }
    const std::size_t index = source.index(n, std::size_t(row), std::size_t(column), c);
    return {index, source.v[index]};
}

struct Window {
    Element centre;
    std::vector<Element> elements; // all N of them; of CrossChannel those that exist
    double size = 1;               // N
};

Window windowOf(const Normalization& k, const Tensor& source, std::size_t n, std::size_t i,
                std::size_t j, std::size_t c) {
    const Signed y = k.offsetY + Signed(i), x = k.offsetX + Signed(j);
    Window window;
    window.centre = elementAt(source, n, y, x, c, k.edge);
    if (k.type == NormalizationType::CrossChannel) {
        const Signed size = Signed(k.kernelWidth);
        window.size = double(size);
        const Signed first = std::max<Signed>(0, Signed(c) - size / 2);
        const Signed last = std::min<Signed>(Signed(source.c) - 1, Signed(c) + (size - 1) / 2);
        for (Signed q = first; q <= last; ++q) {
            window.elements.push_back(elementAt(source, n, y, x, std::size_t(q), k.edge));
        }
        return window;
    }
    const Signed width = Signed(k.kernelWidth), height = Signed(k.kernelHeight);
    window.size = double(width * height);
    for (Signed row = y - height / 2; row <= y + (height - 1) / 2; ++row) {
        for (Signed column = x - width / 2; column <= x + (width - 1) / 2; ++column) {
            window.elements.push_back(elementAt(source, n, row, column, c, k.edge));
        }
    }
    return window;
}

struct Statistics {
    double mean = 0; // not of LocalContrast: 0
    double t = 0;
};

Statistics statisticsOf(const Normalization& k, const Window& window) {
    Statistics s;
    if (k.type == NormalizationType::LocalContrast) {
        for (const Element& e : window.elements) {
            s.mean += e.value / window.size;
        }
    }
    double squares = 0;
    for (const Element& e : window.elements) {
        squares += (e.value - s.mean) * (e.value - s.mean);
    }
    s.t = k.delta + k.alpha * squares / window.size;
    return s;
}

template <class Visit> void results(const Normalization& k, const Tensor& source, Visit visit) {
    for (std::size_t n = 0; n < source.n; ++n) {
        for (std::size_t i = 0; i < k.outputHeight; ++i) {
            for (std::size_t j = 0; j < k.outputWidth; ++j) {
                for (std::size_t c = 0; c < source.c; ++c) {
                    visit(n, i, j, c, windowOf(k, source, n, i, j, c));
                }
            }
        }
    }
}

} // namespace

Tensor forward(const Normalization& k, const Tensor& source) {
    Tensor result(source.n, k.outputHeight, k.outputWidth, source.c);
    results(k, source, [&](auto n, auto i, auto j, auto c, const Window& window) {
        const Statistics s = statisticsOf(k, window);
        const double power = std::pow(s.t, -k.beta);
        result.at(n, i, j, c) = k.type == NormalizationType::LocalContrast
                                    ? k.pm + k.ps * (window.centre.value - k.p0 * s.mean) * power
                                    : window.centre.value * power;
    });
    return result;
}

Tensor gradient(const Normalization& k, const Tensor& sourceGradient, const Tensor& source) {
    require(sourceGradient.sameShape({source.n, k.outputHeight, k.outputWidth, source.c}),
            "A normalization gradient's source has the shape of the forward result.");
    const bool contrast = k.type == NormalizationType::LocalContrast;
    const double p0 = contrast ? k.p0 : 0, ps = contrast ? k.ps : 1;
    Tensor result(source.n, source.h, source.w, source.c);
    const auto add = [&](const Element& e, double value) {
        if (e.index != SIZE_MAX) {
            result.v[e.index] += value;
        }
    };
    results(k, source, [&](auto n, auto i, auto j, auto c, const Window& window) {
        const Statistics s = statisticsOf(k, window);
        const double g = ps * sourceGradient.at(n, i, j, c);
        const double power = std::pow(s.t, -k.beta);
        add(window.centre, g * power);
        // d(t)/d(x_q) = 2 alpha / N * (x_q - m): the mean's own part vanishes in the sum.
        const double own = window.centre.value - p0 * s.mean;
        for (const Element& e : window.elements) {
            const double slope = 2 * k.alpha / window.size * (e.value - s.mean);
            add(e, -g * power * (p0 / window.size + k.beta * own * slope / s.t));
        }
    });
    return result;
}

} // namespace mpsvk::reference
