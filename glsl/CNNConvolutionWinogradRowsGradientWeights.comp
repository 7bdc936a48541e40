// Partial sums of the gradient of weights, with rows filtered by Winograd's transformations: see
// CNNConvolutionWinograd.h. Stride and dilation along rows are 1, both images fp32 in buffers.
//
// At each of the eight positions this is a product of the transformed gradients, [result channel][segment], with
// the transformed sources, [segment][row of taps and channel]. A workgroup has 64 x 64 elements of all of them:
// a subgroup's worth of its 256 invocations share a position, each with 4x2 blocks of 4x4 elements in registers.
// In a step of four segments half of the invocations transform gradients and half of them sources, two channels
// each, a step ahead.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 256) in;
#include "CNNConvolution.h"
#include "pixel.glsl"
#define WINOGRAD_ROWS
#include "winograd.glsl"

layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of segments
    CNNConvolutionWeightsParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Gradients {
    vec2 gradients[];
};
layout(set = 0, binding = 2, std430) readonly buffer Sources {
    vec2 sources[];
};
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

const uint side = winogradRowSide, sideTexels = side / 4u, step = 4u;
const uint rowGroups = 4u, columnGroups = 8u, blocksDown = 4u, blocksAcross = 2u;

// [parity][gradients, sources][position][segment][channel / 4], then sums. The even channels of a tile come
// first, so that invocations with neighbouring pairs of channels store neighbours.
const uint positionSize = step * sideTexels, operandSize = winogradRowSpan * positionSize;
shared vec4 tiles[4u * operandSize];

uint channelAt(uint place) { return place % (side / 2u) * 2u + place / (side / 2u); }

// What an invocation loads: of sources if `ownIsSource`.
bool ownIsSource, ownChannels;
uint ownPair, ownRow;
uint nextSegment, lastSegment;
vec2 next[winogradRowSpan];

void loadNext() {
    bool exists = all(bvec2(ownChannels, nextSegment < lastSegment));
    Place at = placeOf(grid, min(nextSegment, lastSegment - 1u));
    nextSegment += step;
    int x = at.x * int(results);
    if (ownIsSource) {
        x += parameters.originX;
        int y = at.y * parameters.strideY + int(ownRow);
        exists = all(bvec2(exists, uint(y) < parameters.source.height));
        uint pixel = 2u * parameters.source.slices;
        uint first = 2u * (parameters.source.offset + at.image * parameters.source.imageStride) + ownPair +
                     uint(y * int(parameters.source.width) + x) * pixel;
        [[unroll]] for (uint i = 0u; i < span; ++i) {
            bool isInside = all(bvec2(exists, uint(x + int(i)) < parameters.source.width));
            next[i] = isInside ? sources[first + i * pixel] : vec2(0.0);
        }
    } else {
        uint pixel = 2u * parameters.gradient.slices;
        uint first = 2u * (parameters.gradient.offset + at.image * parameters.gradient.imageStride) +
                     ownPair + uint(at.y * int(parameters.gradient.width) + x) * pixel;
        [[unroll]] for (uint i = 0u; i < results; ++i) {
            bool isInside = all(bvec2(exists, uint(x) + i < parameters.gradient.width));
            next[i] = isInside ? gradients[first + i * pixel] : vec2(0.0);
        }
    }
}

void storeNext(uint parity) {
    uint thread = gl_LocalInvocationIndex;
    uint place = thread % (side / 2u), segment = thread / (side / 2u) % step;
    uint to = (2u * parity + uint(ownIsSource)) * operandSize + segment * sideTexels + place / 4u;
    [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
        vec4 made[2];
        if (ownIsSource) {
            vec4 x[mostSpan];
            [[unroll]] for (uint i = 0u; i < span; ++i) {
                x[i] = vec4(next[i], 0.0, 0.0);
            }
            made = winogradSource(x, pair);
        } else {
            vec4 x[mostResults];
            [[unroll]] for (uint i = 0u; i < results; ++i) {
                x[i] = vec4(next[i], 0.0, 0.0);
            }
            made = winogradGradient(x, pair);
        }
        [[unroll]] for (uint i = 0u; i < 2u; ++i) {
            uint at = to + (2u * pair + i) * positionSize;
            tiles[at][place % 4u] = made[i].x;
            tiles[at + sideTexels / 2u][place % 4u] = made[i].y;
        }
    }
}

void main() {
    uint thread = gl_LocalInvocationIndex;
    uint position = thread / 32u, rowGroup = thread % 32u / columnGroups,
         columnGroup = thread % columnGroups;
    uint slices = parameters.tileSlices, rowTile = gl_WorkGroupID.y;
    uint pair = thread % (side / 2u);
    ownIsSource = thread >= 128u;
    uint texel = (ownIsSource ? gl_WorkGroupID.x : rowTile) * sideTexels + pair / 2u;
    uint tapRow = 0u;
    if (ownIsSource) {
        tapRow = texel / slices;
        texel -= tapRow * slices;
        ownRow = uint(parameters.originY + int(tapRow) * parameters.dilationY);
        ownChannels = tapRow < parameters.kernelHeight;
    } else {
        ownChannels = texel * 4u < parameters.gradient.channels;
    }
    ownPair = texel * 2u + (pair & 1u);
    uint first = gl_WorkGroupID.z * parameters.splitPixels;
    lastSegment = min(first + parameters.splitPixels, texelCount(grid));
    nextSegment = first + thread / 32u % step;
    uint steps = (lastSegment - first + step - 1u) / step;

    vec4 sums[4u * blocksDown][blocksAcross];
    [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i) {
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
            sums[i][j] = vec4(0.0);
        }
    }
    loadNext();
    storeNext(0u);
    barrier();
    for (uint s = 0u; s < steps; ++s) {
        uint parity = s % 2u;
        loadNext();
        [[unroll]] for (uint k = 0u; k < step; ++k) {
            uint at = 2u * parity * operandSize + position * positionSize + k * sideTexels;
            vec4 left[blocksDown], right[blocksAcross];
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
                left[i] = tiles[at + i * rowGroups + rowGroup];
            }
            [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                right[j] = tiles[at + operandSize + j * columnGroups + columnGroup];
            }
            [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i) {
                [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                    sums[i][j] = fma(vec4(left[i / 4u][i % 4u]), right[j], sums[i][j]);
                }
            }
        }
        storeNext(1u - parity);
        barrier();
    }

    // All positions of 16 rows come together, and an invocation makes the taps of one texel.
    uint ownTexel = thread % sideTexels, ownTileRow = thread / sideTexels;
    uint columnTexel = gl_WorkGroupID.x * sideTexels + ownTexel;
    tapRow = columnTexel / slices;
    uint column = tapRow * parameters.kernelWidth * slices + (columnTexel - tapRow * slices);
    uint columns = parameters.kernelWidth * parameters.kernelHeight * slices + 1u;
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        [[unroll]] for (uint r = 0u; r < 4u; ++r) {
            [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                tiles[(position * 16u + rowGroup * 4u + r) * sideTexels + j * columnGroups + columnGroup] =
                    sums[4u * i + r][j];
            }
        }
        barrier();
        vec4 products[mostSpan];
        [[unroll]] for (uint p = 0u; p < span; ++p) {
            uint even = (p * 16u + ownTileRow) * sideTexels + ownTexel / 2u, lane = ownTexel % 2u * 2u;
            uint odd = even + sideTexels / 2u;
            products[p] =
                vec4(tiles[even][lane], tiles[odd][lane], tiles[even][lane + 1u], tiles[odd][lane + 1u]);
        }
        vec4 made[mostTaps] = winogradWeightsGradient(products);
        uint o = rowTile * side + channelAt(i * 16u + ownTileRow);
        if (o < parameters.outputChannels && tapRow < parameters.kernelHeight) {
            uint to = ((gl_WorkGroupID.z * parameters.tiles * parameters.tileChannels) + o) * columns + column;
            [[unroll]] for (uint tap = 0u; tap < TAPS; ++tap) {
                partials[to + tap * slices] = made[tap];
            }
        }
        barrier();
    }
}
