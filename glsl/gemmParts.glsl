// The end of a product of gemmCooperative.glsl whose inner dimension was split: an invocation adds up
// the parts of a texel, in their order.
#include "grid.glsl"

layout(set = 0, binding = 5, std430) readonly buffer Partials {
    vec4 partials[];
};

void gemmRun() {
    uint rows = pixelCount();
    uint row = gridIndex() / parameters.resultSlices;
    uint slice = gridIndex() - row * parameters.resultSlices;
    if (row >= rows) {
        return;
    }
    vec4 sum = vec4(0.0);
    for (uint part = 0u; part < parameters.parts; ++part) {
        sum += partials[(part * rows + row) * parameters.resultSlices + slice];
    }
    pixelStore(gemmPixel(row, rows), slice, gemmFinished(slice, sum));
}
