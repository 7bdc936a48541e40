#include "Pooling.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

using Signed = std::ptrdiff_t;

struct Tap {
    Signed y, x; // -1 in either: a zero outside the image
    bool inside() const { return y >= 0 && x >= 0; }
};

Signed start(Signed offset, std::size_t taps, std::size_t dilation) {
    return offset - static_cast<Signed>(((taps - 1) * dilation + 1) / 2);
}

// The taps of one window in raster order.
std::vector<Tap> taps(const Pooling& k, const Tensor& source, std::size_t i, std::size_t j) {
    const bool restricted = k.edge == EdgeMode::Clamp &&
                            (k.type == PoolingType::Average || k.dilationX > 1 || k.dilationY > 1);
    const EdgeMode edge = restricted ? EdgeMode::Zero : k.edge;
    std::vector<Tap> result;
    for (std::size_t q = 0; q < k.kernelHeight; ++q) {
        for (std::size_t p = 0; p < k.kernelWidth; ++p) {
            const Signed y = start(k.offsetY, k.kernelHeight, k.dilationY) +
                             Signed(k.strideY * i + k.dilationY * q);
            const Signed x = start(k.offsetX, k.kernelWidth, k.dilationX) +
                             Signed(k.strideX * j + k.dilationX * p);
            const Tap tap{resolve(y, source.h, edge), resolve(x, source.w, edge)};
            if (tap.inside() || !restricted) {
                result.push_back(tap);
            }
        }
    }
    return result;
}

double read(const Tensor& source, std::size_t n, Tap tap, std::size_t c) {
    return tap.inside() ? source.at(n, tap.y, tap.x, c) : 0;
}

// The winner of one window, or null when there are no taps or only NaN.
const Tap* winner(const Tensor& source, std::size_t n, const std::vector<Tap>& window,
                  std::size_t c) {
    const Tap* best = nullptr;
    for (const Tap& tap : window) {
        const double value = read(source, n, tap, c);
        if (std::isnan(value)) {
            continue;
        }
        const double most = best ? read(source, n, *best, c) : 0;
        if (!best || value > most || (value == most && tap.inside() && !best->inside())) {
            best = &tap;
        }
    }
    return best;
}

std::size_t counted(Signed begin, std::size_t taps, std::size_t size, std::size_t pad) {
    const Signed low = std::max(begin, -Signed(pad));
    const Signed high = std::min(begin + Signed(taps), Signed(size + pad));
    return static_cast<std::size_t>(std::max<Signed>(high - low, 0));
}

double divisor(const Pooling& k, const Tensor& source, std::size_t i, std::size_t j) {
    if (k.edge == EdgeMode::Zero) {
        return static_cast<double>(k.kernelWidth * k.kernelHeight);
    }
    const Signed y = start(k.offsetY, k.kernelHeight, 1) + Signed(k.strideY * i);
    const Signed x = start(k.offsetX, k.kernelWidth, 1) + Signed(k.strideX * j);
    return static_cast<double>(counted(y, k.kernelHeight, source.h, k.zeroPadY) *
                               counted(x, k.kernelWidth, source.w, k.zeroPadX));
}

double norm(const Tensor& source, std::size_t n, const std::vector<Tap>& window, std::size_t c) {
    double sum = 0;
    for (const Tap& tap : window) {
        sum += read(source, n, tap, c) * read(source, n, tap, c);
    }
    return std::sqrt(sum);
}

double pooled(const Pooling& k, const Tensor& source, std::size_t n, const std::vector<Tap>& window,
              double count, std::size_t c) {
    if (k.type == PoolingType::L2Norm) {
        return norm(source, n, window, c);
    }
    if (k.type == PoolingType::Max) {
        const Tap* best = winner(source, n, window, c);
        return best ? read(source, n, *best, c) : window.empty() ? 0 : NAN;
    }
    double sum = 0;
    for (const Tap& tap : window) {
        sum += read(source, n, tap, c);
    }
    return count > 0 ? sum / count : 0;
}

// Adds the window's gradient to the source pixels that it read.
void scatter(const Pooling& k, const Tensor& source, std::size_t n, const std::vector<Tap>& window,
             double count, std::size_t c, double g, Tensor& result) {
    const auto add = [&](Tap tap, double value) {
        if (tap.inside()) {
            result.at(n, tap.y, tap.x, c) += value;
        }
    };
    if (k.type == PoolingType::Max) {
        if (const Tap* best = winner(source, n, window, c)) {
            add(*best, g);
        }
        return;
    }
    const double length = k.type == PoolingType::L2Norm ? norm(source, n, window, c) : count;
    for (const Tap& tap : window) {
        if (length > 0) {
            add(tap,
                k.type == PoolingType::L2Norm ? g * read(source, n, tap, c) / length : g / length);
        }
    }
}

template <class Visit> void windows(const Pooling& k, const Tensor& source, Visit visit) {
    require(k.type == PoolingType::Max || (k.dilationX == 1 && k.dilationY == 1),
            "Only maximum pooling dilates.");
    for (std::size_t i = 0; i < k.outputHeight; ++i) {
        for (std::size_t j = 0; j < k.outputWidth; ++j) {
            const std::vector<Tap> window = taps(k, source, i, j);
            const double count = divisor(k, source, i, j);
            for (std::size_t n = 0; n < source.n; ++n) {
                for (std::size_t c = 0; c < source.c; ++c) {
                    visit(n, i, j, c, window, count);
                }
            }
        }
    }
}

} // namespace

Tensor forward(const Pooling& k, const Tensor& source) {
    Tensor result(source.n, k.outputHeight, k.outputWidth, source.c);
    windows(k, source, [&](auto n, auto i, auto j, auto c, const auto& window, double count) {
        result.at(n, i, j, c) = pooled(k, source, n, window, count, c);
    });
    return result;
}

Tensor gradient(const Pooling& k, const Tensor& sourceGradient, const Tensor& source) {
    require(sourceGradient.sameShape({source.n, k.outputHeight, k.outputWidth, source.c}),
            "A pooling gradient's source has the shape of the forward result.");
    Tensor result(source.n, source.h, source.w, source.c);
    windows(k, source, [&](auto n, auto i, auto j, auto c, const auto& window, double count) {
        scatter(k, source, n, window, count, c, sourceGradient.at(n, i, j, c), result);
    });
    return result;
}

void gradient(const Pooling& k, const PoolingGradientPlacement& placement, const Tensor& primary,
              const Tensor& secondary, Tensor& destination) {
    const auto extent = [](std::size_t wanted, std::size_t size, Signed offset) {
        const Signed rest = std::max<Signed>(Signed(size) - offset, 0);
        return std::min(wanted, static_cast<std::size_t>(rest));
    };
    Pooling local = k;
    local.outputWidth = extent(placement.sourceWidth, primary.w, placement.primaryOffsetX);
    local.outputHeight = extent(placement.sourceHeight, primary.h, placement.primaryOffsetY);
    const Tensor incoming = crop(primary, {placement.primaryOffsetX, placement.primaryOffsetY,
                                           local.outputWidth, local.outputHeight});
    const Tensor whole = gradient(local, incoming, secondary);

    // The first pixel of the clip rectangle stands for the first source pixel of the first window.
    const Signed y = std::max<Signed>(0, start(k.offsetY, k.kernelHeight, k.dilationY));
    const Signed x = std::max<Signed>(0, start(k.offsetX, k.kernelWidth, k.dilationX));
    const Region clip = placement.clip;
    const Tensor part = crop(whole, {x, y, extent(clip.width, destination.w, clip.x),
                                     extent(clip.height, destination.h, clip.y)});
    paste(destination, clip, 0, part);
}

} // namespace mpsvk::reference
