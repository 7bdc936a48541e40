// The compiled shaders of glsl/, embedded at build time.
#pragma once

#include <cstdint>
#include <span>

namespace mpsvk::vk {

struct Shader {
    const char* name; ///< of the source, without directory and extension: "CNNPoolingMax"
    std::span<const std::uint32_t> code;         ///< image operands are storage buffers
    std::span<const std::uint32_t> texturesCode; ///< each one a buffer or a 2D-array texture
};

/// All of them, ordered by name (as strcmp orders), each name once.
std::span<const Shader> shaders();

} // namespace mpsvk::vk
