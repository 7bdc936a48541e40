// A drawing as SVG: sharp at any size, with texts that can be searched.
#pragma once

#include "Drawing.hpp"

namespace mpsvk::train {

class Svg : public Drawing {
public:
    Svg(unsigned width, unsigned height, Colour background);

    void rectangle(Point topLeft, Point bottomRight, Colour colour) override;
    void line(Point from, Point to, double thickness, Colour colour) override;
    void polyline(std::span<const Point> points, double thickness, Colour colour) override;
    void disc(Point centre, double radius, Colour colour) override;
    void text(Point where, const std::string& text, double size, Colour colour,
              Align align = Align::Left) override;
    void textUpwards(Point where, const std::string& text, double size, Colour colour) override;
    void beginNamed(const std::string& name) override;
    void endNamed() override;
    void save(const std::filesystem::path& path) const override;

    std::string file() const;

private:
    /// Elements of text, of which each is as wide as a Canvas makes it.
    void words(const std::string& place, const std::string& text, double size, Colour colour,
               const std::string& anchor);

    unsigned width_, height_;
    std::string elements_;
};

} // namespace mpsvk::train
