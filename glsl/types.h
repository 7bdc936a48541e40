// Read by C++ and by GLSL alike: what both need to agree on to share a declaration.
//
//   #include "types.h"
//   MPSVK_SHARED_BEGIN
//   struct FamilyParameters { ImageView source; ImageView destination; uint count; float alpha; };
//   MPSVK_FUNCTION int twice(int a) { return 2 * a; }
//   MPSVK_SHARED_END
//
// A parameter struct holds ImageView and MatrixView members first, then 4-byte scalars only: such a struct has
// the same layout in C++ and under std140.
#ifndef MPSVK_GLSL_TYPES_H
#define MPSVK_GLSL_TYPES_H

#ifdef __cplusplus

#include <cstdint>

#define MPSVK_SHARED_BEGIN namespace mpsvk::glsl {
#define MPSVK_SHARED_END }
#define MPSVK_FUNCTION constexpr
#define MPSVK_ALIGNED alignas(16)

namespace mpsvk::glsl {
using uint = std::uint32_t;
static_assert(sizeof(int) == 4 && sizeof(float) == 4);
} // namespace mpsvk::glsl

#else

#define MPSVK_SHARED_BEGIN
#define MPSVK_SHARED_END
#define MPSVK_FUNCTION
#define MPSVK_ALIGNED

#endif

MPSVK_SHARED_BEGIN

struct MPSVK_ALIGNED ImageView {
    uint offset;        // of the image's first texel, in texels of 4 channels
    uint imageStride;   // from one image of an array to the next, in texels
    uint width;         // pixels
    uint height;        // pixels
    uint slices;        // texels per pixel
    uint channelOffset; // first channel in use: a multiple of 4 unless a kernel says otherwise
    uint channels;      // channels in use
    uint reserved;
};

struct MPSVK_ALIGNED MatrixView {
    uint offset;        // of the first element in use, in elements
    uint rowStride;     // in elements
    uint matrixStride;  // from one matrix to the next, in elements
    uint rows, columns; // in use
    uint isAligned;     // four elements from a multiple of four on lie at a multiple of their size
    uint reserved0, reserved1;
};

MPSVK_SHARED_END

#ifdef __cplusplus
static_assert(sizeof(mpsvk::glsl::MatrixView) == 32 && alignof(mpsvk::glsl::MatrixView) == 16);
static_assert(sizeof(mpsvk::glsl::ImageView) == 32 && alignof(mpsvk::glsl::ImageView) == 16);
#endif

#endif
