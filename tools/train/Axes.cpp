#include "Axes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "Canvas.hpp"

namespace mpsvk::train {

namespace {

constexpr double small = 1.667, large = 2.333; ///< sizes of text

/// The nearest of 1, 2 and 5 times a power of ten that is not above (or not below) `value`.
double roundNumber(double value, bool above) {
    const double power = std::pow(10.0, std::floor(std::log10(value) + 1e-9));
    double below = power;
    for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
        if (above && factor * power >= value * (1 - 1e-9)) return factor * power;
        if (factor * power <= value * (1 + 1e-9)) below = factor * power;
    }
    return below;
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

double Axis::share(double value) const {
    if (logarithmic) return std::log(value / low) / std::log(high / low);
    return (value - low) / (high - low);
}

Axis logarithmicAxis(double low, double high) {
    Axis axis{roundNumber(low, false), roundNumber(high, true), true, {}};
    if (!(axis.high > axis.low)) axis.high = 10 * axis.low;
    const bool few = axis.high / axis.low < 1001;
    const double first = std::pow(10.0, std::floor(std::log10(axis.low) + 1e-9));
    for (double power = first; power <= axis.high * (1 + 1e-9); power *= 10) {
        for (const double factor : {1.0, 2.0, 5.0}) {
            const double at = factor * power;
            if ((factor > 1 && !few) || at < axis.low * (1 - 1e-9) || at > axis.high * (1 + 1e-9))
                continue;
            char text[32];
            std::snprintf(text, sizeof text, "%.10g", at);
            axis.ticks.push_back({at, text});
        }
    }
    return axis;
}

Point Frame::place(double atX, double atY) const {
    return {area.left + x.share(atX) * (area.right - area.left),
            area.bottom - y.share(atY) * (area.bottom - area.top)};
}

void drawAxes(Drawing& drawing, const Frame& frame, const ChartTexts& texts) {
    const ChartArea& area = frame.area;
    for (const Tick& tick : frame.y.ticks) {
        const double at = std::round(frame.place(frame.x.low, tick.at).y);
        drawing.rectangle({area.left, at}, {area.right, at + 1}, grid);
        drawing.rectangle({area.left - 5, at}, {area.left, at + 1}, ink);
        drawing.text({area.left - 10, at - 6}, tick.text, small, ink, Align::Right);
    }
    for (const Tick& tick : frame.x.ticks) {
        const double at = std::round(frame.place(tick.at, frame.y.low).x);
        drawing.rectangle({at, area.top}, {at + 1, area.bottom}, grid);
        drawing.rectangle({at, area.bottom}, {at + 1, area.bottom + 5}, ink);
        drawing.text({at, area.bottom + 11}, tick.text, small, ink, Align::Centre);
    }
    drawing.rectangle({area.left, area.top}, {area.left + 1, area.bottom}, ink);
    drawing.rectangle({area.left, area.bottom}, {area.right, area.bottom + 1}, ink);
    const double middle = (area.left + area.right) / 2;
    drawing.text({middle, area.top - 36}, texts.title, large, ink, Align::Centre);
    drawing.text({middle, area.bottom + 36}, texts.labelX, small, ink, Align::Centre);
    drawing.textUpwards({area.left - 70, (area.top + area.bottom) / 2}, texts.labelY, small, ink);
}

void drawMark(Drawing& drawing, Mark mark, Point centre, Colour colour) {
    if (mark == Mark::Line) {
        drawing.line({centre.x - 12, centre.y}, {centre.x + 12, centre.y}, 3, colour);
        return;
    }
    drawing.disc(centre, 5, colour);
    if (mark == Mark::Ring) drawing.disc(centre, 3, paper);
}

void drawLegend(Drawing& drawing, const ChartArea& area, std::span<const LegendEntry> entries,
                LegendPlace place) {
    double width = 0;
    for (const LegendEntry& entry : entries)
        width = std::max(width, Canvas::textWidth(entry.name, small));
    const double height = 24.0 * static_cast<double>(entries.size()) + 12;
    const double top = place == LegendPlace::BottomRight ? area.bottom - 16 - height
                       : place == LegendPlace::TopRight  ? area.top + 14
                                                         : area.top;
    const double left = place == LegendPlace::Beside ? area.right + 16 : area.right - width - 74;
    const Point corner{left, top};
    const Point far{left + width + 58, top + height};
    drawing.rectangle({corner.x - 1, corner.y - 1}, {far.x + 1, far.y + 1}, grid);
    drawing.rectangle(corner, far, paper);
    double y = top + 17;
    for (const LegendEntry& entry : entries) {
        drawMark(drawing, entry.mark, {corner.x + 24, y}, entry.colour);
        drawing.text({corner.x + 46, y - 6}, entry.name, small, ink);
        y += 24;
    }
}

} // namespace mpsvk::train
