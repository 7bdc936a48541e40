// Elements of one to eight bytes at binding 1, and places for them at binding 2.
#ifndef MPSVK_NDELEMENTS_GLSL
#define MPSVK_NDELEMENTS_GLSL

layout(constant_id = 34) const uint sourceBytes = 4u; // of an element
layout(constant_id = 35) const uint destinationBytes = 4u;
layout(constant_id = 36) const uint converts = 0u; // 1: fp32 to fp16, 2: fp16 to fp32

layout(set = 0, binding = 1, std430) readonly buffer SourceQuads { uvec4 sourceQuads[]; };
layout(set = 0, binding = 1, std430) readonly buffer SourcePairs { uvec2 sourcePairs[]; };
layout(set = 0, binding = 1, std430) readonly buffer SourceWords { uint sourceWords[]; };
layout(set = 0, binding = 2, std430) buffer DestinationQuads { uvec4 destinationQuads[]; };
layout(set = 0, binding = 2, std430) buffer DestinationPairs { uvec2 destinationPairs[]; };
layout(set = 0, binding = 2, std430) buffer DestinationWords { uint destinationWords[]; };

// Of an element of one or two bytes: its place in a word.
uint shiftOf(uint at, uint bytes) {
    return at % (4u / bytes) * 8u * bytes;
}

uvec2 loadElement(uint at) {
    if (sourceBytes == 8u) return sourcePairs[at];
    if (sourceBytes == 4u) return uvec2(sourceWords[at], 0u);
    return uvec2(bitfieldExtract(sourceWords[at / (4u / sourceBytes)],
                                 int(shiftOf(at, sourceBytes)), int(8u * sourceBytes)), 0u);
}

uvec2 converted(uvec2 value) {
    if (converts == 1u) return uvec2(packHalf2x16(vec2(uintBitsToFloat(value.x), 0.0)), 0u);
    if (converts == 2u) return uvec2(floatBitsToUint(unpackHalf2x16(value.x).x), 0u);
    return value;
}

// The bits of `mask`; others write the rest of the word.
void storeBits(uint word, uint mask, uint value) {
    if (mask == 0xffffffffu) {
        destinationWords[word] = value;
        return;
    }
    atomicAnd(destinationWords[word], ~mask);
    atomicOr(destinationWords[word], value & mask);
}

uint maskOf(uint bytes) {
    return bytes >= 4u ? 0xffffffffu : (1u << (8u * bytes)) - 1u;
}

#endif
