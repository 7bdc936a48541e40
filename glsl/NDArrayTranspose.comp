// Copies whose source has its rows along dimension 1 of the destination: through tiles in shared
// memory, so that both sides are walked along their rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NDArrayCopy.h"
#include "ndElements.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 33) const uint lanes = 1u; // elements that share a word of the destination
layout(set = 0, binding = 0) uniform Block { NDArrayCopyParameters p; };

const uint tileWidth = 32u * lanes; // along dimension 0
const uint tileHeight = lanes == 4u ? 16u : 32u;
const uint pitch = tileWidth + 1u;
shared uint tile[tileHeight * pitch];

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint x0 = group % p.tilesAcross * tileWidth, rest = group / p.tilesAcross;
    uint y0 = rest % p.tilesDown * tileHeight;
    rest /= p.tilesDown;
    uint from = p.sourceOffset, to = p.destinationOffset;
    for (uint d = 2u; d < p.dimensionCount; ++d) {
        uint at = rest % p.dimensions[d].size;
        rest /= p.dimensions[d].size;
        from += at * uint(p.dimensions[d].source);
        to += at * uint(p.dimensions[d].destination);
    }
    bool isIn = rest == 0u;
    for (uint i = gl_LocalInvocationIndex; i < tileWidth * tileHeight; i += 256u) {
        uint y = i % tileHeight, x = i / tileHeight;
        if (isIn && x0 + x < p.dimensions[0].size && y0 + y < p.dimensions[1].size)
            tile[y * pitch + x] = converted(loadElement(
                from + (x0 + x) * uint(p.dimensions[0].source) +
                (y0 + y) * uint(p.dimensions[1].source))).x;
    }
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < 32u * tileHeight; i += 256u) {
        uint x = i % 32u * lanes, y = i / 32u;
        if (!isIn || x0 + x >= p.dimensions[0].size || y0 + y >= p.dimensions[1].size) continue;
        uint at = to + (x0 + x) + (y0 + y) * uint(p.dimensions[1].destination);
        uint word = 0u;
        uint count = min(lanes, p.dimensions[0].size - x0 - x);
        for (uint lane = 0u; lane < count; ++lane)
            word |= (tile[y * pitch + x + lane] & maskOf(destinationBytes))
                    << (lane * 8u * destinationBytes);
        storeBits(at / lanes, maskOf(count * destinationBytes), word);
    }
}
