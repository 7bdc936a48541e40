// Curves over the steps of a training run, with axes and a legend.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "Canvas.hpp"

namespace mpsvk::train {

constexpr Colour paper{255, 255, 255};

/// Even steps of 1, 2 or 5 times a power of ten that cover [low, high] with at most `most` gaps.
std::vector<double> niceTicks(double low, double high, unsigned most);

struct Curve {
    std::string name;
    Colour colour;
    std::vector<double> values; ///< at x = 1, 2, …
    double thickness = 2.5;
};

/// Where the curves go; ticks, labels and the title are around it.
struct ChartArea {
    double left, top, right, bottom;
};

struct ChartTexts {
    std::string title, labelX, labelY;
};

enum class LegendPlace { TopRight, BottomRight };

/// The first curve says how far the x axis goes. Values that are not finite are left out, others
/// outside of [lowY, highY] are drawn at its border.
void drawChart(Canvas& canvas, const ChartArea& area, std::span<const Curve> curves, double lowY,
               double highY, const ChartTexts& texts, LegendPlace legend);

} // namespace mpsvk::train
