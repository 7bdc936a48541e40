// Everything, besides the data, that decides the bits of a training run.
#pragma once

#include <cstdint>
#include <string>

namespace mpsvk::train {

enum class Precision : uint8_t { Float32 = 0, Float16 = 1 };

struct Setup {
    uint64_t seed = 1;
    uint32_t batch = 32;
    uint32_t epochs = 25;
    uint32_t shift = 1; ///< largest movement of a training image, in pixels
    uint32_t classes = 10;
    Precision precision = Precision::Float32;
    float learningRate = 0.002f;

    bool operator==(const Setup&) const = default;
};

inline std::string name(Precision precision) {
    return precision == Precision::Float32 ? "fp32" : "fp16";
}

/// The rate falls with the epochs done and does not ask how many are planned, so that a finished
/// run can be resumed with more epochs and equals a longer one.
inline float learningRateAt(const Setup& setup, uint32_t epoch) {
    return setup.learningRate / (1.0f + 0.2f * static_cast<float>(epoch));
}

} // namespace mpsvk::train
