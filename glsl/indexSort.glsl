// One pass of a radix sort by eight bits: what its shaders have in common. The list of keys is an
// array of any integer type at first, and what the pass before has placed after that.
#include "IndexSort.h"
#include "ndIndices.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { IndexSortParameters p; };
ND_INDICES(1)

uint keyAt(uint i) {
    return min(indexAt(p.indexOffset + i * uint(p.indexStride), p.keyCount), p.keyCount);
}

uint digitOf(uint key) {
    return key >> p.shift & 255u;
}
