// A graph's commands for inputs of one shape, and how they are replayed with other images.
#pragma once

#include "mps/Image.hpp"
#include "mps/PlanArena.hpp"
#include "mps/State.hpp"
#include "mtl/CommandBuffer.hpp"

#include <optional>

namespace mpsvk::mps {

/// Images from outside that belong together: an input batch, the labels of states, their losses.
using ExternalImages = std::vector<const MPS::Image*>;
/// False when one is temporary: such images are not replayed with.
bool mayReplayWith(const ExternalImages& images);
/// Appends the images that source states bring along: of loss labels the labels, the losses and the
/// weights if any. False for states of another kind, which are not replayed with.
bool appendImagesOf(const MPS::StateBatch& states, std::vector<ExternalImages>& to);

struct GraphPlan {
    /// A command buffer that is never committed: it holds the commands, as they were encoded.
    MTL::CommandBuffer recording;
    std::shared_ptr<PlanHeap> heap;   ///< of the recording
    std::shared_ptr<PlanArena> arena; ///< that of the queue it was made for
    uint64_t arenaBytes = 0;          ///< what it needs there
    uint64_t liveBytes = 0;           ///< the largest sum of live temporaries

    explicit GraphPlan(const MTL::CommandBuffer& user);
    const vk::CommandList& recorded() const;
    /// To be called when all is recorded: gives every temporary its place in the arena.
    void placeTemporaries();
    using Resources = std::vector<std::shared_ptr<vk::Resource>>;
    /// What the recorded commands work on from outside.
    void setExternals(const std::vector<ExternalImages>& recorded);
    /// The commands work on another resource each time in place of this one, which stands for it.
    void replaceEachTime(const std::shared_ptr<vk::Resource>& standIn);
    /// What the commands must bind to work on `now`; nothing when they cannot. Those for
    /// replaceEachTime come after these, in the order of the calls.
    std::optional<Resources> resourcesFor(const std::vector<ExternalImages>& now);
    /// The commands, in the arena's memory as it is now. The caller retains the plan.
    void appendTo(vk::CommandList& list, Resources now);

private:
    /// What the commands know of an image from outside.
    struct Shape {
        uint64_t within = 0; ///< where it begins in its resource
        uint64_t width = 0, height = 0, channels = 0, images = 0;
        uint64_t slices = 0; ///< of the storage, which may have more channels
        MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::None;
        bool isTexture = false;
        bool operator==(const Shape&) const = default;
    };
    struct Place {
        Shape shape;
        const void* space = nullptr; ///< the VkBuffer, or the texture itself
        uint64_t begin = 0;          ///< in the VkBuffer
        size_t resource = 0;         ///< in replaced_
    };
    struct Found : Place {
        const std::shared_ptr<vk::Buffer>* buffer = nullptr;   ///< one of the two
        const std::shared_ptr<vk::Texture>* texture = nullptr; ///< owned by the image
        const vk::Resource* get() const;
        std::shared_ptr<vk::Resource> shared() const;
    };
    static Found find(const MPS::Image& image);
    /// The images that it worked on last, and their resources. It keeps none of them alive.
    struct Latest {
        struct Known {
            const MPS::Image::Impl* image;
            std::weak_ptr<const MPS::Image::Impl> alive;
        };
        std::vector<Known> images;
        std::vector<std::weak_ptr<vk::Resource>> resources;
    };
    bool isLatest(const std::vector<ExternalImages>& now) const;
    void setLatest(const std::vector<ExternalImages>& now, const Resources& resources);
    void moveToArena();

    Resources replaced_;
    size_t externalResources_ = 0; ///< of these
    std::vector<std::vector<Place>> externals_;
    Latest latest_;
    uint64_t chunk_ = 0;
    std::shared_ptr<const PlanArena::Memory> memory_; ///< that `commands_` use
    vk::CommandList commands_;
    vk::CommandList::Uses uses_; ///< of replaced_ in them
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
    vk::CommandList& list() { return buffer_.segments[segment_ + 1]->commands; }
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
