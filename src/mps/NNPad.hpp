// What a padding leaves for its gradient.
#pragma once

#include "mps/Pass.hpp"

namespace mpsvk::mps {

struct PadGeometry {
    int64_t offsetX = 0, offsetY = 0;
    uint64_t width = 0, height = 0; ///< of the clip rectangle
    uint64_t sourceWidth = 0, sourceHeight = 0;
    uint64_t firstChannel = 0, channels = 0; ///< of the source, in use
    uint64_t before = 0, after = 0;          ///< channels
    MPS::ImageEdgeMode mode = MPS::ImageEdgeMode::Zero;

    uint64_t channelsWritten() const { return before + channels + after; }
    std::string text() const;
    friend bool operator==(const PadGeometry&, const PadGeometry&) = default;
};

struct PadState : MPS::NNGradientState::Impl {
    PadState(MTL::Device device, ForwardRecord record, const PadGeometry& geometry)
        : Impl(std::move(device), std::move(record)), geometry(geometry) {}
    const PadGeometry geometry;
};

} // namespace mpsvk::mps
