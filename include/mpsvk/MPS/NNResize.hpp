// MPSNNResizeBilinear and MPSNNCropAndResizeBilinear. Inference only: there are no gradients.
//
// The value at a position between pixels is the mean of the four around it, weighted by how near
// they are.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// A result of resizeWidth x resizeHeight pixels at clipRect.origin; of these the first that
/// clipRect has room for. Pixel x of it reads the source at offset.x + x*W/resizeWidth or, with
/// alignCorners, at offset.x + x*(W-1)/(resizeWidth-1), so that the corner pixels coincide; rows
/// likewise. Positions outside the source are moved to its edge, whatever the edge mode.
/// MPSNNResizeBilinear.
class NNResizeBilinear : public CNNKernel {
public:
    /// Throws InvalidArgument for a size of 0.
    NNResizeBilinear(const MTL::Device& device, uint64_t resizeWidth, uint64_t resizeHeight,
                     bool alignCorners = false);
    NNResizeBilinear(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNResizeBilinear(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    uint64_t resizeWidth() const { return resizeWidth_; }
    uint64_t resizeHeight() const { return resizeHeight_; }
    bool alignCorners() const { return alignCorners_; }
    std::string className() const override { return "NNResizeBilinear"; }
    NNResizeBilinear copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    void customizeDestination(const ImageBatch& sources, ImageDescriptor& descriptor) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    uint64_t resizeWidth_, resizeHeight_;
    bool alignCorners_;
};

/// Each region of each image, resized to resizeWidth x resizeHeight pixels. A region is a rectangle
/// in units of the image's width and height, so that {0, 0} is the first pixel and {1, 1} the last;
/// its z and depth are not used, a negative size mirrors. Pixel x of the result reads at
/// origin.x*(W-1) + x*size.width*(W-1)/(resizeWidth-1), a result of one pixel at the region's
/// middle; rows likewise. Positions outside the image (by more than 2^-16 pixels) give 0 or, with
/// edge mode Clamp, the nearest pixel.
///
/// The result of region r of source image i is image i*numberOfRegions + r. The destination of an
/// encode of a batch is one image per source, each with numberOfImages = numberOfRegions.
/// `offset` must be 0: the regions say what is read. MPSNNCropAndResizeBilinear.
class NNCropAndResizeBilinear : public CNNKernel {
public:
    /// Throws InvalidArgument for a size of 0, when there is no region, when the regions are not as
    /// many as numberOfRegions says, or when one has a value that is no finite number.
    NNCropAndResizeBilinear(const MTL::Device& device, uint64_t resizeWidth, uint64_t resizeHeight,
                            uint64_t numberOfRegions, std::span<const Region> regions);
    NNCropAndResizeBilinear(KeyedUnarchiver& coder, const MTL::Device& device);
    uint64_t resizeWidth() const { return resizeWidth_; }
    uint64_t resizeHeight() const { return resizeHeight_; }
    uint64_t numberOfRegions() const { return regions_.size(); }
    const std::vector<Region>& regions() const { return regions_; }
    std::string className() const override { return "NNCropAndResizeBilinear"; }
    NNCropAndResizeBilinear copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    uint64_t imagesPerSource() const override { return regions_.size(); }
    void customizeDestination(const ImageBatch& sources, ImageDescriptor& descriptor) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    /// The regions in pixels of a source of a certain size, kept from one encode to the next.
    struct Table {
        uint64_t width = 0, height = 0;
        MTL::Buffer buffer;
    };
    const MTL::Buffer& tableFor(const Image& source) const;

    uint64_t resizeWidth_, resizeHeight_;
    std::vector<Region> regions_;
    mutable Table table_;
};

} // namespace mpsvk::MPS
