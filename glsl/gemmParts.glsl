// The end of a product whose inner dimension was split (IN_PARTS): an invocation adds up the parts of a
// texel, in their order, and loads eight of them at once.
#include "grid.glsl"

void gemmRun() {
    uint rows = pixelCount();
    uint row = gridIndex() / parameters.resultSlices;
    uint slice = gridIndex() - row * parameters.resultSlices;
    if (row >= rows) {
        return;
    }
    vec4 sum = vec4(0.0);
    uint stride = rows * parameters.resultSlices, at = partialIndex(0u, row, slice);
    for (uint first = 0u; first < parameters.parts; first += 8u) {
        vec4 next[8];
        [[unroll]] for (uint k = 0u; k < 8u; ++k) {
            next[k] = vec4(0.0);
            if (first + k < parameters.parts) next[k] = partials[at + k * stride];
        }
        [[unroll]] for (uint k = 0u; k < 8u; ++k) sum += next[k];
        at += 8u * stride;
    }
    pixelStore(gemmPixel(row, rows), slice, finishedSum(slice, sum));
}
