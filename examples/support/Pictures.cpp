#include "Pictures.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include <mpsvk/Error.hpp>

#include "train/Chart.hpp"

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wuseless-cast"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace mpsvk::examples {

namespace {
constexpr double gap = 12, header = 34;
constexpr train::Colour ink{33, 37, 41};
} // namespace

Picture readPicture(const std::filesystem::path& path) {
    int width = 0, height = 0, channels = 0;
    const std::unique_ptr<stbi_uc, void (*)(void*)> bytes(
        stbi_load(path.string().c_str(), &width, &height, &channels, 3), stbi_image_free);
    if (!bytes)
        throw FormatError(path.string() + ": offset 0: " + stbi_failure_reason() +
                          " (a JPEG or PNG picture is expected).");
    Picture picture(static_cast<uint32_t>(width), static_cast<uint32_t>(height));
    std::transform(bytes.get(), bytes.get() + picture.values.size(), picture.values.begin(),
                   [](stbi_uc value) { return static_cast<float>(value) / 255; });
    return picture;
}

Picture scaled(const Picture& picture, uint32_t width, uint32_t height) {
    Picture result(width, height);
    const auto range = [](uint32_t i, uint32_t from, uint32_t to) {
        const uint64_t first = uint64_t{i} * from / to;
        const uint64_t last = std::max((uint64_t{i} + 1) * from / to, first + 1);
        return std::pair(static_cast<uint32_t>(first), static_cast<uint32_t>(last));
    };
    for (uint32_t y = 0; y < height; ++y) {
        const auto [top, bottom] = range(y, picture.height, height);
        for (uint32_t x = 0; x < width; ++x) {
            const auto [left, right] = range(x, picture.width, width);
            for (uint32_t c = 0; c < 3; ++c) {
                float sum = 0;
                for (uint32_t v = top; v < bottom; ++v)
                    for (uint32_t u = left; u < right; ++u) sum += picture.at(u, v)[c];
                result.at(x, y)[c] = sum / static_cast<float>((right - left) * (bottom - top));
            }
        }
    }
    return result;
}

Picture cut(const Picture& picture, uint32_t left, uint32_t top, uint32_t width, uint32_t height) {
    Picture result(width, height);
    for (uint32_t y = 0; y < height; ++y)
        std::copy_n(picture.at(left, top + y), size_t{width} * 3, result.at(0, y));
    return result;
}

Picture squareOf(const Picture& picture, uint32_t size) {
    const uint32_t side = std::min(picture.width, picture.height);
    return scaled(cut(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side),
                  size, size);
}

Sheet::Sheet(const std::vector<std::string>& captions, size_t rows, double side)
    : side_(side),
      canvas_(static_cast<unsigned>(gap + (side + gap) * static_cast<double>(captions.size())),
              static_cast<unsigned>(header + (side + gap) * static_cast<double>(rows)),
              train::paper) {
    for (size_t column = 0; column < captions.size(); ++column) {
        canvas_.text({corner(0, column).x + side / 2, 12}, captions[column], 1.667, ink,
                     train::Align::Centre);
    }
}

train::Point Sheet::corner(size_t row, size_t column) const {
    return {gap + (side_ + gap) * static_cast<double>(column),
            header + (side_ + gap) * static_cast<double>(row)};
}

void Sheet::add(size_t row, size_t column, const Picture& picture) {
    std::vector<train::Colour> pixels;
    const auto byte = [](float value) {
        return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255));
    };
    for (size_t i = 0; i < picture.values.size(); i += 3) {
        pixels.push_back(
            {byte(picture.values[i]), byte(picture.values[i + 1]), byte(picture.values[i + 2])});
    }
    canvas_.picture(corner(row, column), side_, pixels, picture.width);
}

void Sheet::frame(size_t row, size_t column, const Picture& picture, train::Point leftTop,
                  train::Point rightBottom, train::Colour colour) {
    const train::Point origin = corner(row, column);
    const double scale = side_ / std::max(picture.width, picture.height);
    const auto place = [&](double x, double y) {
        return train::Point{origin.x + std::clamp(x * scale, 0.0, side_),
                            origin.y + std::clamp(y * scale, 0.0, side_)};
    };
    const std::vector<train::Point> corners{
        place(leftTop.x, leftTop.y), place(rightBottom.x, leftTop.y),
        place(rightBottom.x, rightBottom.y), place(leftTop.x, rightBottom.y),
        place(leftTop.x, leftTop.y)};
    canvas_.polyline(corners, 2, colour);
}

} // namespace mpsvk::examples
