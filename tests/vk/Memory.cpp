// Device memory: places, reuse, zeros, neighbours.
#include "Rig.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

std::vector<std::byte> bytesIn(const std::shared_ptr<vk::Buffer>& buffer) {
    std::vector<std::byte> bytes(buffer->size());
    insides().download(vk::whole(buffer), bytes.data());
    return bytes;
}

void fillBytes(const std::shared_ptr<vk::Buffer>& buffer, int value) {
    const std::vector<std::byte> bytes(buffer->size(), std::byte(value));
    insides().upload(vk::whole(buffer), bytes.data());
}

} // namespace

TEST_CASE("Objects made one after the other lie at equal distances in one VkBuffer", "[Memory]") {
    vk::Memory memory(insides());
    const auto kind = GENERATE_COPY(vk::MemoryKind::Device, vk::MemoryKind::Shared);
    const VkDeviceSize size = GENERATE(1u, 256u, 1000u, 65536u, 300001u);
    std::vector<std::shared_ptr<vk::Buffer>> all;
    for (int i = 0; i < 8; ++i) all.push_back(memory.allocate(size, kind));
    for (size_t i = 0; i < all.size(); ++i) {
        CHECK(all[i]->handle() == all[0]->handle());
        CHECK(all[i]->size() == size);
        CHECK(all[i]->offset() == all[0]->offset() + i * ((size + 255) / 256 * 256));
    }
    CHECK(memory.blockCount() == 1);
}

TEST_CASE("Memory that is free is used again", "[Memory]") {
    vk::Memory memory(insides());
    auto first = memory.allocate(5000, vk::MemoryKind::Device);
    const VkDeviceSize offset = first->offset();
    const uint64_t blocks = memory.blockCount(), bytes = memory.bytesAllocated();
    for (int i = 0; i < 100; ++i) {
        first.reset();
        first = memory.allocate(5000, vk::MemoryKind::Device);
        CHECK(first->offset() == offset);
    }
    CHECK(memory.blockCount() == blocks);
    CHECK(memory.bytesAllocated() == bytes);
}

TEST_CASE("A large object has a VkBuffer of its own, which goes with it", "[Memory]") {
    vk::Memory memory(insides());
    const auto small = memory.allocate(100, vk::MemoryKind::Device);
    const uint64_t before = memory.bytesAllocated();
    constexpr VkDeviceSize size = (VkDeviceSize(9) << 20) + 1;
    auto large = memory.allocate(size, vk::MemoryKind::Device);
    CHECK(large->handle() != small->handle());
    CHECK(large->offset() == 0);
    CHECK(memory.bytesAllocated() == before + (size + 255) / 256 * 256);
    large.reset();
    CHECK(memory.bytesAllocated() == before);
}

TEST_CASE("Writing all of an object leaves its neighbours alone", "[Memory]") {
    const auto kind = GENERATE(vk::MemoryKind::Device, vk::MemoryKind::Shared);
    const auto before = insides().memory().allocate(777, kind);
    const auto middle = insides().memory().allocate(777, kind);
    const auto after = insides().memory().allocate(777, kind);
    fillBytes(before, 1);
    fillBytes(after, 3);
    fillBytes(middle, 2);
    CHECK(bytesIn(before) == std::vector<std::byte>(777, std::byte(1)));
    CHECK(bytesIn(middle) == std::vector<std::byte>(777, std::byte(2)));
    CHECK(bytesIn(after) == std::vector<std::byte>(777, std::byte(3)));
}

TEST_CASE("What is cleared before use is zero in the next submission, whoever submits",
          "[Memory]") {
    const auto kind = GENERATE(vk::MemoryKind::Device, vk::MemoryKind::Shared);
    auto buffer = insides().memory().allocate(4096, kind);
    fillBytes(buffer, 0xee);
    insides().clearBeforeUse(buffer);
    SECTION("a download") { CHECK(bytesIn(buffer) == std::vector<std::byte>(4096)); }
    SECTION("a command list") {
        const auto copy = insides().memory().allocate(4096, kind);
        vk::CommandList list;
        list.copy(vk::whole(buffer), vk::whole(copy));
        submitAndWait(list);
        CHECK(bytesIn(copy) == std::vector<std::byte>(4096));
    }
}

TEST_CASE("The host reaches shared memory, and private memory only where there is one memory",
          "[Memory]") {
    const auto shared = insides().memory().allocate(16, vk::MemoryKind::Shared);
    CHECK(shared->mapped());
    const auto own = insides().memory().allocate(16, vk::MemoryKind::Device);
    CHECK((own->mapped() != nullptr) == insides().hasUnifiedMemory());
}

TEST_CASE("More memory than there is", "[Memory]") {
    const auto text = sentence<DeviceError>(
        [] { insides().memory().allocate(VkDeviceSize(1) << 50, vk::MemoryKind::Device); });
    CHECK(text.starts_with(
        "Allocating 1125899906842624 bytes of device memory failed with VK_ERROR_"));
}

TEST_CASE("Counters of arrivals are the same ones for all, and zero at first", "[Memory]") {
    vk::Device& device = insides();
    const auto few = device.arrivalCounters(40);
    CHECK(few->size() >= 40);
    CHECK(device.arrivalCounters(few->size()) == few);
    const VkDeviceSize size = few->size() + 4;
    auto before = device.memory().allocate(size, vk::MemoryKind::Device);
    fillBytes(before, 0xee);
    const VkDeviceSize place = before->offset();
    before.reset();
    const auto more = device.arrivalCounters(size);
    CHECK(more->offset() == place); // where something was
    CHECK(more->size() == size);
    CHECK(std::ranges::all_of(bytesIn(more), [](std::byte b) { return b == std::byte{}; }));
    CHECK(device.arrivalCounters(40) == more);
}
