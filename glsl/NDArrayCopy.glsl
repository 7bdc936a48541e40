// Elements of one array to another one's places, with any strides: copies, slices, transpositions,
// what undoes a slice (the step), gathers (ND_GATHER). An invocation moves `unit` bytes of a row
// where rows lie without gaps in both, or `lanes` elements, which share a word of the destination.
#include "NDArrayCopy.h"
layout(local_size_x = 256) in;
#include "grid.glsl"
#include "ndElements.glsl"

layout(constant_id = 32) const uint unit = 0u; // 16 or 4; 0: elements
layout(constant_id = 33) const uint lanes = 1u;
layout(set = 0, binding = 0) uniform Block { NDArrayCopyParameters p; };
#ifdef ND_GATHER
#include "ndIndices.glsl"
ND_INDICES(3)
#endif

// The source's coordinate for the destination's x; ND_NONE: there is none, the element is 0.
const uint ND_NONE = 0xffffffffu;
uint sourceCoordinate(uint d, uint x) {
    uint step = p.dimensions[d].step;
    if (step > 1u) {
        if (x % step != 0u) return ND_NONE;
        x /= step;
    }
#ifdef ND_GATHER
    if (d == p.gathered)
        x = indexAt(p.indexOffset + x * uint(p.indexStride), p.gatherLength);
#endif
    return x;
}

void moveUnit(uint x, uint from, uint to, bool isZero) {
    uint left = p.rowBytes - x * unit;
    if (unit == 16u) {
        from += 4u * x;
        to += 4u * x;
        if (left >= 16u) {
            destinationQuads[to / 4u] = isZero ? uvec4(0u) : sourceQuads[from / 4u];
            return;
        }
        for (uint w = 0u; 4u * w < left; ++w)
            storeBits(to + w, maskOf(left - 4u * w), isZero ? 0u : sourceWords[from + w]);
        return;
    }
    storeBits(to + x, maskOf(left), isZero ? 0u : sourceWords[from + x]);
}

void moveElements(uint first, uint from, uint to, bool isZero) {
    uint word = 0u, mask = 0u;
    for (uint lane = 0u; lane < lanes; ++lane) {
        uint x = first * lanes + lane;
        if (x >= p.dimensions[0].size) break;
        uint s = sourceCoordinate(0u, x);
        uvec2 value = uvec2(0u);
        if (!isZero && s != ND_NONE)
            value = converted(loadElement(from + s * uint(p.dimensions[0].source)));
        uint at = to + x * uint(p.dimensions[0].destination);
        if (destinationBytes == 8u) {
            destinationPairs[at] = value;
        } else if (destinationBytes == 4u) {
            destinationWords[at] = value.x;
        } else {
            uint shift = shiftOf(at, destinationBytes);
            uint bits = maskOf(destinationBytes) << shift;
            word |= value.x << shift & bits;
            mask |= bits;
        }
    }
    if (destinationBytes < 4u)
        storeBits((to + first * lanes * uint(p.dimensions[0].destination)) /
                      (4u / destinationBytes), mask, word);
}

void main() {
    uint rest = gridIndex();
    if (rest >= p.total) return;
    uint acrossRow = unit != 0u ? (p.rowBytes + unit - 1u) / unit
                                : (p.dimensions[0].size + lanes - 1u) / lanes;
    uint first = rest;
    uint from = p.sourceOffset, to = p.destinationOffset;
    bool isZero = false;
    if (p.dimensionCount > 1u) {
        first = rest % acrossRow;
        rest /= acrossRow;
        for (uint d = 1u; d < p.dimensionCount; ++d) {
            uint x = rest;
            if (d + 1u < p.dimensionCount) {
                x = rest % p.dimensions[d].size;
                rest /= p.dimensions[d].size;
            }
            to += x * uint(p.dimensions[d].destination);
            uint s = sourceCoordinate(d, x);
            if (s == ND_NONE) {
                isZero = true;
                continue;
            }
            from += s * uint(p.dimensions[d].source);
        }
    }
    if (unit != 0u)
        moveUnit(first, from, to, isZero);
    else
        moveElements(first, from, to, isZero);
}
