#include "Sampling.hpp"

#include <numeric>
#include <utility>

#include "RandomStream.hpp"

namespace mpsvk::train {

std::vector<uint32_t> epochOrder(uint64_t seed, uint32_t epoch, uint32_t count) {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    RandomStream random(seed, RandomStream::Purpose::Shuffle, epoch);
    for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    return order;
}

PixelShift drawShift(uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t largest) {
    if (largest == 0) return {};
    RandomStream random(seed, RandomStream::Purpose::Shift, epoch, sample);
    const uint32_t direction = random.below(10);
    const int distance = 1 + static_cast<int>(random.below(largest));
    switch (direction) {
    case 0: return {-distance, 0};
    case 1: return {distance, 0};
    case 2: return {0, -distance};
    case 3: return {0, distance};
    default: return {};
    }
}

void shiftImage(std::span<const uint8_t> image, uint32_t width, PixelShift shift,
                std::span<std::byte> result) {
    const int columns = static_cast<int>(width);
    const int rows = static_cast<int>(image.size()) / columns;
    for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) {
            const int fromX = x - shift.x;
            const int fromY = y - shift.y;
            const bool inside = fromX >= 0 && fromX < columns && fromY >= 0 && fromY < rows;
            result[static_cast<size_t>(y * columns + x)] =
                inside ? std::byte{image[static_cast<size_t>(fromY * columns + fromX)]}
                       : std::byte{0};
        }
    }
}

} // namespace mpsvk::train
