// The object behind MTL::Device.
#pragma once

#include "vk/Device.hpp"

#include <mpsvk/MTL/CommandQueue.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace mpsvk::MTL {

struct Device::Impl : detail::ObjectImpl, std::enable_shared_from_this<Device::Impl> {
    explicit Impl(std::shared_ptr<vk::Device> device, uint64_t id)
        : vk(std::move(device)), id(id) {}
    Device handle() { return Device(shared_from_this()); }

    void add(const std::shared_ptr<CommandQueue::Impl>& queue);
    /// Until everything is submitted that was committed to a queue of this device, but for what
    /// waits for an event or for the program: what is submitted next then runs behind it.
    void waitForSubmissions();

    std::shared_ptr<vk::Device> vk;
    uint64_t id;
    /// Heaps of temporary objects between two command buffers; the MPS layer's own.
    std::shared_ptr<detail::ObjectImpl> heapCache;

private:
    std::mutex queuesMutex_;
    std::vector<std::weak_ptr<CommandQueue::Impl>> queues_;
};

/// A sentence's subject: "[Type "label"] ".
std::string subject(std::string_view type, std::string_view label);

/// Throws InvalidArgument "<who> was given <what> of the device "A" but belongs to "B"."
void checkSameDevice(const Device& given, const Device& own, const std::string& who,
                     const char* what);

} // namespace mpsvk::MTL
