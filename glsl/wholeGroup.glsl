// A workgroup has some groups of an image and keeps all their pixels in registers, so that memory is
// read once for sums and results. What it keeps comes in units of 16 bytes: a texel of fp32, or two
// neighbouring ones of fp16, which stay halves until they are used. Invocation i has unit i % blockUnits
// of the block's units of a pixel, of every `lanes`th pixel. Before it is included, WHOLE_SUMS is the
// number of sums.
//
// Where `members` is more than 1, so many workgroups share a block's pixels, and bring their sums together by
// memory.
#ifndef MPSVK_WHOLEGROUP_GLSL
#define MPSVK_WHOLEGROUP_GLSL

#include "CNNGroupNormalization.h"
#include "image.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const uint blockUnits = 1u;
layout(constant_id = 34) const uint kept = 1u; // pixels of an invocation
layout(constant_id = 38) const uint members = 1u;

// So many workgroups begin one after the other, the last of them after some turns of a loop. Multiprocessors
// that begin together would load together and compute together, and leave memory idle meanwhile.
layout(constant_id = 36) const uint staggered = 0u;
layout(constant_id = 37) const uint staggerTurns = 0u;

const uint invocations = gl_WorkGroupSize.x;
const uint lanes = invocations / blockUnits;
const uint wholeSlices = blockUnits * texels; // of the block
const uint pieces = 16u;

layout(set = 0, binding = 10, std430) coherent buffer MemberSums { vec4 memberSums[]; };
layout(set = 0, binding = 11, std430) volatile buffer Arrived { uint arrived[]; }; // at a block

shared vec4 laneSums[WHOLE_SUMS * texels * invocations];
shared vec4 pieceSums[WHOLE_SUMS * wholeSlices * pieces];

// Unrolled, and never within another loop: what is kept would not be in registers otherwise.
#define EACH_KEPT(I) [[unroll]] for (uint I = 0u; I < kept; ++I)

struct Share {
    uint image, block, member, unit;
    uint lane;      // of all members'
    uint lastPixel; // of the image
    bool hasAll;    // the last pixel of the invocation is one of the image, too
};

void stagger() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (group >= staggered) return;
    float x = 0.5;
    for (uint turn = group * staggerTurns / staggered; turn > 0u; --turn) x = fma(x, 0.999, 0.001);
    if (x < 0.0) laneSums[0] = vec4(x); // it never is, but then the loop would be left out
}

// The last workgroups of a folded grid have an image beyond the last one.
Share shareOf(uint blocks, uint pixels) {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    Share s;
    s.image = group / members / blocks;
    s.block = group / members % blocks;
    s.member = group % members;
    s.unit = gl_LocalInvocationID.x % blockUnits;
    s.lane = s.member * lanes + gl_LocalInvocationID.x / blockUnits;
    s.lastPixel = pixels - 1u;
    s.hasAll = s.lane + (kept - 1u) * lanes * members < pixels;
    return s;
}

// Only the last pixel of an invocation may be beyond the image's: then it is the image's last.
uint keptPixel(Share s, uint i) {
    return min(s.lane + i * lanes * members, i + 1u == kept ? s.lastPixel : 0xffffffffu);
}

bool counts(Share s, uint i) { return i + 1u < kept || s.hasAll; }

// Of the rows of a view nothing is left out, so that its pixels follow each other.
uint unitIndex(ImageView v, Share s, uint i) {
    uint first = (v.offset + s.image * v.imageStride) / texels + s.block * blockUnits + s.unit;
    return first + keptPixel(s, i) * (v.slices / texels);
}

uint memberSumAt(Share s, uint blocks, uint member, uint sum) {
    uint set = s.image * blocks + s.block;
    return (set * members + member) * (sumsOfMember * wholeSlices) + sum;
}

// What each member has written to memberSums before can be read after. A member waits for the others, which
// run meanwhile: there are few, and they begin one after the other. All invocations must come here.
void meetMembers(Share s, uint blocks) {
    memoryBarrierBuffer();
    barrier();
    if (gl_LocalInvocationID.x == 0u) {
        uint set = s.image * blocks + s.block;
        uint before = atomicAdd(arrived[set], s.member == 0u ? arrivals - members + 1u : 1u);
        before -= before % arrivals; // a multiple of it until the first one came
        while (arrived[set] - before < arrivals) {}
    }
    barrier();
    memoryBarrierBuffer();
}

// Without a return in a branch, which would become a loop within the unrolled ones.
vec4 texelOf(uvec4 unit, uint k) {
    return texels == 1u ? uintBitsToFloat(unit) : unpackHalf4(k == 0u ? unit.xy : unit.zw);
}

uvec4 unitOf(vec4 values[2]) {
    return texels == 1u ? floatBitsToUint(values[0]) : uvec4(packHalf4(values[0]), packHalf4(values[1]));
}

// Adds up laneSums, which has sum s of texel k of an invocation's unit at (s * texels + k) * invocations
// + the invocation. Invocation (s * texels + k) * blockUnits + u gets the sum for unit u. All invocations
// must come here, and a barrier must come before the next time.
vec4 sumOfLanes() {
    uint thread = gl_LocalInvocationID.x;
    barrier();
    for (uint t = thread; t < WHOLE_SUMS * wholeSlices * pieces; t += invocations) {
        uint unit = t % blockUnits, piece = t / blockUnits % pieces, value = t / (blockUnits * pieces);
        vec4 sum = vec4(0.0);
        [[unroll]] for (uint step = 0u; step < (lanes + pieces - 1u) / pieces; ++step) {
            uint lane = step * pieces + piece;
            vec4 more = laneSums[value * invocations + min(lane, lanes - 1u) * blockUnits + unit];
            sum += mix(vec4(0.0), more, bvec4(lane < lanes));
        }
        pieceSums[t] = sum;
    }
    barrier();
    vec4 sum = vec4(0.0);
    if (thread < WHOLE_SUMS * wholeSlices) {
        uint first = thread / blockUnits * blockUnits * pieces + thread % blockUnits;
        [[unroll]] for (uint piece = 0u; piece < pieces; ++piece)
            sum += pieceSums[first + piece * blockUnits];
    }
    return sum;
}

// Of what sumOfLanes() gave to this invocation: which sum, and of which slice of the block.
uint sumIndex() { return gl_LocalInvocationID.x / wholeSlices; }
uint sumSlice() {
    return gl_LocalInvocationID.x % blockUnits * texels + gl_LocalInvocationID.x / blockUnits % texels;
}

#endif
