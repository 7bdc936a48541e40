#version 450
layout(local_size_x = 64) in;
layout(set = 0, binding = 0, std140) uniform Parameters { float scale; float offset; uint count; };
layout(set = 0, binding = 1, std430) readonly buffer Source { float source[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Destination { float destination[]; };

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < count) destination[i] = source[i] * scale + offset;
}
