// How workgroups share the pixels of a rectangle over a run of images (glsl/walk.glsl).
#pragma once

#include "walk.h"

namespace mpsvk::mps {

/// What a workgroup of 256 does with its pixels: it leaves partial sums, of which there should be
/// few (chunk k then has the rows of pixels k, k + chunks, ...), or it writes pixels.
enum class WalkUse { Sums, Pixels };

glsl::WalkParameters walkOver(uint64_t width, uint64_t height, uint64_t images, uint64_t channels,
                              WalkUse use);
/// Invocations of a linear grid that runs the walk.
uint64_t walkInvocations(const glsl::WalkParameters& walk);

} // namespace mpsvk::mps
