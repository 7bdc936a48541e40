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

shared vec4 values[256u * texels]; // squares, then terms

Place at;
uint texel;
int sourceX, sourceY;

vec4 valueAt(int slice) { return values[int(gl_LocalInvocationID.x * texels) + slice - int(at.slice)]; }

void setValues(vec4 own[2]) {
    EACH_TEXEL(k) values[gl_LocalInvocationID.x * texels + k] = own[k];
}

vec4 squareAt(int slice) {
    if (!isSlice(slice)) return vec4(0.0);
    if (pass == inWorkgroup) return valueAt(slice);
    vec4 x = source_load(p.source, sourceX, sourceY, uint(slice), at.image);
    return x * x;
}

vec4 termAt(int slice) {
    if (!isSlice(slice)) return vec4(0.0);
    if (pass == inWorkgroup) return valueAt(slice);
    return savedTerms[texel * texels + uint(slice) - at.slice];
}

CHANNEL_WINDOW_SUM(squareSum, squareAt)
CHANNEL_WINDOW_SUM(termSum, termAt)

// Of all results that the edge mode lets the pixel make: one, but for edges.
vec4[2] gradientSum() {
    if (alike != 0u) return gradient_loadTexels(p.gradient, sourceX, sourceY, at.slice, at.image);
    Readers columns = readersOf(sourceX, int(p.source.width), p.startX, 1, int(p.resultsX), p.clampEdges);
    Readers rows = readersOf(sourceY, int(p.source.height), p.startY, 1, int(p.resultsY), p.clampEdges);
    vec4 sum[2] = vec4[2](vec4(0.0), vec4(0.0));
    for (int row = rows.first; row <= rows.last; ++row)
        for (int column = columns.first; column <= columns.last; ++column) {
            vec4 g[2] = gradient_loadTexels(p.gradient, p.gradientX + column, p.gradientY + row, at.slice,
                                            at.image);
            EACH_TEXEL(k) sum[k] += g[k];
        }
    return sum;
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    // Below 0 the index wraps round and lies beyond the end.
    texel = group * (256u - 2u * p.halo) + local - p.halo;
    bool exists = texel < texelCount(grid);
    at = placeOf(grid, exists ? texel : 0u);
    sourceX = p.originX + at.x;
    sourceY = p.originY + at.y;
    bool hasSource = exists && (alike != 0u || inside(p.source, sourceX, sourceY));
    vec4 x[2] = vec4[2](vec4(0.0), vec4(0.0)), g[2] = x, power[2] = x, term[2] = x;
    if (hasSource) {
        x = source_loadTexels(p.source, sourceX, sourceY, at.slice, at.image);
        g = gradientSum();
    }
    if (pass == inWorkgroup) {
        setValues(vec4[2](x[0] * x[0], x[1] * x[1]));
        barrier();
    }
    bool hasNeighbours = local >= p.halo / 2u && local < 256u - p.halo / 2u;
    if (hasSource && hasNeighbours)
        EACH_TEXEL(k) {
            vec4 l = p.delta + p.alpha * squareSum(int(at.slice + k), p.before, p.after);
            vec4 inverse = 1.0 / l;
            power[k] = inversePower(l, inverse, p.betaWhole, p.betaQuarters, p.betaRest);
            term[k] = usedLanes(p.source, at.slice + k, g[k] * x[k] * power[k] * inverse);
        }
    if (pass == saveTerms) {
        if (exists)
            EACH_TEXEL(k) savedTerms[texel * texels + k] = term[k];
        return;
    }
    if (pass == inWorkgroup) {
        barrier();
        setValues(term);
        barrier();
    }
    if (!exists || local < p.halo || local >= 256u - p.halo) return;
    if (hasSource) // the windows that have a channel reach as far as its own, mirrored
        EACH_TEXEL(k)
            g[k] = g[k] * power[k] - p.slope * x[k] * termSum(int(at.slice + k), p.after, p.before);
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, g);
}
