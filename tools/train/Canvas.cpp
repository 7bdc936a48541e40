#include "Canvas.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <mpsvk/Error.hpp>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_easy_font.h>
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace mpsvk::train {

namespace {

constexpr int samplesPerSide = 3;

double distanceToSegment(Point p, Point a, Point b) {
    const double dx = b.x - a.x, dy = b.y - a.y;
    const double squared = dx * dx + dy * dy;
    const double along =
        squared == 0 ? 0 : std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / squared, 0.0, 1.0);
    return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

} // namespace

Canvas::Canvas(unsigned width, unsigned height, Colour background)
    : width_(width), height_(height),
      samples_(size_t{width} * height * samplesPerSide * samplesPerSide, background) {}

void Canvas::fine(double x, double y, Colour colour) {
    const auto column = static_cast<int64_t>(x), row = static_cast<int64_t>(y);
    const int64_t columns = int64_t{width_} * samplesPerSide;
    if (column < 0 || row < 0 || column >= columns || row >= int64_t{height_} * samplesPerSide) {
        return;
    }
    samples_[static_cast<size_t>(row * columns + column)] = colour;
}

void Canvas::rectangle(Point topLeft, Point bottomRight, Colour colour) {
    const auto edge = [](double value) { return std::round(value * samplesPerSide); };
    for (double y = edge(topLeft.y); y < edge(bottomRight.y); ++y) {
        for (double x = edge(topLeft.x); x < edge(bottomRight.x); ++x) fine(x, y, colour);
    }
}

void Canvas::line(Point from, Point to, double thickness, Colour colour) {
    const double reach = thickness / 2;
    const auto first = [&](double a, double b) {
        return std::floor((std::min(a, b) - reach) * samplesPerSide);
    };
    const auto last = [&](double a, double b) {
        return std::ceil((std::max(a, b) + reach) * samplesPerSide);
    };
    for (double y = first(from.y, to.y); y <= last(from.y, to.y); ++y) {
        for (double x = first(from.x, to.x); x <= last(from.x, to.x); ++x) {
            const Point centre{(x + 0.5) / samplesPerSide, (y + 0.5) / samplesPerSide};
            if (distanceToSegment(centre, from, to) <= reach) fine(x, y, colour);
        }
    }
}

void Canvas::polyline(std::span<const Point> points, double thickness, Colour colour) {
    for (size_t i = 1; i < points.size(); ++i) line(points[i - 1], points[i], thickness, colour);
}

void Canvas::disc(Point centre, double radius, Colour colour) {
    line(centre, centre, 2 * radius, colour);
}

std::vector<Canvas::Box> Canvas::glyphBoxes(const std::string& text, double size) {
    struct Vertex {
        float x, y, z;
        std::array<unsigned char, 4> colour;
    };
    std::vector<Vertex> vertices(text.size() * 128 + 64);
    std::string copy = text;
    const int quads = stb_easy_font_print(0, 0, copy.data(), nullptr, vertices.data(),
                                          static_cast<int>(vertices.size() * sizeof(Vertex)));
    std::vector<Box> boxes;
    for (int i = 0; i < quads; ++i) {
        const Vertex& corner = vertices[static_cast<size_t>(4 * i)];
        const Vertex& opposite = vertices[static_cast<size_t>(4 * i + 2)];
        boxes.push_back({corner.x * size, corner.y * size, opposite.x * size, opposite.y * size});
    }
    return boxes;
}

double Canvas::textWidth(const std::string& text, double size) {
    double width = 0;
    for (const Box& box : glyphBoxes(text, size)) width = std::max(width, box.right);
    return width;
}

void Canvas::text(Point where, const std::string& text, double size, Colour colour, Align align) {
    const double width = textWidth(text, size);
    const double left = std::round(where.x - (align == Align::Left    ? 0
                                              : align == Align::Right ? width
                                                                      : width / 2));
    for (const Box& box : glyphBoxes(text, size)) {
        rectangle({left + box.left, where.y + box.top}, {left + box.right, where.y + box.bottom},
                  colour);
    }
}

void Canvas::textUpwards(Point where, const std::string& text, double size, Colour colour) {
    const double bottom = std::round(where.y + textWidth(text, size) / 2);
    for (const Box& box : glyphBoxes(text, size)) {
        rectangle({where.x + box.top, bottom - box.right},
                  {where.x + box.bottom, bottom - box.left}, colour);
    }
}

void Canvas::picture(Point topLeft, double side, std::span<const Colour> pixels, unsigned columns) {
    const auto rows = static_cast<unsigned>(pixels.size() / columns);
    const double pixelSide = side / std::max(rows, columns);
    for (unsigned y = 0; y < rows; ++y) {
        for (unsigned x = 0; x < columns; ++x) {
            rectangle({topLeft.x + x * pixelSide, topLeft.y + y * pixelSide},
                      {topLeft.x + (x + 1) * pixelSide, topLeft.y + (y + 1) * pixelSide},
                      pixels[size_t{y} * columns + x]);
        }
    }
}

void Canvas::picture(Point topLeft, double side, std::span<const uint8_t> grey, unsigned columns) {
    std::vector<Colour> pixels;
    for (const uint8_t value : grey) pixels.push_back({value, value, value});
    picture(topLeft, side, pixels, columns);
}

Colour Canvas::pixel(unsigned x, unsigned y) const {
    unsigned red = 0, green = 0, blue = 0;
    for (size_t sampleY = 0; sampleY < samplesPerSide; ++sampleY) {
        const size_t row = size_t{y} * samplesPerSide + sampleY;
        for (size_t sampleX = 0; sampleX < samplesPerSide; ++sampleX) {
            const Colour& sample = samples_[(row * width_ + x) * samplesPerSide + sampleX];
            red += sample.red;
            green += sample.green;
            blue += sample.blue;
        }
    }
    constexpr unsigned count = samplesPerSide * samplesPerSide;
    const auto mean = [](unsigned sum) { return static_cast<uint8_t>((sum + count / 2) / count); };
    return {mean(red), mean(green), mean(blue)};
}

void Canvas::save(const std::filesystem::path& path) const {
    std::vector<uint8_t> bytes;
    bytes.reserve(size_t{width_} * height_ * 3);
    for (unsigned y = 0; y < height_; ++y) {
        for (unsigned x = 0; x < width_; ++x) {
            const Colour colour = pixel(x, y);
            bytes.insert(bytes.end(), {colour.red, colour.green, colour.blue});
        }
    }
    // Not by stbi_write_png, which does not notice that a disk is full.
    std::ofstream file(path, std::ios::binary);
    const auto write = [](void* to, void* data, int size) {
        static_cast<std::ofstream*>(to)->write(static_cast<const char*>(data), size);
    };
    const bool made =
        stbi_write_png_to_func(write, &file, static_cast<int>(width_), static_cast<int>(height_), 3,
                               bytes.data(), static_cast<int>(width_) * 3) != 0;
    file.close();
    if (!made || !file) {
        throw FormatError(path.string() + ": offset 0: the picture cannot be written.");
    }
}

} // namespace mpsvk::train
