// The object behind MTL::CommandBuffer.
#pragma once

#include "mtl/CommandQueue.hpp"
#include "mtl/Event.hpp"
#include "vk/CommandList.hpp"

#include <mpsvk/MTL/CommandBuffer.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace mpsvk::MTL {

/// What a handle holds: a command buffer, or one that stands for another (MPS::CommandBuffer).
struct CommandBufferObject : detail::ObjectImpl {
    virtual CommandBuffer::Impl& root() = 0;
};

struct CommandBuffer::Impl : CommandBufferObject,
                             std::enable_shared_from_this<CommandBuffer::Impl> {
    explicit Impl(CommandQueue queue);
    /// Of no queue and never committed: its commands are appended to other command buffers.
    explicit Impl(Device device);
    ~Impl() override;
    Impl& root() override { return *this; }
    CommandBuffer handle() { return CommandBuffer(shared_from_this()); }

    static uint64_t nextSerial();

    /// Where commands go. Throws InvalidArgument after commit and while an encoder is open; `who`
    /// opens the sentence, the command buffer's own name does when it is empty.
    vk::CommandList& list(std::string_view who);
    /// The same for the encoder that is open.
    vk::CommandList& encoderList(std::string_view who);
    /// What `list` and `encoderList` return, or null where they refuse.
    vk::CommandList* openList();
    vk::CommandList* uncommittedList();
    /// What commit and the event calls refuse.
    void checkNoEncoder(std::string_view what) const;
    void pushLabel(vk::CommandList& list, const std::string& name, size_t& depth);
    void popLabel(vk::CommandList& list, const std::string& who, size_t& depth);

    /// Commands between event waits (before) and event signals (after).
    struct Segment {
        std::vector<std::pair<std::shared_ptr<EventState>, uint64_t>> waits, signals;
        vk::CommandList commands;
    };

    /// Commands that an encode in progress has not recorded yet.
    struct Deferred {
        virtual void record() = 0;

    protected:
        ~Deferred() = default;
    };
    /// To be called before anything else is recorded.
    void recordDeferred() {
        if (deferred) deferred->record();
    }

    void scheduled();
    void completed(VkResult result, const std::string& what, vk::GpuTimes times);
    /// The caller then lets go of this object and sets `done`.
    void callCompletedHandlers();
    bool hasReached(CommandBufferStatus wanted) const;
    /// What the calls that wait refuse.
    void checkWaitEnds(const char* what) const;

    const CommandQueue queue;
    const Device device;
    /// Which command buffer a temporary object belongs to; an address may come again.
    uint64_t serial = nextSerial();
    std::vector<std::unique_ptr<Segment>> segments;
    bool encoderOpen = false;
    size_t drafts = 0;     ///< encodes of graphs that are not finished
    size_t openGroups = 0; ///< pushDebugGroup without popDebugGroup
    Deferred* deferred = nullptr;
    /// The MPS layer's heap of temporary objects for this command buffer.
    std::shared_ptr<detail::ObjectImpl> temporaries;
    /// Run just before the handlers, on completion (the MPS layer's own business).
    std::vector<std::function<void()>> atCompletion;

    mutable std::mutex mutex;
    std::condition_variable changed;
    std::string label;
    CommandBufferStatus status = CommandBufferStatus::NotEnqueued;
    CommandBufferError error;
    std::vector<Handler> scheduledHandlers, completedHandlers;
    /// Outlives the object: whoever waits may be the last but one to hold it.
    struct Done {
        std::mutex mutex;
        std::condition_variable changed;
        bool reached = false;
        void set();
        void wait();
    };
    const std::shared_ptr<Done> done = std::make_shared<Done>();
    double kernelStart = 0, kernelEnd = 0, gpuStart = 0, gpuEnd = 0;
};

} // namespace mpsvk::MTL
