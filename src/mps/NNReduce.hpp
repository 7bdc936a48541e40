// What kernels with rectangles of their sources have in common.
#pragma once

#include "mps/Pass.hpp"

#include <algorithm>

namespace mpsvk::mps {

/// The rectangle cut to the image. Throws InvalidArgument when nothing is left.
Clip checkedClip(const std::string& who, const char* property, const MTL::Region& rect,
                 const MPS::Image& image);
/// Throws InvalidArgument when the clip rectangle is larger than the result.
void checkResultHolds(const std::string& who, const Clip& clip, const Clip& result);

/// The images that a rectangle of the source chooses.
inline MPS::ImageRange imageRange(const MTL::Region& rect) {
    return {int64_t(std::min<uint64_t>(rect.origin.z, INT64_MAX)), rect.size.depth};
}
/// How many of these the image has; 1 at least, for an encode to complain about.
inline uint64_t imagesIn(const MTL::Region& rect, const MPS::Image& image) {
    const uint64_t all = image.numberOfImages();
    const uint64_t left = all - std::min(all, uint64_t(rect.origin.z));
    return std::max<uint64_t>(1, std::min(rect.size.depth, left));
}

} // namespace mpsvk::mps
