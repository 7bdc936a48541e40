#include "Upsampling.hpp"

#include <cmath>

namespace mpsvk::reference {
namespace {

using Signed = std::ptrdiff_t;

// What a result reads along one axis: pixels (-1: a zero) and their weights.
struct Sample {
    Signed pixel[2];
    double weight[2];
};

Sample sampleOf(const Upsampling& k, double scale, Signed offset, std::size_t x, std::size_t size) {
    if (!k.bilinear) {
        const Signed position = offset + Signed(std::floor(double(x) / scale));
        return {{resolve(position, size, k.edge), -1}, {1, 0}};
    }
    double u = double(x) / scale;
    if (k.alignCorners) {
        const double all = std::floor(double(size) * scale);
        u = all > 1 ? double(x) * double(size - 1) / (all - 1) : 0;
    }
    const double whole = std::floor(u);
    const Signed i = offset + Signed(whole);
    return {{resolve(i, size, EdgeMode::Clamp), resolve(i + 1, size, EdgeMode::Clamp)},
            {1 - (u - whole), u - whole}};
}

// Calls visit(n, i, j, c, row, column, weight) for all that results read.
template <class Visit> void reads(const Upsampling& k, const Tensor& source, Visit visit) {
    for (std::size_t i = 0; i < k.outputHeight; ++i) {
        const Sample rows = sampleOf(k, k.scaleY, k.offsetY, i, source.h);
        for (std::size_t j = 0; j < k.outputWidth; ++j) {
            const Sample columns = sampleOf(k, k.scaleX, k.offsetX, j, source.w);
            for (int a = 0; a < 2; ++a) {
                for (int b = 0; b < 2; ++b) {
                    if (rows.pixel[a] < 0 || columns.pixel[b] < 0) {
                        continue;
                    }
                    for (std::size_t n = 0; n < source.n; ++n) {
                        for (std::size_t c = 0; c < source.c; ++c) {
                            visit(n, i, j, c, std::size_t(rows.pixel[a]),
                                  std::size_t(columns.pixel[b]),
                                  rows.weight[a] * columns.weight[b]);
                        }
                    }
                }
            }
        }
    }
}

} // namespace

Tensor forward(const Upsampling& k, const Tensor& source) {
    Tensor result(source.n, k.outputHeight, k.outputWidth, source.c);
    reads(k, source, [&](auto n, auto i, auto j, auto c, auto y, auto x, double weight) {
        result.at(n, i, j, c) += weight * source.at(n, y, x, c);
    });
    return result;
}

Tensor gradient(const Upsampling& k, const Tensor& sourceGradient, const Tensor& source) {
    require(sourceGradient.sameShape({source.n, k.outputHeight, k.outputWidth, source.c}),
            "An upsampling gradient's source has the shape of the forward result.");
    Tensor result(source.n, source.h, source.w, source.c);
    reads(k, source, [&](auto n, auto i, auto j, auto c, auto y, auto x, double weight) {
        result.at(n, y, x, c) += weight * sourceGradient.at(n, i, j, c);
    });
    return result;
}

} // namespace mpsvk::reference
