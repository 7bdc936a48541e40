// MPSNNGridSample. Inference only: there is no gradient.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// Reads the primary image at positions that the secondary image, the grid, holds in its two
/// channels: x, then y, in pixels, 0 being the middle of the first pixel. The value between pixels
/// is bilinear; pixels outside the image are zeros or, with primaryEdgeMode Clamp, the nearest
/// ones; a position that is not a number gives NaN.
///
/// Pixel q of the result, counted from clipRect.origin, has its position at the grid's pixel
/// secondaryOffset + secondaryStride*q. It is added to primaryOffset and, without
/// useGridValueAsInputCoordinate, to primaryStride*q. The result has the grid's size.
/// MPSNNGridSample.
class NNGridSample : public CNNBinaryKernel {
public:
    explicit NNGridSample(const MTL::Device& device) : CNNBinaryKernel(device, "NNGridSample") {}
    NNGridSample(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNGridSample(deviceFor(coder, device)) {
        unarchive(coder);
    }
    bool useGridValueAsInputCoordinate() const { return useGridValueAsInputCoordinate_; }
    void setUseGridValueAsInputCoordinate(bool v) { useGridValueAsInputCoordinate_ = v; }
    std::string className() const override { return "NNGridSample"; }
    NNGridSample copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    uint64_t outputChannels(uint64_t primaryChannels, uint64_t) const override {
        return primaryChannels;
    }
    void customizeDestination(const ImageBatch& sources, const StateBatch& states,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    bool useGridValueAsInputCoordinate_ = true;
};

} // namespace mpsvk::MPS
