// MPSNNReshape, MPSNNPad and their gradients: the same values in another shape, or with more around
// them.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

#include <optional>
#include <span>
#include <vector>

namespace mpsvk::MPS {

/// Gives the source's elements, counted (y * width + x) * channels + channel, the destination's
/// width, height and channels. The shape is the destination image's, or the one asked for where the
/// encode makes the destination, or without either the source's own. The channels are those in use
/// of both images. Throws InvalidArgument where the numbers of elements differ, and for an offset
/// in x or y and a clip rectangle, which it does not know. MPSNNReshape.
class NNReshape : public CNNKernel {
public:
    explicit NNReshape(const MTL::Device& device) : CNNKernel(device, "NNReshape") {}
    using CNNKernel::encode;
    using CNNKernel::encodeBatch;
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 uint64_t reshapedWidth, uint64_t reshapedHeight, uint64_t reshapedFeatureChannels);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 State* destinationState, bool destinationStateIsTemporary, uint64_t reshapedWidth,
                 uint64_t reshapedHeight, uint64_t reshapedFeatureChannels);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           uint64_t reshapedWidth, uint64_t reshapedHeight,
                           uint64_t reshapedFeatureChannels);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           StateBatch* destinationStates, bool destinationStateIsTemporary,
                           uint64_t reshapedWidth, uint64_t reshapedHeight,
                           uint64_t reshapedFeatureChannels);
    NNReshape(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReshape(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNReshape"; }
    NNReshape copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    struct Shape {
        uint64_t width, height, channels;
    };
    class Reshaping;

    uint64_t channelsWritten(uint64_t sourceChannels, const Image& destination) const override;
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    std::optional<Shape> reshaped_; ///< while an encode that names a shape runs
};

/// Gives the gradient the forward source's shape. Of sourceImage only the size counts. The gradient
/// state is needed. MPSNNReshapeGradient.
class NNReshapeGradient : public CNNGradientKernel {
public:
    explicit NNReshapeGradient(const MTL::Device& device)
        : CNNGradientKernel(device, "NNReshapeGradient") {}
    NNReshapeGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReshapeGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNReshapeGradient"; }
    NNReshapeGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "NNReshape"; }
    bool readsSecondary() const override { return false; }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

/// Adds pixels and channels around the source. Pixel d of the clip rectangle reads the index
/// offset + (d - clipRect.origin) along x and y; channel j of those written reads the index
/// j - paddingSizeBefore.channel among the n source channels in use, and there are
/// paddingSizeBefore.channel + n + paddingSizeAfter.channel of them. An index i outside
/// 0 ... n-1 reads, by the edge mode,
///     Zero            0
///     Constant        fillValue, or the fill value of the channel
///     Clamp           the nearest index
///     Mirror          the reflection about the edge: 2 1 | 0 1 2 | 1 0
///     MirrorWithEdge  the same with the edge repeated: 1 0 | 0 1 2 | 2 1
/// in each axis by itself, however far outside it lies.
///
/// paddingSizeBefore and paddingSizeAfter count in x and y only for encodes that make the
/// destination: these set offset to -paddingSizeBefore and clipRect to the whole destination.
/// sourceFeatureChannelOffset may be any number. MPSNNPad.
class NNPad : public CNNKernel {
public:
    explicit NNPad(const MTL::Device& device) : NNPad(device, {}, {}) {}
    /// `fillValues`: for edge mode Constant, one for each channel written, in that order; empty for
    /// fillValue everywhere. Fewer than an encode writes are an InvalidArgument there.
    NNPad(const MTL::Device& device, const ImageCoordinate& paddingSizeBefore,
          const ImageCoordinate& paddingSizeAfter, std::span<const float> fillValues = {});

    ImageCoordinate paddingSizeBefore() const { return before_; }
    void setPaddingSizeBefore(const ImageCoordinate& size) { before_ = size; }
    ImageCoordinate paddingSizeAfter() const { return after_; }
    void setPaddingSizeAfter(const ImageCoordinate& size) { after_ = size; }
    /// Has no effect on a kernel made with fill values for each channel.
    float fillValue() const { return fillValue_; }
    void setFillValue(float value) { fillValue_ = value; }
    NNPad(KeyedUnarchiver& coder, const MTL::Device& device) : NNPad(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNPad"; }
    NNPad copy(const MTL::Device& device) const { return NNPad(*this, device); }

private:
    NNPad(const NNPad& other, const MTL::Device& device);
    void setFillValues(std::vector<float> values);
    void archive(mps::Archive& archive) override;
    uint64_t outputChannels(uint64_t sourceChannels) const override;
    bool takesAnySourceChannelOffset() const override { return true; }
    bool takesAnyEdgeMode() const override { return true; }
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    ImageCoordinate before_, after_;
    float fillValue_ = 0;
    std::vector<float> fillValues_;
    MTL::Buffer fillBuffer_;
};

/// dX(p) = the sum of G over all results that read p; what a fill value was read for has no
/// gradient. Pixel q of clipRect is the source's pixel secondaryOffset + q, and the first channel
/// written is the source's channel secondarySourceFeatureChannelOffset; what the forward pass did
/// not read becomes 0. primaryOffset and primarySourceFeatureChannelOffset say where in the
/// gradient the forward pass's clip rectangle and channels begin. Everything else comes with the
/// gradient state, which is needed, also where the destination is given. Of sourceImage only the
/// size counts.
///
/// The encodes that return the result set the properties so that it has all of the forward source's
/// pixels and channels. MPSNNPadGradient.
class NNPadGradient : public CNNGradientKernel {
public:
    explicit NNPadGradient(const MTL::Device& device)
        : CNNGradientKernel(device, "NNPadGradient") {}
    NNPadGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNPadGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNPadGradient"; }
    NNPadGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "NNPad"; }
    bool takesAnyEdgeMode() const override { return true; }
    bool readsSecondary() const override { return false; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

} // namespace mpsvk::MPS
