// Heaps: places, fullness, aliasing, lifetimes.
#include "mtl/Heap.hpp"

#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MTL::HeapDescriptor;
using MTL::ResourceOptions;

namespace {

MTL::Heap heapOf(uint64_t size, MTL::HeapType type = MTL::HeapType::Automatic,
                 MTL::StorageMode mode = MTL::StorageMode::Shared) {
    HeapDescriptor descriptor;
    descriptor.setSize(size);
    descriptor.setType(type);
    descriptor.setStorageMode(mode);
    return testDevice().newHeap(descriptor);
}

constexpr auto shared = ResourceOptions::StorageModeShared;

} // namespace

TEST_CASE("A heap descriptor's defaults are Apple's", "[Heap]") {
    const HeapDescriptor d;
    CHECK(d.size() == 0);
    CHECK(d.type() == MTL::HeapType::Automatic);
    CHECK(d.storageMode() == MTL::StorageMode::Private);
    CHECK(d.cpuCacheMode() == MTL::CPUCacheMode::DefaultCache);
    CHECK(d.hazardTrackingMode() == MTL::HazardTrackingMode::Default);
    CHECK(uint64_t(d.resourceOptions()) == 0x20);
}

TEST_CASE("An automatic heap gives places until it is full", "[Heap]") {
    const MTL::Heap heap = heapOf(1024);
    CHECK(heap.size() == 1024);
    CHECK(heap.usedSize() == 0);
    CHECK(heap.currentAllocatedSize() == 1024);
    CHECK(heap.maxAvailableSize(256) == 1024);
    CHECK(heap.hazardTrackingMode() == MTL::HazardTrackingMode::Untracked);
    MTL::Buffer a = heap.newBuffer(300, shared), b = heap.newBuffer(256, shared);
    CHECK(a.heap() == heap);
    CHECK(a.heapOffset() == 0);
    CHECK(b.heapOffset() == 512);
    CHECK(a.length() == 300);
    CHECK(a.hazardTrackingMode() == MTL::HazardTrackingMode::Untracked);
    CHECK(heap.usedSize() == 768);
    CHECK(heap.maxAvailableSize(256) == 256);
    CHECK(sentence<DeviceError>([&] { heap.newBuffer(257, shared); }) ==
          "[Heap] newBuffer needs 512 bytes in one piece but the heap of 1024 bytes has 768 in use "
          "(VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    MTL::Buffer c = heap.newBuffer(256, shared);
    CHECK(c.heapOffset() == 768);
    CHECK(heap.maxAvailableSize(1) == 0);
    SECTION("a place is free with its last handle") {
        b = {};
        CHECK(heap.usedSize() == 768);
        CHECK(heap.maxAvailableSize(256) == 256);
        CHECK(heap.newBuffer(100, shared).heapOffset() == 512);
    }
    SECTION("neighbouring places become one") {
        a = {};
        b = {};
        CHECK(heap.maxAvailableSize(256) == 768);
        CHECK(heap.maxAvailableSize(512) == 768);
        CHECK(heap.newBuffer(768, shared).heapOffset() == 0);
    }
    SECTION("or when it is made aliasable, once") {
        a.makeAliasable();
        a.makeAliasable();
        CHECK(a.isAliasable());
        CHECK(heap.usedSize() == 512);
        const MTL::Buffer again = heap.newBuffer(512, shared);
        CHECK(again.heapOffset() == 0);
        floats(again)[3] = 42;
        CHECK(floats(a)[3] == 42); // the same memory now
        a = {};
        CHECK(heap.usedSize() == 1024);
    }
}

TEST_CASE("A command buffer holds on to its places", "[Heap]") {
    const MTL::Heap heap = heapOf(512);
    const MTL::Buffer result = bufferOf(std::vector<float>(64, 0));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    {
        const MTL::Buffer middle = heap.newBuffer(256, shared);
        affine(commands, bufferOf(std::vector<float>(64, 5)), middle, 2, 0);
        affine(commands, middle, result, 1, 1);
    }
    CHECK(heap.usedSize() == 256);
    finish(commands);
    CHECK(heap.usedSize() == 0);
    CHECK(valuesOf(result) == std::vector<float>(64, 11));
}

TEST_CASE("Two buffers of a heap that share memory one after the other are safe", "[Heap]") {
    const MTL::Heap heap = heapOf(256, MTL::HeapType::Placement, MTL::StorageMode::Private);
    const auto options = ResourceOptions::StorageModePrivate;
    const MTL::Buffer one = heap.newBuffer(256, options, 0),
                      other = heap.newBuffer(256, options, 0);
    CHECK(heap.usedSize() == 512);
    const MTL::Buffer x = bufferOf(std::vector<float>(64, 1)),
                      y = bufferOf(std::vector<float>(64, 0)),
                      z = bufferOf(std::vector<float>(64, 0));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    affine(commands, x, one, 10, 0);
    affine(commands, one, y, 1, 1);
    affine(commands, x, other, 20, 0);
    affine(commands, other, z, 1, 1);
    finish(commands);
    CHECK(valuesOf(y) == std::vector<float>(64, 11));
    CHECK(valuesOf(z) == std::vector<float>(64, 21));
}

TEST_CASE("A placement heap gives the place that is asked for", "[Heap]") {
    const MTL::Heap heap = heapOf(2048, MTL::HeapType::Placement);
    heap.setLabel("arena");
    const auto [size, align] = testDevice().heapBufferSizeAndAlign(300, shared);
    CHECK(size == 512);
    CHECK(align == 256);
    const MTL::Buffer buffer = heap.newBuffer(300, shared, 1536);
    CHECK(buffer.heapOffset() == 1536);
    const std::string who = "[Heap \"arena\"] newBuffer ";
    CHECK(sentence<InvalidArgument>([&] { heap.newBuffer(300, shared, 1537); }) ==
          who + "was given offset 1537 but it must be a multiple of 256.");
    CHECK(sentence<InvalidArgument>([&] { heap.newBuffer(300, shared, 1792); }) ==
          who + "was given 512 bytes at offset 1792 of a heap of 2048.");
    CHECK(sentence<InvalidArgument>([&] { heap.newBuffer(300, shared); }) ==
          who + "needs an offset: the heap is a placement heap.");
    CHECK(sentence<InvalidArgument>([&] { heapOf(1024).newBuffer(300, shared, 0); }) ==
          "[Heap] newBuffer was given an offset but the heap is automatic.");
}

TEST_CASE("What heaps refuse", "[Heap]") {
    const std::string device = "[Device \"" + testDevice().name() + "\"] newHeap was given ";
    CHECK(sentence<InvalidArgument>([] { heapOf(0); }) == device + "a size of 0 bytes.");
    CHECK(sentence<InvalidArgument>([] {
              heapOf(256, MTL::HeapType::Automatic, MTL::StorageMode::Managed);
          }) == device + "storage mode 1 but a heap is private (2) or shared (0).");
    const MTL::Heap heap = heapOf(256);
    CHECK(sentence<InvalidArgument>(
              [&] { heap.newBuffer(16, ResourceOptions::StorageModePrivate); }) ==
          "[Heap] newBuffer was given storage mode 2 and cache mode 0 but the heap has 0 and 0.");
    CHECK(sentence<InvalidArgument>([&] {
              heap.newBuffer(16, ResourceOptions(0x800));
          }).starts_with("[Heap] newBuffer was given resource options 2048 but"));
    MTL::HeapDescriptor unknown;
    unknown.setSize(256);
    unknown.setCpuCacheMode(MTL::CPUCacheMode(0x20));
    CHECK(sentence<InvalidArgument>([&] { testDevice().newHeap(unknown); }) ==
          device + "cpuCacheMode 32 and hazardTrackingMode 0 but they are at most 1 and 2.");
    unknown.setResourceOptions(ResourceOptions(0x400));
    CHECK(sentence<InvalidArgument>([&] { testDevice().newHeap(unknown); }) ==
          device + "cpuCacheMode 0 and hazardTrackingMode 4 but they are at most 1 and 2.");
    CHECK(sentence<InvalidArgument>([&] { heap.newBuffer(0, shared); }) ==
          "[Heap] newBuffer was given a length of 0 bytes.");
    CHECK(sentence<InvalidArgument>([&] { heap.maxAvailableSize(3); }) ==
          "[Heap] maxAvailableSize was given an alignment of 3 but it must be a power of two.");
}

TEST_CASE("A heap that no device holds is the device's trouble", "[Heap]") {
    CHECK(sentence<DeviceError>([] { heapOf(UINT64_MAX - 1); })
              .starts_with("[Device \"" + testDevice().name() +
                           "\"] newHeap was given a size of 18446744073709551614 bytes but the "
                           "device has "));
}

TEST_CASE("A texture of a heap counts in the heap's books", "[Heap]") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::TextureDescriptor descriptor(MTL::PixelFormat::RGBA32Float, 16, 16, false);
    const auto [size, align] = testDevice().heapTextureSizeAndAlign(descriptor);
    CHECK(size >= 16 * 16 * 16);
    CHECK(size % align == 0);
    const MTL::Heap heap = heapOf(size);
    MTL::Texture texture = heap.newTexture(descriptor);
    CHECK(texture.heap() == heap);
    CHECK(heap.usedSize() == size);
    CHECK(heap.currentAllocatedSize() >= 2 * size);
    std::vector<std::byte> bytes(16 * 16 * 16, std::byte(7)), out(bytes.size());
    texture.replaceRegion(MTL::RegionMake2D(0, 0, 16, 16), 0, bytes, 256);
    texture.getBytes(out, 256, MTL::RegionMake2D(0, 0, 16, 16), 0);
    CHECK(out == bytes);
    CHECK(sentence<DeviceError>([&] {
              heap.newTexture(descriptor);
          }).starts_with("[Heap] newTexture needs "));
    texture = {};
    CHECK(heap.usedSize() == 0);
    CHECK(heap.currentAllocatedSize() == heap.size());
}
