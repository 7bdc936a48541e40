// A graph's commands for inputs of one shape, and how they are replayed with other images.
#pragma once

#include "mps/ImageGather.hpp"
#include "mps/KnownInputs.hpp"
#include "mps/PlanArena.hpp"
#include "mtl/CommandBuffer.hpp"

#include <memory>

namespace mpsvk::mps {

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
    /// To be called before anything is recorded: images that lie together, which stand for the
    /// batch that is number `external`. They are what commands are recorded on.
    void gather(size_t external, const ExternalBatch& batch);
    /// Those that stand for a batch; null: none do.
    const MPS::ImageBatch* gathered(size_t external) const;
    /// What the recorded commands work on from outside.
    void setExternals(Externals& recorded);
    /// The commands work on another resource each time in place of this one, which stands for it.
    void replaceEachTime(const std::shared_ptr<vk::Resource>& standIn);

    /// Whether the commands can work on `now`.
    bool fits(Externals& now);
    /// Whether the commands worked on these very inputs last time, which are known to fit then.
    bool isLatest(const GraphInputs& given) const { return latest_.given.are(given); }
    /// Whether batch k has other distances, in the same shape, than this plan was recorded for.
    bool liesOtherwise(const Externals& now, size_t k) const;
    size_t gatheredCount() const { return gathers_.size(); }
    std::string gatheredNames() const; ///< empty: none is gathered

    using Resources = std::vector<std::shared_ptr<vk::Resource>>;
    /// What an encode works on from outside, which may be the same for many.
    struct Inputs {
        Resources replaced, gathered;
    };
    struct Operands {
        std::shared_ptr<const Inputs> inputs;
        Resources leaving; ///< those for replaceEachTime, in the order of the calls
    };
    std::shared_ptr<const Inputs> inputsFor(Externals& now, const GraphInputs& given);
    /// The same as last time.
    std::shared_ptr<const Inputs> latestInputs();
    /// The commands, in the arena's memory as it is now. The caller retains the plan.
    void encode(Encoder& encoder, Operands operands);

private:
    /// A batch as the commands know it.
    struct Known {
        std::vector<ImagePlace> places;
        std::vector<size_t> resources; ///< of each image, in replaced_; none where it is gathered
    };
    struct Gather {
        size_t external;
        std::string name;
        bool isWritten; ///< by the commands: it is copied back
        bool isRead;    ///< or not all of it is written
        ImageGather images;
    };
    /// What it worked on last, and its resources. It keeps none of them alive.
    /// Remembering them takes long: it does so when they seem to have come twice in a row.
    struct Latest {
        uint64_t key = 0; ///< of the images' addresses
        KnownInputs given;
        std::vector<std::weak_ptr<vk::Resource>> replaced, gathered;
        std::weak_ptr<const Inputs> inputs; ///< the same, as long as an encode has them
    };
    bool fits(const Known& known, const ExternalBatch& now);
    void setLatest(const Externals& now, const GraphInputs& given,
                   const std::shared_ptr<const Inputs>& inputs);
    void moveToArena();

    Resources replaced_;
    size_t externalResources_ = 0; ///< of these
    std::vector<Known> externals_;
    std::vector<Gather> gathers_;
    std::vector<const vk::Resource*> bound_; ///< in place of replaced_, while `fits` looks
    Latest latest_;
    uint64_t chunk_ = 0;
    struct Placed {
        vk::CommandList commands;
        vk::CommandList::Uses uses; ///< of replaced_ in them
    };
    std::shared_ptr<const PlanArena::Memory> memory_; ///< that `placed_` uses
    std::shared_ptr<const Placed> placed_;            ///< never changed, for encodes refer to it
};

/// The states of loss labels with other images: those in the place of null stay.
MPS::StateBatch lossLabelsOn(const MPS::StateBatch& states, const MPS::ImageBatch* labels,
                             const MPS::ImageBatch* losses, const MPS::ImageBatch* weights);

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
