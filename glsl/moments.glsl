// Count, mean and sum of squared deviations of a set of values, and of two sets together: without
// the cancellation of sums of squares.
#ifndef MPSVK_MOMENTS_GLSL
#define MPSVK_MOMENTS_GLSL

struct Moments {
    float count;
    vec4 mean, squares;
};

void momentsMerge(inout Moments a, Moments b) {
    if (b.count == 0.0) return;
    if (a.count == 0.0) {
        a = b;
        return;
    }
    float count = a.count + b.count;
    vec4 d = b.mean - a.mean;
    a.mean += d * (b.count / count);
    a.squares += b.squares + d * d * (a.count * (b.count / count));
    a.count = count;
}

shared Moments groupMoments[256];

// Brings together what the invocations of a workgroup of 256 have, of each of `lanes` (a power of
// two) lanes apart: invocations below `lanes` get the result. All of them must come here.
void momentsOfGroup(inout Moments own, uint lanes) {
    uint thread = gl_LocalInvocationID.x;
    groupMoments[thread] = own;
    barrier();
    for (uint step = 128u; step >= lanes; step /= 2u) {
        if (thread < step) {
            momentsMerge(own, groupMoments[thread + step]);
            groupMoments[thread] = own;
        }
        barrier();
    }
}

#endif
