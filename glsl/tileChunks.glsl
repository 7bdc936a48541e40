// Which chunks of a step's tiles an invocation loads: its i-th one, of those along the interior by their
// number, of those across it by their row of the interior and their place in the row. Includers of
// cooperative.glsl and blocks.glsl may define ROWS_TOGETHER as true: then all chunks of an invocation across
// the interior are of one row. Rows that are stored at once lie four apart where they are short.
#ifndef ROWS_TOGETHER
#define ROWS_TOGETHER false
#endif

uint chunkOf(uint i) { return gl_LocalInvocationIndex + i * gl_WorkGroupSize.x; }

const uint rowLanes = gl_WorkGroupSize.x < depth ? 1u : gl_WorkGroupSize.x / depth; // of a row

uint acrossRow(uint i, uint size) {
    if (!ROWS_TOGETHER) {
        return chunkOf(i) / (size / CHUNK);
    }
    uint row = gl_LocalInvocationIndex / rowLanes;
    return rowLanes == 4u ? (row & ~7u) | (row & 1u) << 2 | (row >> 1 & 3u) : row;
}

uint acrossChunk(uint i, uint size) {
    return ROWS_TOGETHER ? gl_LocalInvocationIndex % rowLanes + i * rowLanes : chunkOf(i) % (size / CHUNK);
}
