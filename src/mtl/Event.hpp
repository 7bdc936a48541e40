// The objects behind MTL::Event, SharedEvent and Fence. Events live on the host: a queue's
// submitting thread waits for them before it submits, its completing thread signals them. That
// needs no timeline semaphore and cannot deadlock a device that has a single queue.
#pragma once

#include "mtl/Device.hpp"

#include <mpsvk/MTL/Event.hpp>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace mpsvk::MTL {

class EventState {
public:
    uint64_t value() const;
    /// Raises the value and runs the notifications that are due; false, and nothing changes, when
    /// the value is greater already.
    bool signal(uint64_t value);
    /// Waits until the value is reached or `seconds` have passed.
    bool wait(uint64_t value, double seconds) const;
    void notify(uint64_t value, std::function<void(uint64_t)> call);

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    uint64_t value_ = 0;
    std::vector<std::pair<uint64_t, std::function<void(uint64_t)>>> pending_;
};

struct Event::Impl : detail::ObjectImpl {
    Impl(Device device, bool shared) : device(std::move(device)), shared(shared) {}
    const Device device;
    const bool shared;
    const std::shared_ptr<EventState> state = std::make_shared<EventState>();
    std::mutex mutex;
    std::string label;
};

struct Fence::Impl : detail::ObjectImpl {
    explicit Impl(Device device) : device(std::move(device)) {}
    const Device device;
    std::mutex mutex;
    std::string label;
};

} // namespace mpsvk::MTL
