#version 450
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint threads = 32;
layout(constant_id = 1) const float factor = 2;
layout(set = 0, binding = 0, std430) buffer Data { float data[]; };
shared float values[threads];

void main() {
    uint i = gl_GlobalInvocationID.x, mine = gl_LocalInvocationID.x;
    values[threads - 1 - mine] = i < data.length() ? data[i] : 0;
    barrier();
    if (i < data.length()) data[i] = values[threads - 1 - mine] * factor;
}
