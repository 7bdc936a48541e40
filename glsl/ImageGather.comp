// Images copied as they are stored, 16 bytes by each invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "ImageGather.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "grid.h"

layout(constant_id = 32) const uint wholePieces = 1u;
layout(set = 0, binding = 0) uniform Parameters { ImageGatherParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Source { uvec4 source[]; };
layout(set = 0, binding = 1, std430) readonly buffer SourceWords { uint sourceWords[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Destination { uvec4 destination[]; };
layout(set = 0, binding = 2, std430) writeonly buffer DestinationWords { uint destinationWords[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.images * p.pieces) return;
    uint image = quotient(i, p.piecesFactor, p.shift), piece = i - image * p.pieces;
    uvec4 two = p.places[image >> 1];
    uvec2 place = (image & 1u) == 0u ? two.xy : two.zw;
    if (p.back != 0u) place = place.yx;
    if (wholePieces != 0u) {
        destination[place.y + piece] = source[place.x + piece];
        return;
    }
    [[unroll]] for (uint k = 0u; k < 4u; ++k) {
        uint word = 4u * piece + k;
        if (word < p.words) destinationWords[place.y + word] = sourceWords[place.x + word];
    }
}
