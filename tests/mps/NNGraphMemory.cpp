// The memory of graphs: how temporaries are placed, what a residual network needs, what is read and
// written.
#include "mps/NNGraph.hpp"
#include "mps/NNGraphRig.hpp"
#include "support/Normalizations.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <random>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using mps::Tenant;

namespace {

/// None lies where one is that lives at the same time, or across two chunks.
bool isValid(std::span<const Tenant> tenants, uint64_t chunk) {
    for (size_t i = 0; i < tenants.size(); ++i) {
        const Tenant& a = tenants[i];
        if (a.offset / chunk != (a.offset + a.bytes - 1) / chunk) return false;
        for (size_t k = 0; k < i; ++k) {
            const Tenant& b = tenants[k];
            if (a.begin < b.end && b.begin < a.end && a.offset < b.offset + b.bytes &&
                b.offset < a.offset + a.bytes)
                return false;
        }
    }
    return true;
}

/// Weights that are there but never used: only plans are made of them.
struct NoWeights : CNNConvolutionDataSource {
    NoWeights(uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t stride)
        : shape(size, size, inputs, outputs), values(size * size * inputs * outputs) {
        shape.setStrideInPixelsX(stride);
        shape.setStrideInPixelsY(stride);
    }
    DataType dataType() const override { return DataType::Float32; }
    DataType kernelWeightsDataType() const override { return DataType::Float32; }
    CNNConvolutionDescriptor descriptor() const override { return shape; }
    std::span<const std::byte> weights() const override { return std::as_bytes(std::span(values)); }
    std::span<const float> biasTerms() const override { return {}; }
    std::string label() const override { return "none"; }
    bool load() override { return true; }
    void purge() override {}
    CNNConvolutionDescriptor shape;
    std::vector<float> values;
};

NNImageNode normalized(const NNImageNode& x, uint64_t channels) {
    return CNNBatchNormalizationNode(x, std::make_shared<FixedNormalization>(channels))
        .resultImage();
}
NNImageNode convolution(const NNImageNode& x, uint64_t size, uint64_t inputs, uint64_t outputs,
                        uint64_t stride = 1) {
    const CNNConvolutionNode node(x, std::make_shared<NoWeights>(size, inputs, outputs, stride));
    return normalized(node.resultImage(), outputs);
}
NNImageNode relu(const NNImageNode& x) { return CNNNeuronReLUNode(x, 0).resultImage(); }

NNImageNode bottleneck(const NNImageNode& x, uint64_t inputs, uint64_t middle, uint64_t stride) {
    const uint64_t outputs = 4 * middle;
    NNImageNode y = relu(convolution(x, 1, inputs, middle));
    y = relu(convolution(y, 3, middle, middle, stride));
    y = convolution(y, 1, middle, outputs);
    const NNImageNode straight = inputs == outputs ? x : convolution(x, 1, inputs, outputs, stride);
    return relu(NNAdditionNode(y, straight).resultImage());
}

/// The training graph of a residual network of 50 layers.
NNGraph residualNetwork() {
    const NNImageNode input;
    NNImageNode x = relu(convolution(input, 7, 3, 64, 2));
    x = CNNPoolingMaxNode(x, 3, 2).resultImage();
    uint64_t channels = 64;
    const uint64_t depths[] = {3, 4, 6, 3};
    for (uint64_t stage = 0; stage < 4; ++stage)
        for (uint64_t k = 0; k < depths[stage]; ++k) {
            const uint64_t middle = uint64_t(64) << stage;
            x = bottleneck(x, channels, middle, stage > 0 && k == 0 ? 2 : 1);
            channels = 4 * middle;
        }
    const NNReductionSpatialMeanNode mean(x);
    const CNNFullyConnectedNode logits(mean.resultImage(),
                                       std::make_shared<NoWeights>(1, channels, 1000, 1));
    const CNNLossNode loss(logits.resultImage(),
                           {CNNLossType::SoftMaxCrossEntropy, CNNReductionType::Mean});
    return graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage(), false);
}

} // namespace

TEST_CASE("what lives at the same time is placed apart, in little more than the sum") {
    std::mt19937 random(1);
    for (int round = 0; round < 20; ++round) {
        std::vector<Tenant> tenants;
        for (size_t i = 0; i < 120; ++i) {
            const size_t begin = random() % 100;
            tenants.push_back({256 * (1 + random() % 64), begin, begin + 1 + random() % 12, 0});
        }
        const uint64_t chunk = round % 2 ? 256 * 64 : UINT64_MAX / 2;
        const uint64_t sum = mps::largestSum(tenants), needed = mps::place(tenants, chunk);
        CHECK(isValid(tenants, chunk));
        CHECK(needed >= sum);
        if (round % 2 == 0) CHECK(double(needed) < 1.25 * double(sum));
        auto again = tenants;
        CHECK(mps::place(again, chunk) == needed);
        CHECK(std::ranges::equal(again, tenants, {}, &Tenant::offset, &Tenant::offset));
    }
    std::vector<Tenant> row{{256, 0, 2, 0}, {256, 1, 3, 0}, {256, 2, 4, 0}, {512, 4, 5, 0}};
    CHECK(mps::largestSum(row) == 512);
    CHECK(mps::place(row, UINT64_MAX / 2) == 512);
    CHECK(mps::place({}, 256) == 0);
    CHECK(mps::largestSum({}) == 0);
}

TEST_CASE("places rest between two tenants where that takes little more memory") {
    const auto chain = [](uint64_t bytes) {
        std::vector<Tenant> tenants;
        for (size_t i = 0; i < 40; ++i) tenants.push_back({bytes, i, i + 2, 0});
        return tenants;
    };
    constexpr uint64_t chunk = UINT64_MAX / 2, mebibyte = 1 << 20;
    auto small = chain(mebibyte), large = chain(16 * mebibyte), huge = chain(1024 * mebibyte);
    CHECK(mps::place(small, chunk) == 2 * mebibyte);
    CHECK(mps::placeApart(small, chunk) == 34 * mebibyte); // two, and those of 32 commands
    CHECK(mps::placeApart(large, chunk) == 64 * mebibyte); // of two commands
    CHECK(mps::placeApart(huge, chunk) == 2048 * mebibyte);
    for (const auto& tenants : {small, large, huge}) CHECK(isValid(tenants, chunk));
}

TEST_CASE("an arena has the pieces that plans were placed in, and stays what it is") {
    mps::PlanArena arena(testDevice().impl().vk);
    const auto first = arena.memory(1000 * 256, 300 * 256);
    REQUIRE(first->chunks.size() == 4);
    CHECK(first->chunks[0]->size() == 300 * 256);
    CHECK(first->chunks[3]->size() == 100 * 256);
    CHECK(arena.memory(10 * 256, 300 * 256) == first);
    CHECK(arena.bytes() == 1000 * 256);
    CHECK(arena.memory(1001 * 256, 300 * 256) != first);
    CHECK(arena.bytes() == 1001 * 256);
    CHECK(arena.chunkBytes(uint64_t(1) << 62) == uint64_t(1) << 62);
}

TEST_CASE("a residual network's arena is little more than its largest sum of live tensors") {
    const auto graph = residualNetwork();
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const ImageBatch images = Image::batch(
        testDevice(), ImageDescriptor(ImageFeatureChannelFormat::Float32, 224, 224, 3), 64);
    const auto plan = graph.impl().makePlan(
        {{{images}, {lossLabels(reference::Tensor(64, 1, 1, 1000))}}, commands, true});
    INFO("arena " << plan->arenaBytes << ", largest sum " << plan->liveBytes);
    CHECK(plan->liveBytes > (uint64_t(4) << 30));
    CHECK(double(plan->arenaBytes) <= 1.15 * double(plan->liveBytes));
    // What lives across the whole forward pass alone is nearly that much.
    CHECK(isValid(plan->heap->tenants(), uint64_t(1) << 62));
}

namespace {
NNGraph ofTwoTemporaries() {
    const NNImageNode input;
    const CNNNeuronTanHNode first(input);
    const CNNNeuronSigmoidNode second(first.resultImage());
    const CNNPoolingAverageNode last(second.resultImage(), 8);
    return graphOf(last.resultImage());
}
} // namespace

TEST_CASE("a larger graph moves its queue's arena, and the smaller ones go along") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const auto encode = [&](const NNGraph& graph, const ImageBatch& images) {
        const MTL::CommandBuffer commands = queue.commandBuffer();
        const ImageBatch made = graph.encodeBatch(commands, {images});
        commands.commit();
        commands.waitUntilCompleted();
        return download(made).v;
    };
    const auto small = upload(reference::random(1, 32, 32, 64, 1)),
               large = upload(reference::random(2, 64, 64, 64, 2));
    const auto one = ofTwoTemporaries(), other = ofTwoTemporaries();
    const auto expected = encode(one, small);
    const auto arena = mps::planArena(queue.commandBuffer());
    const uint64_t before = arena->bytes();
    CHECK(before == 2 * 32 * 32 * 64 * 4);
    const auto expectedLarge = encode(other, large);
    const uint64_t grown = arena->bytes();
    CHECK(grown == 2 * 2 * 64 * 64 * 64 * 4);
    const uint64_t allocated = testDevice().currentAllocatedSize();
    for (int round = 0; round < 2; ++round) {
        CHECK(encode(one, small) == expected);
        CHECK(encode(other, large) == expectedLarge);
    }
    CHECK(arena->bytes() == grown);
    CHECK(testDevice().currentAllocatedSize() <= allocated);
}

TEST_CASE("an arena moves while encodes wait that use the earlier one") {
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    const auto small = upload(reference::random(1, 32, 32, 64, 1)),
               large = upload(reference::random(2, 64, 64, 64, 2));
    const auto one = ofTwoTemporaries(), other = ofTwoTemporaries();
    std::vector<MTL::CommandBuffer> waiting;
    std::vector<ImageBatch> made;
    const auto encode = [&](const NNGraph& graph, const ImageBatch& images) {
        waiting.push_back(queue.commandBuffer());
        made.push_back(graph.encodeBatch(waiting.back(), {images}));
    };
    encode(one, small);
    encode(other, large);
    encode(one, small);
    for (const MTL::CommandBuffer& commands : waiting) commands.commit();
    for (const MTL::CommandBuffer& commands : waiting) {
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    }
    CHECK(download(made[0]).v == download(made[2]).v);
    CHECK(download(made[0]).v == result(ofTwoTemporaries(), {small}).v);
    CHECK(download(made[1]).v == result(ofTwoTemporaries(), {large}).v);
}

TEST_CASE("a graph tells what an encode reads and writes") {
    const NNImageNode input;
    const CNNNeuronTanHNode first(input);
    const CNNNeuronSigmoidNode second(first.resultImage());
    const NNConcatenationNode both({first.resultImage(), second.resultImage()});
    const auto graph = graphOf(both.resultImage());
    result(graph, {upload(reference::random(2, 16, 16, 64, 1))});
    // 128 KiB an image and kernel each way, for two kernels; the concatenation costs nothing.
    const std::string text = graph.debugDescription();
    CHECK_THAT(text, ContainsSubstring("plan: 2 dispatches"));
    CHECK_THAT(text, ContainsSubstring("traffic 262144 bytes read, 262144 bytes written"));
    CHECK_THAT(text, ContainsSubstring("0 CNNNeuronTanHNode: input0 -> image0, 1 dispatch, 131072 "
                                       "bytes read, 131072 bytes written"));
    CHECK_THAT(text, ContainsSubstring("2 NNConcatenationNode: image0 image1 -> image2\n"));
}
