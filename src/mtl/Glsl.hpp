// GLSL to SPIR-V, for the user's own kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mpsvk::MTL {

/// Throws DeviceError with the compiler's messages, or when the library was built without one.
std::vector<uint32_t> compileGlsl(const std::string& source);

} // namespace mpsvk::MTL
