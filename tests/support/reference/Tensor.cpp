#include "Tensor.hpp"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace mpsvk::reference {

void require(bool condition, const char* message) {
    if (!condition) {
        throw std::logic_error(message);
    }
}

Tensor::Tensor(std::size_t n, std::size_t h, std::size_t w, std::size_t c, double value)
    : n(n), h(h), w(w), c(c), v(n * h * w * c, value) {}

Tensor::Tensor(std::size_t n, std::size_t h, std::size_t w, std::size_t c,
               std::vector<double> values)
    : n(n), h(h), w(w), c(c), v(std::move(values)) {
    require(v.size() == n * h * w * c, "The number of values does not fit the shape.");
}

std::vector<float> Tensor::floats() const { return {v.begin(), v.end()}; }

Tensor fromFloats(std::size_t n, std::size_t h, std::size_t w, std::size_t c,
                  const std::vector<float>& values) {
    return {n, h, w, c, std::vector<double>(values.begin(), values.end())};
}

std::ptrdiff_t resolve(std::ptrdiff_t position, std::size_t size, EdgeMode edge) {
    const auto last = static_cast<std::ptrdiff_t>(size) - 1;
    if (edge == EdgeMode::Clamp) {
        return std::clamp<std::ptrdiff_t>(position, 0, last);
    }
    return position < 0 || position > last ? -1 : position;
}

namespace {

std::size_t extentOf(std::size_t wanted, std::ptrdiff_t origin, std::size_t size) {
    const std::ptrdiff_t rest = static_cast<std::ptrdiff_t>(size) - origin;
    return wanted != SIZE_MAX ? wanted
                              : static_cast<std::size_t>(std::max<std::ptrdiff_t>(rest, 0));
}

// Calls visit(index in the region, index in the image) for every pixel that is in both.
template <class Visit>
void overlap(const Tensor& image, Region region, const Tensor& part, Visit visit) {
    for (std::size_t n = 0; n < part.n; ++n) {
        for (std::size_t y = 0; y < part.h; ++y) {
            for (std::size_t x = 0; x < part.w; ++x) {
                const auto row = resolve(region.y + std::ptrdiff_t(y), image.h, EdgeMode::Zero);
                const auto column = resolve(region.x + std::ptrdiff_t(x), image.w, EdgeMode::Zero);
                if (row >= 0 && column >= 0) {
                    visit(part.index(n, y, x, 0), image.index(n, row, column, 0));
                }
            }
        }
    }
}

} // namespace

Tensor crop(const Tensor& source, Region region) {
    Tensor result(source.n, extentOf(region.height, region.y, source.h),
                  extentOf(region.width, region.x, source.w), source.c);
    overlap(source, region, result, [&](std::size_t to, std::size_t from) {
        std::copy_n(source.v.begin() + from, source.c, result.v.begin() + to);
    });
    return result;
}

void paste(Tensor& destination, Region region, std::size_t firstChannel, const Tensor& result) {
    require(destination.n == result.n && firstChannel + result.c <= destination.c,
            "The result does not fit the destination.");
    Tensor part =
        crop(result, {0, 0, std::min(region.width, result.w), std::min(region.height, result.h)});
    overlap(destination, region, part, [&](std::size_t from, std::size_t to) {
        std::copy_n(part.v.begin() + from, part.c, destination.v.begin() + to + firstChannel);
    });
}

Tensor channels(const Tensor& source, std::size_t first, std::size_t count) {
    require(first + count <= source.c, "The image has fewer channels.");
    Tensor result(source.n, source.h, source.w, count);
    for (std::size_t pixel = 0; pixel < source.n * source.h * source.w; ++pixel) {
        std::copy_n(source.v.begin() + pixel * source.c + first, count,
                    result.v.begin() + pixel * count);
    }
    return result;
}

Tensor image(const Tensor& source, std::size_t index) {
    require(index < source.n, "There are fewer images.");
    const std::size_t size = source.h * source.w * source.c;
    const auto begin = source.v.begin() + index * size;
    return {1, source.h, source.w, source.c, std::vector<double>(begin, begin + size)};
}

Tensor stack(const std::vector<Tensor>& images) {
    require(!images.empty(), "There is nothing to stack.");
    Tensor result = images.front();
    for (std::size_t i = 1; i < images.size(); ++i) {
        const Tensor& next = images[i];
        require(next.h == result.h && next.w == result.w && next.c == result.c,
                "Stacked images have one shape.");
        result.n += next.n;
        result.v.insert(result.v.end(), next.v.begin(), next.v.end());
    }
    return result;
}

std::vector<double> absolute(std::vector<double> values) {
    for (double& value : values) {
        value = std::abs(value);
    }
    return values;
}

Tensor absolute(Tensor tensor) {
    tensor.v = absolute(std::move(tensor.v));
    return tensor;
}

double dot(const Tensor& a, const Tensor& b) {
    require(a.sameShape(b), "A product needs two tensors of one shape.");
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a.v[i] * b.v[i];
    }
    return sum;
}

Comparison compare(const Tensor& actual, const Tensor& expected, Tolerance tolerance) {
    Comparison result;
    std::ostringstream text;
    const Tensor* magnitude = tolerance.magnitude;
    if (!actual.sameShape(expected) || (magnitude && !magnitude->sameShape(expected))) {
        text << "got " << actual.n << 'x' << actual.h << 'x' << actual.w << 'x' << actual.c
             << ", expected " << expected.n << 'x' << expected.h << 'x' << expected.w << 'x'
             << expected.c << (magnitude ? " (and magnitudes of the same shape)" : "");
        result.text = text.str();
        return result;
    }
    double largest = 0;
    for (double value : expected.v) {
        largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
    }
    double allowed = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double a = actual.v[i], b = expected.v[i];
        const double bound = tolerance.absolute +
                             tolerance.relative * (magnitude ? std::abs(magnitude->v[i]) : largest);
        double ratio = 0;
        if (!(a == b || (std::isnan(a) && std::isnan(b)))) {
            ratio = std::abs(a - b) / bound;
            ratio = std::isnan(ratio) ? HUGE_VAL : ratio;
        }
        if (i == 0 || ratio > result.worst) {
            result.worst = ratio;
            result.index = i;
            result.actual = a;
            result.expected = b;
            allowed = bound;
        }
    }
    result.equal = result.worst <= 1;
    if (expected.size() > 0) {
        const std::size_t i = result.index, c = expected.c, w = expected.w, h = expected.h;
        text.precision(9);
        text << "worst of " << expected.size() << " is (image " << i / (h * w * c) << ", y "
             << i / (w * c) % h << ", x " << i / c % w << ", channel " << i % c << "): got "
             << result.actual << ", expected " << result.expected << ", which is off by "
             << std::abs(result.actual - result.expected) << " where " << allowed << " is allowed";
    }
    result.text = text.str();
    return result;
}

Comparison compare(const std::vector<double>& actual, const std::vector<double>& expected,
                   Tolerance tolerance) {
    return compare(Tensor(1, 1, actual.size(), 1, actual),
                   Tensor(1, 1, expected.size(), 1, expected), tolerance);
}

std::ostream& operator<<(std::ostream& stream, const Comparison& comparison) {
    return stream << comparison.text;
}

} // namespace mpsvk::reference
