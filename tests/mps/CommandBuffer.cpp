#include "mps/TemporaryHeap.hpp"
#include "mtl/Device.hpp"
#include "support/Device.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <optional>
#include <vector>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

const std::vector<float> input{-2, -1, 0, 1, 2, 3, -4, 5};
const std::vector<float> doubled{0, 0, 0, 2, 4, 6, 0, 10};

MPS::Image destination() {
    return {testDevice(), MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 4, 2, 1)};
}

MPS::Image source() {
    const MPS::Image image = destination();
    image.write(input);
    return image;
}

MPS::CNNNeuron relu() { return {testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU)}; }
MPS::CNNNeuron twice() {
    return {testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Linear, 2, 0)};
}

std::vector<float> valuesOf(const MPS::Image& image) {
    std::vector<float> all(input.size());
    image.read(all);
    return all;
}

} // namespace

TEST_CASE("temporary images live on in the command buffer that continues") {
    const MPS::Image x = source();
    const MPS::Image result = destination();
    auto first = relu(), second = twice();

    MPS::CommandBuffer commands(testQueue());
    commands.setLabel("first part");
    int handled = 0;
    commands.addCompletedHandler([&](const MTL::CommandBuffer&) { ++handled; });
    const MTL::CommandBuffer before = commands.rootCommandBuffer();
    const auto hidden = first.encode(commands, x).as<MPS::TemporaryImage>();

    commands.commitAndContinue();
    before.waitUntilCompleted();
    CHECK(handled == 1);
    CHECK(before.label() == "first part");
    CHECK_FALSE(commands.rootCommandBuffer() == before);
    CHECK(commands.status() == MTL::CommandBufferStatus::NotEnqueued);
    CHECK(hidden.readCount() == 1);

    // Memory of its own for each: the first is still to be read.
    const auto other = second.encode(commands, x).as<MPS::TemporaryImage>();
    other.setReadCount(0);
    second.encode(commands, hidden, result);
    CHECK(hidden.readCount() == 0);
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(handled == 1);
    CHECK(valuesOf(result) == doubled);
}

TEST_CASE("temporary memory stays in use after the command buffer that went on was let go") {
    const MPS::Image x = source(), result = destination(), other = destination();
    auto first = relu(), second = twice();
    const MTL::SharedEvent event = testDevice().newSharedEvent();
    MTL::CommandBuffer waiting;
    {
        const MPS::CommandBuffer commands(testQueue());
        const MPS::Image hidden = first.encode(commands, x);
        commands.encodeWait(event, 1);
        second.encode(commands, hidden, result);
        waiting = commands.rootCommandBuffer();
        commands.commitAndContinue();
    }
    const MTL::CommandBuffer commands = testDevice().newCommandQueue().commandBuffer();
    second.encode(commands, second.encode(commands, x), other);
    commands.commit();
    commands.waitUntilCompleted();
    event.setSignaledValue(1);
    waiting.waitUntilCompleted();
    CHECK(valuesOf(result) == doubled);
}

TEST_CASE("a temporary image is of the wrapper's root") {
    const MPS::Image x = source();
    auto first = relu(), second = twice();
    MPS::CommandBuffer commands(testQueue());
    const auto hidden = first.encode(commands, x);
    const MTL::CommandBuffer root = commands.rootCommandBuffer();
    const MPS::Image result = destination();
    second.encode(root, hidden, result);
    commands.commit();
    CHECK(root.status() >= MTL::CommandBufferStatus::Committed);
    root.waitUntilCompleted();
    CHECK(valuesOf(result) == doubled);
    CHECK(sentence<InvalidArgument>([&] { commands.commitAndContinue(); }) ==
          "[CommandBuffer] commit was called but the command buffer is committed already.");
}

TEST_CASE("wrappers nest and continue together") {
    const MTL::CommandBuffer root = testQueue().commandBuffer();
    const MPS::CommandBuffer inner(root);
    const MPS::CommandBuffer outer{static_cast<const MTL::CommandBuffer&>(inner)};
    CHECK(outer.commandBuffer() == inner);
    CHECK(outer.commandBuffer().as<MPS::CommandBuffer>() == inner);
    CHECK(outer.rootCommandBuffer() == root);
    CHECK_FALSE(root.as<MPS::CommandBuffer>());
    CHECK(outer.as<MTL::CommandBuffer>());
    CHECK(outer.commandQueue() == testQueue());

    outer.commitAndContinue();
    root.waitUntilCompleted();
    CHECK(outer.commandBuffer() == inner);
    CHECK(outer.rootCommandBuffer() == inner.rootCommandBuffer());
    CHECK_FALSE(outer.rootCommandBuffer() == root);
}

TEST_CASE("a refused commitAndContinue changes nothing") {
    const MPS::Image x = source();
    const MPS::Image result = destination();
    auto first = relu(), second = twice();
    MPS::CommandBuffer commands(testQueue());
    const MTL::CommandBuffer root = commands.rootCommandBuffer();
    const auto hidden = first.encode(commands, x);
    auto encoder = commands.computeCommandEncoder();
    CHECK(sentence<InvalidArgument>([&] { commands.commitAndContinue(); }) ==
          "[CommandBuffer] commit was called while an encoder is open; end its encoding first.");
    CHECK(commands.rootCommandBuffer() == root);
    encoder.endEncoding();
    second.encode(commands, hidden, result);
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(valuesOf(result) == doubled);
}

TEST_CASE("a queue of one command buffer continues") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue(1);
    const MPS::CommandBuffer commands(queue);
    for (int part = 0; part < 3; ++part) commands.commitAndContinue();
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(commands.status() == MTL::CommandBufferStatus::Completed);
}

TEST_CASE("memory fetched before is what temporary images get") {
    const MPS::CommandBuffer commands(testQueue());
    commands.prefetchHeapForWorkloadSize(size_t(96) << 20);
    const auto held = testDevice().currentAllocatedSize();
    CHECK(held >= size_t(96) << 20);
    const MPS::TemporaryImage image(
        commands, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 1024, 1024, 16));
    CHECK(testDevice().currentAllocatedSize() == held);
    image.setReadCount(0);
}

TEST_CASE("an empty command buffer is not wrapped") {
    CHECK(sentence<InvalidArgument>([] { MPS::CommandBuffer commands{MTL::CommandBuffer()}; }) ==
          "[CommandBuffer] The command buffer handle is empty.");
    CHECK(sentence<InvalidArgument>([] { MPS::CommandBuffer().rootCommandBuffer(); }) ==
          "[CommandBuffer] The command buffer handle is empty.");
}

TEST_CASE("temporary memory grows by pieces that the device has") {
    const MTL::Device device = testDevice();
    if (device.recommendedMaxWorkingSetSize() < uint64_t(8) << 30) SKIP("little memory");
    mps::TemporaryHeap heap(device.impl().vk);
    const uint64_t each = uint64_t(600) << 20, most = uint64_t(1) << 30;
    const uint64_t before = device.currentAllocatedSize();
    for (int i = 1; i <= 5; ++i) {
        const uint64_t held = device.currentAllocatedSize();
        heap.allocate(each);
        CHECK(device.currentAllocatedSize() - held <= most);
    }
    CHECK(device.currentAllocatedSize() - before >= 5 * each);
}

TEST_CASE("more temporary memory than the device has is refused") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto most = std::to_string(testDevice().impl().vk->memory().largestHeap());
    for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 255, SIZE_MAX / 2})
        CHECK(sentence<DeviceError>([&] {
                  MPS::CommandBuffer(commands).prefetchHeapForWorkloadSize(bytes);
              }) == "[CommandBuffer] Temporary memory of " + std::to_string(bytes) +
                        " bytes was asked for but the device has " + most +
                        " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
}

TEST_CASE("a committed command buffer gives no temporary memory") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    commands.commit();
    const std::string text =
        "The command buffer is committed already; nothing more can be encoded.";
    const auto refused = [](auto call) { return sentence<InvalidArgument>(call); };
    const MPS::CommandBuffer wrapper(commands);
    CHECK(refused([&] { wrapper.prefetchHeapForWorkloadSize(1000); }) == "[CommandBuffer] " + text);
    CHECK(refused([&] { MPS::HintTemporaryMemoryHighWaterMark(commands, 1000); }) ==
          "[CommandBuffer] " + text);
    CHECK(refused([&] { MPS::SetHeapCacheDuration(commands, 1); }) == "[CommandBuffer] " + text);
    CHECK(refused([&] { MPS::TemporaryImage::prefetchStorage(commands, {}); }) ==
          "[CommandBuffer] " + text);
    const MPS::Image x = source();
    CHECK(refused([&] { relu().temporaryResultState(commands, x, {}, x); }) ==
          "[CNNNeuron] " + text);
    MPS::CNNAdd add(testDevice());
    CHECK(refused([&] { add.temporaryResultState(commands, x, x, {}, x); }) == "[CNNAdd] " + text);
    commands.waitUntilCompleted();
}

TEST_CASE("temporary memory is kept for as long as its command buffer says") {
    const MTL::Device device = testDevice();
    const uint64_t bytes = uint64_t(160) << 20;
    const auto kept = [&](std::optional<double> seconds) {
        const MTL::CommandBuffer commands = testQueue().commandBuffer();
        if (seconds) MPS::SetHeapCacheDuration(commands, *seconds);
        MPS::HintTemporaryMemoryHighWaterMark(commands, bytes);
        const uint64_t held = device.currentAllocatedSize();
        CHECK(held >= bytes);
        commands.commit();
        commands.waitUntilCompleted();
        return held - device.currentAllocatedSize() < bytes;
    };
    CHECK(kept({}));
    CHECK(kept(60));
    CHECK_FALSE(kept(0));
    CHECK_FALSE(kept(-1));
    CHECK_FALSE(kept(std::numeric_limits<double>::quiet_NaN()));
}
