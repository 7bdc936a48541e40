// Which images make up a training batch, and how each is varied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mpsvk::train {

struct PixelShift {
    int x = 0;
    int y = 0;
    bool operator==(const PixelShift&) const = default;
};

/// The order in which epoch `epoch` visits `count` images. Depends on its arguments alone.
std::vector<uint32_t> epochOrder(uint64_t seed, uint32_t epoch, uint32_t count);

/// Four of ten images move 1 … `largest` pixels left, right, up or down; the others stay.
PixelShift drawShift(uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t largest);

/// Moves a picture; what comes in from outside is 0. `result` has the size of `image`.
void shiftImage(std::span<const uint8_t> image, uint32_t width, PixelShift shift,
                std::span<std::byte> result);

} // namespace mpsvk::train
