// A graph's commands for inputs of one shape, and how they are replayed with other images.
#pragma once

#include "mps/Image.hpp"
#include "mps/PlanArena.hpp"
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
    /// A command buffer that is never committed: it holds the commands, as they were encoded.
    MTL::CommandBuffer recording;
    std::shared_ptr<PlanHeap> heap; ///< of the recording
    std::vector<ExternalBatch> externals;
    std::shared_ptr<PlanArena> arena; ///< that of the queue it was made for
    uint64_t arenaBytes = 0;          ///< what it needs there
    uint64_t liveBytes = 0;           ///< the largest sum of live temporaries

    explicit GraphPlan(const MTL::CommandBuffer& user);
    const vk::CommandList& recorded() const;
    /// To be called when all is recorded: gives every temporary its place in the arena.
    void placeTemporaries();
    /// The commands in the arena's memory as it is now.
    const vk::CommandList& commands();

    /// What must replace what so that the commands work on `now`; nothing when they cannot.
    struct Replacement {
        std::vector<std::shared_ptr<vk::Resource>> from, to;
    };
    std::optional<Replacement> replacementFor(const std::vector<ExternalBatch>& now) const;

private:
    uint64_t chunk_ = 0;
    std::shared_ptr<const PlanArena::Memory> memory_; ///< that `commands_` use
    vk::CommandList commands_;
};

/// The commands of an encode, kept apart until all of them are there. Unless they are kept, the
/// command buffer and the read counts of temporary inputs are as before.
class Draft {
public:
    /// Throws InvalidArgument, beginning with `who`, when nothing can be encoded.
    Draft(const MTL::CommandBuffer& commands, const std::string& who,
          const std::vector<MPS::ImageBatch>& images, const std::vector<MPS::StateBatch>& states);
    ~Draft();
    Draft(const Draft&) = delete;
    /// Where the kept commands go; what is appended here before `keep` comes first.
    vk::CommandList& target();
    void keep();

private:
    MTL::CommandBuffer::Impl& buffer_;
    size_t segment_ = 0;
    // One read more than they have, so that they live until the end.
    std::vector<std::pair<MPS::Image, uint64_t>> images_;
    std::vector<std::pair<MPS::State, uint64_t>> states_;
    bool kept_ = false;
};

/// A command buffer that is never committed: what it holds is executed otherwise.
MTL::CommandBuffer recordingCommandBuffer(const MTL::Device& device);
/// One whose temporaries have no memory.
struct Recording {
    explicit Recording(const MTL::Device& device);
    MTL::CommandBuffer commands;
    std::shared_ptr<PlanHeap> heap;
};

} // namespace mpsvk::mps
