// Copies and fills.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <numeric>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

std::vector<float> counting(size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.0f);
    return values;
}

template <class Encode> void blit(Encode encode) {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto encoder = commands.blitCommandEncoder();
    encode(encoder);
    encoder.endEncoding();
    finish(commands);
}

} // namespace

TEST_CASE("A copy of bytes, and one of the copy", "[BlitCommandEncoder]") {
    const MTL::Buffer a = bufferOf(counting(16)), b = bufferOf(std::vector<float>(16, -1)),
                      c = bufferOf(std::vector<float>(4, -1));
    blit([&](const MTL::BlitCommandEncoder& encoder) {
        encoder.copyFromBuffer(a, 8, b, 20, 12);
        encoder.copyFromBuffer(b, 16, c, 0, 16);
        encoder.copyFromBuffer(a, 64, b, 64, 0); // nothing, at the end
        encoder.synchronizeResource(b);
    });
    std::vector<float> expected(16, -1);
    expected[5] = 2, expected[6] = 3, expected[7] = 4;
    CHECK(valuesOf(b) == expected);
    CHECK(valuesOf(c) == std::vector<float>{-1, 2, 3, 4});
}

TEST_CASE("A copy within one buffer", "[BlitCommandEncoder]") {
    const MTL::Buffer a = bufferOf(counting(8));
    blit([&](const MTL::BlitCommandEncoder& encoder) { encoder.copyFromBuffer(a, 0, a, 16, 16); });
    CHECK(valuesOf(a) == std::vector<float>{0, 1, 2, 3, 0, 1, 2, 3});
}

TEST_CASE("A fill", "[BlitCommandEncoder]") {
    const MTL::Buffer a = testDevice().newBuffer(16);
    blit([&](const MTL::BlitCommandEncoder& encoder) { encoder.fillBuffer(a, {4, 8}, 0xab); });
    for (size_t i = 0; i < 16; ++i)
        CHECK(a.contents()[i] == std::byte(i >= 4 && i < 12 ? 0xab : 0));
}

TEST_CASE("Texels from a buffer to a texture and back", "[BlitCommandEncoder]") {
    if (!hasTextures()) SKIP("the device has no textures");
    MTL::TextureDescriptor descriptor(MTL::PixelFormat::R32Float, 4, 3, false);
    descriptor.setTextureType(MTL::TextureType::Type2DArray);
    descriptor.setArrayLength(2);
    const MTL::Texture texture = testDevice().newTexture(descriptor);
    const MTL::Buffer from = bufferOf(counting(20)), to = bufferOf(std::vector<float>(20, -1));
    blit([&](const MTL::BlitCommandEncoder& encoder) {
        // Rows of 2 texels, 5 apart, from the second on; to (1, 1) of slice 1.
        encoder.copyFromBuffer(from, 4, 20, 0, {2, 2, 1}, texture, 1, 0, {1, 1, 0});
        encoder.copyFromTexture(texture, 1, 0, {0, 0, 0}, {4, 3, 1}, to, 8, 24, 0);
        encoder.synchronizeTexture(texture, 1, 0);
    });
    std::vector<float> expected(20, -1);
    for (size_t y = 0; y < 3; ++y)
        for (size_t x = 0; x < 4; ++x) expected[2 + y * 6 + x] = 0;
    expected[2 + 6 + 1] = 1, expected[2 + 6 + 2] = 2;
    expected[2 + 12 + 1] = 6, expected[2 + 12 + 2] = 7;
    CHECK(valuesOf(to) == expected);

    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto encoder = commands.blitCommandEncoder();
    const auto refused = [&](uint64_t offset, uint64_t bytesPerRow, MTL::Size size,
                             MTL::Origin origin) {
        return sentence<InvalidArgument>([&] {
            encoder.copyFromBuffer(from, offset, bytesPerRow, 0, size, texture, 0, 0, origin);
        });
    };
    const std::string who = "[BlitCommandEncoder] copyFromBuffer was given ";
    CHECK(refused(0, 16, {4, 3, 1}, {1, 0, 0}) ==
          who + "the region 4x3 at (1, 0) of a texture of 4x3.");
    CHECK(refused(0, 12, {4, 3, 1}, {0, 0, 0}) ==
          who + "12 bytes per row but they must be a multiple of 4 and at least 16.");
    CHECK(refused(2, 16, {4, 3, 1}, {0, 0, 0}) ==
          who + "the buffer offset 2 but it must be a multiple of 4 and of 4.");
    CHECK(refused(36, 16, {4, 3, 1}, {0, 0, 0}) ==
          who + "48 bytes from byte 36 on of a buffer of 80 bytes.");
    encoder.endEncoding();
}

TEST_CASE("Blits that cannot be", "[BlitCommandEncoder]") {
    const MTL::Buffer a = testDevice().newBuffer(64), b = testDevice().newBuffer(32);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto encoder = commands.blitCommandEncoder();
    encoder.setLabel("copies");
    const std::string who = "[BlitCommandEncoder \"copies\"] ";
    CHECK(sentence<InvalidArgument>([&] { encoder.copyFromBuffer(a, 0, b, 0, 33); }) ==
          who + "copyFromBuffer was given 33 bytes from byte 0 on of a destination of 32 bytes.");
    CHECK(sentence<InvalidArgument>([&] { encoder.copyFromBuffer(a, UINT64_MAX, b, 0, 2); }) ==
          who + "copyFromBuffer was given 2 bytes from byte 18446744073709551615 on of a source of "
                "64 bytes.");
    CHECK(sentence<InvalidArgument>([&] { encoder.copyFromBuffer({}, 0, b, 0, 1); }) ==
          who + "copyFromBuffer was given an empty handle for a source.");
    CHECK(sentence<InvalidArgument>([&] { encoder.copyFromBuffer(a, 0, a, 8, 16); }) ==
          who + "copyFromBuffer was given 16 bytes to copy from byte 0 to byte 8 of the same "
                "memory: the "
                "ranges overlap.");
    CHECK(sentence<InvalidArgument>([&] {
              encoder.fillBuffer(a, {2, 4}, 1);
          }) ==
          who + "fillBuffer was given 4 bytes from byte 2 on but both must be multiples of 4.");
    CHECK(sentence<InvalidArgument>([&] {
              encoder.fillBuffer(a, {60, 8}, 1);
          }) == who + "fillBuffer was given 8 bytes from byte 60 on of a buffer of 64 bytes.");
    encoder.endEncoding();
    CHECK(sentence<InvalidArgument>([&] {
              encoder.fillBuffer(a, {0, 4}, 1);
          }) == who + "fillBuffer was called after endEncoding.");
    CHECK(sentence<InvalidArgument>([&] { encoder.endEncoding(); }) ==
          who + "endEncoding was called after endEncoding.");
}
