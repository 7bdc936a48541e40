// What may wait for ever, with a limit.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>

namespace mpsvk::test {

constexpr std::chrono::seconds timeLimit(30);

/// Whether it returns in time. What does not is left behind: it must own what it uses.
inline bool ends(std::function<void()> work) {
    const auto done = std::make_shared<std::promise<void>>();
    std::thread([done, work = std::move(work)] {
        work();
        done->set_value();
    }).detach();
    return done->get_future().wait_for(timeLimit) == std::future_status::ready;
}

} // namespace mpsvk::test
