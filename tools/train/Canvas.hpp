// A drawing surface with smooth lines and a small font, written as PNG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::train {

struct Colour {
    uint8_t red = 0, green = 0, blue = 0;
    bool operator==(const Colour&) const = default;
};

struct Point {
    double x = 0, y = 0;
};

enum class Align { Left, Centre, Right };

/// Coordinates are in pixels of the finished picture, y downwards.
class Canvas {
public:
    Canvas(unsigned width, unsigned height, Colour background);

    unsigned width() const { return width_; }
    unsigned height() const { return height_; }

    void rectangle(Point topLeft, Point bottomRight, Colour colour);
    void line(Point from, Point to, double thickness, Colour colour);
    void polyline(std::span<const Point> points, double thickness, Colour colour);
    void disc(Point centre, double radius, Colour colour);

    /// `size` scales a font whose capitals are 7 pixels high; `where` is the top of the capitals.
    void text(Point where, const std::string& text, double size, Colour colour,
              Align align = Align::Left);
    /// The same, turned to read from bottom to top, centred on `where`.
    void textUpwards(Point where, const std::string& text, double size, Colour colour);
    static double textWidth(const std::string& text, double size);

    /// Enlarges a picture to `side` pixels (the longer side), each of its pixels a square.
    void picture(Point topLeft, double side, std::span<const Colour> pixels, unsigned columns);
    /// The same in grey.
    void picture(Point topLeft, double side, std::span<const uint8_t> grey, unsigned columns);

    Colour pixel(unsigned x, unsigned y) const;

    /// Throws FormatError when the file cannot be written.
    void save(const std::filesystem::path& path) const;

private:
    struct Box {
        double left, top, right, bottom;
    };
    static std::vector<Box> glyphBoxes(const std::string& text, double size);
    void fine(double x, double y, Colour colour);

    unsigned width_, height_;
    std::vector<Colour> samples_; ///< `samplesPerSide` squared for each pixel
};

} // namespace mpsvk::train
