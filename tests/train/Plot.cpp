#include "Plot.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <mpsvk/Error.hpp>

#include "Files.hpp"

using namespace mpsvk::train;
using namespace mpsvk::train::test;

namespace {

constexpr Colour white{255, 255, 255}, red{255, 0, 0};

/// Pixels of a part of the picture for which `test` holds.
unsigned count(const Canvas& canvas, unsigned left, unsigned right,
               const std::function<bool(Colour)>& test) {
    unsigned found = 0;
    for (unsigned y = 0; y < canvas.height(); ++y) {
        for (unsigned x = left; x < right; ++x) found += test(canvas.pixel(x, y)) ? 1 : 0;
    }
    return found;
}

uint32_t bigEndian(const Bytes& bytes, size_t at) {
    return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 |
           uint32_t{bytes[at + 2]} << 8 | uint32_t{bytes[at + 3]};
}

} // namespace

TEST_CASE("ticks are round numbers that cover the range", "[train]") {
    CHECK(niceTicks(0, 10, 10) == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    CHECK(niceTicks(0, 20, 10).size() == 11);
    CHECK(niceTicks(0, 2.3, 5) == std::vector<double>{0, 0.5, 1, 1.5, 2, 2.5});
    CHECK(niceTicks(52, 100, 8) == std::vector<double>{50, 60, 70, 80, 90, 100});
    CHECK(niceTicks(5, 5, 4).size() >= 2);
    for (double high : {1e-7, 0.003, 0.97, 1.0, 13.0, 999.0, 123456.0}) {
        for (unsigned most : {4u, 5u, 8u, 10u}) {
            const auto ticks = niceTicks(0, high, most);
            CHECK(ticks.size() <= most + 1);
            CHECK(ticks.back() >= high * (1 - 1e-9));
            CHECK(ticks.front() == 0);
        }
    }
}

TEST_CASE("a canvas draws smooth edges and stays inside itself", "[train]") {
    Canvas canvas(20, 10, white);
    canvas.line({2, 5}, {18, 5}, 2, red);
    CHECK(canvas.pixel(10, 4) == red);
    CHECK(canvas.pixel(10, 5) == red);
    CHECK(canvas.pixel(10, 7) == white);
    canvas.line({-50, -50}, {70, 70}, 3, red);
    canvas.rectangle({-5, -5}, {100, 1}, red);
    CHECK(canvas.pixel(19, 0) == red);
    Canvas diagonal(20, 20, white);
    diagonal.line({0, 0}, {20, 13}, 1.5, red);
    CHECK(count(diagonal, 0, 20, [](Colour c) { return c.green > 20 && c.green < 235; }) > 10);
}

TEST_CASE("text is placed by its alignment", "[train]") {
    const std::string word = "Loss";
    const double width = Canvas::textWidth(word, 2);
    CHECK(width > 30);
    CHECK(Canvas::textWidth("", 2) == 0);
    const auto leftmost = [&](Align align) {
        Canvas canvas(200, 40, white);
        canvas.text({100, 10}, word, 2, red, align);
        unsigned x = 0;
        while (x < 200 && count(canvas, x, x + 1, [](Colour c) { return c.green < 128; }) == 0) ++x;
        return static_cast<double>(x);
    };
    CHECK(std::abs(leftmost(Align::Left) - 100) <= 3);
    CHECK(std::abs(leftmost(Align::Centre) - (100 - width / 2)) <= 3);
    CHECK(std::abs(leftmost(Align::Right) - (100 - width)) <= 3);
}

TEST_CASE("a saved picture is a PNG of the right size", "[train]") {
    TemporaryFolder folder;
    const fs::path path = folder.path() / "picture.png";
    Canvas(33, 17, white).save(path);
    const Bytes bytes = readBytes(path);
    REQUIRE(bytes.size() > 24);
    CHECK(bytes[1] == 'P');
    CHECK(bigEndian(bytes, 16) == 33);
    CHECK(bigEndian(bytes, 20) == 17);
    CHECK_THROWS_AS(Canvas(3, 3, white).save(folder.path() / "no" / "picture.png"),
                    mpsvk::FormatError);
    if (fs::exists("/dev/full"))
        CHECK_THROWS_AS(Canvas(3, 3, white).save("/dev/full"), mpsvk::FormatError);
}

TEST_CASE("curves show both data sets in both charts, whatever the history", "[train]") {
    std::vector<EpochRecord> history;
    for (int i = 1; i <= 60; ++i) {
        history.push_back({2.0 / i, 1 - 0.8 / i, 2.2 / i, 1 - 0.9 / i});
        if (i != 1 && i != 2 && i != 60) continue;
        const Canvas canvas = drawCurves(history);
        for (unsigned left : {0u, canvas.width() / 2}) {
            const unsigned right = left + canvas.width() / 2;
            CHECK(count(canvas, left, right, [](Colour c) {
                      return c == Colour{31, 119, 180};
                  }) > 40);
            CHECK(count(canvas, left, right, [](Colour c) {
                      return c == Colour{214, 93, 14};
                  }) > 40);
        }
    }
    history[30].trainLoss = std::numeric_limits<double>::quiet_NaN();
    history[31].testLoss = std::numeric_limits<double>::infinity();
    CHECK(drawCurves(history).width() == 1280);
    CHECK(drawCurves({}).width() == 1280);
}

TEST_CASE("the page of mistakes shows the surest first and grows with them", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 4, 100, 8, 8);
    IdxDataset data = loadIdxDataset(folder.path(), 10);
    std::fill(data.test.pixels.begin(), data.test.pixels.end(), uint8_t{0});
    std::fill_n(data.test.pixels.begin() + 5 * 64, 64, uint8_t{200}); // image 5 is bright

    const Canvas two = drawMistakes(data, {{3, 1, 2, 0.4f}, {5, 4, 9, 0.9f}});
    CHECK(two.pixel(20 + 20 + 50, 70 + 50) == Colour{200, 200, 200});
    CHECK(two.pixel(20 + 140 + 20 + 50, 70 + 50) == Colour{0, 0, 0});

    CHECK(drawMistakes(data, {}).height() < two.height());
    const Canvas many = drawMistakes(data, std::vector<Mistake>(100, Mistake{3, 1, 2, 0.5f}));
    const Canvas most = drawMistakes(data, std::vector<Mistake>(48, Mistake{3, 1, 2, 0.5f}));
    CHECK(many.height() == most.height());
}
