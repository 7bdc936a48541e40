// dx = dy * l^-beta - slope * x * the sum of dy * x * l^(-beta - 1) over the channels whose window has
// this one.
//
// Slices of a pixel lie side by side, so a workgroup takes 256 texels in a row and hands terms on
// through shared memory: each l and each term is computed once. `halo` invocations at either end only
// serve their neighbours. A window too wide for that goes through memory in two passes.
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

// The first texels of all pairs, then the second ones, so that neighbours lie side by side.
shared vec4 terms[256u * texels];

uint texel;
int sourceX, sourceY;
vec4 x[2] = vec4[2](vec4(0.0), vec4(0.0)), g[2] = x, power[2] = x, term[2] = x;
vec4 below = vec4(0.0), above = vec4(0.0); // the slices before and behind these in the source

// Where a slice, counted from the invocation's first, is in shared memory.
uint placeInGroup(int slice) {
    uint index = uint(int(gl_LocalInvocationID.x * texels) + slice);
    return texels == 2u ? (index & 1u) * 256u + (index >> 1) : index;
}

vec4 sourceAt(int slice) {
    if (slice == 0) return x[0];
    if (slice == 1 && texels == 2u) return x[1];
    if (slice == -1) return below;
    if (slice == int(texels)) return above;
    if (!isSlice(slice)) return vec4(0.0);
    return source_load(p.source, sourceX, sourceY, at.slice + uint(slice), at.image);
}

vec4 termAt(int slice) {
    if (pass == inWorkgroup && slice == 0) return term[0];
    if (pass == inWorkgroup && slice == 1 && texels == 2u) return term[1];
    if (!isSlice(slice)) return vec4(0.0);
    if (pass == inWorkgroup) return terms[placeInGroup(slice)];
    return savedTerms[texel * texels + uint(slice)];
}

CHANNEL_WINDOW_SUM(squareSum, sourceAt, addSquare)
CHANNEL_WINDOW_SUM(termSum, termAt, addValue)

// What a pixel that no result is of holds does not matter.
bool hasResult() {
    Readers columns =
        readersOf(sourceX, int(p.source.width), p.startX, 1, int(p.resultsX), p.clampEdges);
    Readers rows =
        readersOf(sourceY, int(p.source.height), p.startY, 1, int(p.resultsY), p.clampEdges);
    return columns.first <= columns.last && rows.first <= rows.last;
}

// A view in which all texels are slices of one pixel, of images that are alike.
ImageView inARow(ImageView v) {
    v.channels = 0xffffffffu;
    return v;
}

vec4[2] usedTexels(vec4 values[2]) {
    EACH_TEXEL(k) values[k] = usedLanes(p.source, at.slice + k, values[k]);
    return values;
}

// Zero where there is none; read anyhow, for a branch around a read costs more.
vec4 neighbour(int slice) {
    bool exists = isSlice(slice);
    uint index = at.slice + (exists ? uint(slice) : 0u);
    vec4 value = alike != 0u ? source_load(inARow(p.source), 0, 0, texel * texels + index - at.slice, 0u)
                             : source_load(p.source, sourceX, sourceY, index, at.image);
    return exists ? usedLanes(p.source, index, value) : vec4(0.0);
}

// Of all results that the edge mode lets the pixel make: one, but for edges.
vec4[2] gradientSum() {
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
    bool hasSource = exists && (alike != 0u || (inside(p.source, sourceX, sourceY) && hasResult()));
    if (hasSource && alike != 0u) {
        x = source_loadTexels(inARow(p.source), 0, 0, texel * texels, 0u);
        g = gradient_loadTexels(inARow(p.gradient), 0, 0, texel * texels, 0u);
        if (before > 0) below = neighbour(-1);
        if (after > 0) above = neighbour(int(texels));
        x = usedTexels(x);
    } else if (hasSource) {
        x = source_loadTexels(p.source, sourceX, sourceY, at.slice, at.image);
        if (before > 0) below = neighbour(-1);
        if (after > 0) above = neighbour(int(texels));
        g = gradientSum();
    }
    if (hasSource) {
        EACH_TEXEL(k) {
            vec4 inverse, l = fma(vec4(p.alpha), squareSum(int(k), before, after), vec4(p.delta));
            power[k] = inversePower(l, betaWhole, betaQuarters, p.betaRest, inverse);
            precise vec4 product = g[k] * x[k] * power[k] * inverse;
            term[k] = product;
        }
        term = usedTexels(term);
    }
    if (pass == saveTerms) {
        if (exists) EACH_TEXEL(k) savedTerms[texel * texels + k] = term[k];
        return;
    }
    if (pass == inWorkgroup) {
        EACH_TEXEL(k) terms[placeInGroup(int(k))] = term[k];
        barrier();
    }
    if (!exists || local < p.halo || local >= 256u - p.halo) return;
    if (hasSource) // the windows that have a channel reach as far as its own, mirrored
        EACH_TEXEL(k) g[k] = fma(-p.slope * x[k], termSum(int(k), after, before), g[k] * power[k]);
    if (alike != 0u) {
        g = usedTexels(g);
        destination_storeTexels(inARow(p.destination), 0, 0, texel * texels, 0u, g);
    } else
        destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, g);
}
