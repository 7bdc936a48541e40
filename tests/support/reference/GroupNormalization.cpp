#include "GroupNormalization.hpp"

#include <cmath>

namespace mpsvk::reference {
namespace {

struct Group {
    double mean = 0, inverse = 0; // of the deviation
    std::size_t elements = 0;
};

std::size_t groupOf(const GroupNormalization& k, const Tensor& x, std::size_t channel) {
    require(k.groups > 0 && x.c % k.groups == 0, "The groups divide the channels.");
    return channel / (x.c / k.groups);
}

std::vector<Group> statistics(const GroupNormalization& k, const Tensor& x, std::size_t n) {
    std::vector<Group> groups(k.groups);
    const auto each = [&](auto visit) {
        for (std::size_t i = 0; i < x.h; ++i)
            for (std::size_t j = 0; j < x.w; ++j)
                for (std::size_t c = 0; c < x.c; ++c)
                    visit(groups[groupOf(k, x, c)], x.at(n, i, j, c));
    };
    each([](Group& g, double value) {
        g.mean += value;
        ++g.elements;
    });
    for (Group& g : groups) g.mean /= double(g.elements);
    std::vector<double> variances(k.groups);
    each([&](Group& g, double value) {
        variances[std::size_t(&g - groups.data())] += (value - g.mean) * (value - g.mean);
    });
    for (std::size_t i = 0; i < k.groups; ++i)
        groups[i].inverse = 1 / std::sqrt(variances[i] / double(groups[i].elements) + k.epsilon);
    return groups;
}

double parameter(const std::vector<double>& values, std::size_t channel, double missing) {
    return values.empty() ? missing : values.at(channel);
}

std::size_t width(const GroupNormalization& k, const Tensor& x) { return k.width ? k.width : x.w; }
std::size_t height(const GroupNormalization& k, const Tensor& x) {
    return k.height ? k.height : x.h;
}

// Calls visit(i, j, y, x) with each result pixel and the source pixel it comes from, -1 for none.
template <class Visit> void pixels(const GroupNormalization& k, const Tensor& x, Visit visit) {
    for (std::size_t i = 0; i < height(k, x); ++i)
        for (std::size_t j = 0; j < width(k, x); ++j)
            visit(i, j, resolve(k.offsetY + std::ptrdiff_t(i), x.h, k.edge),
                  resolve(k.offsetX + std::ptrdiff_t(j), x.w, k.edge));
}

} // namespace

Tensor forward(const GroupNormalization& k, const Tensor& x) {
    Tensor y(x.n, height(k, x), width(k, x), x.c);
    for (std::size_t n = 0; n < x.n; ++n) {
        const auto groups = statistics(k, x, n);
        for (std::size_t c = 0; c < x.c; ++c) {
            const Group g = groups[groupOf(k, x, c)];
            pixels(k, x, [&](auto i, auto j, auto row, auto column) {
                const double value = row < 0 || column < 0 ? 0 : x.at(n, row, column, c);
                y.at(n, i, j, c) = parameter(k.gamma, c, 1) * (value - g.mean) * g.inverse +
                                   parameter(k.beta, c, 0);
            });
        }
    }
    return y;
}

GroupNormalizationGradient gradient(const GroupNormalization& k, const Tensor& e, const Tensor& x) {
    require(e.sameShape({x.n, height(k, x), width(k, x), x.c}),
            "A normalization's gradient has the shape of the forward result.");
    GroupNormalizationGradient result{Tensor(x.n, x.h, x.w, x.c), Tensor(x.n, 1, 1, x.c),
                                      Tensor(x.n, 1, 1, x.c)};
    for (std::size_t n = 0; n < x.n; ++n) {
        const auto groups = statistics(k, x, n);
        std::vector<double> sums(k.groups), products(k.groups); // of h and of h * x^
        for (std::size_t c = 0; c < x.c; ++c) {
            const std::size_t group = groupOf(k, x, c);
            const Group g = groups[group];
            pixels(k, x, [&](auto i, auto j, auto row, auto column) {
                const bool inside = row >= 0 && column >= 0;
                const double value = inside ? x.at(n, row, column, c) : 0;
                const double normalized = (value - g.mean) * g.inverse;
                const double h = parameter(k.gamma, c, 1) * e.at(n, i, j, c);
                result.gamma.at(n, 0, 0, c) += e.at(n, i, j, c) * normalized;
                result.beta.at(n, 0, 0, c) += e.at(n, i, j, c);
                sums[group] += h;
                products[group] += h * normalized;
                if (inside) result.source.at(n, row, column, c) += h;
            });
        }
        for (std::size_t c = 0; c < x.c; ++c) {
            const std::size_t group = groupOf(k, x, c);
            const Group g = groups[group];
            for (std::size_t i = 0; i < x.h; ++i)
                for (std::size_t j = 0; j < x.w; ++j) {
                    const double normalized = (x.at(n, i, j, c) - g.mean) * g.inverse;
                    double& dx = result.source.at(n, i, j, c);
                    dx = g.inverse * (dx - sums[group] / double(g.elements) -
                                      normalized * products[group] / double(g.elements));
                }
        }
    }
    return result;
}

} // namespace mpsvk::reference
