// The second pass of a loss: sums what the workgroups of CNNLoss left, of an image or of the batch.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNLoss.h"
#include "image.glsl"

layout(local_size_x = 128) in;
layout(set = 0, binding = 0) uniform Parameters { CNNLossReduceParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Partials { vec2 partials[]; };
IMAGE_DESTINATION(2, loss)
layout(set = 0, binding = 3, std430) writeonly buffer Factors { float factors[]; };

shared vec2 scratch[128];

void main() {
    uint image = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (image >= p.images) return; // all of the workgroup
    uint thread = gl_LocalInvocationID.x;
    bool across = p.acrossBatch != 0u;
    uint first = across ? 0u : (p.firstImage + image) * p.groups;
    uint size = across ? p.batch * p.groups : p.groups;
    vec2 sum = vec2(0.0);
    for (uint i = thread; i < size; i += 128u) sum += partials[first + i];
    scratch[thread] = sum;
    barrier();
    for (uint step = 64u; step > 0u; step /= 2u) {
        if (thread < step) scratch[thread] += scratch[thread + step];
        barrier();
    }
    if (thread != 0u) return;
    sum = scratch[0];
    float factor = p.lossFactor;
    if (p.countsWeights != 0u) factor = sum.y > 0.0 ? 1.0 / sum.y : 0.0;
    if (p.writesFactor != 0u) {
        factors[p.firstImage + image] = factor;
        return;
    }
    float value = (sum.x + p.lossShift) * factor;
    if (across && p.firstImage + image > 0u) value = 0.0;
    loss_store(p.loss, 0, 0, 0u, image, vec4(value));
}
