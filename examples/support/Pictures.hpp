// Colour pictures: read from files, cut, scaled, and laid out on a sheet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/Canvas.hpp"

namespace mpsvk::examples {

struct Picture {
    uint32_t width = 0, height = 0;
    std::vector<float> values; ///< [y][x][red, green, blue], 0 to 1

    Picture() = default;
    Picture(uint32_t width, uint32_t height)
        : width(width), height(height), values(size_t{width} * height * 3) {}
    float* at(uint32_t x, uint32_t y) { return &values[(size_t{y} * width + x) * 3]; }
    const float* at(uint32_t x, uint32_t y) const { return &values[(size_t{y} * width + x) * 3]; }
};

/// JPEG or PNG. Throws FormatError.
Picture readPicture(const std::filesystem::path& path);

/// Each pixel is the mean of those that it covers.
Picture scaled(const Picture& picture, uint32_t width, uint32_t height);
Picture cut(const Picture& picture, uint32_t left, uint32_t top, uint32_t width, uint32_t height);
/// The largest square in the middle, scaled.
Picture squareOf(const Picture& picture, uint32_t size);

/// Rows of pictures, all of one shape, with a caption over each column.
class Sheet {
public:
    /// `side` is that of a picture on the sheet (the longer one), in pixels.
    Sheet(const std::vector<std::string>& captions, size_t rows, double side);

    void add(size_t row, size_t column, const Picture& picture);
    /// The rectangle {left, top} to {right, bottom}, in pixels of the picture there.
    void frame(size_t row, size_t column, const Picture& picture, train::Point leftTop,
               train::Point rightBottom, train::Colour colour);
    void save(const std::filesystem::path& path) const { canvas_.save(path); }

private:
    train::Point corner(size_t row, size_t column) const;

    double side_;
    train::Canvas canvas_;
};

} // namespace mpsvk::examples
