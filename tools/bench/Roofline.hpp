// How fast each case computes, next to how fast the device moves memory and multiplies matrices.
#pragma once

#include "Report.hpp"

#include "train/Axes.hpp"

namespace mpsvk::bench {

struct RooflinePoint {
    std::string name, group, mode;
    double intensity = 0; ///< operations for each byte
    double rate = 0;      ///< operations per second
};

/// Roofs are what cases of the report measured, 0 where there are none.
struct Roofline {
    double bandwidth = 0;      ///< bytes per second, of the faster copy
    double fp32 = 0, fp16 = 0; ///< operations per second, of the fastest product of matrices
    std::vector<RooflinePoint> points;
};

/// Of all results whose work is known, but copies and training steps. A case that only moves memory
/// counts as one operation for each element, so that its height under the slope is its share of the
/// bandwidth.
Roofline rooflineOf(const Report& report);

/// There must be points.
void drawRoofline(train::Drawing& drawing, const train::ChartArea& area, const Roofline& roofline,
                  const std::string& title);

} // namespace mpsvk::bench
