// The user's own kernels: bindings, dispatches, refusals.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <array>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

struct Open {
    Open() : commands(testQueue().commandBuffer()), encoder(commands.computeCommandEncoder()) {}
    void finish() {
        encoder.endEncoding();
        test::finish(commands);
    }
    MTL::CommandBuffer commands;
    MTL::ComputeCommandEncoder encoder;
};

} // namespace

TEST_CASE("Two vectors are added, to the exact end of the grid", "[ComputeCommandEncoder]") {
    static const auto add = pipelineOf(addKernel());
    const size_t count = GENERATE(1u, 63u, 64u, 65u, 1000u);
    std::vector<float> a(count + 5), b(count + 5), expected(count + 5, -1);
    for (size_t i = 0; i < a.size(); ++i) a[i] = float(i), b[i] = float(i * i);
    for (size_t i = 0; i < count; ++i) expected[i] = a[i] + b[i];
    const MTL::Buffer result = bufferOf(std::vector<float>(count + 5, -1));
    const auto type = GENERATE(MTL::DispatchType::Serial, MTL::DispatchType::Concurrent);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto encoder = commands.computeCommandEncoder(type);
    CHECK(encoder.dispatchType() == type);
    encoder.setComputePipelineState(add);
    const MTL::Buffer buffers[] = {bufferOf(a), bufferOf(b), result};
    const uint64_t offsets[] = {0, 0, 0};
    encoder.setBuffers(buffers, offsets, {0, 3});
    encoder.dispatchThreads({count, 1, 1}, {64, 1, 1});
    encoder.endEncoding();
    finish(commands);
    CHECK(valuesOf(result) == expected);
}

TEST_CASE("The grid of whole threadgroups", "[ComputeCommandEncoder]") {
    const MTL::Buffer a = bufferOf(std::vector<float>(200, 1)),
                      c = bufferOf(std::vector<float>(200, -1));
    Open open;
    open.encoder.setComputePipelineState(pipelineOf(addKernel()));
    open.encoder.setBuffer(a, 0, 0);
    open.encoder.setBuffer(a, 0, 1);
    open.encoder.setBuffer(c, 0, 2);
    open.encoder.dispatchThreadgroups({2, 1, 1}, {64, 1, 1});
    open.finish();
    std::vector<float> expected(200, -1);
    std::fill_n(expected.begin(), 128, 2.0f);
    CHECK(valuesOf(c) == expected);
}

TEST_CASE("Offsets, and bindings that stay", "[ComputeCommandEncoder]") {
    std::vector<float> counting(256);
    for (size_t i = 0; i < 256; ++i) counting[i] = float(i);
    const MTL::Buffer a = bufferOf(counting), c = bufferOf(std::vector<float>(256, -1));
    const float tens[64] = {10, 20, 30};
    Open open;
    open.encoder.setComputePipelineState(pipelineOf(addKernel()));
    open.encoder.setBuffer(a, 512, 0);
    open.encoder.setBytes(std::as_bytes(std::span(tens)), 1);
    open.encoder.setBuffer(c, 0, 2);
    open.encoder.dispatchThreads({3, 1, 1}, {64, 1, 1});
    open.encoder.setBufferOffset(256, 0);
    open.encoder.setBufferOffset(768, 2);
    open.encoder.dispatchThreads({3, 1, 1}, {64, 1, 1});
    open.finish();
    const auto values = floats(c);
    CHECK(std::vector<float>(values.begin(), values.begin() + 4) ==
          std::vector<float>{138, 149, 160, -1});
    CHECK(std::vector<float>(values.begin() + 192, values.begin() + 196) ==
          std::vector<float>{74, 85, 96, -1});
}

TEST_CASE("setBytes fills uniform blocks, and later bytes do not reach back",
          "[ComputeCommandEncoder]") {
    const MTL::Buffer a = bufferOf(std::vector<float>(70, 1)),
                      b = bufferOf(std::vector<float>(70, 0)),
                      c = bufferOf(std::vector<float>(70, 0));
    Open open;
    open.encoder.setComputePipelineState(pipelineOf(affineKernel()));
    AffineParameters parameters{2, 3, 70};
    open.encoder.setBytes(bytesOf(parameters), 0);
    open.encoder.setBuffer(a, 0, 1);
    open.encoder.setBuffer(b, 0, 2);
    open.encoder.dispatchThreads({70, 1, 1}, {64, 1, 1});
    parameters = {10, 0, 70};
    open.encoder.setBytes(bytesOf(parameters), 0);
    open.encoder.setBuffer(b, 0, 1);
    open.encoder.setBuffer(c, 0, 2);
    open.encoder.dispatchThreads({70, 1, 1}, {64, 1, 1});
    open.finish();
    CHECK(valuesOf(b) == std::vector<float>(70, 5));
    CHECK(valuesOf(c) == std::vector<float>(70, 50));
}

TEST_CASE("A dispatch chooses the threads where the kernel lets it", "[ComputeCommandEncoder]") {
    const uint64_t threads = GENERATE(1u, 32u, 48u);
    MTL::FunctionConstantValues constants;
    constants.setConstantValue(3.0f, 1);
    const auto pipeline = pipelineOf(scaleKernel(), constants);
    CHECK(pipeline.requiredThreadsPerThreadgroup() == MTL::Size{0, 1, 1});
    CHECK(pipeline.maxTotalThreadsPerThreadgroup() ==
          testDevice().impl().vk->properties().limits.maxComputeWorkGroupInvocations);
    CHECK(pipeline.staticThreadgroupMemoryLength() == 128);
    std::vector<float> values(100), expected(100);
    for (size_t i = 0; i < 100; ++i) values[i] = float(i), expected[i] = float(3 * i);
    const MTL::Buffer data = bufferOf(values);
    Open open;
    open.encoder.setComputePipelineState(pipeline);
    open.encoder.setBuffer(data, 0, 0);
    open.encoder.dispatchThreads({100, 1, 1}, {threads, 1, 1});
    open.finish();
    CHECK(valuesOf(data) == expected);
}

TEST_CASE("A kernel writes a texture from another one", "[ComputeCommandEncoder]") {
    if (!hasTextures()) SKIP("the device has no textures");
    MTL::TextureDescriptor descriptor(MTL::PixelFormat::RGBA32Float, 11, 9, false);
    descriptor.setTextureType(MTL::TextureType::Type2DArray);
    descriptor.setArrayLength(2);
    const MTL::Texture source = testDevice().newTexture(descriptor);
    descriptor.setUsage(MTL::TextureUsage::ShaderWrite);
    const MTL::Texture destination = testDevice().newTexture(descriptor);
    std::vector<float> texels(11 * 9 * 4), out(texels.size());
    for (size_t i = 0; i < texels.size(); ++i) texels[i] = float(i % 17);
    const MTL::Region all = MTL::RegionMake2D(0, 0, 11, 9);
    for (uint64_t slice = 0; slice < 2; ++slice)
        source.replaceRegion(all, 0, slice, std::as_bytes(std::span(texels)), 11 * 16, 0);
    Open open;
    open.encoder.setComputePipelineState(pipelineOf(textureKernel()));
    open.encoder.setTexture(source, 0);
    open.encoder.setTexture(destination, 1);
    open.encoder.dispatchThreads({11, 9, 2}, {8, 8, 1});
    open.finish();
    for (uint64_t slice = 0; slice < 2; ++slice) {
        destination.getBytes(std::as_writable_bytes(std::span(out)), 11 * 16, 0, all, 0, slice);
        bool right = true;
        for (size_t y = 0; y < 9; ++y)
            for (size_t x = 0; x < 11; ++x) {
                const float add[4] = {float(x), float(y), float(slice), 1};
                for (size_t c = 0; c < 4; ++c) {
                    const size_t i = (y * 11 + x) * 4 + c;
                    right &= out[i] == texels[i] * 2 + add[c];
                }
            }
        CHECK(right);
    }
    SECTION("but only one that may be written") {
        Open again;
        again.encoder.setComputePipelineState(pipelineOf(textureKernel()));
        const MTL::Texture both[] = {source, source};
        again.encoder.setTextures(both, {0, 2});
        CHECK(sentence<InvalidArgument>([&] {
                  again.encoder.dispatchThreads({11, 9, 2}, {8, 8, 1});
              }) == "[ComputeCommandEncoder] dispatchThreads was called but the texture at index "
                    "1, which the "
                    "kernel \"main\" writes, was made without TextureUsage::ShaderWrite.");
        again.finish();
    }
}

TEST_CASE("The number of threadgroups may come from the device", "[ComputeCommandEncoder]") {
    const MTL::Buffer a = bufferOf(std::vector<float>(300, 1)),
                      b = bufferOf(std::vector<float>(300, 0));
    const MTL::Buffer counts = testDevice().newBuffer(20), source = testDevice().newBuffer(12);
    const uint32_t groups[3] = {2, 1, 1};
    std::ranges::copy(std::as_bytes(std::span(groups)), source.contents().begin());
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto blit = commands.blitCommandEncoder(); // the counts are written on the device
    blit.copyFromBuffer(source, 0, counts, 8, 12);
    blit.endEncoding();
    const auto encoder = commands.computeCommandEncoder();
    encoder.setComputePipelineState(pipelineOf(affineKernel()));
    encoder.setBytes(bytesOf(AffineParameters{5, 0, 300}), 0);
    encoder.setBuffer(a, 0, 1);
    encoder.setBuffer(b, 0, 2);
    encoder.dispatchThreadgroups(counts, 8, {64, 1, 1});
    const std::string who = "[ComputeCommandEncoder] dispatchThreadgroups was given ";
    CHECK(sentence<InvalidArgument>([&] {
              encoder.dispatchThreadgroups(counts, 12, {64, 1, 1});
          }) ==
          who +
              "offset 12 of a buffer of 20 bytes but 12 bytes from a multiple of 4 on are needed.");
    CHECK(sentence<InvalidArgument>([&] {
              encoder.dispatchThreadgroups(counts, 2, {64, 1, 1});
          }) ==
          who +
              "offset 2 of a buffer of 20 bytes but 12 bytes from a multiple of 4 on are needed.");
    encoder.setComputePipelineState(pipelineOf(addKernel()));
    encoder.setBuffer(a, 0, 0);
    CHECK(sentence<InvalidArgument>([&] {
              encoder.dispatchThreadgroups(counts, 8, {64, 1, 1});
          }) ==
          who +
              "a buffer of group counts but the kernel \"main\" wants its grid in push constants, "
              "which the host does not know.");
    encoder.endEncoding();
    finish(commands);
    std::vector<float> expected(300, 0);
    std::fill_n(expected.begin(), 128, 5.0f);
    CHECK(valuesOf(b) == expected);
}

TEST_CASE("A hundred dispatches on each other's results, in one encoder",
          "[ComputeCommandEncoder]") {
    const MTL::Buffer sides[2] = {bufferOf(std::vector<float>(64, 0)),
                                  bufferOf(std::vector<float>(64, 0))};
    Open open;
    open.encoder.setComputePipelineState(pipelineOf(affineKernel()));
    open.encoder.setBytes(bytesOf(AffineParameters{1, 1, 64}), 0);
    for (int i = 0; i < 100; ++i) {
        open.encoder.setBuffer(sides[i % 2], 0, 1);
        open.encoder.setBuffer(sides[1 - i % 2], 0, 2);
        open.encoder.dispatchThreads({64, 1, 1}, {64, 1, 1});
    }
    open.finish();
    CHECK(valuesOf(sides[0]) == std::vector<float>(64, 100));
}

TEST_CASE("What is declared is kept alive", "[ComputeCommandEncoder]") {
    Open open;
    std::weak_ptr<detail::ObjectImpl> buffer, heap;
    {
        const MTL::Buffer declared = bufferOf({1});
        MTL::HeapDescriptor descriptor;
        descriptor.setSize(256);
        const MTL::Heap own = testDevice().newHeap(descriptor);
        open.encoder.useResource(declared, MTL::ResourceUsage::Read | MTL::ResourceUsage::Write);
        open.encoder.useHeap(own);
        open.encoder.memoryBarrier(MTL::BarrierScope::Buffers);
        open.encoder.memoryBarrier(
            std::span<const MTL::Resource>(&static_cast<const MTL::Resource&>(declared), 1));
        buffer = declared.shared();
        heap = own.shared();
    }
    CHECK_FALSE(buffer.expired());
    CHECK_FALSE(heap.expired());
    open.finish();
    CHECK(buffer.expired());
    CHECK(heap.expired());
}

TEST_CASE("Dispatches that cannot be", "[ComputeCommandEncoder]") {
    const auto& limits = testDevice().impl().vk->properties().limits;
    const MTL::Buffer a = bufferOf(std::vector<float>(64, 1));
    Open open;
    const auto& encoder = open.encoder;
    encoder.setLabel("mine");
    const std::string who = "[ComputeCommandEncoder \"mine\"] ";
    const auto dispatch = [&](MTL::Size groups, MTL::Size threads) {
        return sentence<InvalidArgument>([&] { encoder.dispatchThreadgroups(groups, threads); });
    };
    CHECK(dispatch({1, 1, 1}, {64, 1, 1}) ==
          who + "dispatchThreadgroups was called before setComputePipelineState.");
    encoder.setComputePipelineState(pipelineOf(affineKernel()));
    encoder.setBytes(bytesOf(AffineParameters{}), 0);
    encoder.setBuffer(a, 0, 1);
    CHECK(dispatch({1, 1, 1}, {64, 1, 1}) ==
          who + "dispatchThreadgroups was called but nothing is bound at buffer index 2, which the "
                "kernel \"main\" uses.");
    encoder.setBytes(bytesOf(1.0f), 2);
    CHECK(
        dispatch({1, 1, 1}, {64, 1, 1}) ==
        who +
            "dispatchThreadgroups was called but buffer index 2, which the kernel \"main\" writes, "
            "is bound by setBytes; declare the block readonly or bind a buffer.");
    encoder.setBuffer(a, 0, 2);
    CHECK(dispatch({1, 1, 1}, {32, 1, 1}) == who + "dispatchThreadgroups was given threadgroups of "
                                                   "32x1x1 threads but the kernel \"main\" is "
                                                   "written for 64x1x1.");
    CHECK(dispatch({1, 1, 1}, {64, 0, 1}) == who +
                                                 "dispatchThreadgroups was given threadgroups of "
                                                 "64x0x1 threads but the device takes 1 to " +
                                                 std::to_string(limits.maxComputeWorkGroupSize[1]) +
                                                 " in dimension 1.");
    const uint64_t many = uint64_t(limits.maxComputeWorkGroupCount[1]) + 1;
    CHECK(dispatch({1, many, 1}, {64, 1, 1}) ==
          who + "dispatchThreadgroups was given " + std::to_string(many) +
              " threadgroups in dimension 1 but the device takes 1 to " + std::to_string(many - 1) +
              ".");
    CHECK(sentence<InvalidArgument>([&] {
              encoder.dispatchThreads({0, 1, 1}, {64, 1, 1});
          }) ==
          who +
              "dispatchThreads was given 0 threadgroups in dimension 0 but the device takes 1 to " +
              std::to_string(limits.maxComputeWorkGroupCount[0]) + ".");
    if (hasTextures()) {
        encoder.setComputePipelineState(pipelineOf(textureKernel()));
        CHECK(dispatch({1, 1, 1}, {8, 8, 1}) == who +
                                                    "dispatchThreadgroups was called but no "
                                                    "texture is bound at index 0, which the kernel "
                                                    "\"main\" uses.");
    }
    const uint64_t wide = uint64_t(limits.maxComputeWorkGroupSize[0]) + 1;
    encoder.setComputePipelineState(pipelineOf(scaleKernel()));
    CHECK(dispatch({1, 1, 1}, {wide, 1, 1}) ==
          who + "dispatchThreadgroups was given threadgroups of " + std::to_string(wide) +
              "x1x1 threads but the device takes 1 to " + std::to_string(wide - 1) +
              " in dimension 0.");
    encoder.endEncoding();
    CHECK(dispatch({1, 1, 1}, {1, 1, 1}) ==
          who + "dispatchThreadgroups was called after endEncoding.");
    finish(open.commands);
    CHECK(valuesOf(a) == std::vector<float>(64, 1)); // nothing of all that was recorded
}

TEST_CASE("Bindings that cannot be", "[ComputeCommandEncoder]") {
    const MTL::Buffer a = bufferOf(std::vector<float>(64, 1));
    Open open;
    const auto& encoder = open.encoder;
    const std::string who = "[ComputeCommandEncoder] ";
    const auto alignment = std::max(testDevice().impl().vk->limits().storageAlignment,
                                    testDevice().impl().vk->limits().uniformAlignment);
    CHECK(sentence<InvalidArgument>([&] { encoder.setBuffer(a, 0, 32); }) ==
          who + "setBuffer was given index 32 but the largest is 31.");
    CHECK(sentence<InvalidArgument>([&] { encoder.setBuffer(a, 256, 0); }) ==
          who + "setBuffer was given offset 256 of a buffer of 256 bytes.");
    CHECK(sentence<InvalidArgument>([&] { encoder.setBuffer(a, 1, 0); }) ==
          who + "setBuffer was given offset 1 but it must be a multiple of " +
              std::to_string(alignment) + ".");
    CHECK(sentence<InvalidArgument>([&] { encoder.setBufferOffset(0, 3); }) ==
          who + "setBufferOffset was called but nothing is bound at buffer index 3.");
    const MTL::Buffer two[] = {a, a};
    const uint64_t one[] = {0};
    CHECK(sentence<InvalidArgument>([&] {
              encoder.setBuffers(two, one, {0, 2});
          }) == who + "setBuffers was given 2 buffers and 1 offsets for a range of 2.");
    const std::vector<std::byte> many(4097);
    CHECK(sentence<InvalidArgument>([&] { encoder.setBytes(many, 0); }) ==
          who + "setBytes was given 4097 bytes but it takes 1 to 4096.");
    CHECK(sentence<InvalidArgument>([&] { encoder.setBytes({}, 0); }) ==
          who + "setBytes was given 0 bytes but it takes 1 to 4096.");
    CHECK(sentence<InvalidArgument>([&] { encoder.setTexture({}, 40); }) ==
          who + "setTexture was given index 40 but the largest is 31.");
    CHECK(sentence<InvalidArgument>([&] { encoder.setThreadgroupMemoryLength(64, 0); }) ==
          who + "setThreadgroupMemoryLength was given 64 bytes for index 0 but a GLSL kernel "
                "declares its "
                "threadgroup memory itself (shared); make its length a function constant.");
    open.finish();
}
