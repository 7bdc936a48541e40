// The body of CNNConvolutionGradientWeights.glsl for devices with cooperative matrices and fp16 images in
// buffers, the gradient's pixels whole chunks of eight channels. Both operands have windows along the
// interior: they are read across it.
layout(set = 0, binding = 4, std430) buffer WeightsGradient {
    vec4 weightsGradient[];
};
// Pixels of the source are whole chunks of eight channels.
layout(constant_id = 38) const bool WHOLE_CHUNKS = true;
const bool leftAlong = false;
const bool rightAlong = false;
#include "cooperative.glsl"

// The windows of the gradient lie together from image to image.
layout(constant_id = 46) const bool DENSE_WINDOWS = false;

uint stepWindow;
Column chunkColumns[2];
uint chunkTexels[2]; // from a window's texel to the column's
// Of the invocation's own chunks: what to read, and which are there (bit i). All of it is computed
// before the first load, since a load in a branch ends what the compiler may reorder.
uint leftTexels[leftChunks];
uint rightTexels[rightChunks];
uint leftInside;
uint rightInside;

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

void place() {
    uint end = endWindowOfSplit();
    leftInside = 0u;
    rightInside = 0u;
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        uint index = stepWindow + chunkOf(i) / (tileRows / 8u);
        uint channel = gemmTile() * tileRows + chunkOf(i) % (tileRows / 8u) * 8u;
        leftTexels[i] = leftTexel(index, channel / 4u);
        leftInside |= uint(index < end && channel < parameters.gradient.channels) << i;
    }
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i) {
        uint index = stepWindow + chunkOf(i) / (tileColumns / 8u);
        Window w = windowAt(index);
        rightTexels[i] = windowTexel(w) + chunkTexels[0];
        bool inside = isInside(chunkColumns[0], w) || chunkColumns[0].bias || !WHOLE_CHUNKS;
        rightInside |= uint(index < end && inside) << i;
    }
}

void advance() {
    stepWindow += depth;
    place();
}

uvec4 leftChunk(uint i, uint row, uint k) {
    return (leftInside >> i & 1u) != 0u ? gradient_float16Pair[leftTexels[i] >> 1] : uvec4(0u);
}

uvec2 columnHalves(uint c, Window w) {
    Column column = chunkColumns[c];
    if (column.bias) {
        return uvec2(0x3c00u, 0u); // 1
    }
    return isInside(column, w)
        ? usedHalves(parameters.source, column.slice, source_float16[windowTexel(w) + chunkTexels[c]]) : uvec2(0u);
}

uvec4 rightChunk(uint i, uint column, uint k) {
    if ((rightInside >> i & 1u) == 0u) {
        return uvec4(0u);
    }
    if (!WHOLE_CHUNKS) {
        Window w = windowAt(stepWindow + k);
        return uvec4(columnHalves(0u, w), columnHalves(1u, w));
    }
    if (chunkColumns[0].bias) {
        return uvec4(0x3c00u, 0u, 0u, 0u); // 1
    }
    return source_float16Pair[rightTexels[i] >> 1];
}

void texelStore(uint row, uint column, vec4 value) {
    uint channel = gemmTile() * tileRows + row;
    if (parameters.inPlace == 0u) {
        partialStore(row, column, value);
    } else if (channel < parameters.outputChannels && column < columnCount() - 1u) {
        uint at = channel * (columnCount() - 1u) + column;
        weightsGradient[at] = parameters.accumulate != 0u ? weightsGradient[at] + value : value;
    }
}

void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    column = (gl_WorkGroupID.x * tileColumns + column) / 4u;
    texelStore(row, column, sums);
    texelStore(row, column + 1u, next);
}

void gemmCooperative() {
    uint texel = (gl_WorkGroupID.x * tileColumns + chunkOf(0u) % (tileColumns / 8u) * 8u) / 4u;
    [[unroll]] for (uint c = 0u; c < 2u; ++c) {
        Column column = columnAt(texel + c);
        chunkColumns[c] = column;
        chunkTexels[c] = uint(column.y * int(parameters.source.width) + column.x) *
                             parameters.source.slices + column.slice;
    }
    stepWindow = firstWindowOfSplit();
    place();
    cooperativeRun((endWindowOfSplit() - firstWindowOfSplit() + depth - 1u) / depth);
}
