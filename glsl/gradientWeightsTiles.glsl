// The body of CNNConvolutionGradientWeights.glsl through tiles of cooperative.glsl (fp16 images in buffers,
// the gradient's pixels whole chunks of eight channels) or blocks.glsl (any images in buffers, as for the
// former with MPSVK_BFLOAT16). Both operands have windows along the interior: they are read across it. Lanes
// of a texel that are no channels make rows and columns that nobody reads.
layout(set = 0, binding = 4, std430) buffer WeightsGradient {
    vec4 weightsGradient[];
};
#ifdef MPSVK_COOPERATIVE
// Pixels of the source are whole chunks.
layout(constant_id = 38) const bool WHOLE_CHUNKS = true;
#else
const bool WHOLE_CHUNKS = true; // of a texel
#endif
const bool leftAlong = false;
const bool rightAlong = false;
const bool advancesAmidProducts = true;
// A step finds one window for all chunks of an invocation.
#define ROWS_TOGETHER WHOLE_CHUNKS
// There is one part, whose sums go to the weights' gradient at once.
layout(constant_id = 47) const bool IN_PLACE = false;
#ifdef MPSVK_COOPERATIVE
// Tiles of 128 rows have no registers left for it.
#define LOADS_TWO_AHEAD (blocksDown < 4u)
// Partial sums leave by whole lines; gradients, whose rows may lie far apart, are faster in fewer turns.
#define STORED_COLUMNS (IN_PLACE ? 8u : 4u)
#endif
#if defined(MPSVK_COOPERATIVE) || defined(MPSVK_BFLOAT16)
#include "cooperative.glsl"
#else
#include "blocks.glsl"
#endif

// The windows of the gradient lie together from image to image.
layout(constant_id = 46) const bool DENSE_WINDOWS = false;

uint stepWindow;
Column chunkColumns[CHUNK / 4u];
uint chunkTexels[CHUNK / 4u]; // from a window's texel to the column's
// Of the invocation's own chunks: what to read, and which are there (bit i). All of it is computed
// before the first load, since a load in a branch ends what the compiler may reorder.
uint leftTexels[leftChunks];
uint rightTexels[rightChunks];
uint leftInside;
uint rightInside;
// With ROWS_TOGETHER, of the own chunks: columns, and which are channels of the gradient, taps of the source,
// or the biases (bit i).
uint columnPlaces[rightChunks]; // x and y in 16 bits each
uint columnTexels[rightChunks];
uint channelChunks;
uint tapChunks;
uint biasChunks;

uint leftTexel(uint index, uint slice) {
    if (DENSE_WINDOWS) {
        return parameters.gradient.offset + index * parameters.gradient.slices + slice;
    }
    Window w = windowAt(index);
    return texelIndex(parameters.gradient, w.x, w.y, slice, w.image);
}

bool isInside(Column column, Window w) {
    uint x = uint(column.x + w.x * parameters.strideX);
    uint y = uint(column.y + w.y * parameters.strideY);
    return column.valid && x < parameters.source.width && y < parameters.source.height;
}

uint windowTexel(Window w) {
    return texelIndex(parameters.source, w.x * parameters.strideX, w.y * parameters.strideY, 0u,
                      w.image);
}

void placeTogether() {
    uint index = stepWindow + acrossRow(0u, tileRows);
    bool isThere = index < endWindowOfSplit();
    leftTexels[0] = leftTexel(index, (gemmTile() * tileRows + acrossChunk(0u, tileRows) * CHUNK) / 4u);
    leftInside = isThere ? channelChunks : 0u;
    Window w = windowAt(index);
    ivec2 first = ivec2(w.x * parameters.strideX, w.y * parameters.strideY);
    uint texel = windowTexel(w);
    rightInside = 0u;
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i) {
        uint x = uint(bitfieldExtract(int(columnPlaces[i]), 0, 16) + first.x);
        uint y = uint(bitfieldExtract(int(columnPlaces[i]), 16, 16) + first.y);
        rightTexels[i] = texel + columnTexels[i];
        rightInside |= uint(x < parameters.source.width && y < parameters.source.height) << i;
    }
    rightInside = isThere ? rightInside & tapChunks : 0u;
}

void findColumns() {
    channelChunks = 0u;
    tapChunks = 0u;
    biasChunks = 0u;
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        uint channel = gemmTile() * tileRows + acrossChunk(i, tileRows) * CHUNK;
        channelChunks |= uint(channel < parameters.gradient.channels) << i;
    }
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i) {
        Column column =
            columnAt((gl_WorkGroupID.x * tileColumns + acrossChunk(i, tileColumns) * CHUNK) / 4u);
        columnPlaces[i] = uint(column.x) & 0xffffu | uint(column.y) << 16;
        columnTexels[i] = uint(column.y * int(parameters.source.width) + column.x) *
                              parameters.source.slices + column.slice;
        tapChunks |= uint(column.valid) << i;
        biasChunks |= uint(column.bias) << i;
    }
}

void place() {
    if (ROWS_TOGETHER) {
        placeTogether();
        return;
    }
    uint end = endWindowOfSplit();
    leftInside = 0u;
    rightInside = 0u;
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        uint index = stepWindow + acrossRow(i, tileRows);
        uint channel = gemmTile() * tileRows + acrossChunk(i, tileRows) * CHUNK;
        leftTexels[i] = leftTexel(index, channel / 4u);
        leftInside |= uint(index < end && channel < parameters.gradient.channels) << i;
    }
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i) {
        uint index = stepWindow + acrossRow(i, tileColumns);
        Window w = windowAt(index);
        rightTexels[i] = windowTexel(w) + chunkTexels[0];
        [[unroll]] for (uint c = 0u; c < CHUNK / 4u; ++c) {
            rightInside |= uint(index < end && isInside(chunkColumns[c], w)) << (i + 16u * c);
        }
    }
}

uint leftAt(uint i) {
    return ROWS_TOGETHER ? leftTexels[0] + i * rowLanes * (CHUNK / 4u) : leftTexels[i];
}

bool isBias(uint i) { return ROWS_TOGETHER ? (biasChunks >> i & 1u) != 0u : chunkColumns[0].bias; }

void advance() {
    stepWindow += depth;
    place();
}

#ifdef MPSVK_COOPERATIVE
uvec4 leftChunk(uint i, uint row, uint k) {
    return (leftInside >> i & 1u) != 0u ? gradient_float16Pair[leftAt(i) >> 1] : uvec4(0u);
}

uvec2 columnHalves(uint i, uint c) {
    uvec2 bias = uvec2(chunkColumns[c].bias ? 0x3c00u : 0u, 0u); // 1
    return (rightInside >> (i + 16u * c) & 1u) != 0u
        ? source_float16[rightTexels[i] + chunkTexels[c] - chunkTexels[0]] : bias;
}

uvec4 rightChunk(uint i, uint column, uint k) {
    if (!WHOLE_CHUNKS) {
        return uvec4(columnHalves(i, 0u), columnHalves(i, 1u));
    }
    uvec4 bias = uvec4(isBias(i) ? 0x3c00u : 0u, 0u, 0u, 0u); // 1
    return (rightInside >> i & 1u) != 0u ? source_float16Pair[rightTexels[i] >> 1] : bias;
}
#else
vec4 leftChunk(uint i, uint row, uint k) {
    return (leftInside >> i & 1u) != 0u ? gradient_at(leftAt(i)) : vec4(0.0);
}

vec4 rightChunk(uint i, uint column, uint k) {
    vec4 bias = vec4(isBias(i) ? 1.0 : 0.0, 0.0, 0.0, 0.0);
    return (rightInside >> i & 1u) != 0u ? source_at(rightTexels[i]) : bias;
}
#endif

void texelStore(uint row, uint column, vec4 value) {
    uint channel = gemmTile() * tileRows + row;
    column = (gl_WorkGroupID.x * tileColumns + column) / 4u;
    if (!IN_PLACE) {
        partialStore(row, column, value);
    } else if (channel < parameters.outputChannels && column < columnCount() - 1u) {
        uint at = channel * (columnCount() - 1u) + column;
        weightsGradient[at] = parameters.accumulate != 0u ? weightsGradient[at] + value : value;
    }
}

#ifdef MPSVK_COOPERATIVE
void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    texelStore(row, column, sums);
    if (STORED_COLUMNS == 8u) {
        texelStore(row, column + 4u, next);
    }
}
#else
void elementsStore(uint row, uint column, vec4 sums) {
    texelStore(row, column, sums);
}
#endif

void gemmTiles() {
    uint texel = (gl_WorkGroupID.x * tileColumns + chunkOf(0u) % (tileColumns / CHUNK) * CHUNK) / 4u;
    [[unroll]] for (uint c = 0u; c < CHUNK / 4u; ++c) {
        Column column = columnAt(texel + c);
        chunkColumns[c] = column;
        chunkTexels[c] = uint(column.y * int(parameters.source.width) + column.x) *
                             parameters.source.slices + column.slice;
    }
    if (ROWS_TOGETHER) {
        findColumns();
    }
    stepWindow = firstWindowOfSplit();
    place();
    productRun((endWindowOfSplit() - firstWindowOfSplit() + depth - 1u) / depth);
}
