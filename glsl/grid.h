// A linear grid over the texels of a rectangle, image after image, and where an index of it lies: pure
// functions read by C++ and by GLSL alike.
#ifndef MPSVK_GLSL_GRID_H
#define MPSVK_GLSL_GRID_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Comes before the parameters of a shader that is dispatched over such a grid.
struct MPSVK_ALIGNED TexelGrid {
    uint slices; // of a pixel: texels, or what an invocation has instead of one
    uint width, height, images;
    uint slicesFactor, widthFactor, heightFactor; // for quotient(), and a byte of `shifts` each
    uint shifts;
};

#ifdef __cplusplus
constexpr uint highProduct(uint a, uint b) { return uint((uint64_t(a) * b) >> 32); }
#else
uint highProduct(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}
#endif

// The quotient of n < 2^31 by the divisor that the factor and the shift were made for; far cheaper than
// a division. Granlund and Montgomery, Division by invariant integers using multiplication (1994).
MPSVK_FUNCTION uint quotient(uint n, uint factor, uint shift) {
    return (highProduct(n, factor) + n) >> shift;
}

MPSVK_FUNCTION uint texelCount(TexelGrid grid) {
    return grid.slices * grid.width * grid.height * grid.images;
}

MPSVK_SHARED_END

#endif
