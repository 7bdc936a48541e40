// MTLEvent, MTLSharedEvent, MTLFence: order between command buffers, queues and the host.
#pragma once

#include <mpsvk/MTL/Device.hpp>

#include <functional>

namespace mpsvk::MTL {

/// Orders command buffers of one device, through CommandBuffer::encodeSignalEvent and encodeWait.
/// MTLEvent.
class Event : public Object {
public:
    Event() = default;
    Device device() const;
    std::string label() const;
    void setLabel(const std::string& label) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Event(std::shared_ptr<Impl> impl);
};

/// An event that the host can read, set and wait for. Its value starts at 0 and only grows.
/// MTLSharedEvent.
class SharedEvent : public Event {
public:
    SharedEvent() = default;
    uint64_t signaledValue() const;
    /// Throws InvalidArgument for a value below the present one.
    void setSignaledValue(uint64_t value) const;
    /// Calls `block` on a thread of the library (or at once, on this one) when the value is at
    /// least `value`.
    void notify(uint64_t value, std::function<void(SharedEvent, uint64_t)> block) const;
    /// True when the value reached `value` within the time.
    bool waitUntilSignaledValue(uint64_t value, uint64_t timeoutMS) const;

    static bool isKindOf(const detail::ObjectImpl&);
    explicit SharedEvent(std::shared_ptr<Impl> impl);
};

/// Orders encoders. The recorder tracks every resource here, so that a fence has nothing to add:
/// waiting and updating are accepted because they are always satisfied. MTLFence.
class Fence : public Object {
public:
    Fence() = default;
    Device device() const;
    std::string label() const;
    void setLabel(const std::string& label) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Fence(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
