// The two programs of the README, as a user writes them: they compile, run and learn.
#include "ConvWeights.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace user;

TEST_CASE("a training step, kernel by kernel") {
    MTL::Device device = MTL::CreateSystemDefaultDevice();
    MTL::CommandQueue queue = device.newCommandQueue();

    auto weights = std::make_shared<ConvWeights>(device, MPS::CNNConvolutionDescriptor(3, 3, 1, 2));
    MPS::CNNConvolution conv(device, weights);
    MPS::CNNConvolutionGradient convGradient(device, weights);
    MPS::CNNPoolingMax pool(device, 2, 2, 2, 2);
    MPS::CNNPoolingMaxGradient poolGradient(device, 2, 2, 2, 2);
    MPS::CNNLoss loss(device, MPS::CNNLossDescriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                                     MPS::CNNReductionType::Mean));

    const Batch batch = makeBatch(device, 4);
    float first = 0, last = 0;
    for (int step = 0; step < 80; ++step) {
        MTL::CommandBuffer commands = queue.commandBuffer();
        MPS::StateBatch convStates, poolStates;
        MPS::ImageBatch features = conv.encodeBatch(commands, batch.images, &convStates, false);
        MPS::ImageBatchIncrementReadCount(features, 1); // read by pool and by poolGradient
        MPS::ImageBatch logits = pool.encodeBatch(commands, features, &poolStates, false);
        MPS::ImageBatch dLogits = loss.encodeBatch(commands, logits, batch.labels);
        MPS::ImageBatch dFeatures =
            poolGradient.encodeBatch(commands, dLogits, features, poolStates);
        convGradient.encodeBatch(commands, dFeatures, batch.images, convStates);
        weights->step(commands, convStates[0].as<MPS::CNNConvolutionGradientState>());
        conv.reloadWeightsAndBiases(commands, weights->state());
        convGradient.reloadWeightsAndBiases(commands, weights->state());
        commands.commit();
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
        (step == 0 ? first : last) = meanLoss(batch);
    }
    CHECK(last < 0.5f * first);
}

namespace {

/// Trains through the graph; the weights of the last layer afterwards.
std::vector<float> trainThroughGraph(float& first, float& last, uint64_t& allocated) {
    MTL::Device device = MTL::CreateSystemDefaultDevice();
    MTL::CommandQueue queue = device.newCommandQueue();
    auto conv1Weights =
        std::make_shared<ConvWeights>(device, MPS::CNNConvolutionDescriptor(3, 3, 1, 8));
    auto fcWeights =
        std::make_shared<ConvWeights>(device, MPS::CNNConvolutionDescriptor(4, 4, 8, 2));
    MPS::CNNLossDescriptor lossDescriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Mean);
    lossDescriptor.setWeight(1.f / 16);

    MPS::NNImageNode input;
    MPS::CNNConvolutionNode conv1(input, conv1Weights);
    MPS::CNNNeuronReLUNode relu1(conv1.resultImage());
    MPS::CNNPoolingMaxNode pool1(relu1.resultImage(), 2);
    MPS::CNNFullyConnectedNode fc(pool1.resultImage(), fcWeights);
    MPS::CNNLossNode lossNode(fc.resultImage(), lossDescriptor);
    std::vector<MPS::NNFilterNode> gradients = lossNode.trainingGraph(std::nullopt, {});
    MPS::NNGraph training(device, gradients.back().resultImage(), false);
    training.setFormat(MPS::ImageFeatureChannelFormat::Float32);

    const Batch a = makeBatch(device, 1), b = makeBatch(device, 1);
    std::vector<uint64_t> sizes;
    for (int step = 0; step < 40; ++step) {
        const auto& [images, labels] = step % 2 ? b : a;
        MTL::CommandBuffer commands = queue.commandBuffer();
        MPS::ImageBatch result = training.encodeBatch(commands, {images}, {labels});
        CHECK(result.empty());
        commands.commit();
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
        if (step == 0) first = meanLoss(a);
        last = meanLoss(step % 2 ? b : a);
        sizes.push_back(device.currentAllocatedSize());
    }
    allocated = sizes.back() - sizes[2];
    const auto bytes = fcWeights->state().weights().contents();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

} // namespace

TEST_CASE("the same through the graph, bit for bit the same every time") {
    float first = 0, last = 0;
    uint64_t allocated = 1;
    const auto weights = trainThroughGraph(first, last, allocated);
    CHECK(last < 0.2f * first);
    CHECK(allocated == 0); // a step after the first takes no memory of the device
    CHECK(trainThroughGraph(first, last, allocated) == weights);
}
