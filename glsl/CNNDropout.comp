// y = x / p with probability p, else 0; what was kept can be left in a state for the gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNDropout.h"
layout(local_size_x = 256) in;
#include "philox.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNDropoutParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) writeonly buffer Mask { uint mask[]; };
layout(constant_id = 32) const uint saves = 0u;
layout(constant_id = 33) const uint wholeBlocks = 0u; // the channels of a texel share a random number's block

uvec4 randomBlock(uint block, uint image) {
    return philox(uvec4(block, p.firstImage + image, p.ordinalLow, p.ordinalHigh), uvec2(p.seedLow, p.seedHigh));
}

uint keeps(uint random) { return float(random >> 8) / 16777216.0 < p.keepProbability ? 1u : 0u; }

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    uint row = p.perRow * uint(at.y), column = p.perColumn * uint(at.x), slice = p.perChannel * at.slice;
    uint pixel = row * p.maskWidth + column;

    uvec4 keep = uvec4(0u);
    if (wholeBlocks != 0u) {
        uvec4 random = randomBlock(pixel * (p.maskChannels / 4u) + slice, at.image);
        keep = uvec4(keeps(random.x), keeps(random.y), keeps(random.z), keeps(random.w));
    } else {
        uvec4 random = uvec4(0u);
        uint block = 0xffffffffu;
        for (uint lane = 0u; lane < 4u; ++lane) {
            uint channel = p.perChannel * (slice * 4u + lane);
            if (channel >= p.maskChannels) break;
            uint element = pixel * p.maskChannels + channel;
            if (element / 4u != block) {
                block = element / 4u;
                random = randomBlock(block, at.image);
            }
            keep[lane] = keeps(random[element % 4u]);
        }
    }
    vec4 x = source_read(p.source, p.offsetX + at.x, p.offsetY + at.y, at.slice, at.image, p.clampEdges);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      mix(vec4(0.0), x / p.keepProbability, bvec4(keep)));

    // Of all invocations that share a word of the mask, the first one writes it.
    bool first = row == uint(at.y) && column == uint(at.x) && slice == at.slice;
    if (saves != 0u && first) {
        uint maskSlices = (p.maskChannels + 3u) / 4u;
        mask[at.image * p.maskStride + pixel * maskSlices + slice] =
            keep.x | keep.y << 8 | keep.z << 16 | keep.w << 24;
    }
}
