#include "mtl/Event.hpp"

#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

#include <chrono>
#include <cmath>

namespace mpsvk::MTL {

uint64_t EventState::value() const {
    std::lock_guard lock(mutex_);
    return value_;
}

bool EventState::signal(uint64_t value) {
    std::vector<std::pair<uint64_t, std::function<void(uint64_t)>>> due;
    {
        std::lock_guard lock(mutex_);
        if (value < value_) return false;
        value_ = value;
        std::erase_if(pending_, [&](auto& entry) {
            if (entry.first > value) return false;
            due.push_back(std::move(entry));
            return true;
        });
    }
    changed_.notify_all();
    for (auto& [wanted, call] : due) {
        try {
            call(value);
        } catch (const std::exception& error) {
            vk::log(int(LogLevel::Error),
                    std::string("A shared event's notification threw: ") + error.what());
        } catch (...) {
            vk::log(int(LogLevel::Error), "A shared event's notification threw something.");
        }
    }
    return true;
}

bool EventState::wait(uint64_t value, double seconds) const {
    std::unique_lock lock(mutex_);
    const auto reached = [&] { return value_ >= value; };
    // Clocks overflow when a year-long time is added to them.
    if (seconds > 1e7) {
        changed_.wait(lock, reached);
        return true;
    }
    return changed_.wait_for(lock, std::chrono::duration<double>(seconds), reached);
}

void EventState::notify(uint64_t value, std::function<void(uint64_t)> call) {
    uint64_t now = 0;
    {
        std::lock_guard lock(mutex_);
        now = value_;
        if (now < value) {
            pending_.emplace_back(value, std::move(call));
            return;
        }
    }
    call(now);
}

Event::Event(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Event::Impl& Event::impl() const {
    if (!impl_) throw InvalidArgument("[Event] The event handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Event::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

Device Event::device() const { return impl().device; }

std::string Event::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Event::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

SharedEvent::SharedEvent(std::shared_ptr<Impl> impl) : Event(std::move(impl)) {}

bool SharedEvent::isKindOf(const detail::ObjectImpl& object) {
    const auto* event = dynamic_cast<const Impl*>(&object);
    return event && event->shared;
}

uint64_t SharedEvent::signaledValue() const { return impl().state->value(); }

void SharedEvent::setSignaledValue(uint64_t value) const {
    if (!impl().state->signal(value))
        throw InvalidArgument(subject("SharedEvent", label()) + "setSignaledValue was given " +
                              std::to_string(value) + " but the value is " +
                              std::to_string(signaledValue()) + " already and only grows.");
}

void SharedEvent::notify(uint64_t value, std::function<void(SharedEvent, uint64_t)> block) const {
    if (!block)
        throw InvalidArgument(subject("SharedEvent", label()) +
                              "notify was given no block to call.");
    // The event keeps the block, so the block must not keep the event.
    impl().state->notify(value,
                         [weak = std::weak_ptr(impl_), block = std::move(block)](uint64_t now) {
                             if (auto object = weak.lock())
                                 block(SharedEvent(std::static_pointer_cast<Impl>(object)), now);
                         });
}

bool SharedEvent::waitUntilSignaledValue(uint64_t value, uint64_t timeoutMS) const {
    return impl().state->wait(value, double(timeoutMS) * 1e-3);
}

Fence::Fence(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Fence::Impl& Fence::impl() const {
    if (!impl_) throw InvalidArgument("[Fence] The fence handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Fence::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

Device Fence::device() const { return impl().device; }

std::string Fence::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Fence::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

Event Device::newEvent() const { return Event(std::make_shared<Event::Impl>(*this, false)); }

SharedEvent Device::newSharedEvent() const {
    return SharedEvent(std::make_shared<Event::Impl>(*this, true));
}

Fence Device::newFence() const { return Fence(std::make_shared<Fence::Impl>(*this)); }

} // namespace mpsvk::MTL
