// The end of a product whose inner dimension was split (IN_PARTS): an invocation adds up the parts of a
// texel, in their order.
#include "grid.glsl"

void gemmRun() {
    uint rows = pixelCount();
    uint row = gridIndex() / parameters.resultSlices;
    uint slice = gridIndex() - row * parameters.resultSlices;
    if (row >= rows) {
        return;
    }
    vec4 sum = vec4(0.0);
    for (uint part = 0u; part < parameters.parts; ++part) {
        sum += partials[partialIndex(part, row, slice)];
    }
    pixelStore(gemmPixel(row, rows), slice, finishedSum(slice, sum));
}
