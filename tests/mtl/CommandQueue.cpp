// Queues: the order of command buffers, and how many there may be.
#include "Rig.hpp"
#include "support/TimeLimit.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <future>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace std::chrono_literals;

namespace {

/// Commits a command buffer with the handler, and lets go of it. Whether the handler returns.
bool handlerEnds(const MTL::CommandQueue& queue, std::function<void(MTL::CommandBuffer)> handler) {
    return ends([=] {
        std::promise<void> returned;
        {
            const auto commands = queue.commandBuffer();
            commands.addCompletedHandler([&, handler](MTL::CommandBuffer done) {
                handler(done);
                returned.set_value();
            });
            commands.commit();
        }
        returned.get_future().wait();
    });
}

} // namespace

TEST_CASE("Command buffers run in the order in which they were enqueued", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const MTL::Buffer x = bufferOf(std::vector<float>(100, 3)),
                      y = bufferOf(std::vector<float>(100, 0));
    const MTL::CommandBuffer first = queue.commandBuffer(), second = queue.commandBuffer();
    affine(second, y, x, 10, 0);
    affine(first, x, y, 1, 1);
    SECTION("by commit") { first.commit(); }
    SECTION("by enqueue, whatever the order of the commits") {
        first.enqueue();
        first.enqueue(); // does nothing
        second.enqueue();
        CHECK(second.status() == MTL::CommandBufferStatus::Enqueued);
        second.commit();
        first.commit();
    }
    if (second.status() < MTL::CommandBufferStatus::Committed) second.commit();
    second.waitUntilCompleted();
    CHECK(first.status() == MTL::CommandBufferStatus::Completed);
    CHECK(valuesOf(x) == std::vector<float>(100, 40));
}

TEST_CASE("A hundred command buffers, each on the result of the last", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const MTL::Buffer sides[2] = {bufferOf(std::vector<float>(64, 0)),
                                  bufferOf(std::vector<float>(64, 0))};
    MTL::CommandBuffer last;
    for (int i = 0; i < 100; ++i) {
        last = queue.commandBuffer();
        affine(last, sides[i % 2], sides[1 - i % 2], 1, 1);
        last.commit();
    }
    last.waitUntilCompleted();
    CHECK(valuesOf(sides[0]) == std::vector<float>(64, 100));
}

TEST_CASE("A place in the queue ends with its command buffer", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const MTL::Buffer x = bufferOf({1}), y = bufferOf({0});
    auto abandoned = queue.commandBuffer();
    abandoned.enqueue();
    const auto next = queue.commandBuffer();
    affine(next, x, y, 5, 0);
    next.commit();
    std::this_thread::sleep_for(20ms);
    CHECK(next.status() == MTL::CommandBufferStatus::Committed);
    abandoned = {};
    next.waitUntilCompleted();
    CHECK(valuesOf(y) == std::vector<float>{5});
}

TEST_CASE("More command buffers than the queue allows wait", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue(2);
    auto first = queue.commandBuffer();
    auto second = queue.commandBuffer();
    const auto third = [&] {
        return std::async(std::launch::async, [&] { return queue.commandBuffer(); });
    };
    SECTION("for one to complete") {
        auto waiting = third();
        CHECK(waiting.wait_for(50ms) == std::future_status::timeout);
        first.commit();
        CHECK(waiting.wait_for(10s) == std::future_status::ready);
        CHECK(waiting.get());
    }
    SECTION("or to go without having been committed") {
        auto waiting = third();
        CHECK(waiting.wait_for(50ms) == std::future_status::timeout);
        second = {};
        CHECK(waiting.wait_for(10s) == std::future_status::ready);
    }
}

TEST_CASE("A queue works on when its user has let go of it", "[CommandQueue]") {
    const MTL::Buffer x = bufferOf(std::vector<float>(64, 2)),
                      y = bufferOf(std::vector<float>(64, 0));
    MTL::CommandBuffer commands;
    {
        MTL::CommandQueue queue = testDevice().newCommandQueue();
        queue.setLabel("short-lived");
        commands = queue.commandBuffer();
    }
    CHECK(commands.commandQueue().label() == "short-lived");
    CHECK(commands.device() == testDevice());
    affine(commands, x, y, 2, 0);
    finish(commands);
    CHECK(valuesOf(y) == std::vector<float>(64, 4));
}

TEST_CASE("Command buffers nobody waits for complete all the same", "[CommandQueue]") {
    std::promise<void> done;
    {
        const MTL::CommandQueue queue = testDevice().newCommandQueue();
        const MTL::CommandBuffer commands = queue.commandBuffer();
        affine(commands, bufferOf({1}), bufferOf({0}), 5, 0);
        commands.addCompletedHandler([&](MTL::CommandBuffer) { done.set_value(); });
        commands.commit();
    }
    CHECK(done.get_future().wait_for(10s) == std::future_status::ready);
}

TEST_CASE("Several threads encode and commit on one queue", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue(4);
    std::vector<MTL::Buffer> results;
    for (int i = 0; i < 4; ++i) results.push_back(bufferOf(std::vector<float>(64, 0)));
    affine(testQueue().commandBuffer(), results[0], results[1], 1,
           0); // the pipeline, made by one thread
    std::vector<std::future<void>> threads;
    for (int t = 0; t < 4; ++t)
        threads.push_back(std::async(std::launch::async, [&, t] {
            for (int i = 0; i < 20; ++i) {
                const auto commands = queue.commandBuffer();
                const MTL::Buffer from = bufferOf(std::vector<float>(64, float(t * 100 + i)));
                affine(commands, from, results[size_t(t)], 1, 1);
                commands.commit();
            }
        }));
    for (auto& thread : threads) thread.get();
    const auto last = queue.commandBuffer();
    last.commit();
    last.waitUntilCompleted();
    for (int t = 0; t < 4; ++t)
        CHECK(valuesOf(results[size_t(t)]) == std::vector<float>(64, float(t * 100 + 20)));
}

TEST_CASE("A completed handler may wait for others of its queue", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const MTL::Buffer x = bufferOf(std::vector<float>(64, 2)),
                      y = bufferOf(std::vector<float>(64, 0));
    SECTION("that it commits") {
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            const auto next = queue.commandBuffer(), last = queue.commandBuffer();
            affine(next, x, y, 3, 0);
            affine(last, y, x, 1, 1);
            next.commit();
            last.commit();
            last.waitUntilCompleted();
        }));
        CHECK(valuesOf(x) == std::vector<float>(64, 7));
    }
    SECTION("whose handlers wait, too") {
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            const auto next = queue.commandBuffer();
            next.addCompletedHandler([=](MTL::CommandBuffer) {
                const auto last = queue.commandBuffer();
                affine(last, x, y, 3, 0);
                last.commit();
                last.waitUntilCompleted();
            });
            next.commit();
            next.waitUntilCompleted();
        }));
        CHECK(valuesOf(y) == std::vector<float>(64, 6));
    }
    SECTION("that it made before, behind some more") {
        const auto order = std::make_shared<std::vector<int>>();
        CHECK(ends([=] {
            const auto first = queue.commandBuffer(), second = queue.commandBuffer(),
                       third = queue.commandBuffer();
            first.addCompletedHandler([=](MTL::CommandBuffer) {
                order->push_back(1);
                third.waitUntilCompleted();
                order->push_back(4);
            });
            second.addCompletedHandler([=](MTL::CommandBuffer) { order->push_back(2); });
            third.addCompletedHandler([=](MTL::CommandBuffer) { order->push_back(3); });
            for (const auto& each : {first, second, third}) each.commit();
            first.waitUntilCompleted();
        }));
        CHECK(*order == std::vector<int>{1, 2, 3, 4});
    }
    SECTION("and for its own buffer, which is complete") {
        CHECK(handlerEnds(queue, [](MTL::CommandBuffer own) {
            CHECK(own.status() == MTL::CommandBufferStatus::Completed);
            own.waitUntilCompleted();
        }));
    }
    SECTION("to be scheduled, where they wait for what it has committed") {
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            const MTL::Event event = testDevice().newEvent();
            const auto signals = queue.commandBuffer(), waits = queue.commandBuffer();
            signals.encodeSignalEvent(event, 1);
            waits.encodeWait(event, 1);
            signals.commit();
            waits.commit();
            waits.waitUntilScheduled();
            CHECK(waits.status() >= MTL::CommandBufferStatus::Scheduled);
        }));
    }
    SECTION("and so may an event's block, in the midst of a buffer and at its end") {
        CHECK(ends([=] {
            const MTL::SharedEvent event = testDevice().newSharedEvent();
            for (uint64_t value = 1; value <= 2; ++value)
                event.notify(value, [=](MTL::SharedEvent, uint64_t) {
                    const auto next = queue.commandBuffer();
                    affine(next, y, x, 1, 1);
                    next.commit();
                    next.waitUntilCompleted();
                });
            const auto commands = queue.commandBuffer();
            affine(commands, x, y, 2, 0);
            commands.encodeSignalEvent(event, 1);
            affine(commands, y, y, 1, 10);
            commands.encodeSignalEvent(event, 2);
            commands.commit();
            commands.waitUntilCompleted();
            CHECK(commands.status() == MTL::CommandBufferStatus::Completed);
        }));
        CHECK(valuesOf(x) == std::vector<float>(64, 15));
    }
}

TEST_CASE("A completed handler gets the next command buffer of a full queue", "[CommandQueue]") {
    SECTION("in place of its own") {
        const MTL::CommandQueue queue = testDevice().newCommandQueue(1);
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            const auto next = queue.commandBuffer();
            next.commit();
        }));
    }
    SECTION("when another one completes") {
        const MTL::CommandQueue queue = testDevice().newCommandQueue(1);
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            queue.commandBuffer().commit();
            const auto next = queue.commandBuffer();
            next.commit();
            next.waitUntilCompleted();
        }));
    }
    SECTION("when another one goes without having been committed") {
        const MTL::CommandQueue queue = testDevice().newCommandQueue(1);
        CHECK(handlerEnds(queue, [=](MTL::CommandBuffer) {
            std::thread later(
                [commands = queue.commandBuffer()] { std::this_thread::sleep_for(20ms); });
            queue.commandBuffer().commit();
            later.join();
        }));
    }
}

TEST_CASE("A scheduled handler waits for nothing that comes after it", "[CommandQueue]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const auto said = std::make_shared<std::vector<std::string>>();
    CHECK(ends([=] {
        const auto first = queue.commandBuffer(), second = queue.commandBuffer(),
                   third = queue.commandBuffer();
        second.addScheduledHandler([=](MTL::CommandBuffer own) {
            first.waitUntilScheduled();
            first.waitUntilCompleted();
            for (const auto& each : {own, third}) {
                said->push_back(sentence<InvalidArgument>([&] { each.waitUntilScheduled(); }));
                said->push_back(sentence<InvalidArgument>([&] { each.waitUntilCompleted(); }));
            }
        });
        for (const auto& each : {first, second, third}) each.enqueue();
        for (const auto& each : {first, third, second}) each.commit();
        third.waitUntilCompleted();
    }));
    REQUIRE(said->size() == 4);
    for (size_t i = 0; i < 4; ++i)
        CHECK(said->at(i) == std::string("[CommandBuffer] ") +
                                 (i % 2 ? "waitUntilCompleted" : "waitUntilScheduled") +
                                 " was called in a scheduled handler before the command buffer was "
                                 "scheduled; the wait would never end.");
}

TEST_CASE("What is committed can be waited for until it is submitted", "[CommandQueue]") {
    using Status = MTL::CommandBufferStatus;
    const MTL::Device device = testDevice();
    const MTL::CommandQueue queue = device.newCommandQueue(), other = device.newCommandQueue();
    const auto wait = [=] { return ends([=] { device.impl().waitForSubmissions(); }); };
    CHECK(wait());
    SECTION("in all queues") {
        const MTL::Buffer x = bufferOf({1}), y = bufferOf({0});
        std::vector<MTL::CommandBuffer> all;
        for (int i = 0; i < 20; ++i) {
            all.push_back((i % 2 ? queue : other).commandBuffer());
            for (int k = 0; k < 100; ++k) affine(all.back(), x, y, 1, 1);
        }
        for (const auto& each : all) each.commit();
        CHECK(wait());
        for (const auto& each : all) CHECK(each.status() >= Status::Scheduled);
        for (const auto& each : all) each.waitUntilCompleted();
    }
    SECTION("but not behind an event that the program is to signal") {
        const MTL::SharedEvent event = device.newSharedEvent();
        const auto first = queue.commandBuffer(), second = queue.commandBuffer();
        first.encodeWait(event, 1);
        first.commit();
        second.commit();
        CHECK(wait());
        CHECK(second.status() == Status::Committed);
        event.setSignaledValue(1);
        CHECK(wait());
        CHECK(second.status() >= Status::Scheduled);
        second.waitUntilCompleted();
    }
    SECTION("nor behind a place that is not committed") {
        auto first = queue.commandBuffer(), second = queue.commandBuffer();
        first.enqueue();
        second.commit();
        CHECK(wait());
        CHECK(second.status() == Status::Committed);
        first = {};
        CHECK(wait());
        CHECK(second.status() >= Status::Scheduled);
        second.waitUntilCompleted();
    }
    SECTION("nor for a scheduled handler, which may wait for the program or for other queues") {
        std::promise<void> called;
        std::promise<void> goOn;
        const auto commands = queue.commandBuffer();
        commands.addScheduledHandler([&](MTL::CommandBuffer) {
            device.impl().waitForSubmissions();
            called.set_value();
            goOn.get_future().wait();
        });
        commands.commit();
        CHECK(called.get_future().wait_for(timeLimit) == std::future_status::ready);
        CHECK(wait());
        goOn.set_value();
        commands.waitUntilCompleted();
    }
}
