// dx = dy * l^-beta - slope * x * the sum of dy * x * l^(-beta - 1) over the channels whose window has
// this one.
//
// Slices of a pixel lie side by side, so a workgroup takes 256 texels in a row and hands squares and
// terms on through shared memory: each l and each term is computed once. `halo` invocations at either
// end only serve their neighbours. A window too wide for that goes through memory in two passes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "crossChannel.glsl"
#include "forwardResults.glsl"

IMAGE_SOURCE(2, gradient)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) buffer Terms { vec4 savedTerms[]; };

const uint inWorkgroup = 0u, saveTerms = 1u, sumTerms = 2u;
layout(constant_id = 32) const uint pass = inWorkgroup;
// 1: the images are whole, alike and in buffers, so that a texel has the same place in all of them.
layout(constant_id = 33) const uint alike = 0u;

shared vec4 squares[256];
shared vec4 terms[256];

Place at;
uint texel;
int sourceX, sourceY;

vec4 squareAt(int slice) {
    if (!isSlice(slice)) return vec4(0.0);
    if (pass == inWorkgroup) return squares[int(gl_LocalInvocationID.x) + slice - int(at.slice)];
    vec4 x = source_load(p.source, sourceX, sourceY, uint(slice), at.image);
    return x * x;
}

vec4 termAt(int slice) {
    if (!isSlice(slice)) return vec4(0.0);
    if (pass == inWorkgroup) return terms[int(gl_LocalInvocationID.x) + slice - int(at.slice)];
    return savedTerms[texel + uint(slice) - at.slice];
}

CHANNEL_WINDOW_SUM(squareSum, squareAt)
CHANNEL_WINDOW_SUM(termSum, termAt)

// Of all results that the edge mode lets the pixel make: one, but for edges.
vec4 gradientSum() {
    if (alike != 0u) return gradient_load(p.gradient, sourceX, sourceY, at.slice, at.image);
    Readers columns = readersOf(sourceX, int(p.source.width), p.startX, 1, int(p.resultsX), p.clampEdges);
    Readers rows = readersOf(sourceY, int(p.source.height), p.startY, 1, int(p.resultsY), p.clampEdges);
    vec4 sum = vec4(0.0);
    for (int row = rows.first; row <= rows.last; ++row)
        for (int column = columns.first; column <= columns.last; ++column)
            sum += gradient_load(p.gradient, p.gradientX + column, p.gradientY + row, at.slice, at.image);
    return sum;
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint slices = uint(sliceCount());
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    // Below 0 the index wraps round and lies beyond the end.
    texel = group * (256u - 2u * p.halo) + local - p.halo;
    bool exists = texel < slices * p.clipWidth * p.clipHeight * p.images;
    if (alike != 0u) // one long row
        at = Place(texel % slices, int(texel / slices), 0, 0u);
    else
        at = placeOf(exists ? texel : 0u, slices, p.clipWidth, p.clipHeight);
    sourceX = p.originX + at.x;
    sourceY = p.originY + at.y;
    bool hasSource = exists && (alike != 0u || inside(p.source, sourceX, sourceY));
    vec4 x = vec4(0.0), g = vec4(0.0);
    if (hasSource) {
        x = source_load(p.source, sourceX, sourceY, at.slice, at.image);
        g = gradientSum();
    }
    if (pass == inWorkgroup) {
        squares[local] = x * x;
        barrier();
    }
    vec4 power = vec4(0.0), term = vec4(0.0);
    bool hasNeighbours = local >= p.halo / 2u && local < 256u - p.halo / 2u;
    if (hasSource && hasNeighbours) {
        vec4 l = p.delta + p.alpha * squareSum(int(at.slice), p.before, p.after);
        power = inversePower(l, p.betaWhole, p.betaQuarters, p.betaRest);
        term = usedLanes(p.source, at.slice, g * x * power / l);
    }
    if (pass == saveTerms) {
        if (exists) savedTerms[texel] = term;
        return;
    }
    if (pass == inWorkgroup) {
        terms[local] = term;
        barrier();
    }
    if (!exists || local < p.halo || local >= 256u - p.halo) return;
    // The windows that have a channel reach as far as its own, mirrored.
    vec4 sum = hasSource ? termSum(int(at.slice), p.after, p.before) : vec4(0.0);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      g * power - p.slope * x * sum);
}
