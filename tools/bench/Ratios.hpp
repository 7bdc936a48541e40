// How much faster one run is than another, as bars.
#pragma once

#include "Comparison.hpp"

#include "train/Axes.hpp"

namespace mpsvk::bench {

/// Pixels that the bars take, with their axis and title.
double heightOfRatios(const std::vector<Pair>& pairs);

/// Below `top` a bar for each pair, by groups, each with its geometric means; last those of all.
/// There must be pairs.
void drawRatios(train::Drawing& drawing, double width, double top, const std::vector<Pair>& pairs,
                const std::string& title);

} // namespace mpsvk::bench
