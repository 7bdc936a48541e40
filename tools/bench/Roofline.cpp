#include "Roofline.hpp"

#include "Text.hpp"

#include <algorithm>
#include <map>

namespace mpsvk::bench {

namespace {

using train::Colour;
using train::Mark;

constexpr Colour palette[] = {{31, 119, 180}, {214, 93, 14},  {44, 140, 60},  {190, 40, 50},
                              {125, 85, 170}, {140, 100, 60}, {210, 90, 170}, {0, 150, 160},
                              {150, 150, 30}, {100, 110, 120}};
constexpr Colour roofOfFp16{120, 130, 140};

/// By the groups' places among those that have points.
std::map<std::string, Colour> coloursOf(const std::vector<RooflinePoint>& points) {
    std::map<std::string, Colour> made;
    for (const RooflinePoint& point : points)
        made.try_emplace(point.group, palette[made.size() % std::size(palette)]);
    return made;
}

train::Frame frameOf(const train::ChartArea& area, const Roofline& roofline, double unit) {
    double lowX = 0.25, highX = 0.5;
    double lowY = roofline.points.front().rate, highY = std::max(roofline.fp32, roofline.fp16);
    for (const RooflinePoint& point : roofline.points) {
        lowX = std::min(lowX, point.intensity), highX = std::max(highX, point.intensity);
        lowY = std::min(lowY, point.rate), highY = std::max(highY, point.rate);
    }
    if (roofline.bandwidth > 0)
        highX = std::max(highX, std::max(roofline.fp32, roofline.fp16) / roofline.bandwidth);
    return {area, train::logarithmicAxis(lowX / 1.5, highX * 1.5),
            train::logarithmicAxis(lowY / 1.5 / unit, highY * 1.2 / unit)};
}

/// Up the slope to `roof`, then along it; either may be missing.
void drawRoof(train::Drawing& drawing, const train::Frame& frame, double bandwidth, double roof,
              Colour colour) {
    const auto along = [&](double x) { return bandwidth * x; };
    std::vector<train::Point> points;
    if (bandwidth > 0) {
        const double top = roof > 0 ? roof : std::min(frame.y.high, along(frame.x.high));
        const double first = std::max(frame.x.low, frame.y.low / bandwidth);
        points.push_back(frame.place(first, along(first)));
        points.push_back(frame.place(top / bandwidth, top));
    } else if (roof > 0) {
        points.push_back(frame.place(frame.x.low, roof));
    }
    if (roof > 0) points.push_back(frame.place(frame.x.high, roof));
    drawing.polyline(points, 2.5, colour);
}

Mark markOf(const RooflinePoint& point) { return point.mode == "fp16" ? Mark::Ring : Mark::Disc; }

} // namespace

Roofline rooflineOf(const Report& report) {
    Roofline made;
    for (const Result& r : report.results) {
        if (!r.error.empty() || r.ms <= 0 || r.bytes <= 0) continue;
        const double seconds = r.ms / 1e3;
        if (r.group == nameOf(Group::Copy)) {
            made.bandwidth = std::max(made.bandwidth, r.bytes / seconds);
            continue;
        }
        const double operations = r.flops > 0 ? r.flops : r.bytes / (r.mode == "fp16" ? 2 : 4);
        const double rate = operations / seconds;
        if (r.group == nameOf(Group::MatrixProduct)) {
            double& roof = r.mode == "fp16" ? made.fp16 : made.fp32;
            roof = std::max(roof, rate);
        }
        made.points.push_back({r.name + " " + r.pass, r.group, r.mode, operations / r.bytes, rate});
    }
    return made;
}

void drawRoofline(train::Drawing& drawing, const train::ChartArea& area, const Roofline& roofline,
                  const std::string& title) {
    const bool tera = std::max(roofline.fp32, roofline.fp16) >= 1e12;
    const double unit = tera ? 1e12 : 1e9;
    const train::Frame frame = frameOf(area, roofline, unit);
    drawAxes(drawing, frame, {title, "operations per byte", tera ? "TFLOP/s" : "GFLOP/s"});
    std::vector<train::LegendEntry> entries;
    if (roofline.bandwidth > 0)
        entries.push_back({format("copy %.4g GB/s", roofline.bandwidth / 1e9), train::ink});
    const auto roof = [&](const char* mode, double rate, Colour colour) {
        if (rate <= 0) return;
        drawRoof(drawing, frame, roofline.bandwidth / unit, rate / unit, colour);
        entries.push_back(
            {format("%s product %.4g %s", mode, rate / unit, tera ? "TFLOP/s" : "GFLOP/s"),
             colour});
    };
    roof("fp16", roofline.fp16, roofOfFp16);
    roof("fp32", roofline.fp32, train::ink);
    if (roofline.fp16 <= 0 && roofline.fp32 <= 0)
        drawRoof(drawing, frame, roofline.bandwidth / unit, 0, train::ink);

    const std::map<std::string, Colour> colours = coloursOf(roofline.points);
    for (const auto& [group, colour] : colours) entries.push_back({group, colour, Mark::Disc});
    entries.push_back({"fp32", train::faint, Mark::Disc});
    entries.push_back({"fp16", train::faint, Mark::Ring});
    for (const RooflinePoint& point : roofline.points) {
        drawing.beginNamed(format("%s %s: %.5g GFLOP/s, %.3g operations per byte",
                                  point.name.c_str(), point.mode.c_str(), point.rate / 1e9,
                                  point.intensity));
        drawMark(drawing, markOf(point), frame.place(point.intensity, point.rate / unit),
                 colours.at(point.group));
        drawing.endNamed();
    }
    drawLegend(drawing, area, entries, train::LegendPlace::Beside);
}

} // namespace mpsvk::bench
