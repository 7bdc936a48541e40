// Linear grids: one invocation per element, folded into y where x would exceed the device's limit.
// An index may lie beyond the end: compare before use. What includes this has declared the size of its
// workgroups: gl_WorkGroupSize is 1 up to there.
#ifndef MPSVK_GRID_GLSL
#define MPSVK_GRID_GLSL

uint gridIndex() {
    return gl_GlobalInvocationID.x + gl_GlobalInvocationID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x;
}

#endif
