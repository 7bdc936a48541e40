// Events between command buffers, queues and the host.
#include "mtl/Event.hpp"

#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <thread>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace std::chrono_literals;

TEST_CASE("A queue waits for another one's event, and sees what it wrote", "[Event]") {
    const MTL::CommandQueue one = testDevice().newCommandQueue(),
                            other = testDevice().newCommandQueue();
    const MTL::Event event = testDevice().newEvent();
    const MTL::Buffer x = bufferOf(std::vector<float>(500, 1)),
                      y = bufferOf(std::vector<float>(500, 0)),
                      z = bufferOf(std::vector<float>(500, 0));
    const MTL::CommandBuffer reader = one.commandBuffer(), writer = other.commandBuffer();
    reader.encodeWait(event, 5);
    affine(reader, y, z, 10, 0);
    reader.commit();
    std::this_thread::sleep_for(20ms);
    CHECK(reader.status() == MTL::CommandBufferStatus::Committed);
    affine(writer, x, y, 1, 2);
    writer.encodeSignalEvent(event, 5);
    writer.commit();
    reader.waitUntilCompleted();
    CHECK(valuesOf(z) == std::vector<float>(500, 30));
}

TEST_CASE("To and fro between two queues within one command buffer each", "[Event]") {
    const MTL::CommandQueue one = testDevice().newCommandQueue(),
                            other = testDevice().newCommandQueue();
    const MTL::Event ping = testDevice().newEvent(), pong = testDevice().newEvent();
    const MTL::Buffer x = bufferOf({1}), y = bufferOf({0});
    const MTL::CommandBuffer a = one.commandBuffer(), b = other.commandBuffer();
    for (uint64_t i = 1; i <= 4; ++i) {
        affine(a, x, y, 2, 0);
        a.encodeSignalEvent(ping, i);
        a.encodeWait(pong, i);
        b.encodeWait(ping, i);
        affine(b, y, x, 1, 1);
        b.encodeSignalEvent(pong, i);
    }
    b.commit();
    a.commit();
    a.waitUntilCompleted();
    b.waitUntilCompleted();
    float expected = 1;
    for (int i = 0; i < 4; ++i) expected = expected * 2 + 1;
    CHECK(valuesOf(x) == std::vector<float>{expected});
}

TEST_CASE("The host lets a queue go on", "[Event]") {
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    const MTL::Buffer x = bufferOf({1}), y = bufferOf({0});
    const MTL::CommandBuffer commands = testDevice().newCommandQueue().commandBuffer();
    commands.encodeWait(event, 3);
    affine(commands, x, y, 4, 0);
    commands.encodeSignalEvent(event, 9);
    commands.commit();
    CHECK(event.signaledValue() == 0);
    event.setSignaledValue(2);
    CHECK_FALSE(event.waitUntilSignaledValue(9, 20));
    floats(x)[0] = 2; // before the queue may read it
    event.setSignaledValue(4);
    CHECK(event.waitUntilSignaledValue(9, 10000));
    commands.waitUntilCompleted();
    CHECK(event.signaledValue() == 9);
    CHECK(valuesOf(y) == std::vector<float>{8});
}

TEST_CASE("A shared event's value only grows", "[Event]") {
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    event.setLabel("step");
    event.setSignaledValue(7);
    event.setSignaledValue(7);
    CHECK(sentence<InvalidArgument>([&] { event.setSignaledValue(6); }) ==
          "[SharedEvent \"step\"] setSignaledValue was given 6 but the value is 7 already and only "
          "grows.");
    CHECK(event.waitUntilSignaledValue(7, 0));
    CHECK_FALSE(event.waitUntilSignaledValue(8, 1));
}

TEST_CASE("Notifications come once, when their value is reached", "[Event]") {
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    std::vector<std::pair<uint64_t, uint64_t>> seen;
    const auto note = [&](uint64_t wanted) {
        return
            [&seen, wanted](MTL::SharedEvent, uint64_t value) { seen.emplace_back(wanted, value); };
    };
    event.notify(0, note(0)); // reached already
    event.notify(5, note(5));
    event.notify(10, note(10));
    event.setSignaledValue(4);
    event.setSignaledValue(6);
    event.setSignaledValue(7);
    event.setSignaledValue(20);
    CHECK(seen == std::vector<std::pair<uint64_t, uint64_t>>{{0, 0}, {5, 6}, {10, 20}});
    CHECK(sentence<InvalidArgument>([&] { event.notify(1, {}); }) ==
          "[SharedEvent] notify was given no block to call.");
}

TEST_CASE("A queue's signal calls notifications too", "[Event]") {
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    std::atomic<uint64_t> seen{0};
    event.notify(2,
                 [&](MTL::SharedEvent own, uint64_t value) { seen = own == event ? value : 99; });
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    commands.encodeSignalEvent(event, 2);
    finish(commands);
    CHECK(seen == 2);
}

TEST_CASE("A command buffer keeps the events that it signals, and their notifications", "[Event]") {
    std::atomic<uint64_t> seen{0};
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    {
        const MTL::SharedEvent event = testDevice().newSharedEvent();
        event.notify(3, [&](MTL::SharedEvent, uint64_t value) { seen = value; });
        commands.encodeSignalEvent(event, 3);
    }
    finish(commands);
    CHECK(seen == 3);
}

TEST_CASE("Fences are always satisfied, and their misuse is seen", "[Event]") {
    const MTL::Fence fence = testDevice().newFence();
    fence.setLabel("weights");
    CHECK(fence.label() == "weights");
    CHECK(fence.device() == testDevice());
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto first = commands.computeCommandEncoder();
    first.waitForFence(fence);
    first.updateFence(fence);
    CHECK(sentence<InvalidArgument>([&] { first.waitForFence(fence); }) ==
          "[ComputeCommandEncoder] waitForFence was given a fence that this encoder updates: it "
          "would "
          "wait for its own end.");
    first.endEncoding();
    const auto second = commands.blitCommandEncoder();
    second.waitForFence(fence);
    second.endEncoding();
    finish(commands);
}
