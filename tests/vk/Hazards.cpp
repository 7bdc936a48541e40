// Barriers stand exactly where a command needs one.
#include "Rig.hpp"

#include "vk/Hazards.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// One letter per command: '|' where a barrier stands before it, '.' where none does.
std::string barriers(const vk::CommandList& list) {
    vk::Hazards hazards;
    std::string text;
    for (const auto& command : list.commands())
        text += hazards.needsBarrier(list, command) ? '|' : '.';
    return text;
}

vk::BufferSlice part(vk::BufferSlice of, uint64_t first, uint64_t count) {
    of.offset += first * sizeof(float);
    of.size = count * sizeof(float);
    return of;
}

} // namespace

TEST_CASE("Commands that share nothing, or only read, need no barrier", "[Hazards]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, b, 1, 0);
    affine(list, pipeline, a, c, 1, 0);
    affine(list, pipeline, a, d, 1, 0);
    CHECK(barriers(list) == "...");
}

TEST_CASE("A read after a write, a write after a write and a write after a read wait",
          "[Hazards]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64);
    vk::CommandList readAfterWrite, writeAfterWrite, writeAfterRead;
    affine(readAfterWrite, pipeline, a, b, 1, 0);
    affine(readAfterWrite, pipeline, b, c, 1, 0);
    CHECK(barriers(readAfterWrite) == ".|");
    affine(writeAfterWrite, pipeline, a, b, 1, 0);
    affine(writeAfterWrite, pipeline, c, b, 1, 0);
    CHECK(barriers(writeAfterWrite) == ".|");
    affine(writeAfterRead, pipeline, a, b, 1, 0);
    affine(writeAfterRead, pipeline, c, a, 1, 0);
    CHECK(barriers(writeAfterRead) == ".|");
}

TEST_CASE("A barrier settles all that came before it and nothing that comes after", "[Hazards]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64), e = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, b, 1, 0);
    affine(list, pipeline, a, c, 1, 0);
    affine(list, pipeline, b, d, 1, 0); // waits for the first
    affine(list, pipeline, c, e, 1, 0); // so the second is done too
    affine(list, pipeline, e, a, 1, 0); // reads what was written since
    affine(list, pipeline, b, c, 1, 0); // b and c: all settled
    affine(list, pipeline, d, b, 1, 0); // writes what the one before reads
    CHECK(barriers(list) == "..|.|.|");
}

TEST_CASE("Bytes decide, not buffers", "[Hazards]") {
    const auto pipeline = affinePipeline();
    const auto all = slice(256), source = slice(64);
    SECTION("neighbours do not wait") {
        vk::CommandList list;
        affine(list, pipeline, source, part(all, 0, 64), 1, 0);
        affine(list, pipeline, source, part(all, 64, 64), 1, 0);
        affine(list, pipeline, source, part(all, 128, 128), 1, 0);
        CHECK(barriers(list) == "...");
    }
    SECTION("one common element waits") {
        vk::CommandList list;
        affine(list, pipeline, source, part(all, 0, 65), 1, 0);
        affine(list, pipeline, source, part(all, 64, 64), 1, 0);
        CHECK(barriers(list) == ".|");
    }
    SECTION("two objects in one VkBuffer do not wait for each other") {
        const auto a = slice(64), b = slice(64);
        REQUIRE(a.buffer->handle() == b.buffer->handle());
        vk::CommandList list;
        affine(list, pipeline, source, a, 1, 0);
        affine(list, pipeline, source, b, 1, 0);
        CHECK(barriers(list) == "..");
    }
}

TEST_CASE("A shader that reads and writes a binding waits for itself", "[Hazards]") {
    const auto code = scaleKernel();
    const auto pipeline = insides().pipelines().make("scale", {code.begin(), code.end()}, {});
    const auto data = slice(64);
    const vk::Binding bindings[] = {vk::Binding::buffer(0, data)};
    vk::CommandList list;
    list.dispatch(pipeline, bindings, {}, {1, 1, 1});
    list.dispatch(pipeline, bindings, {}, {1, 1, 1});
    CHECK(barriers(list) == ".|");
}

TEST_CASE("Copies, fills, group counts and labels", "[Hazards]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), counts = slice(3);
    vk::CommandList list;
    list.fill(counts, 1);
    list.copy(a, b);
    list.label(vk::CommandList::LabelKind::Push, "group");
    const AffineParameters parameters{1, 0, 64};
    const vk::Binding bindings[] = {vk::Binding::buffer(1, a), vk::Binding::buffer(2, c)};
    list.dispatchIndirect(pipeline, bindings, bytesOf(parameters),
                          counts); // counts are being filled
    list.label(vk::CommandList::LabelKind::Pop);
    list.copy(b, a); // a is being read
    list.fill(b, 0); // b is being read
    CHECK(barriers(list) == "...|.||");
}

TEST_CASE("A texture is one thing", "[Hazards]") {
    if (!insides().features().textureStorage) SKIP("the device has no textures");
    const auto texture =
        std::make_shared<vk::Texture>(insides(), VK_FORMAT_R32G32B32A32_SFLOAT, 4, 4, 2);
    const auto other =
        std::make_shared<vk::Texture>(insides(), VK_FORMAT_R32G32B32A32_SFLOAT, 4, 4, 2);
    const auto bytes = slice(64), more = slice(64);
    VkBufferImageCopy region{};
    region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
    region.imageExtent = {4, 4, 1};
    VkBufferImageCopy second = region;
    second.imageSubresource.baseArrayLayer = 1;
    vk::CommandList list;
    list.copy(bytes, texture, region);
    list.copy(bytes, other, region);
    list.copy(bytes, texture, second); // another layer of the first texture: the texture counts
    list.copy(texture, more, region);
    CHECK(barriers(list) == "..||");
}
