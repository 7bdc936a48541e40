#include "mps/ConvolutionGradientParts.hpp"

#include "mps/DeviceTable.hpp"

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

using MPS::CNNConvolutionGradientState;
using Buffers = CNNConvolutionGradientState::Impl;

namespace {

/// PART_LANES of glsl/sumOfParts.glsl: invocations share an element where few have many parts.
uint32_t lanesFor(uint64_t elements, uint32_t parts) {
    return parts >= 32 && elements <= 65536 ? 16 : 256;
}

} // namespace

uint64_t groupsWanted(Encoder& encoder, uint64_t each, uint64_t ofCpu) {
    return isCpu(encoder.device()) ? ofCpu : groupsFor(encoder.limits(), each);
}

Split::Split(uint64_t all, uint64_t wanted, uint64_t least, uint64_t multiple) {
    const uint64_t most = std::min(wanted, vk::divideUp(all, least));
    pixels =
        uint32_t(vk::divideUp(vk::divideUp(all, std::max<uint64_t>(1, most)), multiple) * multiple);
    parts = uint32_t(vk::divideUp(all, pixels));
}

void dispatchReduce(Encoder& encoder, const char* shader,
                    const glsl::CNNConvolutionWeightsParameters& p, uint64_t elements,
                    const vk::BufferSlice& partials, CNNConvolutionGradientState::Impl& state) {
    const uint32_t lanes = lanesFor(elements, p.splits);
    encoder.dispatch(shader, p, Grid::of(vk::divideUp(elements, lanes) * 256),
                     {{1, partials},
                      {2, state.buffer(Buffers::Weights)},
                      {3, p.biasColumn ? state.buffer(Buffers::Biases) : vk::BufferSlice()}},
                     {constant(33, lanes)});
}

BiasGradient::BiasGradient(Encoder& encoder, const glsl::ImageView& view, uint32_t images,
                           const ImageRun& gradient, CNNConvolutionGradientState::Impl& state)
    : encoder_(encoder), state_(state) {
    p_.gradient = view;
    p_.pixels = view.width * view.height * images;
    p_.texels = (view.channels + 3) / 4;
    p_.lanes = std::min(256u, std::bit_ceil(p_.texels));
    p_.accumulate = state.accumulated;
    const uint64_t across = vk::divideUp(p_.texels, p_.lanes), rows = 256 / p_.lanes;
    const Split split(p_.pixels, vk::divideUp(groupsWanted(encoder, 8, 16), across), 16 * rows,
                      rows);
    p_.splits = split.parts;
    p_.splitPixels = split.pixels;
    partials_ = encoder.scratch(uint64_t(p_.texels) * p_.splits * 16);
    encoder.dispatch("CNNConvolutionBiasGradient", p_, {across * 256, 1, p_.splits},
                     {{1, gradient}, {2, *partials_}});
}

void BiasGradient::finish() {
    const uint32_t lanes = lanesFor(p_.texels, p_.splits);
    encoder_.dispatch(
        "CNNConvolutionBiasGradientReduce", p_, Grid::of(vk::divideUp(p_.texels, lanes) * 256),
        {{1, *partials_}, {2, state_.buffer(Buffers::Biases)}}, {constant(33, lanes)});
}

} // namespace mpsvk::mps
