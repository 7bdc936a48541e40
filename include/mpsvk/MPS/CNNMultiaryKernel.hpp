// MPSCNNMultiaryKernel: the base of kernels with any number of sources and one destination.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {
struct MultiaryPass;
struct MultiaryStateRequest;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// The source properties of CNNKernel once per source; `index` counts the sources from 0, and one
/// that is not below sourceCount is an InvalidArgument. A stride of 0 repeats one pixel. Sources
/// are given in the order of their indices: an ImageBatch with one image of each for `encode`, an
/// array with the batch of each (`sourceImages[index][image of the batch]`) for `encodeBatch`.
/// MPSCNNMultiaryKernel.
class CNNMultiaryKernel : public Kernel {
public:
    using Kernel::encode;

    uint64_t sourceCount() const { return sources_.size(); }

    Offset offset(uint64_t index) const { return source(index).offset; }
    void setOffset(const Offset& v, uint64_t index) { source(index).offset = v; }
    uint64_t sourceFeatureChannelOffset(uint64_t index) const {
        return source(index).channelOffset;
    }
    void setSourceFeatureChannelOffset(uint64_t v, uint64_t index) {
        source(index).channelOffset = v;
    }
    uint64_t sourceFeatureChannelMaxCount(uint64_t index) const {
        return source(index).channelMaxCount;
    }
    void setSourceFeatureChannelMaxCount(uint64_t v, uint64_t index) {
        source(index).channelMaxCount = v;
    }
    ImageEdgeMode edgeMode(uint64_t index) const { return source(index).edgeMode; }
    void setEdgeMode(ImageEdgeMode v, uint64_t index) { source(index).edgeMode = v; }
    uint64_t kernelWidth(uint64_t index) const { return source(index).window.width; }
    void setKernelWidth(uint64_t v, uint64_t index) { source(index).window.width = v; }
    uint64_t kernelHeight(uint64_t index) const { return source(index).window.height; }
    void setKernelHeight(uint64_t v, uint64_t index) { source(index).window.height = v; }
    uint64_t strideInPixelsX(uint64_t index) const { return source(index).window.strideX; }
    void setStrideInPixelsX(uint64_t v, uint64_t index) { source(index).window.strideX = v; }
    uint64_t strideInPixelsY(uint64_t index) const { return source(index).window.strideY; }
    void setStrideInPixelsY(uint64_t v, uint64_t index) { source(index).window.strideY = v; }
    uint64_t dilationRateX(uint64_t index) const { return source(index).window.dilationX; }
    void setDilationRateX(uint64_t v, uint64_t index) { source(index).window.dilationX = v; }
    uint64_t dilationRateY(uint64_t index) const { return source(index).window.dilationY; }
    void setDilationRateY(uint64_t v, uint64_t index) { source(index).window.dilationY = v; }

    MTL::Region clipRect() const { return clipRect_; }
    void setClipRect(const MTL::Region& rect) { clipRect_ = rect; }
    uint64_t destinationFeatureChannelOffset() const { return destinationFeatureChannelOffset_; }
    void setDestinationFeatureChannelOffset(uint64_t v) { destinationFeatureChannelOffset_ = v; }
    virtual bool isBackwards() const { return false; }
    virtual bool isStateModified() const { return false; }
    std::shared_ptr<NNPadding> padding() const { return padding_; }
    void setPadding(std::shared_ptr<NNPadding> padding);
    std::shared_ptr<ImageAllocator> destinationImageAllocator() const { return allocator_; }
    void setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator);

    void encode(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                const Image& destinationImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages);
    Image encode(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                 State* destinationState, bool destinationStateIsTemporary);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer,
                     const std::vector<ImageBatch>& sourceImages,
                     const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const std::vector<ImageBatch>& sourceImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const std::vector<ImageBatch>& sourceImages,
                           StateBatch* destinationStates, bool destinationStateIsTemporary);

    State resultState(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                      const Image& destinationImage) const;
    StateBatch resultStateBatch(const std::vector<ImageBatch>& sourceImages,
                                const std::vector<StateBatch>& sourceStates,
                                const ImageBatch& destinationImages) const;
    State temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                               const ImageBatch& sourceImages, const StateBatch& sourceStates,
                               const Image& destinationImage) const;
    StateBatch temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                         const std::vector<ImageBatch>& sourceImages,
                                         const std::vector<StateBatch>& sourceStates,
                                         const ImageBatch& destinationImages) const;
    virtual bool isResultStateReusedAcrossBatch() const { return false; }
    virtual bool appendBatchBarrier() const { return false; }

    /// The result has the size that the padding policy gives for source 0; every source gets the
    /// offset that it gives for that source.
    ImageDescriptor destinationImageDescriptor(const ImageBatch& sourceImages,
                                               const StateBatch& sourceStates = {});
    virtual uint64_t encodingStorageSize(const ImageBatch& sourceImages,
                                         const StateBatch& sourceStates,
                                         const Image& destinationImage) const;
    virtual uint64_t batchEncodingStorageSize(const std::vector<ImageBatch>& sourceImages,
                                              const std::vector<StateBatch>& sourceStates,
                                              const ImageBatch& destinationImages) const;

protected:
    /// Throws InvalidArgument for a count of 0.
    CNNMultiaryKernel(const MTL::Device& device, const char* className, uint64_t sourceCount);
    /// An archive with another number of sources than this kernel's is a FormatError.
    void archive(mps::Archive& archive) override;

    /// Channels written for the channels read of each source: by default the most of any.
    virtual uint64_t outputChannels(std::span<const uint64_t> sourceChannels) const;
    virtual void customizeDestination(const ImageBatch& sourceImages,
                                      const StateBatch& sourceStates, ImageDescriptor& descriptor);
    /// The state or states of a forward pass; none by default.
    virtual StateBatch makeResultStates(const mps::MultiaryStateRequest& request) const;
    virtual void validate(const mps::MultiaryPass& pass) const;
    virtual void dispatch(const mps::MultiaryPass& pass) const = 0;

private:
    struct Source {
        Offset offset;
        uint64_t channelOffset = 0, channelMaxCount = UINT64_MAX;
        ImageEdgeMode edgeMode = ImageEdgeMode::Zero;
        KernelWindow window;
        void archive(mps::Archive& archive);
    };
    const Source& source(uint64_t index) const;
    Source& source(uint64_t index);
    uint64_t channelsOf(uint64_t index, const Image& image) const;
    void checkSourceBatches(const MTL::CommandBuffer& commandBuffer,
                            const std::vector<ImageBatch>& sources, bool isBatch) const;
    void run(const MTL::CommandBuffer& commandBuffer, const std::vector<ImageBatch>& sources,
             const StateBatch& states, const ImageBatch& destinations, bool isBatch, bool fresh);
    ImageBatch encodeNew(const MTL::CommandBuffer& commandBuffer,
                         const std::vector<ImageBatch>& sources, StateBatch* outStates,
                         bool isTemporary, bool isBatch);
    StateBatch states(const MTL::CommandBuffer* temporary, const std::vector<ImageBatch>& sources,
                      const ImageBatch& destinations) const;

    std::vector<Source> sources_;
    MTL::Region clipRect_ = RectNoClip;
    uint64_t destinationFeatureChannelOffset_ = 0;
    std::shared_ptr<NNPadding> padding_;
    std::shared_ptr<ImageAllocator> allocator_;
};

} // namespace mpsvk::MPS
