#include "Gram.hpp"

namespace mpsvk::reference {

Tensor gramMatrix(double alpha, const Tensor& x) {
    Tensor result(x.n, 1, x.c, x.c);
    for (std::size_t i = 0; i < x.size(); i += x.c) {
        const std::size_t image = i / (x.c * x.w * x.h);
        for (std::size_t f = 0; f < x.c; ++f) {
            for (std::size_t c = 0; c < x.c; ++c) {
                result.v[result.index(image, 0, f, c)] += alpha * x.v[i + f] * x.v[i + c];
            }
        }
    }
    return result;
}

Tensor gramMatrixGradient(double alpha, const Tensor& g, const Tensor& x) {
    require(g.n == x.n && g.h == 1 && g.w == x.c && g.c == x.c,
            "the gradient has another shape than the Gram matrix");
    Tensor result(x.n, x.h, x.w, x.c);
    for (std::size_t i = 0; i < x.size(); i += x.c) {
        const std::size_t image = i / (x.c * x.w * x.h);
        for (std::size_t c = 0; c < x.c; ++c) {
            for (std::size_t f = 0; f < x.c; ++f) {
                const double both = g.v[g.index(image, 0, f, c)] + g.v[g.index(image, 0, c, f)];
                result.v[i + c] += alpha * both * x.v[i + f];
            }
        }
    }
    return result;
}

} // namespace mpsvk::reference
