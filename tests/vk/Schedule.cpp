// Commands that wait for each other are in order with a barrier between them, the others side by
// side.
#include "Rig.hpp"

#include "vk/Schedule.hpp"
#include "vk/Shaders.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// The commands' numbers in the order of their submission, '|' where a barrier stands.
std::string order(const vk::CommandList& list) {
    std::string text;
    for (const auto& [command, afterBarrier] : vk::schedule(list))
        text += (afterBarrier ? "|" : "") + std::to_string(command);
    return text;
}

vk::BufferSlice part(vk::BufferSlice of, uint64_t first, uint64_t count) {
    of.offset += first * sizeof(float);
    of.size = count * sizeof(float);
    return of;
}

} // namespace

TEST_CASE("Commands that share nothing, or only read, need no barrier", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, b, 1, 0);
    affine(list, pipeline, a, c, 1, 0);
    affine(list, pipeline, a, d, 1, 0);
    CHECK(order(list) == "012");
}

TEST_CASE("A read after a write, a write after a write and a write after a read wait",
          "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64);
    vk::CommandList readAfterWrite, writeAfterWrite, writeAfterRead;
    affine(readAfterWrite, pipeline, a, b, 1, 0);
    affine(readAfterWrite, pipeline, b, c, 1, 0);
    CHECK(order(readAfterWrite) == "0|1");
    affine(writeAfterWrite, pipeline, a, b, 1, 0);
    affine(writeAfterWrite, pipeline, c, b, 1, 0);
    CHECK(order(writeAfterWrite) == "0|1");
    affine(writeAfterRead, pipeline, a, b, 1, 0);
    affine(writeAfterRead, pipeline, c, a, 1, 0);
    CHECK(order(writeAfterRead) == "0|1");
}

TEST_CASE("A command is in the first wave that it need not wait in", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64), e = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, b, 1, 0);
    affine(list, pipeline, b, c, 1, 0); // waits for the first
    affine(list, pipeline, c, d, 1, 0); // and this one for that
    affine(list, pipeline, a, e, 1, 0); // waits for nobody: beside the first
    affine(list, pipeline, e, a, 1, 0); // writes what two of the first wave read
    affine(list, pipeline, d, b, 1, 0); // writes what the second reads, and waits for the third
    CHECK(order(list) == "03|14|2|5");
}

TEST_CASE("Parts of a range are waited for by who touches them", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto all = slice(256), a = slice(128), b = slice(256), c = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, part(all, 0, 128), 1, 0);
    affine(list, pipeline, part(all, 0, 64), c, 1, 0);    // its first half
    affine(list, pipeline, a, part(all, 128, 128), 1, 0); // beside the first
    affine(list, pipeline, all, b, 1, 0);                 // waits for both
    affine(list, pipeline, c, part(all, 192, 64), 1, 0);  // writes what that reads
    affine(list, pipeline, part(all, 64, 64), a, 1, 0);   // waits for who reads a, nobody else
    CHECK(order(list) == "02|135|4");
}

TEST_CASE("Nothing passes a label", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64);
    vk::CommandList list;
    affine(list, pipeline, a, b, 1, 0);
    affine(list, pipeline, b, c, 1, 0);
    list.label(vk::CommandList::LabelKind::Push, "group");
    affine(list, pipeline, a, d, 1, 0); // without the label beside the first
    list.label(vk::CommandList::LabelKind::Pop);
    affine(list, pipeline, d, b, 1, 0);
    CHECK(order(list) == "0|1234|5");
}

TEST_CASE("Bytes decide, not buffers", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto all = slice(256), source = slice(64);
    SECTION("neighbours do not wait") {
        vk::CommandList list;
        affine(list, pipeline, source, part(all, 0, 64), 1, 0);
        affine(list, pipeline, source, part(all, 64, 64), 1, 0);
        affine(list, pipeline, source, part(all, 128, 128), 1, 0);
        CHECK(order(list) == "012");
    }
    SECTION("one common element waits") {
        vk::CommandList list;
        affine(list, pipeline, source, part(all, 0, 65), 1, 0);
        affine(list, pipeline, source, part(all, 64, 64), 1, 0);
        CHECK(order(list) == "0|1");
    }
    SECTION("two objects in one VkBuffer do not wait for each other") {
        const auto a = slice(64), b = slice(64);
        REQUIRE(a.buffer->handle() == b.buffer->handle());
        vk::CommandList list;
        affine(list, pipeline, source, a, 1, 0);
        affine(list, pipeline, source, b, 1, 0);
        CHECK(order(list) == "01");
    }
}

TEST_CASE("A shader that reads and writes a binding waits for itself", "[Schedule]") {
    const auto code = scaleKernel();
    const auto pipeline = insides().pipelines().make("scale", {code.begin(), code.end()}, {});
    const auto data = slice(64);
    vk::CommandList list;
    for (int i = 0; i < 2; ++i) {
        vk::Binding bindings[] = {vk::Binding::buffer(0, data)};
        list.dispatch(pipeline, bindings, {}, {1, 1, 1});
    }
    CHECK(order(list) == "0|1");
}

TEST_CASE("Copies, fills, group counts and labels", "[Schedule]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(64), b = slice(64), c = slice(64), counts = slice(3);
    vk::CommandList list;
    list.fill(counts, 1);
    list.copy(a, b);
    list.label(vk::CommandList::LabelKind::Push, "group");
    const AffineParameters parameters{1, 0, 64};
    vk::Binding bindings[] = {vk::Binding::buffer(1, a), vk::Binding::buffer(2, c)};
    list.dispatchIndirect(pipeline, bindings, bytesOf(parameters),
                          counts); // counts are being filled
    list.label(vk::CommandList::LabelKind::Pop);
    list.copy(b, a); // a is being read
    list.fill(b, 0); // b is being read
    CHECK(order(list) == "012|34|5|6");
}

TEST_CASE("A texture is one thing", "[Schedule]") {
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
    CHECK(order(list) == "01|2|3");
    // One image behind two objects, as when it is wrapped.
    const auto again = std::make_shared<vk::Texture>(insides(), texture->image(),
                                                     VK_FORMAT_R32G32B32A32_SFLOAT, 4, 4, 2);
    vk::CommandList both;
    both.copy(bytes, texture, region);
    both.copy(again, more, region);
    CHECK(order(both) == "0|1");
}

TEST_CASE("Updates are in the next wave that has a product", "[Schedule]") {
    auto& pipelines = insides().pipelines();
    const auto other = affinePipeline();
    const auto product = pipelines.find("MatrixMultiplicationDirect", false, {}),
               update = pipelines.find("NNOptimizerStochasticGradientDescent", false, {});
    const auto a = slice(64), b = slice(64), c = slice(64), d = slice(64), weights = slice(64);
    vk::CommandList list;
    const auto dispatch = [&list](const auto& pipeline, const auto& from, const auto& to,
                                  uint32_t toNumber) {
        vk::Binding bindings[] = {vk::Binding::buffer(1, from), vk::Binding::buffer(toNumber, to)};
        list.dispatch(pipeline, bindings, {}, {1, 1, 1});
    };
    dispatch(product, a, b, 3);
    affine(list, other, b, c, 1, 0);
    dispatch(product, c, d, 3);
    affine(list, other, d, a, 1, 0);
    SECTION("beside it") {
        dispatch(update, b, weights, 3); // could be beside 1
        CHECK(order(list) == "0|1|24|3");
    }
    SECTION("where it waits for the last one") {
        dispatch(update, d, weights, 3);
        affine(list, other, weights, b, 1, 0); // waits for it
        CHECK(order(list) == "0|1|2|34|5");
    }
    SECTION("or waits for nothing") {
        dispatch(update, weights, slice(64), 3);
        CHECK(order(list) == "04|1|2|3");
    }
    for (const auto& pipeline : {product, update}) CHECK(pipeline->handle()); // compiled by then
}

TEST_CASE("What kernels' time goes to", "[Schedule]") {
    const auto kernels = vk::shaders();
    const auto products = vk::productKernels();
    for (const std::string_view product : products) {
        INFO(product);
        CHECK(std::ranges::find(kernels, product, &vk::Shader::name) != kernels.end());
        CHECK(vk::workOf(product) == vk::Work::Product);
    }
    const auto count = [&](vk::Work work) {
        return size_t(std::ranges::count(
            kernels, work, [](const vk::Shader& kernel) { return vk::workOf(kernel.name); }));
    };
    CHECK(count(vk::Work::Product) == products.size());
    CHECK(count(vk::Work::Update) == 5); // three optimizers, weights and biases that are packed
    for (const char* kernel : {"CNNPoolingMaxGradientBlocks", "CNNConvolutionParts", "affine"})
        CHECK(vk::workOf(kernel) == vk::Work::Any);
}
