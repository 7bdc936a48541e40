// What programs rely on when they train with graphs: updates, batches, frozen layers, losses.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::inputs;
using network::Network;
using network::Source;
using network::targets;

namespace {

MPS::CNNLossDescriptor squared(MPS::CNNReductionType reduction = MPS::CNNReductionType::Sum) {
    return {MPS::CNNLossType::MeanSquaredError, reduction};
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> made = a;
    for (size_t i = 0; i < b.size(); ++i) made[i] -= b[i];
    return made;
}

/// How one encode with this batch changes the first layer's weights.
std::vector<double> change(const Tensor& x, const Tensor& t) {
    const Network network;
    const auto start = network::doubles(network.conv->w);
    const auto graph = network.training(false);
    run([&](const MTL::CommandBuffer& commands) {
        graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)});
    });
    return difference(network.conv->trained(), start);
}

} // namespace

TEST_CASE("a result that is not needed is empty, and the weights are updated all the same") {
    const Network needed, pruned;
    const auto whole = needed.training(true), part = pruned.training(false);
    CHECK(whole.resultImageIsNeeded());
    CHECK_FALSE(part.resultImageIsNeeded());
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(whole.encodeBatch(commands, {upload(inputs(1))}, {lossLabels(targets(2))}).size() ==
              4);
        CHECK(part.encodeBatch(commands, {upload(inputs(1))}, {lossLabels(targets(2))}).empty());
        CHECK_FALSE(part.encode(commands, {upload(inputs(1))[0]}, {lossLabels(targets(2))[0]},
                                nullptr, nullptr));
    });
    CHECK(needed.conv->updates == 1);
    CHECK(pruned.conv->updates == 2);
}

TEST_CASE("a gradient of weights is the sum over the batch, however it is split") {
    const Tensor x = inputs(1), t = targets(2);
    const auto all = change(x, t);
    std::vector<double> sum(all.size(), 0);
    for (size_t i = 0; i < 4; ++i) {
        const auto one = change(reference::image(x, i), reference::image(t, i));
        for (size_t k = 0; k < sum.size(); ++k) sum[k] += one[k];
    }
    CHECK(reference::compare(all, sum, network::fp32));
}

TEST_CASE("an update on the device counts from the next encode of the same command buffer on") {
    const Network network;
    network::Reference reference(*network.conv, *network.fc);
    const auto graph = network.training(true);
    std::vector<MPS::StateBatch> labels;
    std::vector<MPS::ImageBatch> dx;
    run([&](const MTL::CommandBuffer& commands) {
        for (int step = 0; step < 3; ++step) {
            labels.push_back(lossLabels(targets(step)));
            dx.push_back(graph.encodeBatch(commands, {upload(inputs(step))}, {labels.back()}));
        }
    });
    for (int step = 0; step < 3; ++step) {
        INFO("step " << step);
        const auto expected = reference.step(inputs(step), targets(step));
        CHECK(reference::compare(lossesOf(labels[step]), expected.losses, network::fp32));
        CHECK(reference::compare(download(dx[step]), expected.dx, network::fp32));
    }
}

TEST_CASE("encodes before completion use the weights from before a host's update") {
    const Network network(Source::Update::Host);
    const auto graph = network.training(true, MPS::NNTrainingStyle::UpdateDeviceCPU);
    std::vector<MPS::ImageBatch> dx;
    const auto x = upload(inputs(1));
    run([&](const MTL::CommandBuffer& commands) {
        for (int i = 0; i < 2; ++i)
            dx.push_back(graph.encodeBatch(commands, {x}, {lossLabels(targets(2))}));
        CHECK(network.conv->updates == 0);
    });
    CHECK(network.conv->updates == 2);
    CHECK(download(dx[0]).v == download(dx[1]).v);
    CHECK(result(graph, {x}, {lossLabels(targets(2))}).v != download(dx[0]).v);
}

TEST_CASE("a frozen layer: its source lowers the read counts and returns nothing") {
    struct Frozen : Source {
        using Source::Source;
        MPS::CNNConvolutionWeightsAndBiasesState
        update(MTL::CommandBuffer, MPS::CNNConvolutionGradientState gradient,
               MPS::CNNConvolutionWeightsAndBiasesState source) override {
            ++updates;
            for (const MPS::State& state : {MPS::State(gradient), MPS::State(source)})
                if (state.isTemporary()) state.setReadCount(state.readCount() - 1);
            return {};
        }
    };
    Network network;
    network.conv = std::make_shared<Frozen>(3, 3, 4, 1);
    for (const bool replayed : {true, false}) {
        const auto graph = network.training(true);
        if (!replayed) graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
        const auto before = network.conv->trained(), head = network.fc->trained();
        for (int step = 0; step < 2; ++step)
            result(graph, {upload(inputs(1))}, {lossLabels(targets(2))});
        CHECK(network.conv->trained() == before);
        CHECK(network.fc->trained() != head);
    }
    CHECK(network.conv->updates == 4);
}

TEST_CASE("stopGradient stops what made the image, not the training of its readers") {
    const auto below = std::make_shared<Source>(3, 3, 4, 1),
               above = std::make_shared<Source>(3, 4, 4, 2);
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode first(input, below), second(first.resultImage(), above);
    first.resultImage().setStopGradient(true);
    const MPS::CNNLossNode loss(second.resultImage(), squared());
    const auto termini = loss.trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 1);
    const auto graph = graphOf(termini[0].resultImage(), false);
    run([&](const MTL::CommandBuffer& commands) {
        graph.encodeBatch(commands, {upload(reference::random(2, 4, 4, 3, 1))},
                          {lossLabels(reference::random(2, 4, 4, 4, 2))});
    });
    CHECK(below->updates == 0);
    CHECK(above->updates == 1);
    CHECK(above->trained() != network::doubles(above->w));
}

TEST_CASE("a loss node's gradient is scaled by its weight, not by its reduction; the pair's is") {
    const Tensor x = reference::random(2, 3, 3, 4, 1), t = reference::random(2, 3, 3, 4, 2);
    const auto fused = [&](MPS::CNNReductionType reduction, float weight) {
        auto d = squared(reduction);
        d.setWeight(weight);
        const MPS::NNImageNode input;
        const MPS::CNNLossNode loss(input, d);
        return result(graphOf(loss.resultImage()), {upload(x)}, {lossLabels(t)}).v;
    };
    const auto pair = [&](MPS::CNNReductionType reduction) {
        const MPS::NNImageNode input(named("x")), labels(named("t"));
        labels.setStopGradient(true);
        const MPS::NNForwardLossNode loss(input, labels, squared(reduction));
        const auto termini =
            MPS::NNInitialGradientNode(loss.resultImage()).trainingGraph(std::nullopt, {});
        return result(graphOf(termini.at(0).resultImage()), {upload(x), upload(t)}).v;
    };
    using enum MPS::CNNReductionType;
    const auto sum = fused(Sum, 1);
    CHECK(fused(Mean, 1) == sum);
    auto half = sum, mean = sum;
    for (double& v : half) v /= 2;
    for (double& v : mean) v /= 36;
    CHECK(fused(Sum, .5f) == half);
    CHECK(reference::compare(pair(Sum), sum, network::fp32));
    CHECK(reference::compare(pair(Mean), mean, network::fp32));
}

TEST_CASE("labels may have the channels of the prediction, or those padded to whole texels") {
    const Tensor x = reference::random(2, 2, 2, 5, 1), t = reference::random(2, 2, 2, 5, 2);
    Tensor padded(2, 2, 2, 8);
    for (size_t n = 0; n < 2; ++n)
        for (size_t p = 0; p < 4; ++p)
            for (size_t c = 0; c < 5; ++c) padded.v[(n * 4 + p) * 8 + c] = t.v[(n * 4 + p) * 5 + c];
    const MPS::NNImageNode input;
    const MPS::CNNLossNode loss(input, squared());
    const auto graph = graphOf(loss.resultImage());
    const auto narrow = lossLabels(t), wide = lossLabels(padded);
    CHECK(result(graph, {upload(x)}, {narrow}).v == result(graph, {upload(x)}, {wide}).v);
    CHECK(lossesOf(narrow) == lossesOf(wide));
}

TEST_CASE("one image may stand in a batch more than once") {
    const Tensor x = inputs(1), t = targets(2);
    const auto once = change(reference::image(x, 0), reference::image(t, 0));
    const Network network;
    const auto start = network::doubles(network.conv->w);
    const auto graph = network.training(true);
    const MPS::Image image = upload(reference::image(x, 0))[0];
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto temporary = copy.encode(commands, image);
        temporary.as<MPS::TemporaryImage>().setReadCount(graph.readCountForSourceImage(0) + 1);
        const auto label = reference::image(t, 0);
        dx = graph.encodeBatch(commands, {{temporary, temporary}},
                               {{lossLabels(label)[0], lossLabels(label)[0]}});
        CHECK(temporary.as<MPS::TemporaryImage>().readCount() == 1);
    });
    const auto made = download(dx);
    CHECK(reference::image(made, 0).v == reference::image(made, 1).v);
    auto twice = once;
    for (double& v : twice) v *= 2;
    CHECK(reference::compare(difference(network.conv->trained(), start), twice, network::fp32));
}

TEST_CASE("a fully connected node pads nothing, and pooling nodes clamp at the edge") {
    const MPS::NNImageNode input;
    const MPS::CNNFullyConnectedNode whole(input, std::make_shared<Source>(3, 4, 5, 1));
    const auto y = result(graphOf(whole.resultImage()), {upload(reference::random(2, 3, 3, 4, 1))});
    CHECK(y.w == 1);
    CHECK(y.h == 1);
    CHECK_THAT(refusal([&] {
                   graphOf(whole.resultImage())
                       .encodeBatch(testQueue().commandBuffer(),
                                    {upload(reference::random(2, 4, 3, 4, 1))});
               }),
               ContainsSubstring("In CNNFullyConnectedNode: "));
    // An average of ones is one at the edge too: the window has the pixels that there are.
    const Tensor ones(1, 5, 5, 4, 1);
    CHECK(
        result(graphOf(MPS::CNNPoolingAverageNode(input, 3, 1).resultImage()), {upload(ones)}).v ==
        std::vector<double>(100, 1));
}

TEST_CASE("an exported result is listed too, and has one read for each") {
    const MPS::NNImageNode input;
    const MPS::CNNNeuronTanHNode first(input), second(first.resultImage());
    first.resultImage().setExportFromGraph(true);
    second.resultImage().setExportFromGraph(true);
    const auto graph = graphOf(second.resultImage());
    graph.setDestinationImageAllocator(MPS::TemporaryImage::defaultAllocator());
    const auto commands = testQueue().commandBuffer();
    std::vector<MPS::ImageBatch> exports;
    const auto made =
        graph.encodeBatch(commands, {upload(Tensor(2, 2, 2, 4, 1))}, {}, &exports, nullptr);
    REQUIRE(exports.size() == 2);
    CHECK(exports[0][0].as<MPS::TemporaryImage>().readCount() == 1);
    CHECK(exports[1] == made);
    CHECK(made[1].as<MPS::TemporaryImage>().readCount() == 2);
}
