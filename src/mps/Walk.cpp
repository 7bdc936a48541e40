#include "mps/Walk.hpp"

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

namespace {

constexpr uint64_t workgroup = 256;
/// Four for each multiprocessor of a large GPU. What more of them leave takes longer to read: see
/// glsl/CNNBatchNormalizationStatisticsReduce.comp.
constexpr uint64_t mostSumGroups = 528;

/// Slices side by side in a workgroup: as many as leave the fewest invocations idle, and among
/// those the most, for reads that lie together; up to 512 bytes of fp32.
uint32_t laneBitsFor(uint64_t slices) {
    const uint32_t most = uint32_t(std::min(5, int(std::bit_width(slices - 1))));
    const auto covered = [&](uint32_t bits) { return vk::divideUp(slices, 1u << bits) << bits; };
    uint32_t best = most;
    for (uint32_t bits = std::min(3u, most); bits <= most; ++bits)
        if (covered(bits) < covered(best) || (covered(bits) == covered(best) && bits > best))
            best = bits;
    return best;
}

/// Chunks for about `groups` workgroups.
uint64_t most(uint64_t groups, uint64_t tiles) { return std::max<uint64_t>(1, groups / tiles); }

} // namespace

glsl::WalkParameters walkOver(const WalkShape& shape, WalkUse use) {
    const uint64_t slices = vk::divideUp(shape.channels, 4) / shape.texelsEach, width = shape.width,
                   height = std::max<uint64_t>(1, shape.height),
                   pixels = width * shape.height * shape.images;
    glsl::WalkParameters w{};
    w.width = uint32_t(width);
    w.height = uint32_t(height);
    w.pixels = uint32_t(pixels);
    w.laneBits = laneBitsFor(slices);
    w.tiles = uint32_t(vk::divideUp(slices, 1u << w.laneBits));
    const uint64_t rows = workgroup >> w.laneBits;
    const uint64_t steps = vk::divideUp(pixels, rows);
    // Enough workgroups to fill a large device.
    uint64_t step = rows;
    if (use == WalkUse::Sums) {
        // All workgroups go through the images together, so that caches end up with what was read
        // last; each takes at least 4 steps.
        w.chunks = uint32_t(std::clamp<uint64_t>(
            vk::divideUp(steps, 4), 1, std::min(most(mostSumGroups, w.tiles), shape.chunksAtMost)));
        w.chunkPixels = uint32_t(rows);
        w.span = w.pixels;
        step = rows * w.chunks;
    } else {
        // Sums of the same images come first: begin where they ended.
        const uint64_t length =
            std::clamp<uint64_t>(vk::divideUp(steps, most(2112, w.tiles)), 1, 8);
        w.chunkPixels = w.span = uint32_t(length * rows);
        w.chunks = uint32_t(vk::divideUp(pixels, w.span));
        w.fromEnd = 1;
    }
    w.step = uint32_t(step);
    w.stepX = uint32_t(step % width);
    w.stepY = uint32_t(step / width % height);
    w.stepImages = uint32_t(step / width / height);
    return w;
}

bool isFlat(const WalkShape& shape, const ImageRun& run, const glsl::ImageView& view) {
    return !run.isTexture() && view.width == shape.width && view.height == shape.height &&
           (shape.images == 1 || view.imageStride == view.width * view.height * view.slices);
}

void flatten(WalkShape& shape, std::initializer_list<glsl::ImageView*> views) {
    shape.width *= shape.height * shape.images;
    shape.height = shape.images = 1;
    for (glsl::ImageView* view : views) {
        view->width = uint32_t(shape.width);
        view->height = 1;
    }
}

uint64_t chunksOfImage(uint64_t width, uint64_t height, uint64_t channels, uint64_t most) {
    constexpr uint64_t texelsEach = 16384, fewest = 12;
    return std::clamp(width * height * vk::divideUp(channels, 4) / texelsEach, fewest, most);
}

Grid walkGrid(const glsl::WalkParameters& walk, uint32_t texelsEach, bool wholeTexels) {
    Grid grid = Grid::of(uint64_t(walk.tiles) * walk.chunks * workgroup);
    grid.texelsEach = texelsEach;
    grid.wholeTexels = wholeTexels;
    return grid;
}

} // namespace mpsvk::mps
