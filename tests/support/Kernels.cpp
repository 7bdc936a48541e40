#include "support/Kernels.hpp"

namespace mpsvk::test {

namespace {
#include "kernels/Add.inc"
#include "kernels/Affine.inc"
#include "kernels/Scale.inc"
#include "kernels/TextureTwice.inc"
} // namespace

std::span<const uint32_t> addKernel() { return Add_code; }
std::span<const uint32_t> affineKernel() { return Affine_code; }
std::span<const uint32_t> scaleKernel() { return Scale_code; }
std::span<const uint32_t> textureKernel() { return TextureTwice_code; }

} // namespace mpsvk::test
