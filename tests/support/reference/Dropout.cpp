#include "Dropout.hpp"

#include <cmath>

namespace mpsvk::reference {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(b),
                   static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(a)};
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return counter;
}

double DropoutMask::at(std::size_t y, std::size_t x, std::size_t c) const {
    const std::size_t row = height == 1 ? 0 : y, column = width == 1 ? 0 : x;
    const std::size_t channel = channels == 1 ? 0 : c;
    require(row < height && column < width && channel < channels, "The mask is smaller.");
    return bits.at((row * width + column) * channels + channel);
}

DropoutMask dropoutMask(const Dropout& d, std::size_t height, std::size_t width,
                        std::size_t channels, std::size_t imageInBatch) {
    DropoutMask mask{d.maskPerRow ? height : 1,
                     d.maskPerColumn ? width : 1,
                     d.maskPerChannel ? channels : 1,
                     {}};
    mask.bits.resize(mask.height * mask.width * mask.channels);
    for (std::size_t i = 0; i < mask.bits.size(); ++i) {
        const auto numbers = philox(
            {static_cast<std::uint32_t>(i / 4), static_cast<std::uint32_t>(imageInBatch),
             static_cast<std::uint32_t>(d.ordinal), static_cast<std::uint32_t>(d.ordinal >> 32)},
            {static_cast<std::uint32_t>(d.seed), static_cast<std::uint32_t>(d.seed >> 32)});
        mask.bits[i] = std::ldexp(numbers[i % 4] >> 8, -24) < d.keepProbability;
    }
    return mask;
}

Tensor gradient(const Dropout& d, const Tensor& g, std::size_t forwardHeight,
                std::size_t forwardWidth, std::ptrdiff_t offsetX, std::ptrdiff_t offsetY) {
    Tensor result = g;
    for (std::size_t n = 0; n < g.n; ++n) {
        const DropoutMask mask = dropoutMask(d, forwardHeight, forwardWidth, g.c, n);
        for (std::size_t y = 0; y < g.h; ++y) {
            for (std::size_t x = 0; x < g.w; ++x) {
                for (std::size_t c = 0; c < g.c; ++c) {
                    result.at(n, y, x, c) *= mask.at(y + offsetY, x + offsetX, c) /
                                             static_cast<double>(d.keepProbability);
                }
            }
        }
    }
    return result;
}

Tensor forward(const Dropout& d, const Tensor& source) {
    return gradient(d, source, source.h, source.w); // linear and diagonal: its own adjoint
}

} // namespace mpsvk::reference
