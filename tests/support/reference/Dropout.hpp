#pragma once
// Dropout with its counter-based random numbers (Philox4x32-10).

#include "Tensor.hpp"

#include <array>

namespace mpsvk::reference {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

// The mask of one image: [height][width][channels] of 0 and 1, an axis with stride 0 having size 1.
struct DropoutMask {
    std::size_t height = 1, width = 1, channels = 1;
    std::vector<std::uint8_t> bits;

    // Of a result's element; axes of size 1 repeat.
    double at(std::size_t y, std::size_t x, std::size_t c) const;
};

struct Dropout {
    float keepProbability = 0.5f;
    std::uint64_t seed = 0;
    std::uint64_t ordinal = 0; // how many encodes of the kernel came before
    bool maskPerColumn = true, maskPerRow = true, maskPerChannel = true; // strides x, y, z
};

DropoutMask dropoutMask(const Dropout& dropout, std::size_t height, std::size_t width,
                        std::size_t channels, std::size_t imageInBatch);

Tensor forward(const Dropout& dropout, const Tensor& source);
// The offset shifts the look-up in the mask.
Tensor gradient(const Dropout& dropout, const Tensor& sourceGradient, std::size_t forwardHeight,
                std::size_t forwardWidth, std::ptrdiff_t secondaryOffsetX = 0,
                std::ptrdiff_t secondaryOffsetY = 0);

} // namespace mpsvk::reference
