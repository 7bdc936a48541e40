// Images as matrices: a row for each pixel, with its channels side by side.
#pragma once

#include "mps/MatrixPass.hpp"

namespace mpsvk::mps {

/// Channels of images as operands of a product: where they lie, or of textures and of elements that
/// are no floats in a copy.
class PixelMatrix {
public:
    /// The rows of one image, in no memory yet: what chooses a product's kernel. Where an image
    /// lies changes nothing of that.
    PixelMatrix(const MPS::Image& image, uint64_t channelOffset, uint64_t channels);
    const MatrixOperand& operand() const { return operand_; }
    /// The same for a product's result, which writes zeros to the lanes that pad the channels.
    MatrixOperand padded() const;
    /// What the copy of one image takes; 0 without one.
    uint64_t copyBytes() const;

    /// So many images of a run from the view on. The run must outlive this.
    void bind(Encoder& encoder, const ImageRun& run, const glsl::ImageView& view, uint64_t images);
    void copyFromImages(Encoder& encoder) const;
    void copyToImages(Encoder& encoder) const;

private:
    void copy(Encoder& encoder, bool toMatrix) const;

    bool isCopy_;
    MatrixOperand operand_;
    const ImageRun* run_ = nullptr;
    glsl::ImageView view_{};
    uint64_t images_ = 0;
    std::shared_ptr<const vk::BufferSlice> memory_;
};

} // namespace mpsvk::mps
