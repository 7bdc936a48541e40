// A drawing surface with smooth lines and a small font, written as PNG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "Drawing.hpp"

namespace mpsvk::train {

class Canvas : public Drawing {
public:
    Canvas(unsigned width, unsigned height, Colour background);

    unsigned width() const { return width_; }
    unsigned height() const { return height_; }

    void rectangle(Point topLeft, Point bottomRight, Colour colour) override;
    void line(Point from, Point to, double thickness, Colour colour) override;
    void polyline(std::span<const Point> points, double thickness, Colour colour) override;
    void disc(Point centre, double radius, Colour colour) override;
    void text(Point where, const std::string& text, double size, Colour colour,
              Align align = Align::Left) override;
    void textUpwards(Point where, const std::string& text, double size, Colour colour) override;
    static double textWidth(const std::string& text, double size);

    /// Enlarges a picture to `side` pixels (the longer side), each of its pixels a square.
    void picture(Point topLeft, double side, std::span<const Colour> pixels, unsigned columns);
    /// The same in grey.
    void picture(Point topLeft, double side, std::span<const uint8_t> grey, unsigned columns);

    Colour pixel(unsigned x, unsigned y) const;

    void save(const std::filesystem::path& path) const override;

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
