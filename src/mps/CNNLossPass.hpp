// What the three loss kernels share: the checks and the dispatches over a batch.
#pragma once

#include "CNNYOLOLoss.h"
#include "mps/Encoder.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

namespace mpsvk::mps {

/// The images that a loss is computed from.
struct LossImages {
    MPS::ImageBatch sources, labels;
    MPS::ImageBatch weights; ///< empty, or one per image: an empty handle is a weight of 1
    uint64_t channelOffset = 0, channels = 0; ///< of the sources: what is read
};

/// How t becomes the smoothed label t * scale + shift.
struct LabelSmoothing {
    explicit LabelSmoothing(const MPS::CNNLossDescriptor& descriptor);
    float scale = 1, shift = 0;
};

/// What the elements of a detection grid are compared by, instead of by one loss for all.
struct AnchorLosses {
    glsl::CNNYOLOLossParameters parameters; ///< all but `loss`
    vk::BufferSlice anchorBoxes;
};

struct LossFunction {
    const MPS::CNNLossDescriptor& descriptor;
    const AnchorLosses* anchors =
        nullptr; ///< if given, of the descriptor only the reduction counts
};

/// Images with the channels in use.
struct LossChannels {
    const MPS::ImageBatch& images;
    uint64_t offset = 0;
    uint64_t channels = 0;
};

[[noreturn]] void refuseWithoutLabels(const std::string& who);
/// Checks an encode's sources and destinations; how many channels it reads.
uint64_t checkLossPair(const std::string& who, const char* role, const MPS::ImageBatch& sources,
                       uint64_t channelOffset, uint64_t channelMaxCount,
                       const MPS::ImageBatch& destinations, uint64_t destinationOffset,
                       const MTL::CommandBuffer& commandBuffer);
/// Throws InvalidArgument for an unknown type or reduction, or a pair that does not go together.
void checkLossDescriptor(const std::string& who, const MPS::CNNLossDescriptor& descriptor);
/// That labels can be smoothed as the descriptor says.
void checkSmoothing(const std::string& who, const MPS::CNNLossDescriptor& descriptor);
/// That the images of a batch fit each other; `sources` are checked already.
void checkLossImages(const std::string& who, const MPS::CNNLossDescriptor& descriptor,
                     const LossImages& images, const MTL::CommandBuffer& commandBuffer);
/// That no destination is read from.
void checkLossNotAliased(const std::string& who, const LossImages& images,
                         const MPS::ImageBatch& destinations);
/// That the channels are those of so many anchor boxes.
void checkAnchorChannels(const std::string& who, uint64_t anchors, uint64_t channels);
/// That `image` has the size of the loss of a source of these sizes. That of labels has no other
/// channels, where it does not have all of the source's.
void checkLossSize(const std::string& who, const std::string& name,
                   const MPS::CNNLossDescriptor& descriptor, const LossImages& images,
                   const MPS::Image& image, uint64_t channelOffset, bool isLabels = false);
/// A loss takes whole images: the offset is 0 and the clip rectangle covers the destination.
void checkWholeImages(const std::string& who, const char* property, const MPS::Offset& offset,
                      const MTL::Region& clipRect, const MPS::Image& destination);
void markLossRead(const LossImages& images);
/// Zeros where the `channels` from `offset` on are not all of a new destination.
void clearIfPartial(Encoder& encoder, const MPS::ImageBatch& destinations, uint64_t offset,
                    uint64_t channels);

/// The encodes of CNNLoss and CNNYOLOLoss: gradients to the destinations (the second form makes
/// them), losses to the labels.
void encodeLabelledLosses(const std::string& who, const MPS::CNNKernel& kernel,
                          const LossFunction& function, const MTL::CommandBuffer& commandBuffer,
                          const MPS::ImageBatch& sources, const MPS::StateBatch& labels,
                          const MPS::ImageBatch& destinations, bool isBatch, bool fresh = false);
MPS::ImageBatch encodeLabelledLosses(const std::string& who, MPS::CNNKernel& kernel,
                                     const LossFunction& function,
                                     const MTL::CommandBuffer& commandBuffer,
                                     const MPS::ImageBatch& sources, const MPS::StateBatch& labels,
                                     bool isBatch);

/// Losses to `losses`; the fused gradient to `gradients`, unless that is empty.
void encodeLosses(Encoder& encoder, const LossFunction& function, const LossImages& images,
                  const LossChannels& losses, const LossChannels& gradients);
/// The chain rule: `gradients` are those of the losses. `labelGradients` asks for dl/dt.
void encodeLossGradients(Encoder& encoder, const MPS::CNNLossDescriptor& descriptor,
                         const LossImages& images, const LossChannels& gradients,
                         const LossChannels& destinations, bool labelGradients);

} // namespace mpsvk::mps
