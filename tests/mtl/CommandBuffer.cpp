// A command buffer's life: states, handlers, errors.
#include "mtl/CommandBuffer.hpp"

#include "Rig.hpp"
#include "mtl/Buffer.hpp"
#include "vk/Pipeline.hpp"

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <chrono>
#include <thread>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace std::chrono_literals;
using Status = MTL::CommandBufferStatus;

TEST_CASE("States, times and error of a command buffer that went well", "[CommandBuffer]") {
    const MTL::Buffer x = bufferOf(std::vector<float>(1000, 1)),
                      y = bufferOf(std::vector<float>(1000, 0));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(commands.status() == Status::NotEnqueued);
    CHECK(commands.GPUStartTime() == 0);
    CHECK(commands.GPUEndTime() == 0);
    CHECK(commands.kernelStartTime() == 0);
    CHECK(commands.retainedReferences());
    affine(commands, x, y, 1, 1);
    commands.enqueue();
    CHECK(commands.status() == Status::Enqueued);
    commands.commit();
    commands.waitUntilScheduled();
    CHECK(commands.status() >= Status::Scheduled);
    commands.waitUntilCompleted();
    CHECK(commands.status() == Status::Completed);
    CHECK_FALSE(commands.error());
    CHECK(commands.kernelStartTime() > 0);
    CHECK(commands.kernelEndTime() >= commands.kernelStartTime());
    CHECK(commands.GPUStartTime() > 0);
    CHECK(commands.GPUEndTime() >= commands.GPUStartTime());
    CHECK(valuesOf(y) == std::vector<float>(1000, 2));
}

TEST_CASE("An empty command buffer completes", "[CommandBuffer]") {
    CHECK(testQueue().commandBuffer().errorOptions() == MTL::CommandBufferErrorOption::None);
    finish(testQueue().commandBuffer());
}

TEST_CASE("Handlers run in order, the completed ones before the wait is over", "[CommandBuffer]") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    affine(commands, bufferOf({1}), bufferOf({0}), 1, 1);
    std::string order;
    commands.addScheduledHandler([&](MTL::CommandBuffer) { order += 'a'; });
    commands.addScheduledHandler([&](MTL::CommandBuffer) { order += 'b'; });
    commands.addCompletedHandler([&](MTL::CommandBuffer done) {
        std::this_thread::sleep_for(20ms);
        CHECK(done == commands);
        CHECK(done.status() == Status::Completed);
        CHECK(done.GPUEndTime() > 0);
        order += 'c';
    });
    commands.addCompletedHandler([&](MTL::CommandBuffer) { order += 'd'; });
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(order == "abcd");
}

TEST_CASE("What a handler throws is logged and goes no further", "[CommandBuffer]") {
    const Remarks remarks;
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    bool second = false;
    commands.addCompletedHandler([](MTL::CommandBuffer) { throw std::runtime_error("no luck"); });
    commands.addCompletedHandler([](MTL::CommandBuffer) { throw 42; });
    commands.addCompletedHandler([&](MTL::CommandBuffer) { second = true; });
    finish(commands);
    CHECK(second);
    REQUIRE(remarks.all().size() == 2);
    CHECK(remarks.all()[0].second == "A command buffer's handler threw: no luck");
    CHECK(remarks.all()[1].second == "A command buffer's handler threw something.");
}

TEST_CASE("A handler may use the library", "[CommandBuffer]") {
    const MTL::Buffer x = bufferOf({3}), y = bufferOf({0}), z = bufferOf({0});
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    affine(commands, x, y, 2, 0);
    MTL::CommandBuffer next;
    commands.addCompletedHandler([&](MTL::CommandBuffer done) {
        next = done.commandQueue().commandBuffer();
        affine(next, y, z, floats(y)[0], 0);
        next.commit();
    });
    finish(commands);
    next.waitUntilCompleted();
    CHECK(valuesOf(z) == std::vector<float>{36});
}

TEST_CASE("What a command buffer refuses, and when", "[CommandBuffer]") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    commands.setLabel("step 7");
    const std::string who = "[CommandBuffer \"step 7\"] ";
    CHECK(sentence<InvalidArgument>([&] { commands.waitUntilCompleted(); }) ==
          who + "waitUntilCompleted was called before commit; the wait would never end.");
    CHECK(sentence<InvalidArgument>([&] { commands.waitUntilScheduled(); }) ==
          who + "waitUntilScheduled was called before commit; the wait would never end.");
    const auto encoder = commands.computeCommandEncoder();
    const std::string open =
        who + "An encoder of the command buffer is open; end its encoding first.";
    CHECK(sentence<InvalidArgument>([&] { commands.computeCommandEncoder(); }) == open);
    CHECK(sentence<InvalidArgument>([&] { commands.blitCommandEncoder(); }) == open);
    CHECK(sentence<InvalidArgument>([&] { commands.impl().list("[Mine] "); }) ==
          "[Mine] An encoder of the command buffer is open; end its encoding first.");
    CHECK(sentence<InvalidArgument>([&] { commands.commit(); }) ==
          who + "commit was called while an encoder is open; end its encoding first.");
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    CHECK(sentence<InvalidArgument>([&] { commands.encodeWait(event, 1); }) ==
          who + "encodeWait was called while an encoder is open; end its encoding first.");
    CHECK(sentence<InvalidArgument>([&] { commands.encodeSignalEvent(event, 1); }) ==
          who + "encodeSignalEvent was called while an encoder is open; end its encoding first.");
    CHECK(commands.status() == Status::NotEnqueued);
    encoder.endEncoding();

    finish(commands);
    CHECK(sentence<InvalidArgument>([&] { commands.commit(); }) ==
          who + "commit was called but the command buffer is committed already.");
    CHECK(sentence<InvalidArgument>([&] { commands.computeCommandEncoder(); }) ==
          who + "The command buffer is committed already; nothing more can be encoded.");
    CHECK(sentence<InvalidArgument>([&] { commands.encodeSignalEvent(event, 1); }) ==
          who + "encodeSignalEvent was called but the command buffer is committed already.");
    CHECK(sentence<InvalidArgument>([&] { commands.addScheduledHandler({}); }) ==
          who + "A scheduled handler was added after commit.");
    CHECK(sentence<InvalidArgument>([&] { commands.addCompletedHandler({}); }) ==
          who + "A completed handler was added after commit.");
    commands.enqueue(); // a no-op at any time
}

TEST_CASE("Debug groups balance", "[CommandBuffer]") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(sentence<InvalidArgument>([&] { commands.popDebugGroup(); }) ==
          "[CommandBuffer] popDebugGroup was called but no debug group is open.");
    commands.pushDebugGroup("forward");
    commands.pushDebugGroup("layer 1");
    CHECK(sentence<InvalidArgument>([&] { commands.commit(); }) ==
          "[CommandBuffer] commit was called while 2 debug groups are open; pop them first.");
    const auto encoder = commands.computeCommandEncoder();
    CHECK(sentence<InvalidArgument>([&] { encoder.popDebugGroup(); }) ==
          "[ComputeCommandEncoder] popDebugGroup was called but no debug group is open.");
    encoder.pushDebugGroup("inside");
    encoder.insertDebugSignpost("here");
    CHECK(sentence<InvalidArgument>([&] { encoder.endEncoding(); }) ==
          "[ComputeCommandEncoder] endEncoding was called while 1 debug groups are open; pop them "
          "first.");
    encoder.popDebugGroup();
    encoder.endEncoding();
    commands.popDebugGroup();
    commands.popDebugGroup();
    finish(commands);
}

TEST_CASE("An error on the way to the device stays in the command buffer", "[CommandBuffer]") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const MTL::Buffer x = bufferOf({1}), y = bufferOf({0});
    const MTL::CommandBuffer bad = queue.commandBuffer(), good = queue.commandBuffer();
    auto& device = *testDevice().impl().vk;
    // Nobody has compiled this one: submitting it fails as a driver's refusal would.
    const auto code = affineKernel();
    const auto never =
        std::make_shared<vk::Pipeline>(device, "never compiled", code, std::vector<vk::Constant>{});
    vk::Binding bindings[] = {vk::Binding::buffer(1, x.impl().slice),
                              vk::Binding::buffer(2, y.impl().slice)};
    bad.impl().list({}).dispatch(never, bindings, bytesOf(AffineParameters{1, 0, 1}), {1, 1, 1});
    CHECK(y.impl().slice.buffer->hasPendingWrites());
    affine(good, x, y, 7, 0);
    Status seen = Status::NotEnqueued;
    bad.addCompletedHandler([&](MTL::CommandBuffer done) { seen = done.status(); });
    bad.commit();
    good.commit();
    bad.waitUntilCompleted();
    CHECK(bad.status() == Status::Error);
    CHECK(seen == Status::Error);
    CHECK(bad.error().code == MTL::CommandBufferErrorCode::Internal);
    CHECK_FALSE(bad.error().description.empty());
    CHECK(bad.GPUEndTime() == 0);
    good.waitUntilCompleted();
    CHECK(good.status() == Status::Completed);
    CHECK(valuesOf(y) == std::vector<float>{7});
    CHECK_FALSE(y.impl().slice.buffer->hasPendingWrites());
}

TEST_CASE("A command buffer keeps what it was given", "[CommandBuffer]") {
    const MTL::Buffer result = bufferOf(std::vector<float>(64, 0));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    {
        const MTL::Buffer middle = bufferOf(std::vector<float>(64, 0));
        affine(commands, bufferOf(std::vector<float>(64, 3)), middle, 2, 0);
        affine(commands, middle, result, 1, 1);
    }
    // What would take their place in memory.
    std::vector<MTL::Buffer> others;
    for (int i = 0; i < 4; ++i) others.push_back(bufferOf(std::vector<float>(64, -100)));
    finish(commands);
    CHECK(valuesOf(result) == std::vector<float>(64, 7));
}
