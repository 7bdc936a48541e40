// A workgroup that walks down the rows of a strip of columns, so that a window's pixels are read once:
// an invocation keeps the latest rows of its column in registers, adds up what it has of a window, and
// neighbours exchange these sums through shared memory. Invocation i has slice i % slicesTogether of
// column i / slicesTogether. Before this file is included, REACH_X and REACH_Y are how far results reach
// to pixels before them, and SUMS the planes of shared memory, not counting the one for means.
#ifndef MPSVK_WINDOWSTREAM_GLSL
#define MPSVK_WINDOWSTREAM_GLSL

#include "CNNNormalization.h"
layout(local_size_x_id = 32) in;
#include "inversePower.glsl"
#include "pixel.glsl"

layout(constant_id = 33) const uint slicesTogether = 1u;
layout(constant_id = 34) const uint kernelWidth = 1u;
layout(constant_id = 35) const uint kernelHeight = 1u;
layout(constant_id = 36) const uint betaWhole = 0u; // beta = betaWhole + betaQuarters / 4 or + betaRest
layout(constant_id = 37) const uint betaQuarters = 0u;
// 1: local contrast, of deviations from the window's mean. 0: spatial, of the values themselves.
layout(constant_id = 38) const uint centred = 0u;
// Of a turn of the loop. What is kept moves up once for all of them, and they are read together.
layout(constant_id = 39) const uint rowsEach = 1u;
layout(set = 0, binding = 0) uniform Parameters { CNNNormalizationParameters p; };

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)

const uint columnsBefore = kernelWidth / 2u;
const uint rowsBefore = kernelHeight / 2u, rowsAfter = (kernelHeight - 1u) / 2u;

// Unrolled: what is kept would not be in registers otherwise.
#define EACH_ROW(J) [[unroll]] for (uint J = 0u; J < kernelHeight; ++J)
#define EACH_COLUMN(D) [[unroll]] for (uint D = 0u; D < kernelWidth; ++D)
#define EACH_NEXT(U) [[unroll]] for (uint U = 0u; U < rowsEach; ++U)

// A plane has zeros at either end, for columns in which there is nothing.
const uint margin = columnsBefore * slicesTogether;
const uint planeSize = gl_WorkGroupSize.x + 2u * margin;
const uint planes = SUMS + centred;
shared vec4 columnSums[planes * planeSize];

struct Strip {
    uint image, slice;
    bool hasSlice;
    int column;                 // the invocation's own
    int firstColumn, endColumn; // for which there are results
    int firstRow, endRow;
    int row; // the first to be read
};

// All in pixels of the source. The last workgroups of a folded grid have an image beyond the last one.
Strip stripOf() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    uint thread = gl_LocalInvocationID.x, slices = (p.destination.channels + 3u) / 4u;
    Strip s;
    uint slice = group % p.blocks * slicesTogether + thread % slicesTogether;
    s.hasSlice = slice < slices;
    s.slice = min(slice, slices - 1u);
    group /= p.blocks;
    s.firstColumn = p.originX + int(group % p.strips * p.stripColumns);
    s.endColumn = min(s.firstColumn + int(p.stripColumns), p.originX + int(p.clipWidth));
    group /= p.strips;
    s.firstRow = p.originY + int(group % p.segments * p.segmentRows);
    s.endRow = min(s.firstRow + int(p.segmentRows), p.originY + int(p.clipHeight));
    s.image = group / p.segments;
    int first = min(s.firstColumn, max(s.firstColumn - int(REACH_X), p.lowestColumn));
    s.column = first + int(thread / slicesTogether);
    s.row = min(s.firstRow, max(s.firstRow - int(REACH_Y), p.lowestRow));
    return s;
}

bool hasColumn(Strip s) { return s.hasSlice && s.column >= s.firstColumn && s.column < s.endColumn; }

// Oldest first; a window's rows are those from its number in the turn on.
vec4 xs[kernelHeight - 1u + rowsEach];
vec4 nextXs[rowsEach];

// The rows from `row` on, but none beyond `last`.
void readSource(Strip s, int row, int last) {
    EACH_NEXT(u)
        nextXs[u] = source_read(p.source, s.column, min(row + int(u), last), s.slice, s.image, p.clampEdges);
}

void takeSource() { EACH_NEXT(u) xs[kernelHeight - 1u + u] = nextXs[u]; }

void moveSource() {
    [[unroll]] for (uint j = 0u; j + 1u < kernelHeight; ++j) xs[j] = xs[j + rowsEach];
}

void clearSums() {
    EACH_ROW(j) xs[j] = vec4(0.0);
    for (uint i = gl_LocalInvocationID.x; i < planes * planeSize; i += gl_WorkGroupSize.x)
        columnSums[i] = vec4(0.0);
    barrier();
}

struct Statistics {
    vec4 mean, variance;
};

// Of the window of the turn's row u. Deviations are taken from a member of the window, so that a large
// mean does not cancel the variance. All sums in one order, written so that no compiler joins them in
// another way for another row.
Statistics statisticsOf(uint u) {
    uint thread = gl_LocalInvocationID.x;
    float width = float(kernelWidth), height = float(kernelHeight);
    vec4 origin = centred != 0u ? xs[u + rowsBefore] : vec4(0.0);
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    EACH_ROW(j) {
        vec4 v = centred != 0u ? xs[u + j] - origin : xs[u + j];
        if (centred != 0u) sum += v;
        squares = fma(v, v, squares);
    }
    vec4 columnMean = vec4(0.0);
    if (centred != 0u) {
        vec4 mean = sum * (1.0 / height);
        squares = max(fma(-sum, mean, squares), vec4(0.0));
        columnMean = origin + mean;
        columnSums[planeSize + margin + thread] = columnMean;
    }
    columnSums[margin + thread] = squares;
    barrier();
    sum = vec4(0.0);
    squares = vec4(0.0);
    EACH_COLUMN(d) {
        uint column = thread + d * slicesTogether;
        squares += columnSums[column];
        if (centred != 0u) {
            vec4 v = columnSums[planeSize + column] - columnMean;
            sum += v;
            squares = fma(height * v, v, squares);
        }
    }
    squares *= 1.0 / (width * height);
    if (centred == 0u) return Statistics(vec4(0.0), squares);
    vec4 mean = sum * (1.0 / width);
    return Statistics(columnMean + mean, max(fma(-mean, mean, squares), vec4(0.0)));
}

#endif
