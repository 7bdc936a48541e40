// A surface that charts are drawn on, whatever becomes of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

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
class Drawing {
public:
    virtual ~Drawing() = default;

    virtual void rectangle(Point topLeft, Point bottomRight, Colour colour) = 0;
    virtual void line(Point from, Point to, double thickness, Colour colour) = 0;
    virtual void polyline(std::span<const Point> points, double thickness, Colour colour) = 0;
    virtual void disc(Point centre, double radius, Colour colour) = 0;

    /// `size` scales a font whose capitals are 7 pixels high; `where` is the top of the capitals.
    virtual void text(Point where, const std::string& text, double size, Colour colour,
                      Align align = Align::Left) = 0;
    /// The same, turned to read from bottom to top, centred on `where`.
    virtual void textUpwards(Point where, const std::string& text, double size, Colour colour) = 0;

    /// What follows, up to endNamed, is told by this name where the reader points at it.
    virtual void beginNamed(const std::string&) {}
    virtual void endNamed() {}

    /// Throws FormatError when the file cannot be written.
    virtual void save(const std::filesystem::path& path) const = 0;
};

} // namespace mpsvk::train
