// A convolution whose rows are filtered by Winograd's transformations: see CNNConvolutionWinograd.h. Stride and
// dilation along rows are 1, source and destination are fp32 in buffers, the source's channels whole texels.
//
// A workgroup has 32 segments of rows of results and TILE_COLUMNS channels, at all eight positions: 16 of its
// 128 invocations share a position, each with blocks of 4x4 elements in registers. In a step of eight channels
// of a row of taps an invocation transforms two channels of a segment on their way to shared memory, a step
// ahead; weights come straight from memory, two channels ahead.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
#include "image.glsl"
#include "neuron.glsl"
#define WINOGRAD_ROWS
#include "winograd.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 33) const uint TILE_TEXELS = 4u; // of the biases and slopes
layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 40) const uint TILE_COLUMNS = 64u; // or 32

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer SourcePairs {
    vec2 sourcePairs[];
};
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};
// Biases, then for PReLU the slopes, each padded to whole tiles.
layout(set = 0, binding = 4, std430) readonly buffer Channels {
    vec4 channels[];
};
#include "finishedSum.glsl"

const uint segments = winogradRowSegments;
const uint columnGroups = TILE_COLUMNS / 8u, rowGroups = 16u / columnGroups;
const uint blocksDown = segments / 4u / rowGroups, blocksAcross = 2u;
const uint STEP_PAIRS = winogradRowStep / 2u;
const uint ahead = 2u, slots = 4u; // of loads of weights
const uint turnChannels = 4u; // of a step: twice as many are twice the code, which takes time to arrive

// Of a channel's segments, in fours, at a position. What a quarter of a subgroup stores lies in different banks.
const uint pitch = segments / 4u + 1u;
const uint stepSize = winogradRowSpan * winogradRowStep * pitch;
shared vec4 tiles[2u * stepSize]; // [parity][position][channel][segment / 4], then sums
shared uint segmentTexels[segments]; // of the destination
shared uint segmentResults[segments];

struct Segment {
    uint image, x, y; // of its first result in the clip rectangle
    bool exists;
};

uint across() { return (parameters.clipWidth + results - 1u) / results; }

Segment segmentOf(uint block, uint index) {
    uint wide = across();
    uint i = block * segments + index, line = i / wide, image = line / parameters.clipHeight;
    return Segment(image, (i - line * wide) * results, line - image * parameters.clipHeight,
                   image < parameters.images);
}

// What an invocation loads.
int ownTexel;     // of the source at its segment's first pixel and first row of taps, in pairs of channels
int ownRow;       // of the source
uint ownColumns;  // bit i: the i-th pixel lies within the source
bool ownSegment;  // exists
vec2 next[winogradRowSpan];
uint tapRow, firstPair; // of the step that is loaded next

void loadNext() {
    uint pair = firstPair + gl_LocalInvocationIndex % STEP_PAIRS;
    int y = ownRow + int(tapRow) * parameters.dilationY;
    bool isInside = all(bvec3(ownSegment, uint(y) < parameters.source.height,
                              pair * 2u < parameters.source.channels));
    uint columns = isInside ? ownColumns : 0u;
    uint pixel = parameters.source.slices * 2u;
    uint at = uint(ownTexel) + uint(int(tapRow) * parameters.dilationY) * parameters.source.width * pixel +
              pair;
    [[unroll]] for (uint i = 0u; i < winogradRowSpan; ++i) {
        next[i] = (columns & 1u << i) != 0u ? sourcePairs[at + i * pixel] : vec2(0.0);
    }
    firstPair += STEP_PAIRS;
    bool entersRow = firstPair * 2u >= parameters.source.channels;
    firstPair = entersRow ? 0u : firstPair;
    tapRow += uint(entersRow);
    tapRow = tapRow == parameters.kernelHeight ? 0u : tapRow; // beyond the last step: the first one
}

void storeNext(uint parity) {
    uint channel = gl_LocalInvocationIndex % STEP_PAIRS * 2u;
    uint segment = gl_LocalInvocationIndex / STEP_PAIRS;
    vec4 x[mostSpan];
    [[unroll]] for (uint i = 0u; i < span; ++i) {
        x[i] = vec4(next[i], 0.0, 0.0);
    }
    [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
        vec4 made[2] = winogradSource(x, pair);
        [[unroll]] for (uint i = 0u; i < 2u; ++i) {
            uint position = 2u * pair + i;
            uint at = parity * stepSize + (position * winogradRowStep + channel) * pitch + segment / 4u;
            tiles[at][segment % 4u] = made[i].x;
            tiles[at + pitch][segment % 4u] = made[i].y;
        }
    }
}

void main() {
    uint thread = gl_LocalInvocationIndex;
    uint position = thread / 16u, rowGroup = thread % 16u / columnGroups,
         columnGroup = thread % columnGroups;
    uint columnTiles = (parameters.resultSlices * 4u + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint block = group / columnTiles, firstTexel = (group - block * columnTiles) * (TILE_COLUMNS / 4u);

    Segment own = segmentOf(block, thread / STEP_PAIRS);
    int x = int(own.x) + parameters.originX;
    ownRow = int(own.y) * parameters.strideY + parameters.originY;
    ownTexel = int(2u * (parameters.source.offset + own.image * parameters.source.imageStride)) +
               2 * (ownRow * int(parameters.source.width) + x) * int(parameters.source.slices);
    ownSegment = own.exists;
    ownColumns = 0u;
    [[unroll]] for (uint i = 0u; i < winogradRowSpan; ++i) {
        ownColumns |= uint(x + int(i)) < parameters.source.width ? 1u << i : 0u;
    }
    tapRow = firstPair = 0u;
    if (thread < segments) {
        Segment written = segmentOf(block, thread);
        segmentTexels[thread] =
            texelIndex(parameters.destination, int(parameters.clipX + written.x),
                       int(parameters.clipY + written.y), 0u, written.image);
        segmentResults[thread] = written.exists ? min(results, parameters.clipWidth - written.x) : 0u;
    }

    uint steps = parameters.kernelHeight * (winogradRowChannels(parameters.source.channels) / winogradRowStep);
    uint rowTexels = winogradRowTexels(parameters.resultSlices);
    uint ownWeights = position * rowTexels + firstTexel + columnGroup;
    uint weightsStride = winogradRowSpan * rowTexels;
    uint lastWeights = ownWeights + (steps * winogradRowStep - 1u) * weightsStride;
    vec4 sums[4u * blocksDown][blocksAcross], right[slots][blocksAcross];
    [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i) {
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
            sums[i][j] = vec4(0.0);
        }
    }
    loadNext();
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
            right[k][j] = weights[ownWeights + k * weightsStride + j * columnGroups];
        }
    }
    ownWeights += ahead * weightsStride;
    storeNext(0u);
    barrier();
    for (uint step = 0u; step < steps; ++step) {
        uint parity = step % 2u;
        loadNext();
        [[dont_unroll]] for (uint first = 0u; first < winogradRowStep; first += turnChannels) {
            [[unroll]] for (uint k = 0u; k < turnChannels; ++k) {
                [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                    right[(k + ahead) % slots][j] =
                        weights[min(ownWeights, lastWeights) + j * columnGroups];
                }
                ownWeights += weightsStride;
                vec4 left[blocksDown];
                [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
                    left[i] = tiles[parity * stepSize + (position * winogradRowStep + first + k) * pitch +
                                    i * rowGroups + rowGroup];
                }
                [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i) {
                    [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                        sums[i][j] = fma(vec4(left[i / 4u][i % 4u]), right[k % slots][j], sums[i][j]);
                    }
                }
            }
        }
        storeNext(1u - parity);
        barrier();
    }

    // All positions of some segments come together, and an invocation makes the results of one texel.
    const uint turnSegments = 4u * rowGroups, columnTexels = TILE_COLUMNS / 4u;
    uint ownColumn = thread % columnTexels, ownRows = thread / columnTexels;
    uint slice = firstTexel + ownColumn;
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        [[unroll]] for (uint r = 0u; r < 4u; ++r) {
            [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                tiles[(position * turnSegments + rowGroup * 4u + r) * columnTexels + j * columnGroups +
                      columnGroup] = sums[4u * i + r][j];
            }
        }
        barrier();
        vec4 products[mostSpan];
        [[unroll]] for (uint p = 0u; p < span; ++p) {
            products[p] = tiles[(p * turnSegments + ownRows) * columnTexels + ownColumn];
        }
        vec4 made[mostResults] = winogradResult(products);
        uint segment = i * turnSegments + ownRows;
        uint count = slice < parameters.resultSlices ? segmentResults[segment] : 0u;
        [[unroll]] for (uint k = 0u; k < results; ++k) {
            vec4 value = finishedSum(min(slice, parameters.resultSlices - 1u), made[k]);
            if (k < count) {
                destination_put(segmentTexels[segment] + k * parameters.destination.slices + slice,
                                usedLanes(parameters.destination, slice, value));
            }
        }
        barrier();
    }
}
