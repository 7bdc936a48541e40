// A graph's commands for inputs of one shape, and how they are replayed with other images.
#pragma once

#include "mps/Image.hpp"
#include "mps/State.hpp"
#include "mtl/CommandBuffer.hpp"

#include <optional>

namespace mpsvk::mps {

/// Where one outside image lies.
struct ExternalPlace {
    std::shared_ptr<vk::Resource> resource;
    const void* space = nullptr;    ///< the VkBuffer, or the texture itself
    uint64_t begin = 0, within = 0; ///< in the VkBuffer, in the resource
    uint64_t width = 0, height = 0, channels = 0;
    MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::None;
};

/// Images from outside that belong together: an input batch, a batch of labels, a result.
using ExternalBatch = std::vector<ExternalPlace>;

/// Nothing when an image is temporary: such images are not replayed with.
std::optional<ExternalBatch> externalBatch(const MPS::ImageBatch& images);
/// The images that source states bring along: of loss labels the labels, the weights if any, and
/// the losses. Nothing for states of another kind, which are not replayed with.
std::optional<std::vector<MPS::ImageBatch>> imagesOfStates(const MPS::StateBatch& states);

struct GraphPlan {
    /// A command buffer that is never committed: it holds the commands and the arena.
    MTL::CommandBuffer recording;
    std::vector<ExternalBatch> externals;

    /// What must replace what so that the commands work on `now`; nothing when they cannot.
    struct Replacement {
        std::vector<std::shared_ptr<vk::Resource>> from, to;
    };
    std::optional<Replacement> replacementFor(const std::vector<ExternalBatch>& now) const;
};

/// A command buffer to record a plan into.
MTL::CommandBuffer recordingCommandBuffer(const MTL::Device& device);

} // namespace mpsvk::mps
