#include "support/Pictures.hpp"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <mpsvk/Error.hpp>

#include "support/Shapes.hpp"

using namespace mpsvk;
using namespace mpsvk::examples;
namespace fs = std::filesystem;

namespace {

Picture ramp(uint32_t width, uint32_t height) {
    Picture picture(width, height);
    for (size_t i = 0; i < picture.values.size(); ++i)
        picture.values[i] = static_cast<float>(i % 251) / 255;
    return picture;
}

} // namespace

TEST_CASE("scaling down takes means, scaling up repeats") {
    const Picture picture = ramp(6, 4);
    const Picture half = scaled(picture, 3, 2);
    REQUIRE(half.width == 3);
    const float mean =
        (picture.at(2, 2)[1] + picture.at(3, 2)[1] + picture.at(2, 3)[1] + picture.at(3, 3)[1]) / 4;
    CHECK(half.at(1, 1)[1] == Catch::Approx(mean));
    const Picture twice = scaled(picture, 12, 8);
    CHECK(twice.at(7, 5)[2] == picture.at(3, 2)[2]);
    const Picture square = squareOf(picture, 4);
    CHECK(square.at(0, 3)[0] == picture.at(1, 3)[0]);
}

TEST_CASE("a sheet is written, and read again as it was") {
    const fs::path path = fs::temp_directory_path() / "mpsvk-examples-sheet.png";
    Sheet sheet({"one", "two"}, 1, 40);
    sheet.add(0, 1, scaled(ramp(4, 4), 4, 4));
    sheet.frame(0, 1, ramp(4, 4), {1, 1}, {3, 3}, {255, 0, 0});
    sheet.save(path);
    const Picture back = readPicture(path);
    CHECK(back.width == 2 * 40 + 3 * 12);
    CHECK(back.height == 34 + 40 + 12);
    const float* pixel = back.at(12 + 40 + 12 + 5, 34 + 5); // in the first pixel of the picture
    for (size_t c = 0; c < 3; ++c) CHECK(std::abs(pixel[c] - ramp(4, 4).at(0, 0)[c]) < 1.0f / 255);
    fs::remove(path);
    CHECK_THROWS_AS(readPicture(path), FormatError);
}

TEST_CASE("drawn shapes are within the picture, and their mask within their boxes") {
    constexpr uint32_t size = 40;
    for (uint64_t index = 0; index < 20; ++index) {
        const Drawing drawing = drawShapes(3, index, size, 2, 0.3f, 0.6f);
        REQUIRE(drawing.shapes.size() == 2);
        for (const Shape& shape : drawing.shapes) {
            CHECK(shape.centreX - shape.width / 2 > -1e-3f);
            CHECK(shape.centreY + shape.height / 2 < size + 1e-3f);
            CHECK(shape.width >= 0.29f * size);
            CHECK(shape.height <= 0.61f * size);
        }
        size_t covered = 0;
        for (uint32_t y = 0; y < size; ++y) {
            for (uint32_t x = 0; x < size; ++x) {
                const uint8_t kind = drawing.mask[y * size + x];
                if (kind == 0) continue;
                ++covered;
                CHECK(std::ranges::any_of(drawing.shapes, [&](const Shape& shape) {
                    return uint8_t(shape.kind) + 1 == kind &&
                           std::abs(float(x) + 0.5f - shape.centreX) <= shape.width / 2 + 1e-3f &&
                           std::abs(float(y) + 0.5f - shape.centreY) <= shape.height / 2 + 1e-3f;
                }));
            }
        }
        CHECK(covered > 40);
        const Drawing again = drawShapes(3, index, size, 2, 0.3f, 0.6f);
        CHECK(again.picture.values == drawing.picture.values);
        CHECK(drawShapes(4, index, size, 2, 0.3f, 0.6f).picture.values != again.picture.values);
    }
}
