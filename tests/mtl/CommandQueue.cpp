// Queues: the order of command buffers, and how many there may be.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <future>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace std::chrono_literals;

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
