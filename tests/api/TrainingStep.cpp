// The two programs of the README, as a user writes them: they compile, run and learn.
#include "ConvWeights.hpp"

#include <catch2/catch_test_macros.hpp>

#include <fstream>
#include <string>

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

struct Network {
    Network(const MTL::Device& device)
        : queue(device.newCommandQueue()), conv1Weights(std::make_shared<ConvWeights>(
                                               device, MPS::CNNConvolutionDescriptor(3, 3, 1, 8))),
          fcWeights(
              std::make_shared<ConvWeights>(device, MPS::CNNConvolutionDescriptor(4, 4, 8, 2))) {
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
        training = MPS::NNGraph(device, gradients.back().resultImage(), false);
        training.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    }
    void train(const Batch& batch) {
        MTL::CommandBuffer commands = queue.commandBuffer();
        MPS::ImageBatch result = training.encodeBatch(commands, {batch.images}, {batch.labels});
        CHECK(result.empty());
        commands.commit();
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    }

    MTL::CommandQueue queue;
    std::shared_ptr<ConvWeights> conv1Weights, fcWeights;
    MPS::NNGraph training;
};

/// Trains through the graph; the weights of the last layer afterwards.
std::vector<float> trainThroughGraph(float& first, float& last, uint64_t& allocated) {
    MTL::Device device = MTL::CreateSystemDefaultDevice();
    Network network(device);
    const Batch a = makeBatch(device, 1), b = makeBatch(device, 1);
    std::vector<uint64_t> sizes;
    for (int step = 0; step < 40; ++step) {
        const Batch& batch = step % 2 ? b : a;
        network.train(batch);
        (step == 0 ? first : last) = meanLoss(batch);
        sizes.push_back(device.currentAllocatedSize());
    }
    allocated = sizes.back() - sizes[2];
    const auto bytes = network.fcWeights->state().weights().contents();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

/// Of the process, in bytes; 0 where it is not known.
uint64_t residentMemory() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (uint64_t kibibytes; word == "VmRSS:" && status >> kibibytes) return kibibytes << 10;
    return 0;
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

TEST_CASE("ten thousand steps, with images and labels of their own, take no more memory") {
    MTL::Device device = MTL::CreateSystemDefaultDevice();
    Network network(device);
    uint64_t allocated = 0, resident = 0;
    for (int step = 0; step < 10000; ++step) {
        network.train(makeBatch(device, 1));
        if (step != 1000) continue;
        allocated = device.currentAllocatedSize();
        resident = residentMemory();
    }
    CHECK(device.currentAllocatedSize() == allocated);
    CHECK(residentMemory() <=
          resident + (4 << 20)); // a few bytes a step that are lost would be more
}
