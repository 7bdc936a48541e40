// MPSCNNKernel, MPSCNNBinaryKernel, MPSCNNGradientKernel: the bases of every neural-network kernel.
//
// A kernel reads images and writes images. The encodes come in two kinds. Those that are given the
// destination use the properties as they stand. Those that return it first ask
// destinationImageDescriptor, which lets the padding policy (or, for a gradient kernel, the
// gradient state) set the destination's size and the kernel's offset, and then ask the allocator.
#pragma once

#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MPS/NNGradientState.hpp>
#include <mpsvk/MPS/NNPadding.hpp>

namespace mpsvk::mps {
struct BinaryPass;
struct ForwardRecord;
struct StateRequest;
struct UnaryPass;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// The window that a kernel moves over its source: taps, stride, distance between taps.
struct KernelWindow {
    uint64_t width = 1, height = 1;
    uint64_t strideX = 1, strideY = 1;
    uint64_t dilationX = 1, dilationY = 1;
};

/// Which images of an array an encode reads: at most `count` from `first` on.
struct ImageRange {
    int64_t first = 0;
    uint64_t count = UINT64_MAX;
};

/// One source, one destination. Destination pixel x (counted from clipRect.origin) has its window's
/// centre at source pixel offset + stride*x; tap t lies at centre - floor(Kd/2) + dilation*t, where
/// Kd = (K-1)*dilation + 1. MPSCNNKernel.
class CNNKernel : public Kernel {
public:
    using Kernel::encode;

    Offset offset() const { return offset_; }
    void setOffset(const Offset& offset) { offset_ = offset; }
    MTL::Region clipRect() const { return clipRect_; }
    void setClipRect(const MTL::Region& rect) { clipRect_ = rect; }
    uint64_t destinationFeatureChannelOffset() const { return destinationFeatureChannelOffset_; }
    void setDestinationFeatureChannelOffset(uint64_t v) { destinationFeatureChannelOffset_ = v; }
    uint64_t sourceFeatureChannelOffset() const { return sourceFeatureChannelOffset_; }
    void setSourceFeatureChannelOffset(uint64_t v) { sourceFeatureChannelOffset_ = v; }
    uint64_t sourceFeatureChannelMaxCount() const { return sourceFeatureChannelMaxCount_; }
    void setSourceFeatureChannelMaxCount(uint64_t v) { sourceFeatureChannelMaxCount_ = v; }
    ImageEdgeMode edgeMode() const { return edgeMode_; }
    void setEdgeMode(ImageEdgeMode mode) { edgeMode_ = mode; }
    uint64_t kernelWidth() const { return window_.width; }
    uint64_t kernelHeight() const { return window_.height; }
    uint64_t strideInPixelsX() const { return window_.strideX; }
    uint64_t strideInPixelsY() const { return window_.strideY; }
    uint64_t dilationRateX() const { return window_.dilationX; }
    uint64_t dilationRateY() const { return window_.dilationY; }
    /// True when the stride is measured in destination pixels, as a transposed convolution's is.
    virtual bool isBackwards() const { return false; }
    virtual bool isStateModified() const { return false; }
    std::shared_ptr<NNPadding> padding() const { return padding_; }
    void setPadding(std::shared_ptr<NNPadding> padding);
    std::shared_ptr<ImageAllocator> destinationImageAllocator() const { return allocator_; }
    void setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator);

    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const Image& destinationImage);
    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const State& destinationState, const Image& destinationImage);
    /// The encodes read the source and write the clip rectangle of the destination; other pixels
    /// stay. The read count of each temporary source falls by one. Those that return images first
    /// set `offset` by the padding policy and ask the allocator for the destination. Throws
    /// InvalidArgument, before anything is recorded, for an empty, spent or foreign image, sizes,
    /// formats or channels that do not fit, a destination that is also a source, and a committed
    /// command buffer.
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 State* destinationState, bool destinationStateIsTemporary);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const ImageBatch& destinationImages);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const StateBatch& destinationStates, const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           StateBatch* destinationStates, bool destinationStateIsTemporary);

    /// Empty when this kernel makes no state. Call it with every property final, after
    /// destinationImageDescriptor.
    State resultState(const Image& sourceImage, const StateBatch& sourceStates,
                      const Image& destinationImage) const;
    StateBatch resultStateBatch(const ImageBatch& sourceImages,
                                const std::vector<StateBatch>& sourceStates,
                                const ImageBatch& destinationImages) const;
    State temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                               const StateBatch& sourceStates, const Image& destinationImage) const;
    StateBatch temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                         const ImageBatch& sourceImages,
                                         const std::vector<StateBatch>& sourceStates,
                                         const ImageBatch& destinationImages) const;
    /// True when one state serves the whole batch: its batch holds that state once per image.
    virtual bool isResultStateReusedAcrossBatch() const { return false; }
    virtual bool appendBatchBarrier() const { return false; }

    /// What an encode that returns its image will allocate; sets offset on the way.
    ImageDescriptor destinationImageDescriptor(const ImageBatch& sourceImages,
                                               const StateBatch& sourceStates = {});
    /// Bytes of memory that an encode takes besides its images and states.
    virtual uint64_t encodingStorageSize(const Image& sourceImage, const StateBatch& sourceStates,
                                         const Image& destinationImage) const;
    virtual uint64_t batchEncodingStorageSize(const ImageBatch& sourceImages,
                                              const std::vector<StateBatch>& sourceStates,
                                              const ImageBatch& destinationImages) const;

protected:
    /// Throws InvalidArgument when a size, stride or dilation is 0.
    CNNKernel(const MTL::Device& device, const char* className, const KernelWindow& window = {});
    void setWindow(const KernelWindow& window) { window_ = window; }
    const KernelWindow& window() const { return window_; }
    void archive(mps::Archive& archive) override;

    /// Channels written for `sourceChannels` read.
    virtual uint64_t outputChannels(uint64_t sourceChannels) const { return sourceChannels; }
    /// The same where the destination has a say in it.
    virtual uint64_t channelsWritten(uint64_t sourceChannels, const Image& destination) const {
        (void)destination;
        return outputChannels(sourceChannels);
    }
    /// True when sourceFeatureChannelOffset may be any number: the source view then begins within a
    /// texel (see IMAGE_CHANNELS_READ in glsl/pixel.glsl).
    virtual bool takesAnySourceChannelOffset() const { return false; }
    /// False when only Zero and Clamp are known: an encode then refuses other edge modes.
    virtual bool takesAnyEdgeMode() const { return false; }
    /// True when the padding policy leaves `offset` as the user set it.
    virtual bool keepsOffset() const { return false; }
    virtual ImageRange sourceImages() const { return {offset_.z}; }
    /// Destination images that one source image gives.
    virtual uint64_t imagesPerSource() const { return 1; }
    /// The class's own word on the result's size, after the padding policy's sums.
    virtual void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor);
    /// The state or states of a forward pass; none by default.
    virtual StateBatch makeResultStates(const mps::StateRequest& request) const;
    /// Throws InvalidArgument; called once per encode before anything is recorded.
    virtual void validate(const mps::UnaryPass& pass) const;
    /// Records the work for one run of images (see mps/Pass.hpp).
    virtual void dispatch(const mps::UnaryPass& pass) const = 0;
    /// False when the work leaves nothing but a state: there are no destination images then.
    virtual bool writesDestination() const { return true; }
    /// The states that an encode given `states` reads: their read counts go down.
    virtual StateBatch statesRead(const StateBatch& states) const;

    /// An encode that returns its images. `sourceStates`, none or one per image, have their word on
    /// the result's size and are there when the result states are made.
    ImageBatch encodeReturning(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                               const StateBatch& sourceStates, StateBatch* destinationStates,
                               bool destinationStateIsTemporary, bool isBatch);

    void run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
             const StateBatch& states, const ImageBatch& destinations, bool isBatch,
             bool fresh = false, bool returnsStates = false);

private:
    StateBatch states(const MTL::CommandBuffer* temporary, const ImageBatch& sources,
                      const std::vector<StateBatch>& sourceStates, const ImageBatch& destinations,
                      bool isReturned = false) const;

    Offset offset_;
    MTL::Region clipRect_ = RectNoClip;
    uint64_t destinationFeatureChannelOffset_ = 0;
    uint64_t sourceFeatureChannelOffset_ = 0;
    uint64_t sourceFeatureChannelMaxCount_ = UINT64_MAX;
    ImageEdgeMode edgeMode_ = ImageEdgeMode::Zero;
    KernelWindow window_;
    std::shared_ptr<NNPadding> padding_;
    std::shared_ptr<ImageAllocator> allocator_;
};

/// Two sources, one destination; the source properties of CNNKernel come twice.
/// MPSCNNBinaryKernel.
class CNNBinaryKernel : public Kernel {
public:
    using Kernel::encode;

    Offset primaryOffset() const { return primary_.offset; }
    void setPrimaryOffset(const Offset& v) { primary_.offset = v; }
    Offset secondaryOffset() const { return secondary_.offset; }
    void setSecondaryOffset(const Offset& v) { secondary_.offset = v; }
    MTL::Region clipRect() const { return clipRect_; }
    void setClipRect(const MTL::Region& rect) { clipRect_ = rect; }
    uint64_t destinationFeatureChannelOffset() const { return destinationFeatureChannelOffset_; }
    void setDestinationFeatureChannelOffset(uint64_t v) { destinationFeatureChannelOffset_ = v; }
    uint64_t primarySourceFeatureChannelOffset() const { return primary_.channelOffset; }
    void setPrimarySourceFeatureChannelOffset(uint64_t v) { primary_.channelOffset = v; }
    uint64_t secondarySourceFeatureChannelOffset() const { return secondary_.channelOffset; }
    void setSecondarySourceFeatureChannelOffset(uint64_t v) { secondary_.channelOffset = v; }
    uint64_t primarySourceFeatureChannelMaxCount() const { return primary_.channelMaxCount; }
    void setPrimarySourceFeatureChannelMaxCount(uint64_t v) { primary_.channelMaxCount = v; }
    uint64_t secondarySourceFeatureChannelMaxCount() const { return secondary_.channelMaxCount; }
    void setSecondarySourceFeatureChannelMaxCount(uint64_t v) { secondary_.channelMaxCount = v; }
    ImageEdgeMode primaryEdgeMode() const { return primary_.edgeMode; }
    void setPrimaryEdgeMode(ImageEdgeMode v) { primary_.edgeMode = v; }
    ImageEdgeMode secondaryEdgeMode() const { return secondary_.edgeMode; }
    void setSecondaryEdgeMode(ImageEdgeMode v) { secondary_.edgeMode = v; }
    uint64_t primaryKernelWidth() const { return primary_.window.width; }
    uint64_t primaryKernelHeight() const { return primary_.window.height; }
    uint64_t secondaryKernelWidth() const { return secondary_.window.width; }
    uint64_t secondaryKernelHeight() const { return secondary_.window.height; }
    uint64_t primaryStrideInPixelsX() const { return primary_.window.strideX; }
    void setPrimaryStrideInPixelsX(uint64_t v) { primary_.window.strideX = v; }
    uint64_t primaryStrideInPixelsY() const { return primary_.window.strideY; }
    void setPrimaryStrideInPixelsY(uint64_t v) { primary_.window.strideY = v; }
    uint64_t secondaryStrideInPixelsX() const { return secondary_.window.strideX; }
    void setSecondaryStrideInPixelsX(uint64_t v) { secondary_.window.strideX = v; }
    uint64_t secondaryStrideInPixelsY() const { return secondary_.window.strideY; }
    void setSecondaryStrideInPixelsY(uint64_t v) { secondary_.window.strideY = v; }
    uint64_t primaryDilationRateX() const { return primary_.window.dilationX; }
    uint64_t primaryDilationRateY() const { return primary_.window.dilationY; }
    uint64_t secondaryDilationRateX() const { return secondary_.window.dilationX; }
    uint64_t secondaryDilationRateY() const { return secondary_.window.dilationY; }
    virtual bool isBackwards() const { return false; }
    virtual bool isStateModified() const { return false; }
    std::shared_ptr<NNPadding> padding() const { return padding_; }
    void setPadding(std::shared_ptr<NNPadding> padding);
    std::shared_ptr<ImageAllocator> destinationImageAllocator() const { return allocator_; }
    void setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator);

    void encode(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                const Image& secondaryImage, const Image& destinationImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                 const Image& secondaryImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                 const Image& secondaryImage, State* destinationState,
                 bool destinationStateIsTemporary);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaryImages,
                     const ImageBatch& secondaryImages, const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaryImages,
                           const ImageBatch& secondaryImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaryImages,
                           const ImageBatch& secondaryImages, StateBatch* destinationStates,
                           bool destinationStateIsTemporary);

    State resultState(const Image& primaryImage, const Image& secondaryImage,
                      const StateBatch& sourceStates, const Image& destinationImage) const;
    StateBatch resultStateBatch(const ImageBatch& primaryImages, const ImageBatch& secondaryImages,
                                const std::vector<StateBatch>& sourceStates,
                                const ImageBatch& destinationImages) const;
    State temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                               const Image& secondaryImage, const StateBatch& sourceStates,
                               const Image& destinationImage) const;
    StateBatch temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                         const ImageBatch& primaryImages,
                                         const ImageBatch& secondaryImages,
                                         const std::vector<StateBatch>& sourceStates,
                                         const ImageBatch& destinationImages) const;
    virtual bool isResultStateReusedAcrossBatch() const { return false; }
    virtual bool appendBatchBarrier() const { return false; }

    /// `sourceImages` are the primary and the secondary image.
    ImageDescriptor destinationImageDescriptor(const ImageBatch& sourceImages,
                                               const StateBatch& sourceStates = {});
    virtual uint64_t encodingStorageSize(const Image& primaryImage, const Image& secondaryImage,
                                         const StateBatch& sourceStates,
                                         const Image& destinationImage) const;
    virtual uint64_t batchEncodingStorageSize(const ImageBatch& primaryImages,
                                              const ImageBatch& secondaryImages,
                                              const std::vector<StateBatch>& sourceStates,
                                              const ImageBatch& destinationImages) const;

protected:
    /// The properties of one of the two sources.
    struct Source {
        Offset offset;
        uint64_t channelOffset = 0, channelMaxCount = UINT64_MAX;
        ImageEdgeMode edgeMode = ImageEdgeMode::Zero;
        KernelWindow window;
        void archive(mps::Archive& archive);
    };

    CNNBinaryKernel(const MTL::Device& device, const char* className,
                    const KernelWindow& primary = {}, const KernelWindow& secondary = {});
    Source& primary() { return primary_; }
    Source& secondary() { return secondary_; }
    const Source& primary() const { return primary_; }
    const Source& secondary() const { return secondary_; }
    MTL::Region& clip() { return clipRect_; }
    void archive(mps::Archive& archive) override;

    virtual uint64_t outputChannels(uint64_t primaryChannels, uint64_t secondaryChannels) const {
        return primaryChannels > secondaryChannels ? primaryChannels : secondaryChannels;
    }
    /// False when only Zero and Clamp are known: an encode then refuses other edge modes.
    virtual bool takesAnyEdgeMode() const { return false; }
    /// Channels that an encode writes, where these are others than outputChannels says.
    virtual uint64_t channelsWritten(const mps::BinaryPass& pass) const;
    virtual ImageRange primaryImages() const { return {primary_.offset.z}; }
    virtual ImageRange secondaryImages() const { return {secondary_.offset.z}; }
    virtual void customizeDestination(const ImageBatch& sourceImages,
                                      const StateBatch& sourceStates, ImageDescriptor& descriptor);
    virtual StateBatch makeResultStates(const mps::StateRequest& request) const;
    virtual void validate(const mps::BinaryPass& pass) const;
    virtual void dispatch(const mps::BinaryPass& pass) const;
    /// Sums over the images of a batch (a gradient of weights) are formed here, before `dispatch`:
    /// these runs do not depend on where the destination images lie, nor do the sums then.
    virtual bool sumsOverBatch() const { return false; }
    virtual void dispatchSums(const mps::BinaryPass& pass) const;
    /// Whether they are formed after `dispatch`, beside it: workgroups that take longer come first.
    virtual bool sumsFollow() const { return false; }
    /// False when an encode leaves the destination image alone (then none has to be given).
    virtual bool writesDestination() const { return true; }
    /// False when the secondary image counts only by its size: its texels may not exist.
    virtual bool readsSecondary() const { return true; }

    void run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaries,
             const ImageBatch& secondaries, const StateBatch& sourceStates,
             const StateBatch& destinationStates, const ImageBatch& destinations, bool isBatch,
             bool fresh = false);
    ImageBatch allocateDestinations(const MTL::CommandBuffer& commandBuffer,
                                    const ImageBatch& primaries, const ImageBatch& secondaries,
                                    const StateBatch& sourceStates);
    StateBatch states(const MTL::CommandBuffer* temporary, const ImageBatch& primaries,
                      const ImageBatch& secondaries, const ImageBatch& destinations) const;

private:
    Source primary_, secondary_;
    MTL::Region clipRect_ = RectNoClip;
    uint64_t destinationFeatureChannelOffset_ = 0;
    std::shared_ptr<NNPadding> padding_;
    std::shared_ptr<ImageAllocator> allocator_;
};

/// The gradient of a CNNKernel. The primary image is the gradient of the loss with respect to the
/// forward result, the secondary one an image of the forward pass (the forward source unless the
/// class says otherwise), the result the gradient with respect to the forward source.
///
/// The encodes that return the result take the forward kernel's geometry from the gradient state;
/// those that are given the destination use this kernel's properties as they stand.
/// MPSCNNGradientKernel.
class CNNGradientKernel : public CNNBinaryKernel {
public:
    using CNNBinaryKernel::encode;
    using CNNBinaryKernel::encodeBatch;

    int64_t kernelOffsetX() const { return kernelOffsetX_; }
    void setKernelOffsetX(int64_t v) { kernelOffsetX_ = v; }
    int64_t kernelOffsetY() const { return kernelOffsetY_; }
    void setKernelOffsetY(int64_t v) { kernelOffsetY_ = v; }

    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceGradient,
                 const Image& sourceImage, const State& gradientState);
    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceGradient,
                const Image& sourceImage, const State& gradientState,
                const Image& destinationGradient);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const ImageBatch& sourceGradients, const ImageBatch& sourceImages,
                           const StateBatch& gradientStates);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceGradients,
                     const ImageBatch& sourceImages, const StateBatch& gradientStates,
                     const ImageBatch& destinationGradients);

protected:
    using CNNBinaryKernel::CNNBinaryKernel;
    void archive(mps::Archive& archive) override;
    /// The forward class whose states this kernel takes, "" for any.
    virtual std::string forwardClassName() const { return {}; }
    /// Takes a forward kernel's properties. By default those of a pointwise kernel:
    /// secondaryOffset = its offset, the edge mode, window and channel ranges as they are. Of
    /// arrays the images that the forward kernel read become those written, and the ones that it
    /// wrote those of the incoming gradient.
    virtual void takeForwardRecord(const mps::ForwardRecord& record);
    /// For a kernel that goes pixel by pixel: those of the source that the forward kernel read.
    void takePixelwiseRecord(const mps::ForwardRecord& record);
    uint64_t outputChannels(uint64_t primaryChannels, uint64_t secondaryChannels) const override {
        (void)primaryChannels;
        return secondaryChannels;
    }
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;

private:
    void checkForwardClass(const StateBatch& states) const;
    ImageBatch encodeNew(const MTL::CommandBuffer& commandBuffer, const ImageBatch& gradients,
                         const ImageBatch& sources, const StateBatch& states, bool isBatch);

    int64_t kernelOffsetX_ = 0, kernelOffsetY_ = 0;
};

} // namespace mpsvk::MPS
