// Textures: descriptors, texels to and from the host, refusals.
#include "mtl/Texture.hpp"

#include "Rig.hpp"
#include "mtl/CommandBuffer.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>

using namespace mpsvk;
using namespace mpsvk::test;
using MTL::PixelFormat;
using MTL::TextureDescriptor;
using MTL::TextureType;

namespace {

constexpr PixelFormat everyFormat[] = {
    PixelFormat::R8Unorm,     PixelFormat::R16Unorm,    PixelFormat::R16Float,
    PixelFormat::RG8Unorm,    PixelFormat::R32Float,    PixelFormat::RG16Unorm,
    PixelFormat::RG16Float,   PixelFormat::RGBA8Unorm,  PixelFormat::RG32Float,
    PixelFormat::RGBA16Unorm, PixelFormat::RGBA16Float, PixelFormat::RGBA32Float};

TextureDescriptor array(PixelFormat format, uint64_t width, uint64_t height, uint64_t length) {
    TextureDescriptor descriptor(format, width, height, false);
    descriptor.setTextureType(TextureType::Type2DArray);
    descriptor.setArrayLength(length);
    return descriptor;
}

std::vector<std::byte> counting(size_t size, unsigned step) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = std::byte(i * step + 1);
    return bytes;
}

} // namespace

TEST_CASE("A texture descriptor's defaults are Apple's", "[Texture]") {
    const TextureDescriptor d;
    CHECK(d.textureType() == TextureType::Type2D);
    CHECK(d.pixelFormat() == PixelFormat::RGBA8Unorm);
    for (const uint64_t one :
         {d.width(), d.height(), d.depth(), d.mipmapLevelCount(), d.sampleCount(), d.arrayLength()})
        CHECK(one == 1);
    CHECK(d.usage() == MTL::TextureUsage::ShaderRead);
    CHECK(d.storageMode() == MTL::StorageMode::Shared);
    CHECK(d.cpuCacheMode() == MTL::CPUCacheMode::DefaultCache);
    CHECK(d.hazardTrackingMode() == MTL::HazardTrackingMode::Default);
    CHECK(d.allowGPUOptimizedContents());
    const TextureDescriptor mipmapped(PixelFormat::R8Unorm, 33, 7, true);
    CHECK(mipmapped.mipmapLevelCount() == 6);
    CHECK(mipmapped.width() == 33);
}

TEST_CASE("A descriptor's modes and its resource options are one thing", "[Texture]") {
    TextureDescriptor d;
    d.setStorageMode(MTL::StorageMode::Private);
    d.setCpuCacheMode(MTL::CPUCacheMode::WriteCombined);
    d.setHazardTrackingMode(MTL::HazardTrackingMode::Tracked);
    CHECK(uint64_t(d.resourceOptions()) == 0x221);
    d.setStorageMode(MTL::StorageMode::Managed);
    CHECK(uint64_t(d.resourceOptions()) == 0x211);
    d.setResourceOptions(MTL::ResourceOptions::StorageModeShared);
    CHECK(d.hazardTrackingMode() == MTL::HazardTrackingMode::Default);
}

TEST_CASE("Formats", "[Texture]") {
    for (const PixelFormat format : everyFormat) {
        CHECK(MTL::vulkanFormat(format) != VK_FORMAT_UNDEFINED);
        CHECK(MTL::bytesPerPixel(format) > 0);
    }
    CHECK(MTL::bytesPerPixel(PixelFormat::RGBA16Float) == 8);
    CHECK(MTL::vulkanFormat(PixelFormat::RGBA16Float) == VK_FORMAT_R16G16B16A16_SFLOAT);
    CHECK(MTL::vulkanFormat(PixelFormat::Invalid) == VK_FORMAT_UNDEFINED);
    CHECK(MTL::bytesPerPixel(PixelFormat(12345)) == 0);
}

TEST_CASE("Texels go in and come out in every format", "[Texture]") {
    if (!hasTextures()) SKIP("the device has no textures");
    for (const PixelFormat format : everyFormat) {
        const uint32_t texel = MTL::bytesPerPixel(format);
        INFO(MTL::nameOf(format));
        const MTL::Texture texture = testDevice().newTexture(array(format, 7, 5, 3));
        std::vector<std::byte> out(7 * 5 * texel, std::byte(9));
        texture.getBytes(out, 7 * texel, 0, MTL::RegionMake2D(0, 0, 7, 5), 0, 2);
        CHECK(out == std::vector<std::byte>(out.size())); // zeros at first
        const auto whole = counting(out.size(), 3), corner = counting(3 * 2 * texel, 5);
        texture.replaceRegion(MTL::RegionMake2D(0, 0, 7, 5), 0, 1, whole, 7 * texel, 0);
        texture.replaceRegion(MTL::RegionMake2D(4, 3, 3, 2), 0, 1, corner, 3 * texel, 0);
        auto expected = whole;
        for (size_t y = 0; y < 2; ++y)
            std::copy_n(corner.begin() + long(y * 3 * texel), 3 * texel,
                        expected.begin() + long(((y + 3) * 7 + 4) * texel));
        texture.getBytes(out, 7 * texel, 0, MTL::RegionMake2D(0, 0, 7, 5), 0, 1);
        CHECK(out == expected);
        texture.getBytes(out, 7 * texel, 0, MTL::RegionMake2D(0, 0, 7, 5), 0, 0);
        CHECK(out == std::vector<std::byte>(out.size()));
    }
}

TEST_CASE("Rows may be apart, and what lies between them stays", "[Texture]") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::Texture texture =
        testDevice().newTexture(TextureDescriptor(PixelFormat::RGBA8Unorm, 3, 2, false));
    const auto spread = counting(20 + 12, 1); // two rows of 12 bytes, 20 apart
    texture.replaceRegion(MTL::RegionMake2D(0, 0, 3, 2), 0, spread, 20);
    std::vector<std::byte> out(17 + 12, std::byte(0xaa));
    texture.getBytes(out, 17, MTL::RegionMake2D(0, 0, 3, 2), 0);
    for (size_t i = 0; i < 12; ++i) {
        CHECK(out[i] == spread[i]);
        CHECK(out[17 + i] == spread[20 + i]);
    }
    for (size_t i = 12; i < 17; ++i) CHECK(out[i] == std::byte(0xaa));
}

TEST_CASE("What a texture says of itself, and its view", "[Texture]") {
    if (!hasTextures()) SKIP("the device has no textures");
    auto descriptor = array(PixelFormat::RG16Float, 6, 4, 2);
    descriptor.setUsage(MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite);
    const MTL::Texture texture = testDevice().newTexture(descriptor);
    CHECK(texture.textureType() == TextureType::Type2DArray);
    CHECK(texture.pixelFormat() == PixelFormat::RG16Float);
    CHECK(texture.width() == 6);
    CHECK(texture.height() == 4);
    CHECK(texture.depth() == 1);
    CHECK(texture.arrayLength() == 2);
    CHECK(texture.usage() == descriptor.usage());
    CHECK(texture.allocatedSize() >= 6 * 4 * 4 * 2);
    CHECK_FALSE(texture.parentTexture());
    CHECK_FALSE(texture.buffer());
    const MTL::Texture view = texture.newTextureView(PixelFormat::RG16Float);
    CHECK(view != texture);
    CHECK(view.parentTexture() == texture);
    CHECK(view.allocatedSize() == 0);
    const auto texel = counting(4, 1);
    view.replaceRegion(MTL::RegionMake2D(5, 3, 1, 1), 0, 1, texel, 4, 0);
    std::vector<std::byte> out(4);
    texture.getBytes(out, 4, 0, MTL::RegionMake2D(5, 3, 1, 1), 0, 1);
    CHECK(out == texel);
    CHECK(sentence<InvalidArgument>([&] { texture.newTextureView(PixelFormat::R32Float); }) ==
          "[Texture] newTextureView was given R32Float but a view has its texture's format, "
          "RG16Float.");
}

TEST_CASE("Textures that cannot be", "[Texture]") {
    const std::string who = "[Device \"" + testDevice().name() + "\"] newTexture was given ";
    const auto refused = [](auto change) {
        TextureDescriptor descriptor(PixelFormat::R8Unorm, 8, 8, false);
        change(descriptor);
        return sentence<InvalidArgument>([&] { testDevice().newTexture(descriptor); });
    };
    CHECK(refused([](auto& d) { d.setTextureType(TextureType::Type3D); }) ==
          who + "textureType 7 but only Type2D (2) and Type2DArray (3) are supported.");
    CHECK(refused([](auto& d) { d.setPixelFormat(PixelFormat(11)); }) ==
          who + "pixelFormat 11, which is no format.");
    CHECK(refused([](auto& d) { d.setWidth(0); }) ==
          who + "a size of 0x8 but both must be at least 1.");
    CHECK(refused([](auto& d) { d.setDepth(2); }) == who + "a depth of 2 but 2D textures have 1.");
    CHECK(refused([](auto& d) { d.setMipmapLevelCount(4); }) ==
          who + "4 mipmap levels but only 1 is supported.");
    CHECK(refused([](auto& d) { d.setSampleCount(2); }) ==
          who + "2 samples but only 1 is supported.");
    CHECK(refused([](auto& d) { d.setArrayLength(2); }) ==
          who + "an arrayLength of 2 but a Type2D texture has 1.");
    CHECK(refused([](auto& d) {
              d.setTextureType(TextureType::Type2DArray);
              d.setArrayLength(0);
          }) == who + "an arrayLength of 0 but a Type2DArray texture needs at least 1.");
    CHECK(refused([](auto& d) {
              d.setResourceOptions(MTL::ResourceOptions(0x1000));
          }).starts_with(who + "resource options 4096 but the cache mode (bits 0 to 3)"));
    CHECK(refused([](auto& d) { d.setStorageMode(MTL::StorageMode::Memoryless); }) ==
          who + "memoryless storage, which only render targets can have.");

    const vk::Limits& limits = testDevice().impl().vk->limits();
    const uint64_t wide = uint64_t(limits.imageSize2D) + 1;
    const std::string what =
        "A texture of " + std::to_string(wide) + "x1 with 1 layers was asked for but the device";
    CHECK(sentence<DeviceError>([&] {
              testDevice().newTexture(TextureDescriptor(PixelFormat::R8Unorm, wide, 1, false));
          }) == what + (hasTextures()
                            ? "'s limits are " + std::to_string(limits.imageSize2D) +
                                  " pixels and " + std::to_string(limits.imageLayers) + " layers."
                            : std::string(" cannot write storage images without a format.")));
}

TEST_CASE("Host copies that cannot be", "[Texture]") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::Texture texture = testDevice().newTexture(array(PixelFormat::RGBA8Unorm, 8, 4, 2));
    texture.setLabel("t");
    std::vector<std::byte> bytes(8 * 4 * 4);
    const auto refused = [&](MTL::Region region, uint64_t level, uint64_t slice,
                             uint64_t bytesPerRow) {
        return sentence<InvalidArgument>(
            [&] { texture.getBytes(bytes, bytesPerRow, 0, region, level, slice); });
    };
    const MTL::Region all = MTL::RegionMake2D(0, 0, 8, 4);
    const std::string who = "[Texture \"t\"] getBytes was given ";
    CHECK(refused(all, 1, 0, 32) == who + "mipmap level 1 of a texture that has 1.");
    CHECK(refused(all, 0, 2, 32) == who + "slice 2 of a texture that has 2.");
    CHECK(refused(MTL::RegionMake2D(1, 0, 8, 4), 0, 0, 32) ==
          who + "the region 8x4 at (1, 0) of a texture of 8x4.");
    CHECK(refused(MTL::RegionMake2D(UINT64_MAX, 0, 1, 1), 0, 0, 32) ==
          who + "the region 1x1 at (18446744073709551615, 0) of a texture of 8x4.");
    CHECK(refused(MTL::RegionMake2D(0, 0, 0, 4), 0, 0, 32) == who + "an empty region of 0x4.");
    CHECK(refused(MTL::RegionMake3D(0, 0, 1, 8, 4, 1), 0, 0, 32) ==
          who + "depths 1 to 2 of a texture of depth 1.");
    CHECK(refused(all, 0, 0, 31) == who + "31 bytes per row but a row of the region has 32.");
    CHECK(refused(all, 0, 0, 33) ==
          who + "128 bytes but 4 rows, 33 bytes apart, of 32 bytes need 131.");
    CHECK(sentence<InvalidArgument>(
              [&] { texture.replaceRegion(all, 0, 0, std::span(bytes).first(127), 32, 0); }) ==
          "[Texture \"t\"] replaceRegion was given 127 bytes but 4 rows, 32 bytes apart, of 32 "
          "bytes need 128.");
    auto descriptor = array(PixelFormat::RGBA8Unorm, 8, 4, 2);
    descriptor.setStorageMode(MTL::StorageMode::Private);
    const MTL::Texture own = testDevice().newTexture(descriptor);
    CHECK(sentence<InvalidArgument>([&] { own.getBytes(bytes, 32, all, 0); }) ==
          "[Texture] getBytes was called on a texture of private storage, which the host cannot "
          "reach.");
}

TEST_CASE("The host neither reads nor writes a texture that is still being written", "[Texture]") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::Texture texture =
        testDevice().newTexture(TextureDescriptor(PixelFormat::R32Float, 2, 1, false));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto blit = commands.blitCommandEncoder();
    blit.copyFromBuffer(bufferOf({1.5f, 2.5f}), 0, 8, 0, {2, 1, 1}, texture, 0, 0, {0, 0, 0});
    blit.endEncoding();
    std::array<float, 2> out{};
    const auto get = [&] {
        texture.getBytes(std::as_writable_bytes(std::span(out)), 8, MTL::RegionMake2D(0, 0, 2, 1),
                         0);
    };
    CHECK(sentence<InvalidArgument>(get) ==
          "[Texture] getBytes was called while a command buffer that writes the texture is not "
          "completed; commit it and wait for it first.");
    CHECK(
        sentence<InvalidArgument>([&] {
            texture.replaceRegion(MTL::RegionMake2D(0, 0, 2, 1), 0, std::as_bytes(std::span(out)),
                                  8);
        }) ==
        "[Texture] replaceRegion was called while a command buffer that writes the texture is not "
        "completed; commit it and wait for it first.");
    finish(commands);
    get();
    CHECK(out == std::array<float, 2>{1.5f, 2.5f});
}
