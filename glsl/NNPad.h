// Parameters of padding and its gradient, and which index of a source an index reads.
#ifndef MPSVK_NNPAD_H
#define MPSVK_NNPAD_H

#include "geometry.h"

MPSVK_SHARED_BEGIN

// The values of MPS::ImageEdgeMode.
const uint padZero = 0u;
const uint padClamp = 1u;
const uint padMirror = 2u;
const uint padMirrorWithEdge = 3u;
const uint padConstant = 4u;

struct NNPadParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY; // the index that the clip rectangle's first pixel reads
    int before;           // channels before the source's
    uint mode;
    float fillValue; // of Zero 0
    uint padding0;
};

struct NNPadGradientParameters {
    ImageView gradient;
    ImageView destination;
    int clipX, clipY;
    int originX, originY; // the source pixel of the clip rectangle's first pixel
    int sourceWidth, sourceHeight;
    int offsetX, offsetY;     // of the forward pass
    int gradientX, gradientY; // the gradient's pixel of forward pixel 0
    int lastX, lastY;         // of the forward pass's pixels
    int firstChannel; // which of the source's padded channels the destination's first one is
    int channels;     // of the source that were padded
    int before, written;
    uint mode;
    uint padding0, padding1, padding2;
};

// The index of 0 ... size - 1 that index i reads, or -1 for the value outside.
MPSVK_FUNCTION int padIndex(uint mode, int i, int size) {
    if (mode == padClamp) {
        return clampIndex(i, size);
    }
    if (mode == padMirror) {
        return mirrorIndex(i, size);
    }
    if (mode == padMirrorWithEdge) {
        return mirrorWithEdgeIndex(i, size);
    }
    return i >= 0 && i < size ? i : -1;
}

// Results that read a source index: a, a + step, ... and b, b + step, ..., all up to `last`.
struct PadReaders {
    int a;
    int b;
    int step;
    int last;
};

// Of results first ... last, of which result t reads index offset + t.
MPSVK_FUNCTION PadReaders padReaders(uint mode, int index, int size, int offset, int first,
                                     int last) {
    PadReaders readers;
    readers.a = last + 1;
    readers.b = last + 1;
    readers.step = 1;
    readers.last = last;
    if (index < 0 || index >= size) {
        return readers;
    }
    bool reflects = mode == padMirrorWithEdge || (mode == padMirror && size > 1);
    if (reflects) {
        int edge = mode == padMirrorWithEdge ? 1 : 0;
        readers.step = 2 * (size - 1 + edge);
        readers.a = first + floorModulo(index - offset - first, readers.step);
        readers.b = first + floorModulo(-index - edge - offset - first, readers.step);
        if (readers.b == readers.a) { // an edge that is not repeated
            readers.b = last + 1;
        }
        return readers;
    }
    bool repeats = mode == padClamp || mode == padMirror;
    readers.a = repeats && index == 0 ? first : greater(first, index - offset);
    readers.last = repeats && index == size - 1 ? last : lesser(last, index - offset);
    readers.b = readers.last + 1;
    return readers;
}

MPSVK_SHARED_END

#endif
