// Two sums over the invocations of a workgroup.
#ifndef MPSVK_GROUPSUMS_GLSL
#define MPSVK_GROUPSUMS_GLSL

shared vec4 groupFirst[256];
shared vec4 groupSecond[256];

// Adds what the invocations of a workgroup of 256 have, of each of `lanes` (a power of two) lanes
// apart: invocations below `lanes` get the sums. All of them must come here.
void sumsOfGroup(inout vec4 first, inout vec4 second, uint lanes) {
    uint thread = gl_LocalInvocationID.x;
    groupFirst[thread] = first;
    groupSecond[thread] = second;
    barrier();
    for (uint step = 128u; step >= lanes; step /= 2u) {
        if (thread < step) {
            groupFirst[thread] = first += groupFirst[thread + step];
            groupSecond[thread] = second += groupSecond[thread + step];
        }
        barrier();
    }
}

#endif
