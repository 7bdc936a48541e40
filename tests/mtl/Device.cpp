// Devices: which there are, how one is chosen, what they make and refuse.
#include "mtl/Device.hpp"

#include "support/Device.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MTL/Texture.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("The same devices each time", "[Device]") {
    const auto all = MTL::CopyAllDevices();
    REQUIRE_FALSE(all.empty());
    CHECK(all == MTL::CopyAllDevices());
    for (size_t i = 0; i < all.size(); ++i) {
        CHECK_FALSE(all[i].name().empty());
        for (size_t j = 0; j < i; ++j) {
            CHECK(all[i] != all[j]);
            CHECK(all[i].registryID() != all[j].registryID());
        }
    }
    CHECK(std::ranges::find(all, testDevice()) != all.end());
}

TEST_CASE("MPSVK_DEVICE chooses", "[Device]") {
    const auto all = MTL::CopyAllDevices();
    const auto chosen = [](const char* value) {
        Environment variable("MPSVK_DEVICE", value);
        return MTL::CreateSystemDefaultDevice();
    };
    CHECK(chosen(nullptr) == all[0]);
    CHECK(chosen("") == all[0]);
    for (size_t i = 0; i < all.size(); ++i) CHECK(chosen(std::to_string(i).c_str()) == all[i]);
    std::string name = all[0].name().substr(0, 6);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
    CHECK(chosen(name.c_str()) == all[0]);
    CHECK(sentence<DeviceError>([&] { chosen("99"); }) == "MPSVK_DEVICE is 99 but there are " +
                                                              std::to_string(all.size()) +
                                                              " devices, numbered from 0.");
    CHECK(sentence<DeviceError>([&] { chosen("nonesuch"); }) ==
          "MPSVK_DEVICE is \"nonesuch\" but no device has that in its name.");
}

TEST_CASE("What a device says of itself", "[Device]") {
    const MTL::Device device = testDevice();
    const auto& limits = device.impl().vk->properties().limits;
    CHECK(device.maxThreadsPerThreadgroup() == MTL::Size{limits.maxComputeWorkGroupSize[0],
                                                         limits.maxComputeWorkGroupSize[1],
                                                         limits.maxComputeWorkGroupSize[2]});
    CHECK(device.maxThreadgroupMemoryLength() == limits.maxComputeSharedMemorySize);
    CHECK(device.maxBufferLength() == limits.maxStorageBufferRange);
    CHECK(device.recommendedMaxWorkingSetSize() > 0);
    CHECK_FALSE(device.isRemovable());
    const bool hasTextures = device.impl().vk->features().textureStorage;
    CHECK((device.readWriteTextureSupport() == MTL::ReadWriteTextureTier::None) == !hasTextures);
    const uint64_t before = device.currentAllocatedSize();
    const MTL::Buffer large = device.newBuffer(20 << 20);
    CHECK(device.currentAllocatedSize() == before + (20 << 20));
    if (!device.impl().vk->features().textureStorage) return;
    {
        const MTL::Texture texture = device.newTexture(
            MTL::TextureDescriptor(MTL::PixelFormat::RGBA32Float, 1024, 512, false));
        CHECK(device.currentAllocatedSize() >= before + (28 << 20));
    }
    CHECK(device.currentAllocatedSize() == before + (20 << 20));
}

TEST_CASE("What a device does not make", "[Device]") {
    const MTL::Device device = testDevice();
    const std::string who = "[Device \"" + device.name() + "\"] ";
    using MTL::ResourceOptions;
    CHECK(sentence<InvalidArgument>([&] { device.newCommandQueue(0); }) ==
          who + "maxCommandBufferCount is 0 but a queue needs at least 1.");
    CHECK(sentence<InvalidArgument>([&] { device.newBuffer(0); }) ==
          who + "newBuffer was given a length of 0 bytes.");
    const std::string limit = std::to_string(device.maxBufferLength());
    const std::string above = std::to_string(device.maxBufferLength() + 1);
    CHECK(sentence<DeviceError>([&] { device.newBuffer(device.maxBufferLength() + 1); }) ==
          who + "newBuffer was given a length of " + above + " bytes but the device's limit is " +
              limit + " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    CHECK(sentence<InvalidArgument>([&] {
              device.newBuffer(4, ResourceOptions::StorageModeMemoryless);
          }) == who + "newBuffer was given memoryless storage, which buffers cannot have.");
    for (const uint64_t unknown : {0x2, 0x40, 0x300, 0x400}) {
        const std::string options =
            "was given resource options " + std::to_string(unknown) +
            " but the cache mode (bits 0 to 3) is at most 1, the storage mode (4 to 7) at most 3 "
            "and hazard tracking (8 and 9) at most 2.";
        CHECK(sentence<InvalidArgument>([&] { device.newBuffer(4, ResourceOptions(unknown)); }) ==
              who + "newBuffer " + options);
        CHECK(sentence<InvalidArgument>([&] {
                  device.heapBufferSizeAndAlign(4, ResourceOptions(unknown));
              }) == who + "heapBufferSizeAndAlign " + options);
    }
    const std::byte four[4] = {};
    CHECK(
        sentence<InvalidArgument>(
            [&] { device.newBuffer(four, ResourceOptions::StorageModePrivate); }) ==
        who +
            "newBuffer was given bytes to copy and private storage, which the host cannot write.");
}

TEST_CASE("Empty handles", "[Device]") {
    CHECK_FALSE(MTL::Device());
    CHECK(MTL::Device() == MTL::Device());
    CHECK(sentence<InvalidArgument>([] { MTL::Device().name(); }) ==
          "[Device] The device handle is empty.");
    CHECK(sentence<InvalidArgument>([] { MTL::CommandQueue().label(); }) ==
          "[CommandQueue] The queue handle is empty.");
    CHECK(sentence<InvalidArgument>([] { MTL::CommandBuffer().commit(); }) ==
          "[CommandBuffer] The command buffer handle is empty.");
    CHECK(sentence<InvalidArgument>([] { MTL::Buffer().contents(); }) ==
          "[Resource] The resource handle is empty.");
    CHECK(sentence<InvalidArgument>([] { MTL::Texture().width(); }) ==
          "[Texture] The texture handle is empty.");
}

TEST_CASE("A handle down to its class and back", "[Device]") {
    const MTL::Buffer buffer = testDevice().newBuffer(16);
    const MTL::Resource resource = buffer;
    CHECK(resource == buffer);
    CHECK(resource.as<MTL::Buffer>() == buffer);
    CHECK_FALSE(resource.as<MTL::Texture>());
    CHECK_FALSE(MTL::Resource().as<MTL::Buffer>());
    CHECK(testDevice().newSharedEvent().as<MTL::Event>().as<MTL::SharedEvent>());
    CHECK_FALSE(testDevice().newEvent().as<MTL::SharedEvent>());
}
