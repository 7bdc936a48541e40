// Sample positions along one axis, and the results that were sampled from a pixel.
#ifndef MPSVK_UPSAMPLING_GLSL
#define MPSVK_UPSAMPLING_GLSL

#include "CNNUpsampling.h"
#include "geometry.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

// Constants where they are small (0: not), since divisions by constants are cheap.
layout(constant_id = 32) const uint constantStepX = 0u;
layout(constant_id = 33) const uint constantPerX = 0u;
layout(constant_id = 34) const uint constantStepY = 0u;
layout(constant_id = 35) const uint constantPerY = 0u;

// A position is x * step / per.
struct Scale {
    uint step, per;
};

Scale scaleX(uint step, uint per) {
    return constantPerX != 0u ? Scale(constantStepX, constantPerX) : Scale(step, per);
}
Scale scaleY(uint step, uint per) {
    return constantPerY != 0u ? Scale(constantStepY, constantPerY) : Scale(step, per);
}

int wholePart(Scale s, uint x) { return int(x * s.step / s.per); }

float fraction(Scale s, uint x) { return float(x * s.step % s.per) / float(s.per); }

// The first result at or beyond a position, `reach` being the last result's.
int firstAt(Scale s, int position, int reach) {
    if (position <= 0) return 0;
    if (position > reach + 1) position = reach + 1;
    return int((uint(position) * s.per + s.step - 1u) / s.step);
}

// The first result beyond a position.
int firstBeyond(Scale s, int position, int reach) {
    if (position < 0) return 0;
    if (position > reach + 1) position = reach + 1;
    return int(uint(position) * s.per / s.step) + 1;
}

#endif
