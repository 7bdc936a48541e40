#pragma once
// Reads between pixels: resizing, regions, grids.

#include "Tensor.hpp"

namespace mpsvk::reference {

// The value of a channel at (x, y) between the pixels around it.
double between(const Tensor& source, std::size_t image, double x, double y, std::size_t channel,
               EdgeMode edge);

Tensor resize(const Tensor& source, std::size_t width, std::size_t height, bool alignCorners,
              std::ptrdiff_t offsetX = 0, std::ptrdiff_t offsetY = 0);

struct CropRegion {
    double x = 0, y = 0, width = 1, height = 1; // in units of the image
};
// Image i * regions + r. With Zero, positions outside are zeros.
Tensor cropAndResize(const Tensor& source, std::size_t width, std::size_t height,
                     const std::vector<CropRegion>& regions, EdgeMode edge);

// Pixel (x, y) reads at the grid's two channels, plus `step` times itself.
Tensor gridSample(const Tensor& source, const Tensor& grid, double stepX, double stepY,
                  EdgeMode edge);

} // namespace mpsvk::reference
