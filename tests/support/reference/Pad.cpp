#include "Pad.hpp"

namespace mpsvk::reference {

std::ptrdiff_t padIndex(PadMode mode, std::ptrdiff_t i, std::size_t size) {
    const auto n = static_cast<std::ptrdiff_t>(size);
    if (mode == PadMode::Mirror && n == 1) {
        return 0;
    }
    while (i < 0 || i >= n) { // one reflection after the other
        switch (mode) {
        case PadMode::Zero:
        case PadMode::Constant: return -1;
        case PadMode::Clamp: return i < 0 ? 0 : n - 1;
        case PadMode::Mirror: i = i < 0 ? -i : 2 * (n - 1) - i; break;
        case PadMode::MirrorWithEdge: i = i < 0 ? -1 - i : 2 * n - 1 - i; break;
        }
    }
    return i;
}

namespace {

// Calls visit(index in the result, index in the source or -1, channel of the result).
template <class Visit> void forEach(const Pad& p, const Tensor& source, Visit visit) {
    const std::size_t channels = p.before + source.c + p.after;
    const Tensor result(source.n, p.height, p.width, channels);
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::size_t c = i % channels, pixel = i / channels;
        const std::size_t line = pixel / p.width, image = line / p.height;
        const auto sx = padIndex(p.mode, p.offsetX + std::ptrdiff_t(pixel % p.width), source.w);
        const auto sy = padIndex(p.mode, p.offsetY + std::ptrdiff_t(line % p.height), source.h);
        const auto sc = padIndex(p.mode, std::ptrdiff_t(c) - std::ptrdiff_t(p.before), source.c);
        const bool inside = sx >= 0 && sy >= 0 && sc >= 0;
        visit(i, inside ? std::ptrdiff_t(source.index(image, sy, sx, sc)) : -1, c);
    }
}

} // namespace

Tensor pad(const Pad& p, const Tensor& source) {
    Tensor result(source.n, p.height, p.width, p.before + source.c + p.after);
    forEach(p, source, [&](std::size_t to, std::ptrdiff_t from, std::size_t c) {
        const double fill = p.mode != PadMode::Constant ? 0
                            : p.fillValues.empty()      ? p.fillValue
                                                        : p.fillValues.at(c);
        result.v[to] = from < 0 ? fill : source.v[from];
    });
    return result;
}

Tensor padGradient(const Pad& p, const Tensor& g, const Tensor& source) {
    require(g.n == source.n && g.h == p.height && g.w == p.width &&
                g.c == p.before + source.c + p.after,
            "the gradient has another shape than the padded source");
    Tensor result(source.n, source.h, source.w, source.c);
    forEach(p, source, [&](std::size_t to, std::ptrdiff_t from, std::size_t) {
        if (from >= 0) {
            result.v[from] += g.v[to];
        }
    });
    return result;
}

} // namespace mpsvk::reference
