#include "mtl/CommandQueue.hpp"

#include "mtl/CommandBuffer.hpp"

#include <mpsvk/Error.hpp>

#include <limits>

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
    void completeLoop();

    std::shared_ptr<vk::Device> device;
    vk::SubmissionPool pool;
    std::mutex mutex;
    std::condition_variable submitWork, completeWork, room;
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
        }
        const size_t count = buffer->segments.size();
        for (size_t i = 0; i < count; ++i) {
            auto& segment = *buffer->segments[i];
            for (const auto& [event, value] : segment.waits)
                event->wait(value, std::numeric_limits<double>::infinity());
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
            if (i == 0) buffer->scheduled();
            // From here on the completing thread may be the one that ends the buffer.
            if (i + 1 == count) buffer.reset();
            std::lock_guard lock(mutex);
            inFlight.push_back(std::move(job));
            completeWork.notify_one();
        }
    }
}

void CommandQueue::Impl::Core::completeLoop() {
    VkResult worst = VK_SUCCESS;
    std::string what;
    vk::GpuTimes span{};
    for (;;) {
        InFlight job;
        {
            std::unique_lock lock(mutex);
            completeWork.wait(lock, [&] { return stopping || !inFlight.empty(); });
            if (inFlight.empty()) return;
            job = std::move(inFlight.front());
            inFlight.pop_front();
        }
        vk::GpuTimes times{};
        if (job.submission) {
            job.result = job.submission->wait(times);
            if (job.result != VK_SUCCESS)
                job.what = std::string("Waiting for the GPU failed with ") +
                           vk::resultName(job.result) + ".";
            pool.giveBack(std::move(job.submission));
        }
        if (job.segment == 0) span.start = times.start;
        span.end = times.end;
        if (job.result != VK_SUCCESS) worst = job.result, what = job.what;
        auto& segment = *job.buffer->segments[job.segment];
        segment.commands.clear();
        for (const auto& [event, value] : segment.signals) event->signal(value);
        if (job.segment + 1 < job.buffer->segments.size()) continue;
        job.buffer->completed(worst, what, worst == VK_SUCCESS ? span : vk::GpuTimes{});
        worst = VK_SUCCESS;
        what.clear();
        span = {};
        {
            std::lock_guard lock(mutex);
            --uncompleted;
        }
        room.notify_all();
        // Whoever waits goes on only when this thread holds nothing of the buffer's any more: a
        // program that waits and then ends must not see its device go on another thread.
        const auto done = job.buffer->done;
        job.buffer.reset();
        done->set();
    }
}

CommandQueue::Impl::Impl(Device owner, uint64_t most)
    : device(std::move(owner)), core_(std::make_shared<Core>(device.impl().vk)) {
    most_ = most;
    submitter_ = std::thread([core = core_] { core->submitLoop(); });
    completer_ = std::thread([core = core_] { core->completeLoop(); });
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
        if (thread->get_id() == std::this_thread::get_id())
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
    std::unique_lock lock(core_->mutex);
    core_->room.wait(lock, [&] { return core_->uncompleted < most_; });
    ++core_->uncompleted;
}

void CommandQueue::Impl::release() {
    {
        std::lock_guard lock(core_->mutex);
        --core_->uncompleted;
    }
    core_->room.notify_all();
    core_->submitWork.notify_one(); // its place in the queue may be the first
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
