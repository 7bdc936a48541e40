// MPSNNSlice: a part of an image.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// Pixel d of clipRect is the source's pixel offset + (d - clipRect.origin), read through the edge
/// mode (Zero or Clamp); its channels are the source's from sourceFeatureChannelOffset on, which
/// may be any number, as many as sourceFeatureChannelMaxCount, the source and the destination
/// allow.
///
/// An encode that returns its image keeps `offset`; the image ends where clipRect does or, where
/// that has no end, where the source does. MPSNNSlice.
class NNSlice : public CNNKernel {
public:
    explicit NNSlice(const MTL::Device& device) : CNNKernel(device, "NNSlice") {}
    NNSlice(KeyedUnarchiver& coder, const MTL::Device& device) : NNSlice(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNSlice"; }
    NNSlice copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    uint64_t channelsWritten(uint64_t sourceChannels, const Image& destination) const override;
    bool takesAnySourceChannelOffset() const override { return true; }
    bool keepsOffset() const override { return true; }
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    void dispatch(const mps::UnaryPass& pass) const override;
};

} // namespace mpsvk::MPS
