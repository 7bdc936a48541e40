// Curves over the steps of a training run, with axes and a legend.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "Axes.hpp"

namespace mpsvk::train {

struct Curve {
    std::string name;
    Colour colour;
    std::vector<double> values; ///< at x = 1, 2, …
    double thickness = 2.5;
};

/// The first curve says how far the x axis goes. Values that are not finite are left out, others
/// outside of [lowY, highY] are drawn at its border.
void drawChart(Drawing& drawing, const ChartArea& area, std::span<const Curve> curves, double lowY,
               double highY, const ChartTexts& texts, LegendPlace legend);

} // namespace mpsvk::train
