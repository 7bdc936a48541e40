// Two arrays with an element per channel, copied by one dispatch: a GPU that changes from kernels to its
// copy engine and back waits longer than such a copy takes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ChannelPairCopy.h"
layout(local_size_x = 64) in;
#include "grid.glsl"

layout(set = 0, binding = 0) uniform Parameters { ChannelPairCopyParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Source0 { float source0[]; };
layout(set = 0, binding = 2, std430) readonly buffer Source1 { float source1[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Destination0 { float destination0[]; };
layout(set = 0, binding = 4, std430) writeonly buffer Destination1 { float destination1[]; };

void main() {
    uint i = gridIndex();
    if (i < p.channels) {
        destination0[p.destinationOffset0 + i] = source0[p.sourceOffset0 + i];
        destination1[p.destinationOffset1 + i] = source1[p.sourceOffset1 + i];
    }
}
