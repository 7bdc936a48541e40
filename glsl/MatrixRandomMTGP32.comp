// A workgroup for each generator: 256 invocations make 256 words of the recursion at once, which
// looks at most 84 words ahead of the oldest of 351.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixRandom.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 2, std430) buffer States { uint states[]; };

// Parameter set 1 of those published for the exponent 11213.
const uint ahead = 84u, shiftLeft = 12u, shiftRight = 4u, mask = 0xfff80000u;
// Rows of the matrices that the lowest bits choose sums of.
const uvec4 recursionRows = uvec4(0x71588353u, 0xdfa887c1u, 0x4ba66c6eu, 0xa53da0aeu);
const uvec4 temperingRows = uvec4(0x200040bbu, 0x1082c61eu, 0x10021c03u, 0x0003f0b9u);

const uint ring = 1024u;
shared uint state[ring];
shared uvec4 made[mtgpBlock / 4u];

uint rowsOf(uvec4 rows, uint bits) {
    uvec4 chosen = rows & -(uvec4(bits, bits >> 1, bits >> 2, bits >> 3) & 1u);
    return chosen.x ^ chosen.y ^ chosen.z ^ chosen.w;
}

void main() {
    uint t = gl_LocalInvocationIndex, generator = gl_WorkGroupID.x;
    for (uint i = t; i < mtgpWords; i += 256u) state[i] = states[generator * mtgpWords + i];
    barrier();
    uint elements = p.destination.columns * p.destination.rows * p.matrices;
    uint oldest = 0u; // within the ring
    for (uint block = generator; block < p.blocks; block += mtgpGenerators) {
        for (uint step = 0u; step < mtgpBlock / 256u; ++step) {
            uint at = oldest + t;
            uint x = (state[at % ring] & mask) ^ state[(at + 1u) % ring];
            x ^= x << shiftLeft;
            x ^= state[(at + ahead) % ring] >> shiftRight;
            x ^= rowsOf(recursionRows, x);
            uint tempering = state[(at + ahead - 1u) % ring];
            tempering ^= tempering >> 16;
            tempering ^= tempering >> 8;
            state[(at + mtgpWords) % ring] = x;
            uint word = 256u * step + t;
            made[word >> 2][word & 3u] = x ^ rowsOf(temperingRows, tempering);
            oldest += 256u;
            barrier();
        }
        if (block * mtgpBlock + 4u * t < elements) storeRandom(block * mtgpBlock + 4u * t, made[t]);
        barrier();
    }
    for (uint i = t; i < mtgpWords; i += 256u)
        states[generator * mtgpWords + i] = state[(oldest + i) % ring];
}
