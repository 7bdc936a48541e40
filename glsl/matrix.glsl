// Elements of matrices and vectors (a vector is a row), in fp32 and fp16 and at any alignment.
//
//   MATRIX_SOURCE(1, left)         float left_load(MatrixView v, uint matrix, uint row, uint column)
//                                  vec4 left_load4(...): four elements of a row, zeros beyond its end
//   MATRIX_DESTINATION(2, result)  void result_store(MatrixView v, ..., float value), result_load
//                                  void result_store4(..., vec4 value): what lies within the row
//
// Loops are unrolled: a caller's arrays are otherwise indexed by a variable and leave the registers.
// Rows and columns are the caller's to check; `column` of load4 and store4 is a multiple of four.
// loadAligned and storeAligned are for views that are aligned, and whole groups of four.
// The type of the operand at binding b is specialization constant b.
#ifndef MPSVK_MATRIX_GLSL
#define MPSVK_MATRIX_GLSL

#extension GL_EXT_control_flow_attributes : require
#include "types.h"

#define MATRIX_FLOAT32 0u
#define MATRIX_FLOAT16 1u

uint elementIndex(MatrixView v, uint matrix, uint row, uint column) {
    return v.offset + matrix * v.matrixStride + row * v.rowStride + column;
}

#define MATRIX_VIEWS(B, N, ACCESS)                                                                 \
    layout(constant_id = B) const uint N##_type = MATRIX_FLOAT32;                                  \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Float { float N##_float[]; };           \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Float4 { vec4 N##_float4[]; };          \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Word { uint N##_word[]; };              \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Half4 { uvec2 N##_half4[]; };           \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Half8 { uvec4 N##_half8[]; };           \
    float N##_load(MatrixView v, uint matrix, uint row, uint column) {                             \
        uint at = elementIndex(v, matrix, row, column);                                            \
        if (N##_type == MATRIX_FLOAT32) return N##_float[at];                                      \
        vec2 pair = unpackHalf2x16(N##_word[at >> 1]);                                             \
        return (at & 1u) == 0u ? pair.x : pair.y;                                                  \
    }                                                                                              \
    vec4 N##_loadAligned(MatrixView v, uint matrix, uint row, uint column) {                       \
        uint at = elementIndex(v, matrix, row, column) >> 2;                                       \
        if (N##_type == MATRIX_FLOAT32) return N##_float4[at];                                     \
        uvec2 halves = N##_half4[at];                                                              \
        return vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));                           \
    }                                                                                              \
    vec4 N##_load4(MatrixView v, uint matrix, uint row, uint column) {                             \
        if (v.isAligned != 0u && column + 4u <= v.columns)                                         \
            return N##_loadAligned(v, matrix, row, column);                                        \
        vec4 values = vec4(0.0);                                                                   \
        [[unroll]] for (uint i = 0u; i < 4u; ++i)                                                  \
            if (column + i < v.columns) values[i] = N##_load(v, matrix, row, column + i);          \
        return values;                                                                             \
    }

#define MATRIX_SOURCE(B, N) MATRIX_VIEWS(B, N, readonly)

// A half is written by replacing its part of a word: invocations that write the other half of it do
// not disturb each other.
#define MATRIX_DESTINATION(B, N)                                                                   \
    MATRIX_VIEWS(B, N, )                                                                           \
    void N##_store(MatrixView v, uint matrix, uint row, uint column, float value) {                \
        uint at = elementIndex(v, matrix, row, column);                                            \
        if (N##_type == MATRIX_FLOAT32) {                                                          \
            N##_float[at] = value;                                                                 \
            return;                                                                                \
        }                                                                                          \
        uint shift = 16u * (at & 1u);                                                              \
        atomicAnd(N##_word[at >> 1], ~(0xffffu << shift));                                         \
        atomicOr(N##_word[at >> 1], packHalf2x16(vec2(value, 0.0)) << shift);                      \
    }                                                                                              \
    void N##_storeAligned(MatrixView v, uint matrix, uint row, uint column, vec4 values) {         \
        uint at = elementIndex(v, matrix, row, column) >> 2;                                       \
        if (N##_type == MATRIX_FLOAT32)                                                            \
            N##_float4[at] = values;                                                               \
        else                                                                                       \
            N##_half4[at] = uvec2(packHalf2x16(values.xy), packHalf2x16(values.zw));               \
    }                                                                                              \
    void N##_store4(MatrixView v, uint matrix, uint row, uint column, vec4 values) {               \
        if (v.isAligned != 0u && column + 4u <= v.columns) {                                       \
            N##_storeAligned(v, matrix, row, column, values);                                      \
            return;                                                                                \
        }                                                                                          \
        uint at = elementIndex(v, matrix, row, column);                                            \
        if (N##_type == MATRIX_FLOAT16 && (at & 1u) == 0u && column + 4u <= v.columns) {           \
            N##_word[at >> 1] = packHalf2x16(values.xy);                                           \
            N##_word[(at >> 1) + 1u] = packHalf2x16(values.zw);                                    \
            return;                                                                                \
        }                                                                                          \
        [[unroll]] for (uint i = 0u; i < 4u; ++i)                                                  \
            if (column + i < v.columns) N##_store(v, matrix, row, column + i, values[i]);          \
    }

#endif
