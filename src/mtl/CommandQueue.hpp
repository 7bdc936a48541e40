// The object behind MTL::CommandQueue: two threads, one that submits in order (and waits for events
// first), one that awaits completion.
#pragma once

#include "mtl/Device.hpp"
#include "vk/Submission.hpp"

#include <mpsvk/MTL/CommandBuffer.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace mpsvk::MTL {

struct CommandQueue::Impl : detail::ObjectImpl, std::enable_shared_from_this<CommandQueue::Impl> {
    Impl(Device device, uint64_t most);
    ~Impl() override;

    void enqueue(const std::shared_ptr<CommandBuffer::Impl>& buffer);
    /// An enqueued buffer may now be submitted.
    void committed(const std::shared_ptr<CommandBuffer::Impl>& buffer);
    /// Counts an uncompleted command buffer, waiting for room; `release` undoes it when the buffer
    /// goes without having been committed.
    void acquire();
    void release();
    /// On the completing thread, which is in a handler then, completes what is in flight until the
    /// buffer has come so far. False, and nothing happens, on any other thread.
    bool completeUntil(const CommandBuffer::Impl& buffer, CommandBufferStatus status);
    /// Whether the calling thread is the submitting one, which is in a scheduled handler then.
    bool isSubmitting() const { return isCurrent(submitter_); }
    /// Until everything is submitted that was committed and waits for nothing but its turn.
    void waitForSubmissions();

    const Device device;
    std::mutex labelMutex;
    std::string label;
    /// What the plans of graphs share; the MPS layer's own.
    std::shared_ptr<detail::ObjectImpl> planArena;

private:
    static bool isCurrent(const std::thread& thread) {
        return thread.get_id() == std::this_thread::get_id();
    }
    struct Core; // what the threads share with this object, and may outlive it by a moment
    std::shared_ptr<Core> core_;
    uint64_t most_ = 64;
    std::thread submitter_, completer_;
};

} // namespace mpsvk::MTL
