// Lists of indices of any integer type.
//
//   ND_INDICES(3)  uint indexAt(uint at, uint length): the index, or ND_OUTSIDE when it is not
//                  below `length`
#ifndef MPSVK_NDINDICES_GLSL
#define MPSVK_NDINDICES_GLSL

layout(constant_id = 40) const uint indexBytes = 4u;
layout(constant_id = 41) const uint indexIsSigned = 0u;
const uint ND_OUTSIDE = 0xffffffffu;

#define ND_INDICES(B)                                                                              \
    layout(set = 0, binding = B, std430) readonly buffer Indices { uint indexWords[]; };           \
    uint indexAt(uint at, uint length) {                                                           \
        uint index = 0u;                                                                           \
        if (indexBytes == 8u) {                                                                    \
            index = indexWords[2u * at + 1u] == 0u ? indexWords[2u * at] : ND_OUTSIDE;             \
        } else if (indexBytes == 4u) {                                                             \
            index = indexWords[at];                                                                \
        } else {                                                                                   \
            uint perWord = 4u / indexBytes, bits = 8u * indexBytes;                                \
            index = indexWords[at / perWord] >> at % perWord * bits & ((1u << bits) - 1u);             \
            if (indexIsSigned != 0u && index >> (bits - 1u) != 0u) index = ND_OUTSIDE;             \
        }                                                                                          \
        return index < length ? index : ND_OUTSIDE;                                                \
    }

#endif
