// Parameters of the convolution kernels, read by C++ and GLSL alike.
//
// A window's tap (r, q) reads the source at origin + stride * window + dilation * (r, q).
//
// Weights are packed per tile of result channels as [tile][q][r][slice][k][n]: texel n of the tile
// holds the weights of four result channels for channel k of a source texel. A tile reads
// `tileSlices` source texels from tileFirstSlice() on; weights of channels that lie in these texels
// but outside the result channel's group are zero.
//
// "Reduced" channels are those that a kernel reads and sums over, "result" channels those that it
// writes: forward reduces input channels, the data gradient reduces output channels.
//
// A transposed convolution is the data gradient of a convolution whose weights are the same, turned
// around: its taps in reverse order make it read as above. Its own data gradient is the forward
// product, its weights gradient the product with the operands exchanged.
#ifndef MPSVK_GLSL_CNNCONVOLUTION_H
#define MPSVK_GLSL_CNNCONVOLUTION_H

#include "geometry.h"
#include "types.h"

MPSVK_SHARED_BEGIN

// Forward, data gradient, transposed convolution, and their depthwise forms. For the data gradient
// `source` is the incoming gradient and `destination` the gradient of the forward source.
struct CNNConvolutionParameters {
    ImageView source;
    ImageView destination;
    uint images;
    uint clipX; // region of the destination that is written
    uint clipY;
    uint clipWidth;
    uint clipHeight;
    uint kernelWidth;
    uint kernelHeight;
    int strideX;
    int strideY;
    int dilationX;
    int dilationY;
    int originX; // source position of tap 0 of window 0
    int originY;
    uint clampEdges;       // 1: reads outside the source take the nearest pixel
    uint edgeWidth;        // of the image that the forward windows of a data gradient were clamped to
    uint edgeHeight;
    uint resultSlices;     // texels of result channels, without the padding of the last tile
    uint tiles;            // tiles of result channels
    uint tileSlices;       // source texels that a tile reads
    uint resultPerGroup;   // channels per group
    uint reducedPerGroup;
    uint multiplier;       // depthwise: output channels per input channel
    uint subPixelScale;    // 1, or the factor of a sub-pixel convolution
    uint parts;            // of the inner dimension, each with sums of its own
    uint partSteps;        // steps of a part
    uint hasBias;
    float neuronA;
    float neuronB;
    float neuronC;
};

// Weights and bias gradient. The gradient of a tile of output channels has one column for each
// texel of weights, (q * kernelWidth + r) * tileSlices + slice, and a last one for the biases.
// Partial sums are texels of input channels at
//     ((split * tiles + tile) * tileChannels + channel) * columns + column.
// A transposed convolution moves its windows over the gradient: there input and output channels,
// `gradient` and `source` change places, and the biases are summed by a kernel of their own.
struct CNNConvolutionWeightsParameters {
    ImageView gradient; // one pixel per window
    ImageView source;   // read at the taps
    uint images;
    uint kernelWidth;
    uint kernelHeight;
    int strideX;
    int strideY;
    int dilationX;
    int dilationY;
    int originX;
    int originY;
    uint clampEdges;
    uint outputChannels;
    uint tiles;          // tiles of output channels
    uint tileSlices;     // source texels that a tile reads
    uint resultPerGroup; // output channels per group
    uint reducedPerGroup;
    uint multiplier;     // depthwise: output channels per input channel
    uint tileChannels;   // output channels per tile
    uint splits;         // parts that the pixels are divided into
    uint splitPixels;    // pixels per part
    uint accumulate;     // 1: add to what the gradients hold
    uint transposed;     // 1: of a transposed convolution
    uint biasColumn;     // 1: the last column is the biases' gradient; 0: nothing uses it
    uint blockHeight;    // of windows, where groups have few channels
};

// Bias gradient of a transposed convolution: sums over the pixels of each texel of channels. A
// workgroup adds up `lanes` texels (a power of two), 256 / lanes pixels at a time; partial sums are
// at split * texels + texel.
struct CNNConvolutionBiasParameters {
    ImageView gradient;
    uint pixels; // of all images
    uint texels;
    uint lanes;
    uint splits;
    uint splitPixels;
    uint accumulate;
};

// Weights between the layout of data sources, [output][q][r][input of the group], and the kernels'.
struct CNNConvolutionPackParameters {
    uint outputChannels;
    uint inputChannels;
    uint groups;
    uint kernelWidth;
    uint kernelHeight;
    uint tileTexels; // texels of result channels per tile; 0: depthwise, [q][r][texel]
    uint tiles;
    uint tileSlices;
    uint transposed;     // 1: result channels are the input channels (data gradient)
    uint rotated;        // 1: taps in reverse order (transposed convolution)
    uint subPixelBlocks; // 1, or the square of the factor of a sub-pixel convolution
    uint roundToHalf;    // 1: values are rounded to 16-bit floats
    uint hasScale;       // 1: output channel o is multiplied by scale[o] before it is rounded
    uint sourceOffset;   // of the first weight in the data source's buffer, in floats
    uint inHalves;       // 1: two weights share a word
    uint mergedTaps;     // 1: `tileSlices` are a row of taps of one texel each, filled up
    uint hasBias;        // bias kernel: the three parts, each zero without
    uint hasShift;
    uint hasSlopes;
};

// Taps of the packed weights: rows of taps where they are merged.
MPSVK_FUNCTION uint packedTaps(CNNConvolutionPackParameters p) {
    return p.kernelHeight * (p.mergedTaps != 0u ? 1u : p.kernelWidth);
}

// Blocks of four rows (channels that are summed over) of four columns (result channels); of a depthwise
// kernel, of one row.
MPSVK_FUNCTION uint packedBlockCount(CNNConvolutionPackParameters p) {
    return p.tileTexels == 0u ? packedTaps(p) * ((p.outputChannels + 3u) / 4u)
                              : p.tiles * packedTaps(p) * p.tileSlices * p.tileTexels;
}

// The first source texel that a tile of result channels reads.
MPSVK_FUNCTION uint tileFirstSlice(
    uint tile, uint tileChannels, uint resultPerGroup, uint reducedPerGroup) {
    return tile * tileChannels / resultPerGroup * reducedPerGroup / 4u;
}

// One past the last one.
MPSVK_FUNCTION uint tileEndSlice(
    uint tile, uint tileChannels, uint results, uint resultPerGroup, uint reducedPerGroup) {
    uint end = tile * tileChannels + tileChannels;
    uint last = (end < results ? end : results) - 1u;
    return ((last / resultPerGroup + 1u) * reducedPerGroup + 3u) / 4u;
}

// First and last window of one axis whose tap reads a position that the edge mode maps to `pixel`:
// one window or none without clamped edges. `size` is the extent of the forward source.
MPSVK_FUNCTION int firstWindowOfTap(int pixel, int clampEdges, int origin, int stride, int begin) {
    int low = lowPosition(pixel, origin, clampEdges);
    return greater(0, ceilDivide(low - begin, stride));
}

MPSVK_FUNCTION int lastWindowOfTap(int pixel, int size, int clampEdges, int reach, int stride,
                                   int begin, int windows) {
    int high = highPosition(pixel, size, reach, clampEdges);
    return lesser(windows - 1, floorDivide(high - begin, stride));
}

MPSVK_SHARED_END

#endif
