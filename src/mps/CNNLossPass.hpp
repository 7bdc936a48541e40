// What the three loss kernels share: the checks and the dispatches over a batch.
#pragma once

#include "mps/Encoder.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

namespace mpsvk::mps {

/// The images that a loss is computed from.
struct LossImages {
    MPS::ImageBatch sources, labels;
    MPS::ImageBatch weights; ///< empty, or one per image: an empty handle is a weight of 1
    uint64_t channelOffset = 0, channels = 0; ///< of the sources: what is read
};

/// Images with the channels in use.
struct LossChannels {
    const MPS::ImageBatch& images;
    uint64_t offset = 0;
    uint64_t channels = 0;
};

/// Throws InvalidArgument for an unknown type or reduction, or a pair that does not go together.
void checkLossDescriptor(const std::string& who, const MPS::CNNLossDescriptor& descriptor);
/// That the images of a batch fit each other; `sources` are checked already.
void checkLossImages(const std::string& who, const MPS::CNNLossDescriptor& descriptor,
                     const LossImages& images, const MTL::CommandBuffer& commandBuffer);
/// That `image` has the size of the loss of a source of these sizes.
void checkLossSize(const std::string& who, const std::string& name,
                   const MPS::CNNLossDescriptor& descriptor, const LossImages& images,
                   const MPS::Image& image, uint64_t channelOffset);
/// A loss takes whole images: the offset is 0 and the clip rectangle covers the destination.
void checkWholeImages(const std::string& who, const char* property, const MPS::Offset& offset,
                      const MTL::Region& clipRect, const MPS::Image& destination);
void markLossRead(const LossImages& images);

/// Losses to `losses`; the fused gradient to `gradients`, unless that is empty.
void encodeLosses(Encoder& encoder, const MPS::CNNLossDescriptor& descriptor,
                  const LossImages& images, const LossChannels& losses,
                  const LossChannels& gradients);
/// The chain rule: `gradients` are those of the losses. `labelGradients` asks for dl/dt.
void encodeLossGradients(Encoder& encoder, const MPS::CNNLossDescriptor& descriptor,
                         const LossImages& images, const LossChannels& gradients,
                         const LossChannels& destinations, bool labelGradients);

} // namespace mpsvk::mps
