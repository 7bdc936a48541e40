#include "Resize.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

template <class Value>
Tensor filled(std::size_t n, std::size_t h, std::size_t w, std::size_t c, Value value) {
    Tensor result(n, h, w, c);
    for (std::size_t i = 0; i < result.size(); ++i) {
        result.v[i] = value(i / (h * w * c), i / (w * c) % h, i / c % w, i % c);
    }
    return result;
}

double inRange(double position, std::size_t size) {
    return std::clamp(position, 0.0, double(size) - 1);
}

double scaled(std::size_t pixel, std::size_t size, std::size_t resized, bool alignCorners) {
    if (!alignCorners) {
        return double(pixel) * double(size) / double(resized);
    }
    return resized == 1 ? 0 : double(pixel) * double(size - 1) / double(resized - 1);
}

// What rounding may move a region's edge beyond the image's.
const double slack = 0x1p-16;

double inRegion(double origin, double length, std::size_t pixel, std::size_t size,
                std::size_t resized) {
    const double extent = double(size - 1);
    return resized == 1 ? (origin + length / 2) * extent
                        : origin * extent + double(pixel) * length * extent / double(resized - 1);
}

bool isOutside(double position, std::size_t size) {
    return position < -slack || position > double(size - 1) + slack;
}

} // namespace

double between(const Tensor& x, std::size_t n, double column, double row, std::size_t c,
               EdgeMode edge) {
    double sum = 0;
    for (int dy = 0; dy < 2; ++dy) {
        for (int dx = 0; dx < 2; ++dx) {
            const double left = std::floor(column) + dx, top = std::floor(row) + dy;
            const double weight = (1 - std::abs(column - left)) * (1 - std::abs(row - top));
            const auto i = resolve(std::ptrdiff_t(top), x.h, edge),
                       j = resolve(std::ptrdiff_t(left), x.w, edge);
            if (i >= 0 && j >= 0 && weight > 0) {
                sum += weight * x.at(n, std::size_t(i), std::size_t(j), c);
            }
        }
    }
    return sum;
}

Tensor resize(const Tensor& x, std::size_t width, std::size_t height, bool alignCorners,
              std::ptrdiff_t offsetX, std::ptrdiff_t offsetY) {
    return filled(x.n, height, width, x.c, [&](auto n, auto i, auto j, auto c) {
        const double column = scaled(j, x.w, width, alignCorners) + double(offsetX),
                     row = scaled(i, x.h, height, alignCorners) + double(offsetY);
        return between(x, n, inRange(column, x.w), inRange(row, x.h), c, EdgeMode::Clamp);
    });
}

Tensor cropAndResize(const Tensor& x, std::size_t width, std::size_t height,
                     const std::vector<CropRegion>& regions, EdgeMode edge) {
    return filled(x.n * regions.size(), height, width, x.c, [&](auto n, auto i, auto j, auto c) {
        const CropRegion& r = regions[n % regions.size()];
        const double column = inRegion(r.x, r.width, j, x.w, width),
                     row = inRegion(r.y, r.height, i, x.h, height);
        if (edge == EdgeMode::Zero && (isOutside(column, x.w) || isOutside(row, x.h))) {
            return 0.0;
        }
        return between(x, n / regions.size(), inRange(column, x.w), inRange(row, x.h), c,
                       EdgeMode::Clamp);
    });
}

Tensor gridSample(const Tensor& x, const Tensor& grid, double stepX, double stepY, EdgeMode edge) {
    require(grid.n == x.n && grid.c == 2, "A grid has an x and a y for each pixel.");
    return filled(x.n, grid.h, grid.w, x.c, [&](auto n, auto i, auto j, auto c) {
        return between(x, n, grid.at(n, i, j, 0) + stepX * double(j),
                       grid.at(n, i, j, 1) + stepY * double(i), c, edge);
    });
}

} // namespace mpsvk::reference
