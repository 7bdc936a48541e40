// What the reductions share.
#ifndef MPSVK_REDUCE_GLSL
#define MPSVK_REDUCE_GLSL

#include "NNReduce.h"
layout(local_size_x = reduceGroupSize) in;
#include "compare.glsl"
#include "pixel.glsl"

// Loses against every number.
const uint notNumber = 0x7fc00000u;

uint groupIndex() { return gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x; }

float lanesSum(vec4 v) { return ((v.x + v.y) + v.z) + v.w; }

#endif
