// How workgroups share the pixels of a rectangle over a run of images (glsl/walk.glsl).
#pragma once

#include "mps/Encoder.hpp"
#include "walk.h"

namespace mpsvk::mps {

/// What a workgroup of 256 does with its pixels: it leaves partial sums, of which there should be
/// few (chunk k then has the rows of pixels k, k + chunks, ...), or it writes pixels.
enum class WalkUse { Sums, Pixels };

struct WalkShape {
    uint64_t width, height, images, channels;
    uint32_t texelsEach = 1;
    /// Of sums. By one image's shape where a batch must give the same bits however it is cut.
    uint64_t chunksAtMost = UINT64_MAX;
};

glsl::WalkParameters walkOver(const WalkShape& shape, WalkUse use);
/// Whether the pixels of all images follow each other in memory, and the rectangle has all of them:
/// then they are one long row, which flatten() makes of them.
bool isFlat(const WalkShape& shape, const ImageRun& run, const glsl::ImageView& view);
void flatten(WalkShape& shape, std::initializer_list<glsl::ImageView*> views);
/// Chunks for the sums of one image, `most` for the largest: few enough that adding them up is
/// cheap beside an image's pixels, enough that a batch fills a device.
uint64_t chunksOfImage(uint64_t width, uint64_t height, uint64_t channels, uint64_t most);
/// The grid that runs it.
Grid walkGrid(const glsl::WalkParameters& walk, uint32_t texelsEach, bool wholeTexels);

} // namespace mpsvk::mps
