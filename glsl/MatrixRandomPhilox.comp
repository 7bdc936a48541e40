// Four elements an invocation, from one value of the counter.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "MatrixRandom.glsl"
#include "grid.glsl"
#include "philox.glsl"

uvec4 advanced(uvec4 counter, uint by) {
    uint carry;
    counter.x = uaddCarry(counter.x, by, carry);
    counter.y = uaddCarry(counter.y, carry, carry);
    counter.z = uaddCarry(counter.z, carry, carry);
    counter.w += carry;
    return counter;
}

void main() {
    uint i = gridIndex();
    uint elements = p.destination.columns * p.destination.rows * p.matrices;
    if (i >= (elements + 3u) / 4u) return;
    uvec4 counter = advanced(uvec4(p.counter0, p.counter1, p.counter2, p.counter3), i);
    storeRandom(4u * i, philox(counter, uvec2(p.keyLow, p.keyHigh)));
}
