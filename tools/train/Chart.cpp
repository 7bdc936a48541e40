#include "Chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mpsvk::train {

namespace {

constexpr Colour ink{33, 37, 41}, grid{226, 230, 234};

struct Frame {
    double left, top, right, bottom;
    double lowX, highX, lowY, highY;
    Point place(double x, double y) const {
        return {left + (x - lowX) / (highX - lowX) * (right - left),
                bottom - (y - lowY) / (highY - lowY) * (bottom - top)};
    }
};

std::string tickText(double value, double step) {
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

void drawAxes(Canvas& canvas, const Frame& frame, std::span<const double> ticksX,
              std::span<const double> ticksY, const ChartTexts& texts) {
    for (double y : ticksY) {
        const double at = std::round(frame.place(0, y).y);
        canvas.rectangle({frame.left, at}, {frame.right, at + 1}, grid);
        canvas.rectangle({frame.left - 5, at}, {frame.left, at + 1}, ink);
        const double step = ticksY.size() > 1 ? ticksY[1] - ticksY[0] : 1;
        canvas.text({frame.left - 10, at - 6}, tickText(y, step), 1.667, ink, Align::Right);
    }
    for (double x : ticksX) {
        const double at = std::round(frame.place(x, 0).x);
        canvas.rectangle({at, frame.top}, {at + 1, frame.bottom}, grid);
        canvas.rectangle({at, frame.bottom}, {at + 1, frame.bottom + 5}, ink);
        canvas.text({at, frame.bottom + 11}, tickText(x, 1), 1.667, ink, Align::Centre);
    }
    canvas.rectangle({frame.left, frame.top}, {frame.left + 1, frame.bottom}, ink);
    canvas.rectangle({frame.left, frame.bottom}, {frame.right, frame.bottom + 1}, ink);
    const double middle = (frame.left + frame.right) / 2;
    canvas.text({middle, frame.top - 36}, texts.title, 2.333, ink, Align::Centre);
    canvas.text({middle, frame.bottom + 36}, texts.labelX, 1.667, ink, Align::Centre);
    canvas.textUpwards({frame.left - 70, (frame.top + frame.bottom) / 2}, texts.labelY, 1.667, ink);
}

void drawLegend(Canvas& canvas, const Frame& frame, std::span<const Curve> curves,
                LegendPlace place) {
    double width = 0;
    for (const Curve& curve : curves) {
        width = std::max(width, Canvas::textWidth(curve.name, 1.667));
    }
    const double height = 24.0 * static_cast<double>(curves.size()) + 12;
    const double top = place == LegendPlace::TopRight ? frame.top + 14 : frame.bottom - 16 - height;
    const Point corner{frame.right - width - 74, top};
    const Point far{frame.right - 16, top + height};
    canvas.rectangle({corner.x - 1, corner.y - 1}, {far.x + 1, far.y + 1}, grid);
    canvas.rectangle(corner, far, paper);
    double y = top + 17;
    for (const Curve& curve : curves) {
        canvas.line({corner.x + 12, y}, {corner.x + 36, y}, 3, curve.colour);
        canvas.text({corner.x + 46, y - 6}, curve.name, 1.667, ink);
        y += 24;
    }
}

} // namespace

std::vector<double> niceTicks(double low, double high, unsigned most) {
    if (!(high > low)) high = low + 1;
    const double rough = (high - low) / most;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (double candidate : {power, 2 * power, 5 * power}) {
        const double gaps = std::ceil(high / candidate - 1e-9) - std::floor(low / candidate + 1e-9);
        if (gaps <= most) {
            step = candidate;
            break;
        }
    }
    std::vector<double> ticks;
    const double first = std::floor(low / step + 1e-9);
    const double last = std::ceil(high / step - 1e-9);
    for (double i = first; i <= last; ++i) ticks.push_back(i * step);
    return ticks;
}

void drawChart(Canvas& canvas, const ChartArea& area, std::span<const Curve> curves, double lowY,
               double highY, const ChartTexts& texts, LegendPlace legend) {
    const auto steps = static_cast<double>(curves.front().values.size());
    Frame frame{area.left, area.top, area.right, area.bottom, 0, 1, 0, 1};
    const std::vector<double> ticksY = niceTicks(lowY, highY, 8);
    frame.lowY = ticksY.front();
    frame.highY = ticksY.back();
    frame.lowX = 0;
    frame.highX = std::max(steps, 1.0);
    std::vector<double> ticksX = niceTicks(frame.lowX, frame.highX, 10);
    std::erase_if(ticksX, [&](double x) { return x > frame.highX || x != std::round(x); });
    drawAxes(canvas, frame, ticksX, ticksY, texts);

    for (const Curve& curve : curves) {
        std::vector<Point> points;
        for (size_t i = 0; i < curve.values.size(); ++i) {
            const double value = curve.values[i];
            if (!std::isfinite(value)) continue;
            points.push_back(frame.place(static_cast<double>(i + 1),
                                         std::clamp(value, frame.lowY, frame.highY)));
        }
        canvas.polyline(points, curve.thickness, curve.colour);
        if (points.size() <= 40) {
            for (const Point& point : points) canvas.disc(point, 4, curve.colour);
        }
    }
    drawLegend(canvas, frame, curves, legend);
}

} // namespace mpsvk::train
