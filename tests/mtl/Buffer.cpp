// Buffers: bytes, zeros, storage modes, members.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;
using MTL::ResourceOptions;

namespace {

/// What a command buffer finds in `buffer`.
std::vector<std::byte> bytesOnDevice(const MTL::Buffer& buffer) {
    const MTL::Buffer copy = testDevice().newBuffer(buffer.length());
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto blit = commands.blitCommandEncoder();
    blit.copyFromBuffer(buffer, 0, copy, 0, buffer.length());
    blit.endEncoding();
    finish(commands);
    const auto bytes = copy.contents();
    return {bytes.begin(), bytes.end()};
}

} // namespace

TEST_CASE("A new buffer is all zeros, on used memory too", "[Buffer]") {
    for (const auto options :
         {ResourceOptions::StorageModeShared, ResourceOptions::StorageModeManaged,
          ResourceOptions::StorageModePrivate})
        for (const uint64_t length : {1, 2, 3, 4, 255, 4096, 100003}) {
            INFO(uint64_t(options) << ", " << length << " bytes");
            {
                const MTL::Buffer used = testDevice().newBuffer(length, options);
                const MTL::CommandBuffer commands = testQueue().commandBuffer();
                const auto blit = commands.blitCommandEncoder();
                blit.fillBuffer(used, {0, length / 4 * 4}, 0xee);
                blit.endEncoding();
                finish(commands);
            }
            CHECK(bytesOnDevice(testDevice().newBuffer(length, options)) ==
                  std::vector<std::byte>(length));
        }
}

TEST_CASE("Bytes come and go", "[Buffer]") {
    std::vector<std::byte> bytes(1001);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 7);
    const MTL::Buffer buffer = testDevice().newBuffer(std::span<const std::byte>(bytes));
    CHECK(buffer.length() == 1001);
    CHECK(std::ranges::equal(buffer.contents(), bytes));
    CHECK(bytesOnDevice(buffer) == bytes);
    buffer.contents()[1000] = std::byte(1);
    buffer.didModifyRange({1000, 1});
    CHECK(bytesOnDevice(buffer)[1000] == std::byte(1));
}

TEST_CASE("Private storage has no contents", "[Buffer]") {
    const MTL::Buffer buffer = testDevice().newBuffer(64, ResourceOptions::StorageModePrivate);
    CHECK(buffer.contents().empty());
    CHECK(buffer.storageMode() == MTL::StorageMode::Private);
}

TEST_CASE("What a buffer says of itself", "[Buffer]") {
    const auto options =
        ResourceOptions::StorageModeManaged | ResourceOptions::CPUCacheModeWriteCombined;
    const MTL::Buffer buffer = testDevice().newBuffer(100, options);
    CHECK(buffer.label().empty());
    buffer.setLabel("weights");
    CHECK(buffer.label() == "weights");
    CHECK(buffer.device() == testDevice());
    CHECK(buffer.storageMode() == MTL::StorageMode::Managed);
    CHECK(buffer.cpuCacheMode() == MTL::CPUCacheMode::WriteCombined);
    CHECK(buffer.hazardTrackingMode() == MTL::HazardTrackingMode::Tracked);
    CHECK(buffer.resourceOptions() == options);
    CHECK(buffer.allocatedSize() >= 100);
    CHECK_FALSE(buffer.heap());
    CHECK(buffer.heapOffset() == 0);
    CHECK_FALSE(buffer.isAliasable());
    CHECK(buffer.setPurgeableState(MTL::PurgeableState::Volatile) ==
          MTL::PurgeableState::NonVolatile);
    CHECK(buffer.setPurgeableState(MTL::PurgeableState::KeepCurrent) ==
          MTL::PurgeableState::Volatile);
    const MTL::Buffer untracked =
        testDevice().newBuffer(4, ResourceOptions::HazardTrackingModeUntracked);
    CHECK(untracked.hazardTrackingMode() == MTL::HazardTrackingMode::Untracked);
    CHECK(sentence<InvalidArgument>([&] {
              buffer.didModifyRange({90, 11});
          }) == "[Buffer \"weights\"] didModifyRange was given 11 bytes from byte 90 on, of a "
                "buffer of 100.");
    CHECK(sentence<InvalidArgument>([&] {
              buffer.didModifyRange({90, UINT64_MAX});
          }) == "[Buffer \"weights\"] didModifyRange was given 18446744073709551615 bytes from "
                "byte 90 on, of "
                "a buffer of 100.");
    CHECK(sentence<InvalidArgument>([&] { buffer.makeAliasable(); }) ==
          "[Resource \"weights\"] makeAliasable is for resources of a heap but this one is the "
          "device's.");
}
