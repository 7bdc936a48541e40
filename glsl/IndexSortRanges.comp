// Where each key's elements lie in the sorted list: from ranges[key].x to before ranges[key].y.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "IndexSort.h"
layout(local_size_x = 256) in;
#include "grid.glsl"

layout(set = 0, binding = 0) uniform Parameters { IndexSortParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Keys { uint keys[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Ranges { uint ranges[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.count) return;
    uint key = keys[i];
    if (key >= p.keyCount) return;
    if (i == 0u || keys[i - 1u] != key) ranges[2u * key] = i;
    if (i + 1u == p.count || keys[i + 1u] != key) ranges[2u * key + 1u] = i + 1u;
}
