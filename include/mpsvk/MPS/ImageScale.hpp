// MPSImageScale and its subclasses: images resampled to another size. No gradients.
//
// With the scale s and the translation t of an axis, result pixel i, counted from clipRect.origin,
// is the source at offset + (i + 1/2 - t) / s - 1/2: positions in the result are
// position * s + t of those in the source, and both count from the images' corners. Without a
// transform s is the destination's size by the source's, and t is 0. Beyond the source is its edge,
// whatever the edge mode.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

#include <optional>

namespace mpsvk::MPS {

/// What both have in common. An encode that returns its image makes it as large as the transform
/// makes the source (rounded down, at least one pixel), or as the source. MPSImageScale.
class ImageScale : public CNNKernel {
public:
    std::optional<ScaleTransform> scaleTransform() const { return transform_; }
    /// A scale that is not finite, or nearer to 0 than 2^-16, is an InvalidArgument at encode.
    void setScaleTransform(const std::optional<ScaleTransform>& transform) {
        transform_ = transform;
    }

protected:
    using CNNKernel::CNNKernel;
    void archive(mps::Archive& archive) override;

private:
    bool keepsOffset() const override { return true; }
    void customizeDestination(const ImageBatch& sources, ImageDescriptor& descriptor) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    /// The weight of a source pixel at that distance, in units of `reach` of which the result is
    /// made; before all weights are made to sum up to 1.
    virtual double weight(double distance) const = 0;
    /// Beyond it weights are 0.
    virtual double reach() const = 0;
    /// The result of a smaller image is made of more pixels.
    virtual bool widens() const = 0;

    /// The pixels and weights of a result's columns and rows, kept from one encode to the next.
    struct Table {
        std::vector<double> key;
        uint64_t tapsX = 0, tapsY = 0, weightsY = 0;
        MTL::Buffer firsts, weights;
    };
    const Table& tableFor(const mps::UnaryPass& pass) const;

    std::optional<ScaleTransform> transform_;
    mutable Table table_;
};

/// The mean of the two pixels around the position, weighted by how near they are, in each axis.
/// MPSImageBilinearScale.
class ImageBilinearScale : public ImageScale {
public:
    explicit ImageBilinearScale(const MTL::Device& device)
        : ImageScale(device, "ImageBilinearScale") {}
    ImageBilinearScale(KeyedUnarchiver& coder, const MTL::Device& device)
        : ImageBilinearScale(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "ImageBilinearScale"; }
    ImageBilinearScale copy(const MTL::Device& device) const;

private:
    double weight(double distance) const override;
    double reach() const override { return 1; }
    bool widens() const override { return false; }
};

/// Lanczos resampling with three lobes: a pixel at distance d has the weight
/// sinc(d) * sinc(d / 3), 0 from d = 3 on, with sinc(x) = sin(pi x) / (pi x). The distance counts
/// in pixels of the source or, where the result is smaller, of the result, so that no low pass
/// filter has to come before. The weights are divided by their sum. MPSImageLanczosScale.
class ImageLanczosScale : public ImageScale {
public:
    explicit ImageLanczosScale(const MTL::Device& device)
        : ImageScale(device, "ImageLanczosScale") {}
    ImageLanczosScale(KeyedUnarchiver& coder, const MTL::Device& device)
        : ImageLanczosScale(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "ImageLanczosScale"; }
    ImageLanczosScale copy(const MTL::Device& device) const;

private:
    double weight(double distance) const override;
    double reach() const override { return 3; }
    bool widens() const override { return true; }
};

} // namespace mpsvk::MPS
