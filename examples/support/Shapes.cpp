#include "Shapes.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace mpsvk::examples {

namespace {

using Rgb = std::array<float, 3>;

class Draw {
public:
    Draw(uint64_t seed, uint64_t index)
        : random_(seed, train::RandomStream::Purpose::Data, index) {}
    float between(float low, float high) {
        return (low + high) / 2 + random_.symmetric((high - low) / 2);
    }
    uint32_t below(uint32_t bound) { return random_.below(bound); }
    Rgb colour(float least, float most) {
        return {between(least, most), between(least, most), between(least, most)};
    }

private:
    train::RandomStream random_;
};

bool covers(const Shape& shape, float x, float y) {
    // From -1 to 1 across the box.
    const float u = 2 * (x - shape.centreX) / shape.width;
    const float v = 2 * (y - shape.centreY) / shape.height;
    switch (shape.kind) {
    case ShapeKind::Disc: return u * u + v * v <= 1;
    case ShapeKind::Square: return std::max(std::abs(u), std::abs(v)) <= 1;
    case ShapeKind::Triangle: return std::abs(v) <= 1 && std::abs(u) <= (v + 1) / 2;
    }
    return false;
}

} // namespace

Drawing drawShapes(uint64_t seed, uint64_t index, uint32_t size, uint32_t count, float least,
                   float most) {
    Draw draw(seed, index);
    const auto extent = static_cast<float>(size);
    const Rgb ground = draw.colour(0, 0.35f);
    std::vector<Rgb> colours;
    Drawing made{Picture(size, size), std::vector<uint8_t>(size_t{size} * size), {}};
    for (uint32_t i = 0; i < count; ++i) {
        Shape shape;
        shape.kind = static_cast<ShapeKind>(draw.below(shapeKinds));
        shape.width = draw.between(least, most) * extent;
        shape.height = draw.between(0.8f, 1.25f) * shape.width;
        shape.height = std::min(shape.height, most * extent);
        shape.centreX = draw.between(shape.width / 2, extent - shape.width / 2);
        shape.centreY = draw.between(shape.height / 2, extent - shape.height / 2);
        made.shapes.push_back(shape);
        colours.push_back(draw.colour(0.5f, 1));
    }
    for (uint32_t y = 0; y < size; ++y) {
        for (uint32_t x = 0; x < size; ++x) {
            Rgb colour = ground;
            for (size_t i = 0; i < made.shapes.size(); ++i) {
                const Shape& shape = made.shapes[i];
                if (!covers(shape, static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f))
                    continue;
                colour = colours[i];
                made.mask[size_t{y} * size + x] =
                    static_cast<uint8_t>(1 + static_cast<uint32_t>(shape.kind));
            }
            for (size_t c = 0; c < 3; ++c) {
                made.picture.at(x, y)[c] =
                    std::clamp(colour[c] + draw.between(-0.08f, 0.08f), 0.0f, 1.0f);
            }
        }
    }
    return made;
}

} // namespace mpsvk::examples
