// MTLCommandBuffer: a list of work for the GPU, encoded by one thread and then committed.
#pragma once

#include <mpsvk/MTL/CommandQueue.hpp>

#include <functional>
#include <string>

namespace mpsvk::MTL {

class BlitCommandEncoder;
class ComputeCommandEncoder;

enum class CommandBufferStatus : uint64_t {
    NotEnqueued = 0,
    Enqueued = 1,
    Committed = 2,
    Scheduled = 3,
    Completed = 4,
    Error = 5,
};

enum class CommandBufferErrorCode : uint64_t {
    None = 0,
    Internal = 1,
    Timeout = 2,
    PageFault = 3,
    AccessRevoked = 4,
    NotPermitted = 7,
    OutOfMemory = 8,
    InvalidResource = 9,
    Memoryless = 10,
    DeviceRemoved = 11,
    StackOverflow = 12,
};

/// What went wrong on the device after a commit (NSError of MTLCommandBufferErrorDomain).
struct CommandBufferError {
    CommandBufferErrorCode code = CommandBufferErrorCode::None;
    std::string description; ///< a sentence with the VkResult's name
    explicit operator bool() const { return code != CommandBufferErrorCode::None; }
};

enum class CommandBufferErrorOption : uint64_t { None = 0, EncoderExecutionStatus = 1 };
enum class DispatchType : uint64_t { Serial = 0, Concurrent = 1 };

/// Commands that are run once, in their order, when it is committed. MTLCommandBuffer.
class CommandBuffer : public Object {
public:
    using Handler = std::function<void(CommandBuffer)>;

    CommandBuffer() = default;
    Device device() const;
    CommandQueue commandQueue() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    bool retainedReferences() const { return true; }
    /// Always None: an error does not say which encoder it came from.
    CommandBufferErrorOption errorOptions() const { return CommandBufferErrorOption::None; }
    CommandBufferStatus status() const;
    /// Set when status() is Error.
    CommandBufferError error() const;

    /// Reserves the next place in the queue. Later calls do nothing.
    void enqueue() const;
    /// Hands the work to the GPU. Throws InvalidArgument when committed already or when an encoder
    /// is still open; nothing may be encoded afterwards.
    void commit() const;
    /// Called on a thread of the library, in order of registration. Throws InvalidArgument after
    /// commit. What a handler throws is logged and goes no further. A completed handler may commit
    /// command buffers of its own queue and wait for them: the completed handlers of those that
    /// come before them are then called within that wait.
    void addScheduledHandler(Handler handler) const;
    void addCompletedHandler(Handler handler) const;
    /// Throw InvalidArgument where the wait would never end: when the buffer is not committed, and
    /// in a scheduled handler of its queue when it is not scheduled yet.
    void waitUntilScheduled() const;
    /// Returns when the GPU is done and every completed handler has returned; called by one of the
    /// buffer's own completed handlers, at once.
    void waitUntilCompleted() const;

    /// Seconds of the host's steady clock; 0 until known.
    double kernelStartTime() const;
    double kernelEndTime() const;
    double GPUStartTime() const;
    double GPUEndTime() const;

    /// One encoder may be open at a time; throws InvalidArgument otherwise.
    ComputeCommandEncoder computeCommandEncoder() const;
    ComputeCommandEncoder computeCommandEncoder(DispatchType type) const;
    BlitCommandEncoder blitCommandEncoder() const;

    /// The commands that follow wait until `event` has reached `value`.
    void encodeWait(const Event& event, uint64_t value) const;
    /// `event` gets `value` when the commands so far are done.
    void encodeSignalEvent(const Event& event, uint64_t value) const;

    void pushDebugGroup(const std::string& name) const;
    void popDebugGroup() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CommandBuffer(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
