// What is around the curves and points of a chart: axes with ticks, titles, a legend.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "Drawing.hpp"

namespace mpsvk::train {

constexpr Colour paper{255, 255, 255}, ink{33, 37, 41}, faint{108, 117, 125}, grid{226, 230, 234};

/// Even steps of 1, 2 or 5 times a power of ten that cover [low, high] with at most `most` gaps.
std::vector<double> niceTicks(double low, double high, unsigned most);

struct Tick {
    double at;
    std::string text;
};

struct Axis {
    double low = 0, high = 1;
    bool logarithmic = false;
    std::vector<Tick> ticks;

    double share(double value) const; ///< 0 at low, 1 at high
};

/// From one round number to another that enclose [low, high], both above 0; ticks at powers of ten,
/// where those are few also at 2 and 5 times them.
Axis logarithmicAxis(double low, double high);

/// Where the curves go; ticks, labels and the title are around it.
struct ChartArea {
    double left, top, right, bottom;
};

struct ChartTexts {
    std::string title, labelX, labelY;
};

struct Frame {
    ChartArea area;
    Axis x, y;

    Point place(double atX, double atY) const;
};

void drawAxes(Drawing& drawing, const Frame& frame, const ChartTexts& texts);

enum class Mark { Line, Disc, Ring };

void drawMark(Drawing& drawing, Mark mark, Point centre, Colour colour);

struct LegendEntry {
    std::string name;
    Colour colour;
    Mark mark = Mark::Line;
};

/// In a corner of the chart, or to the right of it.
enum class LegendPlace { TopRight, BottomRight, Beside };

void drawLegend(Drawing& drawing, const ChartArea& area, std::span<const LegendEntry> entries,
                LegendPlace place);

} // namespace mpsvk::train
