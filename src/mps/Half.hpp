// IEEE half precision on the host, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace mpsvk::mps {

inline uint16_t toHalf(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00);      // NaN
    if (magnitude >= 0x477ff000) return uint16_t(sign | 0x7c00);     // rounds to infinity
    if (magnitude < 0x38800000) {                                    // subnormal or zero
        const float scaled = std::bit_cast<float>(magnitude) + 0.5f; // adds and rounds at 2^-24
        return uint16_t(sign | (std::bit_cast<uint32_t>(scaled) - std::bit_cast<uint32_t>(0.5f)));
    }
    const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    return uint16_t(sign | ((rounded - 0x38000000) >> 13));
}

inline float fromHalf(uint16_t half) {
    const uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = (half >> 10) & 0x1f;
    const uint32_t fraction = half & 0x3ff;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
    if (exponent == 0) {
        const float value = float(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

} // namespace mpsvk::mps
