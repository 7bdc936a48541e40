#include "GradientCheck.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

namespace mpsvk::reference {
namespace {

bool leftOut(const GradientCheckOptions& options, std::size_t i, double x) {
    for (double kink : options.kinks) {
        if (std::abs(x - kink) <= 2 * options.step) {
            return true;
        }
    }
    return options.excluded && options.excluded(i);
}

std::vector<std::size_t> chosen(const GradientCheckOptions& options, const Tensor& x) {
    std::vector<std::size_t> candidates, result;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (!leftOut(options, i, x.v[i])) {
            candidates.push_back(i);
        }
    }
    // A stride that shares no factor with the size visits all channels, rows and columns alike.
    const std::size_t size = candidates.size();
    std::size_t stride = size * 618 / 1000 + 1;
    while (std::gcd(stride, size) > 1) {
        ++stride;
    }
    for (std::size_t i = 0; i < std::min(options.samples, size); ++i) {
        result.push_back(candidates[i * stride % size]);
    }
    return result;
}

} // namespace

GradientCheckResult checkGradient(const ScalarFunction& f, const Tensor& x, const Tensor& dx,
                                  const GradientCheckOptions& options) {
    require(x.sameShape(dx), "A gradient has the shape of what it is the gradient for.");
    GradientCheckResult result;
    std::ostringstream text;
    text.precision(9);
    double largest = 0, worst = -1;
    for (double value : dx.v) {
        largest = std::max(largest, std::abs(value));
    }
    const double allowed = options.absolute + options.tolerance * largest;
    Tensor moved = x;
    for (std::size_t i : chosen(options, x)) {
        moved.v[i] = x.v[i] + options.step;
        const double above = f(moved);
        moved.v[i] = x.v[i] - options.step;
        const double below = f(moved);
        moved.v[i] = x.v[i];
        const double difference = (above - below) / (2 * options.step);
        const double error = std::abs(difference - dx.v[i]);
        ++result.checked;
        if (!(error <= worst)) {
            worst = std::isnan(error) ? HUGE_VAL : error;
            text.str({});
            text << "worst is element " << i << " (value " << x.v[i] << "): the gradient is "
                 << dx.v[i] << ", the difference quotient " << difference << ", off by " << error
                 << " where " << allowed << " is allowed";
        }
    }
    result.equal = result.checked > 0 && worst <= allowed;
    text << " (" << result.checked << " of " << x.size() << " elements checked)";
    result.text = text.str();
    return result;
}

GradientCheckResult checkGradient(const std::function<double(const std::vector<double>&)>& f,
                                  const std::vector<double>& x, const std::vector<double>& dx,
                                  const GradientCheckOptions& options) {
    return checkGradient([&](const Tensor& t) { return f(t.v); }, Tensor(1, 1, 1, x.size(), x),
                         Tensor(1, 1, 1, dx.size(), dx), options);
}

} // namespace mpsvk::reference
