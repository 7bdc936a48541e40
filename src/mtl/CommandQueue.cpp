#include "mtl/CommandQueue.hpp"

#include "mtl/CommandBuffer.hpp"

#include <mpsvk/Error.hpp>

#include <limits>
#include <utility>

namespace mpsvk::MTL {

struct CommandQueue::Impl::Core {
    explicit Core(std::shared_ptr<vk::Device> device)
        : device(std::move(device)), pool(*this->device) {}

    struct InFlight {
        std::unique_ptr<vk::Submission> submission; // empty when the submission failed
        std::shared_ptr<CommandBuffer::Impl> buffer;
        size_t segment = 0;
        VkResult result = VK_SUCCESS;
        std::string what;
    };

    void submitLoop();
    void submit(std::shared_ptr<CommandBuffer::Impl> buffer);
    /// Completes what is in flight, and waits for more, until `reached`, which is asked under the
    /// lock that is returned. On the completing thread only.
    template <class Reached> std::unique_lock<std::mutex> completeUntil(const Reached& reached);
    void complete(InFlight job);

    /// For everybody but the submitting thread.
    void waitForSubmissions();
    /// Buffers that can be submitted before any that are not committed yet.
    uint64_t ready() const;
    /// Whether the submitting thread waits for the program.
    bool isHeldUp() const { return inHandlers || (awaited && awaited->value() < awaitedValue); }
    void await(const EventState* event, uint64_t value);
    void callScheduledHandlers(CommandBuffer::Impl& buffer);

    std::shared_ptr<vk::Device> device;
    vk::SubmissionPool pool;
    std::mutex mutex;
    std::condition_variable submitWork, completeWork, room, submissions;
    /// An enqueued buffer. It is its user's until it is committed: one that goes before gives its
    /// place up.
    struct Place {
        std::weak_ptr<CommandBuffer::Impl> enqueued;
        std::shared_ptr<CommandBuffer::Impl> committed;
    };
    std::deque<Place> order;
    std::deque<InFlight> inFlight;
    uint64_t uncompleted = 0;
    bool stopping = false;
    /// Buffers that the submitting thread has taken, and those that it is done with.
    uint64_t taken = 0, submitted = 0;
    const EventState* awaited = nullptr; ///< by the submitting thread
    uint64_t awaitedValue = 0;
    bool inHandlers = false; ///< the submitting thread
    /// Of the buffer whose segments are being completed.
    struct Outcome {
        VkResult worst = VK_SUCCESS;
        std::string what;
        vk::GpuTimes span{};
    };
    Outcome outcome;
};

void CommandQueue::Impl::Core::submitLoop() {
    for (;;) {
        std::shared_ptr<CommandBuffer::Impl> buffer;
        {
            std::unique_lock lock(mutex);
            submitWork.wait(lock, [&] {
                while (!order.empty() && !order.front().committed &&
                       order.front().enqueued.expired())
                    order.pop_front();
                return stopping || (!order.empty() && order.front().committed);
            });
            if (order.empty() || !order.front().committed) return;
            buffer = std::move(order.front().committed);
            order.pop_front();
            ++taken;
        }
        submit(std::move(buffer));
        {
            std::lock_guard lock(mutex);
            ++submitted;
        }
        submissions.notify_all();
    }
}

void CommandQueue::Impl::Core::submit(std::shared_ptr<CommandBuffer::Impl> buffer) {
    const size_t count = buffer->segments.size();
    for (size_t i = 0; i < count; ++i) {
        auto& segment = *buffer->segments[i];
        for (const auto& [event, value] : segment.waits) await(event.get(), value);
        InFlight job{nullptr, buffer, i, VK_SUCCESS, {}};
        try {
            job.submission = pool.take();
            job.submission->submit(segment.commands);
        } catch (const std::exception& error) {
            job.submission.reset();
            const auto* known = dynamic_cast<const vk::ResultError*>(&error);
            job.result = known ? known->result() : VK_ERROR_UNKNOWN;
            job.what = error.what();
        }
        if (i == 0) callScheduledHandlers(*buffer);
        // From here on the completing thread may be the one that ends the buffer.
        if (i + 1 == count) buffer.reset();
        std::lock_guard lock(mutex);
        inFlight.push_back(std::move(job));
        completeWork.notify_one();
    }
}

void CommandQueue::Impl::Core::await(const EventState* event, uint64_t value) {
    const auto say = [this](const EventState* now, uint64_t until) {
        std::lock_guard lock(mutex);
        awaited = now;
        awaitedValue = until;
    };
    say(event, value);
    submissions.notify_all();
    event->wait(value, std::numeric_limits<double>::infinity());
    say(nullptr, 0);
}

void CommandQueue::Impl::Core::callScheduledHandlers(CommandBuffer::Impl& buffer) {
    const auto say = [this](bool now) {
        std::lock_guard lock(mutex);
        inHandlers = now;
    };
    say(!buffer.scheduledHandlers.empty());
    submissions.notify_all();
    buffer.scheduled();
    say(false);
}

uint64_t CommandQueue::Impl::Core::ready() const {
    uint64_t count = 0;
    for (const Place& place : order) {
        if (place.committed)
            ++count;
        else if (!place.enqueued.expired())
            break;
    }
    return count;
}

void CommandQueue::Impl::Core::waitForSubmissions() {
    std::unique_lock lock(mutex);
    const uint64_t last = taken + ready();
    submissions.wait(lock, [&] { return submitted >= last || isHeldUp(); });
}

template <class Reached>
std::unique_lock<std::mutex> CommandQueue::Impl::Core::completeUntil(const Reached& reached) {
    std::unique_lock lock(mutex);
    for (;;) {
        completeWork.wait(lock, [&] { return reached() || !inFlight.empty(); });
        if (reached()) return lock;
        InFlight job = std::move(inFlight.front());
        inFlight.pop_front();
        lock.unlock();
        complete(std::move(job));
        lock.lock();
    }
}

void CommandQueue::Impl::Core::complete(InFlight job) {
    vk::GpuTimes times{};
    if (job.submission) {
        job.result = job.submission->wait(times);
        if (job.result != VK_SUCCESS)
            job.what =
                std::string("Waiting for the GPU failed with ") + vk::resultName(job.result) + ".";
        pool.giveBack(std::move(job.submission));
    }
    if (job.segment == 0) outcome.span.start = times.start;
    outcome.span.end = times.end;
    if (job.result != VK_SUCCESS) outcome.worst = job.result, outcome.what = job.what;
    auto& segment = *job.buffer->segments[job.segment];
    segment.commands.clear();
    const auto signals = std::move(segment.signals);
    const bool isLast = job.segment + 1 == job.buffer->segments.size();
    // From here on the program is called, which may wait for a buffer and so come here again.
    if (isLast) {
        const Outcome all = std::exchange(outcome, {});
        job.buffer->completed(all.worst, all.what,
                              all.worst == VK_SUCCESS ? all.span : vk::GpuTimes{});
    } else {
        job.buffer.reset(); // the job of the next segment has it
    }
    for (const auto& [event, value] : signals) event->signal(value);
    if (!isLast) return;
    {
        std::lock_guard lock(mutex);
        --uncompleted;
    }
    room.notify_all();
    job.buffer->callCompletedHandlers();
    // Whoever waits goes on only when this thread holds nothing of the buffer's any more: a
    // program that waits and then ends must not see its device go on another thread.
    const auto done = job.buffer->done;
    job.buffer.reset();
    done->set();
}

CommandQueue::Impl::Impl(Device owner, uint64_t most)
    : device(std::move(owner)), core_(std::make_shared<Core>(device.impl().vk)) {
    most_ = most;
    submitter_ = std::thread([core = core_] { core->submitLoop(); });
    completer_ = std::thread([core = core_] {
        core->completeUntil([&] { return core->stopping && core->inFlight.empty(); });
    });
}

CommandQueue::Impl::~Impl() {
    {
        std::lock_guard lock(core_->mutex);
        core_->stopping = true;
    }
    core_->submitWork.notify_all();
    core_->completeWork.notify_all();
    // The last command buffer may go on one of the threads, and this queue with it.
    for (std::thread* thread : {&submitter_, &completer_}) {
        if (isCurrent(*thread))
            thread->detach();
        else
            thread->join();
    }
}

void CommandQueue::Impl::enqueue(const std::shared_ptr<CommandBuffer::Impl>& buffer) {
    std::lock_guard lock(core_->mutex);
    core_->order.push_back({buffer, nullptr});
}

void CommandQueue::Impl::committed(const std::shared_ptr<CommandBuffer::Impl>& buffer) {
    std::lock_guard lock(core_->mutex);
    for (Core::Place& place : core_->order)
        if (!place.enqueued.owner_before(buffer) && !buffer.owner_before(place.enqueued))
            place.committed = buffer;
    core_->submitWork.notify_one();
}

void CommandQueue::Impl::acquire() {
    const auto hasRoom = [&] { return core_->uncompleted < most_; };
    auto lock =
        isCurrent(completer_) ? core_->completeUntil(hasRoom) : std::unique_lock(core_->mutex);
    core_->room.wait(lock, hasRoom);
    ++core_->uncompleted;
}

void CommandQueue::Impl::release() {
    {
        std::lock_guard lock(core_->mutex);
        --core_->uncompleted;
    }
    core_->room.notify_all();
    core_->completeWork.notify_one(); // where the completing thread waits for room
    core_->submitWork.notify_one();   // its place in the queue may be the first
}

bool CommandQueue::Impl::completeUntil(const CommandBuffer::Impl& buffer,
                                       CommandBufferStatus status) {
    if (!isCurrent(completer_)) return false;
    core_->completeUntil([&] { return buffer.hasReached(status); });
    return true;
}

void CommandQueue::Impl::waitForSubmissions() {
    if (!isSubmitting()) core_->waitForSubmissions();
}

CommandQueue::CommandQueue(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

CommandQueue::Impl& CommandQueue::impl() const {
    if (!impl_) throw InvalidArgument("[CommandQueue] The queue handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool CommandQueue::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string CommandQueue::label() const {
    std::lock_guard lock(impl().labelMutex);
    return impl().label;
}

void CommandQueue::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().labelMutex);
    impl().label = label;
}

Device CommandQueue::device() const { return impl().device; }

CommandBuffer CommandQueue::commandBuffer() const {
    impl().acquire();
    return CommandBuffer(std::make_shared<CommandBuffer::Impl>(*this));
}

CommandBuffer CommandQueue::commandBufferWithUnretainedReferences() const {
    return commandBuffer();
}

} // namespace mpsvk::MTL
