#include "Chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mpsvk::train {

namespace {

Tick tickAt(double value, double step) {
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return {value, text};
}

Axis axisOfSteps(double steps) {
    Axis axis{0, std::max(steps, 1.0), false, {}};
    for (const double x : niceTicks(axis.low, axis.high, 10))
        if (x <= axis.high && x == std::round(x)) axis.ticks.push_back(tickAt(x, 1));
    return axis;
}

Axis axisOfValues(double low, double high) {
    const std::vector<double> ticks = niceTicks(low, high, 8);
    Axis axis{ticks.front(), ticks.back(), false, {}};
    const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
    for (const double y : ticks) axis.ticks.push_back(tickAt(y, step));
    return axis;
}

} // namespace

void drawChart(Drawing& drawing, const ChartArea& area, std::span<const Curve> curves, double lowY,
               double highY, const ChartTexts& texts, LegendPlace legend) {
    const Frame frame{area, axisOfSteps(static_cast<double>(curves.front().values.size())),
                      axisOfValues(lowY, highY)};
    drawAxes(drawing, frame, texts);

    std::vector<LegendEntry> entries;
    for (const Curve& curve : curves) {
        entries.push_back({curve.name, curve.colour});
        std::vector<Point> points;
        for (size_t i = 0; i < curve.values.size(); ++i) {
            const double value = curve.values[i];
            if (!std::isfinite(value)) continue;
            points.push_back(frame.place(static_cast<double>(i + 1),
                                         std::clamp(value, frame.y.low, frame.y.high)));
        }
        drawing.polyline(points, curve.thickness, curve.colour);
        if (points.size() <= 40) {
            for (const Point& point : points) drawing.disc(point, 4, curve.colour);
        }
    }
    drawLegend(drawing, area, entries, legend);
}

} // namespace mpsvk::train
