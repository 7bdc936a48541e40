// Drawings of discs, squares and triangles, to learn from where there are no photographs.
#pragma once

#include <string>
#include <vector>

#include "Pictures.hpp"
#include "train/RandomStream.hpp"

namespace mpsvk::examples {

enum class ShapeKind : uint8_t { Disc, Square, Triangle };
constexpr uint32_t shapeKinds = 3;

/// The box around it, in pixels.
struct Shape {
    ShapeKind kind = ShapeKind::Disc;
    float centreX = 0, centreY = 0, width = 0, height = 0;
};

struct Drawing {
    Picture picture;
    std::vector<uint8_t> mask; ///< per pixel 0 or, on a shape, 1 + its kind
    std::vector<Shape> shapes;
};

/// `count` shapes of random bright colours on a dark, noisy ground, which may hide a part of each
/// other; their boxes are `least` to `most` of the picture wide and high. The same seed and index
/// give the same drawing.
Drawing drawShapes(uint64_t seed, uint64_t index, uint32_t size, uint32_t count, float least,
                   float most);

} // namespace mpsvk::examples
