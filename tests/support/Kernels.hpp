// The kernels of tests/support/kernels as SPIR-V, and buffers of floats to run them on.
#pragma once

#include <mpsvk/MTL/Buffer.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace mpsvk::test {

/// c[i] = a[i] + b[i] for i below the grid; buffers 0, 1 (read) and 2 (written); threadgroups
/// of 64.
std::span<const uint32_t> addKernel();
/// destination[i] = source[i] * scale + offset; uniform block 0 {float scale, offset; uint count},
/// buffers 1 (read) and 2 (written); threadgroups of 64.
std::span<const uint32_t> affineKernel();
/// data[i] *= factor (function constant 1, a float, 2 by default) through threadgroup memory;
/// buffer 0; the dispatch chooses the threads (constant 0).
std::span<const uint32_t> scaleKernel();
/// Texture 1, written, gets texture 0, read, times two plus (x, y, slice, 1); threadgroups of 8x8.
std::span<const uint32_t> textureKernel();

struct AffineParameters {
    float scale = 1, offset = 0;
    uint32_t count = 0;
};

inline std::span<float> floats(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

template <class T> std::span<const std::byte> bytesOf(const T& value) {
    return std::as_bytes(std::span(&value, 1));
}

} // namespace mpsvk::test
