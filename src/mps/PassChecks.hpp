// What every encode checks before it records anything. Each throws InvalidArgument with a sentence
// that begins with `who`.
#pragma once

#include "mps/Pass.hpp"

namespace mpsvk::mps {

void checkWindow(const char* className, const MPS::KernelWindow& window);
/// The command buffer is of the kernel's device.
void checkDevice(const Subject& who, const MTL::Device& kernel,
                 const MTL::CommandBuffer& commandBuffer);
/// Not empty, all on the command buffer's device and alive; `each` images each, if in a batch.
void checkSources(const std::string& who, const char* role, const MPS::ImageBatch& images,
                  const MTL::CommandBuffer& commandBuffer, bool isBatch, uint64_t each = 1);
void checkStates(const std::string& who, const char* role, const MPS::StateBatch& states,
                 size_t images, const MTL::CommandBuffer& commandBuffer);
/// Gradient states that a kernel of this class has made, but for those that it reads.
void checkOwnStates(const std::string& who, const char* role, const MPS::StateBatch& states,
                    const MPS::StateBatch& read, const std::string& className);
void checkBatchLengths(const std::string& who, const char* a, size_t lengthA, const char* b,
                       size_t lengthB);
void checkSameShapes(const std::string& who, const char* role, const MPS::ImageBatch& images);
void checkChannelOffset(const std::string& who, const char* property, uint64_t offset);
void checkChannels(const std::string& who, const char* role, const MPS::Image& image,
                   uint64_t offset, uint64_t channels);
void checkNotAliased(const std::string& who, const MPS::ImageBatch& sources,
                     const MPS::ImageBatch& destinations);
/// sourceGradient has a channel for each channel of sourceImage.
void checkGradientChannels(const std::string& who, const BinaryPass& pass);
/// The source has the size of the forward source.
void checkForwardSource(const std::string& who, const ForwardRecord& record,
                        const MPS::Image& source);
/// The gradient has the size of the forward result, and the source that of the forward source.
/// `done` says what the forward kernel did to it: "pooled".
void checkForwardSizes(const std::string& who, const char* done, const ForwardRecord& record,
                       const MPS::Image& gradient, const MPS::Image& source);
/// Of a kernel that goes pixel by pixel, as did the forward one, from the first pixels on: the
/// gradient has the size of the source.
void checkPixelwiseSizes(const std::string& who, const MPS::CNNBinaryKernel& kernel,
                         const BinaryPass& pass);
/// The gradient state is of a window like the kernel's own, whatever their strides are.
void checkForwardWindow(const std::string& who, const MPS::KernelWindow& forward,
                        const MPS::KernelWindow& own);
/// As many batches of states of the sources as there are images, or none.
void checkSourceStates(const std::string& who, size_t images, size_t sourceStates);
/// The states were made for results like those of the encode.
void checkResultSizes(const std::string& who, const UnaryPass& pass);
/// A window that padding policies can count with.
void checkWindowFits(const std::string& who, const MPS::KernelWindow& window);
/// Shaders count positions in 32 bits.
void checkOffsetReach(const std::string& who, const char* name, const MPS::Offset& offset);
/// Positions of windows, the first centred at `offset`, do not overflow.
void checkWindowReach(const std::string& who, const MPS::Offset& offset,
                      const MPS::KernelWindow& window, uint64_t windowsX, uint64_t windowsY);
/// Zero or Clamp: all that a kernel other than padding knows.
void checkEdgeMode(const std::string& who, const char* property, MPS::ImageEdgeMode mode);

/// For kernels that know neither offset nor clipRect: both as they are by default, in x and y.
void checkWholeImages(const std::string& who, const Clip& clip, const MPS::Image& destination,
                      std::initializer_list<std::pair<const char*, MPS::Offset>> offsets);

/// Channels from `offset` on, at most `most`; 0 when the image has none there.
uint64_t channelsInUse(const MPS::Image& image, uint64_t offset, uint64_t most);
/// True when an encode with this clip rectangle writes every pixel.
bool covers(const Clip& clip, const MPS::Image& destination);
/// Fills new destinations with zeros, unless the encode writes every channel of every pixel of all
/// their images: `channels` from `channelOffset` on, of `images` images each.
void fillUncovered(Encoder& encoder, const MPS::ImageBatch& destinations, const Clip& clip,
                   uint64_t channelOffset, uint64_t channels, uint64_t images);
/// What an encode with this clip rectangle reads of the source and writes of the destination.
void recordSizes(ForwardRecord& record, const MTL::Region& clipRect, MPS::ImageRange range,
                 const MPS::Image& source, const MPS::Image& destination);
/// Where the pixels of a pointwise kernel's clip rectangle came from: from `clip` of the forward
/// source, but for the first `skipped` ones, which lay outside.
struct PointwiseOrigin {
    PointwiseOrigin(const ForwardRecord& record, const MTL::Region& clipRect);
    MTL::Region clip;
    MPS::Offset skipped;
};
/// Adds an operand for each buffer that the states keep per image; none if they differ in that.
void appendStateBuffers(std::vector<RunOperand>& operands, const MPS::StateBatch& states,
                        uint64_t images, bool isBatch);

/// Element `i` of a batch; of an array of images, which one stands for, that one.
inline const MPS::Image& imageOf(const MPS::ImageBatch& batch, size_t i) {
    return batch[batch.size() > 1 ? i : 0];
}

template <class Batch> Batch part(const Batch& batch, size_t first, size_t count) {
    if (batch.size() <= first) return batch; // one state for an array of images
    return Batch(batch.begin() + first, batch.begin() + std::min(batch.size(), first + count));
}

} // namespace mpsvk::mps
