#include "Svg.hpp"

#include <cstdio>
#include <fstream>

#include <mpsvk/Error.hpp>

#include "Canvas.hpp"

namespace mpsvk::train {

namespace {

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    std::string made = text;
    while (made.back() == '0') made.pop_back();
    if (made.back() == '.') made.pop_back();
    return made == "-0" ? "0" : made;
}

std::string attribute(const std::string& name, const std::string& value) {
    return " " + name + "=\"" + value + "\"";
}

std::string attribute(const std::string& name, double value) {
    return attribute(name, number(value));
}

std::string named(Colour colour) {
    char text[8];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", colour.red, colour.green, colour.blue);
    return text;
}

std::string escaped(const std::string& text) {
    std::string made;
    for (const char c : text) {
        if (c == '<')
            made += "&lt;";
        else if (c == '>')
            made += "&gt;";
        else if (c == '&')
            made += "&amp;";
        else
            made += c;
    }
    return made;
}

constexpr double capitalHeight = 7;
constexpr double capitalShare = 0.72; ///< of the font size, in the usual sans-serif fonts

} // namespace

Svg::Svg(unsigned width, unsigned height, Colour background) : width_(width), height_(height) {
    rectangle({0, 0}, {static_cast<double>(width), static_cast<double>(height)}, background);
}

void Svg::rectangle(Point topLeft, Point bottomRight, Colour colour) {
    elements_ += "<rect" + attribute("x", topLeft.x) + attribute("y", topLeft.y) +
                 attribute("width", bottomRight.x - topLeft.x) +
                 attribute("height", bottomRight.y - topLeft.y) + attribute("fill", named(colour)) +
                 "/>\n";
}

void Svg::line(Point from, Point to, double thickness, Colour colour) {
    const Point ends[] = {from, to};
    polyline(ends, thickness, colour);
}

void Svg::polyline(std::span<const Point> points, double thickness, Colour colour) {
    std::string places;
    for (const Point& point : points)
        places += (places.empty() ? "" : " ") + number(point.x) + "," + number(point.y);
    elements_ += "<polyline" + attribute("points", places) + attribute("fill", "none") +
                 attribute("stroke", named(colour)) + attribute("stroke-width", thickness) +
                 attribute("stroke-linecap", "round") + attribute("stroke-linejoin", "round") +
                 "/>\n";
}

void Svg::disc(Point centre, double radius, Colour colour) {
    elements_ += "<circle" + attribute("cx", centre.x) + attribute("cy", centre.y) +
                 attribute("r", radius) + attribute("fill", named(colour)) + "/>\n";
}

void Svg::words(const std::string& place, const std::string& text, double size, Colour colour,
                const std::string& anchor) {
    if (text.empty()) return;
    elements_ += "<text" + place + attribute("font-size", size * capitalHeight / capitalShare) +
                 attribute("textLength", Canvas::textWidth(text, size)) +
                 attribute("lengthAdjust", "spacingAndGlyphs") + attribute("text-anchor", anchor) +
                 attribute("fill", named(colour)) + ">" + escaped(text) + "</text>\n";
}

void Svg::text(Point where, const std::string& text, double size, Colour colour, Align align) {
    words(attribute("x", where.x) + attribute("y", where.y + size * capitalHeight), text, size,
          colour,
          align == Align::Left    ? "start"
          : align == Align::Right ? "end"
                                  : "middle");
}

void Svg::textUpwards(Point where, const std::string& text, double size, Colour colour) {
    const std::string turned = "translate(" + number(where.x + size * capitalHeight) + " " +
                               number(where.y) + ") rotate(-90)";
    words(attribute("transform", turned), text, size, colour, "middle");
}

void Svg::beginNamed(const std::string& name) {
    elements_ += "<g><title>" + escaped(name) + "</title>\n";
}

void Svg::endNamed() { elements_ += "</g>\n"; }

std::string Svg::file() const {
    const std::string width = std::to_string(width_), height = std::to_string(height_);
    return "<svg" + attribute("xmlns", "http://www.w3.org/2000/svg") + attribute("width", width) +
           attribute("height", height) + attribute("viewBox", "0 0 " + width + " " + height) +
           attribute("font-family", "Helvetica, Arial, sans-serif") + ">\n" + elements_ +
           "</svg>\n";
}

void Svg::save(const std::filesystem::path& path) const {
    std::ofstream stream(path, std::ios::binary);
    stream << file();
    stream.close();
    if (!stream) throw FormatError(path.string() + ": offset 0: the picture cannot be written.");
}

} // namespace mpsvk::train
