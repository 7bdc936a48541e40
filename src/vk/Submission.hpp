// Turns command lists into Vulkan command buffers, submits them and tells when they are done.
#pragma once

#include "vk/CommandList.hpp"
#include "vk/Vulkan.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace mpsvk::vk {

class Device;

/// When the GPU worked on a submission, in seconds of the steady clock; 0 where unknown.
struct GpuTimes {
    double start = 0, end = 0;
};

/// How fast the submissions of one queue went. Drivers kill work that takes seconds: a list that is
/// expected to take longer than the budget is cut into several pieces of work.
class Pace {
public:
    explicit Pace(double budgetSeconds = 0.5) : budget_(budgetSeconds) {}
    /// Dispatches that one piece of work may hold.
    size_t dispatchesPerPiece() const;
    void measured(size_t dispatches, double seconds);

private:
    static constexpr size_t whenUnknown = 512;
    const double budget_;
    std::atomic<double> secondsPerDispatch_{0};
};

/// The reusable Vulkan objects behind one submission.
class Submission {
public:
    Submission(Device& device, Pace& pace);
    ~Submission();
    Submission(const Submission&) = delete;

    /// Records the list and hands it to the queue. Throws DeviceError.
    void submit(const CommandList& given);
    /// Waits for the GPU; gives the result and, when the device has timestamps, the times.
    VkResult wait(GpuTimes& times);
    /// Pieces of work that the last list became.
    size_t pieces() const { return pieces_; }

private:
    class Emitter;
    VkCommandBuffer begin();
    void finish(VkCommandBuffer commands, VkFence fence);

    Device& device_;
    Pace& pace_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::vector<VkCommandBuffer> buffers_;
    size_t buffersUsed_ = 0;
    VkFence fence_ = VK_NULL_HANDLE;
    VkQueryPool queries_ = VK_NULL_HANDLE;
    std::vector<VkDescriptorPool> descriptorPools_; // only without push descriptors
    size_t descriptorPoolsUsed_ = 0;
    CommandList expanded_; ///< the latest list that included others, and these
    std::vector<std::shared_ptr<Buffer>> parameterBlocks_;
    std::vector<std::shared_ptr<Buffer>> clears_;
    double submittedAt_ = 0;
    size_t dispatches_ = 0, pieces_ = 0;
};

/// Submissions of one queue that are free to be used again.
class SubmissionPool {
public:
    explicit SubmissionPool(Device& device, double budgetSeconds = 0.5)
        : device_(device), pace_(budgetSeconds) {}
    std::unique_ptr<Submission> take();
    void giveBack(std::unique_ptr<Submission> submission);

private:
    Device& device_;
    Pace pace_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Submission>> free_;
};

double steadySeconds();

} // namespace mpsvk::vk
