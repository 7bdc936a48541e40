// Graphs of neurons, poolings and losses: results, inputs, exports, formats, read counts, refusals.
#include "support/GradientCheck.hpp"
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Neuron.hpp"
#include "support/reference/Pooling.hpp"

#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <future>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using MPS::ImageFeatureChannelFormat;
using reference::Tensor;

namespace {

const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};
const reference::Neuron sigmoid{reference::NeuronType::Sigmoid, 0, 0, 0, {}};

/// tanh, pooling of 2x2 with same-size padding, sigmoid; and a loss, in the references' words.
struct Chain {
    reference::PoolingType type = reference::PoolingType::Max;
    reference::Pooling pooling(const Tensor& x) const {
        reference::Pooling p;
        p.type = type;
        p.kernelWidth = p.kernelHeight = p.strideX = p.strideY = 2;
        p.outputWidth = (x.w + 1) / 2;
        p.outputHeight = (x.h + 1) / 2;
        p.offsetX = x.w % 2 ? 0 : 1; // an odd pixel is added at the left, at the top
        p.offsetY = x.h % 2 ? 0 : 1;
        p.edge = reference::EdgeMode::Clamp;
        return p;
    }
    Tensor forward(const Tensor& x) const {
        return reference::forward(sigmoid, reference::forward(pooling(x), reference::forward(tanH, x)));
    }
    Tensor gradient(const Tensor& x, const Tensor& dy) const {
        const Tensor a = reference::forward(tanH, x), b = reference::forward(pooling(x), a);
        return reference::gradient(tanH, reference::gradient(pooling(x), reference::gradient(sigmoid, dy, b), a), x);
    }
};

/// The same in nodes.
struct Nodes {
    explicit Nodes(reference::PoolingType type = reference::PoolingType::Max) : first(input) {
        if (type == reference::PoolingType::Max)
            pooling = MPS::CNNPoolingMaxNode(first.resultImage(), 2);
        else
            pooling = MPS::CNNPoolingAverageNode(first.resultImage(), 2);
        last = MPS::CNNNeuronSigmoidNode(pooling.resultImage());
    }
    MPS::NNImageNode input{named("input")};
    MPS::CNNNeuronTanHNode first;
    MPS::NNFilterNode pooling;
    MPS::CNNNeuronNode last;
};

MPS::CNNLossDescriptor squares(float weight = 1) {
    MPS::CNNLossDescriptor d(MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum);
    d.setWeight(weight);
    return d;
}

MPS::NNGraph graphOf(const MPS::NNImageNode& image, bool needed = true) {
    MPS::NNGraph graph(testDevice(), image, needed);
    graph.setFormat(ImageFeatureChannelFormat::Float32);
    return graph;
}

const Chain chain;
const reference::Tolerance fp32{2e-5};

/// A training graph of the chain, and where its gradient comes out.
struct Training {
    explicit Training(float weight = 1) : loss(nodes.last.resultImage(), squares(weight)) {
        termini = loss.trainingGraph(std::nullopt, {});
        graph = graphOf(termini.at(0).resultImage());
    }
    Nodes nodes;
    MPS::CNNLossNode loss;
    std::vector<MPS::NNFilterNode> termini;
    MPS::NNGraph graph;
};

} // namespace

TEST_CASE("a chain of nodes equals the chain of references") {
    for (const size_t size : {6, 5})
        for (const auto type : {reference::PoolingType::Max, reference::PoolingType::Average}) {
            INFO("size " << size << " pooling " << int(type));
            const Nodes nodes(type);
            const auto graph = graphOf(nodes.last.resultImage());
            const Tensor x = reference::distinct(3, size, 6, 5, 1);
            const Tensor expected = Chain{type}.forward(x);
            CHECK(reference::compare(result(graph, {upload(x)}), expected, fp32));
            CHECK(reference::compare(result(graph, {uploadApart(x)}), expected, fp32));
            MPS::Image single;
            run([&](const MTL::CommandBuffer& commands) { single = graph.encode(commands, {upload(x)[1]}); });
            CHECK(reference::compare(download({single}), reference::image(expected, 1), fp32));
        }
}

TEST_CASE("a loss and its gradient through the chain equal the references") {
    for (const size_t size : {6, 5}) {
        const Training training(0.5f);
        const Tensor x = reference::distinct(3, size, 6, 5, 1);
        const Tensor y = chain.forward(x), t = reference::randomLike(y, 2, 0, 1);
        reference::Loss loss;
        loss.weight = 0.5;
        const auto labels = lossLabels(t);
        const Tensor dx = result(training.graph, {upload(x)}, {labels});
        CHECK(reference::compare(dx, chain.gradient(x, reference::fusedGradient(loss, {y, t})), fp32));
        CHECK(reference::compare(lossesOf(labels), reference::forward(loss, {y, t}).v, fp32));

        MPS::Image single;
        const auto one = lossLabels(reference::image(t, 1));
        run([&](const MTL::CommandBuffer& commands) {
            single = training.graph.encode(commands, {upload(x)[1]}, one, nullptr, nullptr);
        });
        CHECK(reference::compare(download({single}), reference::image(dx, 1), fp32));
    }
}

TEST_CASE("finite differences agree with a whole training graph") {
    const Training training;
    const Tensor x = reference::distinct(1, 4, 4, 3, 1);
    const Tensor t = reference::random(1, 2, 2, 3, 2, 0, 1);
    const Tensor dx = result(training.graph, {upload(x)}, {lossLabels(t)});

    const Nodes forward;
    const MPS::NNImageNode labels;
    const auto loss = graphOf(MPS::NNForwardLossNode(forward.last.resultImage(), labels, squares()).resultImage());
    const auto f = [&](const Tensor& at) { return result(loss, {upload(at), upload(t)}).v.at(0); };
    CHECK(reference::checkGradient(f, x, dx, {.step = 4e-3, .tolerance = 2e-2}));
}

TEST_CASE("one graph takes inputs of any size, again and again") {
    const auto graph = graphOf(Nodes().last.resultImage());
    for (int round = 0; round < 3; ++round)
        for (size_t size = 2; size < 8; ++size) {
            const Tensor x = reference::distinct(1 + size % 2, size, 9 - size, size, 10 * round + size);
            INFO("round " << round << " size " << size);
            CHECK(reference::compare(result(graph, {upload(x)}), chain.forward(x), fp32));
        }
}

TEST_CASE("a replayed graph gives the bits of an eager one") {
    const Training replayed, eager;
    eager.graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<MPS::ImageBatch> inputs;
    for (int i = 0; i < 3; ++i) inputs.push_back(upload(reference::distinct(2, 6, 6, 5, 20 + i)));

    std::vector<MPS::StateBatch> replayedLabels, eagerLabels;
    std::vector<MPS::ImageBatch> replayedResults, eagerResults;
    std::vector<MTL::CommandBuffer> inFlight;
    for (int step = 0; step < 8; ++step) {
        const Tensor t = reference::random(2, 3, 3, 5, 40 + step, 0, 1);
        replayedLabels.push_back(lossLabels(t));
        eagerLabels.push_back(lossLabels(t));
        const auto commands = testQueue().commandBuffer();
        const auto& input = inputs[step % 3];
        replayedResults.push_back(replayed.graph.encodeBatch(commands, {input}, {replayedLabels.back()}));
        eagerResults.push_back(eager.graph.encodeBatch(commands, {input}, {eagerLabels.back()}));
        commands.commit();
        inFlight.push_back(commands);
        if (step == 3) inFlight.back().waitUntilCompleted(); // before: several steps in flight
    }
    for (const auto& commands : inFlight) {
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    }
    for (int step = 0; step < 8; ++step) {
        INFO("step " << step);
        CHECK(download(replayedResults[step]).v == download(eagerResults[step]).v);
        CHECK(lossesOf(replayedLabels[step]) == lossesOf(eagerLabels[step]));
        for (int other = 0; other < step; ++other)
            CHECK(download(replayedResults[step]).v != download(replayedResults[other]).v);
    }
    CHECK_THAT(replayed.graph.debugDescription(), ContainsSubstring("plan:"));
    CHECK_THAT(eager.graph.debugDescription(), !ContainsSubstring("plan:"));
    CHECK(replayed.graph.encodeCount() == 8);
}

TEST_CASE("two encodes of one graph in one command buffer do not disturb each other") {
    const Training training;
    const Tensor t = reference::random(2, 3, 3, 5, 2, 0, 1);
    const auto a = upload(reference::distinct(2, 6, 6, 5, 1)), b = upload(reference::distinct(2, 6, 6, 5, 3));
    MPS::ImageBatch first, second, third;
    const auto firstLabels = lossLabels(t), secondLabels = lossLabels(t);
    run([&](const MTL::CommandBuffer& commands) {
        first = training.graph.encodeBatch(commands, {a}, {firstLabels});
        second = training.graph.encodeBatch(commands, {b}, {secondLabels});
        third = training.graph.encodeBatch(commands, {a}, {lossLabels(t)});
    });
    CHECK(download(first).v == download(third).v);
    CHECK(download(first).v != download(second).v);
    CHECK(download(second).v == result(training.graph, {b}, {lossLabels(t)}).v);
    CHECK(lossesOf(firstLabels) != lossesOf(secondLabels));
}

TEST_CASE("intermediate images are Float16 unless the graph or the node says otherwise") {
    const float value = 1 + 1.f / 4096; // 1 in half precision
    const Tensor x(1, 2, 2, 4, value);
    const auto through = [&](ImageFeatureChannelFormat graphFormat, ImageFeatureChannelFormat nodeFormat) {
        const MPS::NNImageNode input;
        const MPS::CNNNeuronLinearNode first(input), last(first.resultImage(), 1, 0);
        first.resultImage().setFormat(nodeFormat);
        last.resultImage().setFormat(ImageFeatureChannelFormat::Float32);
        const MPS::NNGraph graph(testDevice(), last.resultImage(), true);
        if (graphFormat != ImageFeatureChannelFormat::None) graph.setFormat(graphFormat);
        return result(graph, {upload(x)}).v.at(0);
    };
    using enum ImageFeatureChannelFormat;
    CHECK(through(None, None) == 1);
    CHECK(through(Float16, None) == 1);
    CHECK(through(Float32, None) == value);
    CHECK(through(Float32, Float16) == 1);
    CHECK(through(None, Float32) == value);

    const MPS::NNImageNode input;
    const MPS::NNGraph graph(testDevice(), MPS::CNNNeuronReLUNode(input).resultImage(), true);
    CHECK(graph.format() == Float16);
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) { made = graph.encodeBatch(commands, {upload(x)}); });
    CHECK(made[0].featureChannelFormat() == Float16);
    CHECK_FALSE(made[0].isTemporary());
    graph.setFormat(Float32); // after an encode: the plan is made anew
    CHECK(result(graph, {upload(x)}).v.at(0) == value);
}

TEST_CASE("a result node copies the format of its first source node") {
    const MPS::NNImageNode input;
    input.setFormat(ImageFeatureChannelFormat::Float32);
    const MPS::CNNNeuronReLUNode relu(input);
    CHECK(relu.resultImage().format() == ImageFeatureChannelFormat::Float32);
    CHECK(MPS::CNNPoolingMaxNode(relu.resultImage(), 2).resultImage().format() == ImageFeatureChannelFormat::Float32);
}

TEST_CASE("inputs come in the order of the walk, and one without a handle is null") {
    const MPS::NNImageNode prediction(named("prediction")), label, weight(named("weight"));
    const MPS::CNNNeuronLinearNode twice(prediction, 2, 0);
    const auto graph =
        graphOf(MPS::NNForwardLossNode(twice.resultImage(), label, weight, squares()).resultImage());
    const auto handles = graph.sourceImageHandles();
    REQUIRE(handles.size() == 3);
    CHECK(handles[0]->label() == "prediction");
    CHECK(handles[1] == nullptr);
    CHECK(handles[2]->label() == "weight");
    CHECK(graph.sourceStateHandles().empty());

    const Tensor x = reference::random(2, 3, 3, 4, 1), t = reference::random(2, 3, 3, 4, 2),
                 w = reference::random(2, 3, 3, 4, 3, 0.5, 1);
    Tensor y = x;
    for (double& value : y.v) value *= 2;
    CHECK(reference::compare(result(graph, {upload(x), upload(t), upload(w)}),
                             reference::forward(reference::Loss{}, {y, t, &w}), fp32));

    const Training training;
    training.loss.inputLabels().setHandle(named("labels"));
    REQUIRE(training.graph.sourceStateHandles().size() == 1);
    CHECK(training.graph.sourceStateHandles()[0]->label() == "labels");
}

TEST_CASE("exported images come with the encode, in the order of their handles") {
    const Nodes nodes;
    nodes.first.resultImage().setHandle(named("tanh"));
    nodes.first.resultImage().setExportFromGraph(true);
    nodes.first.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
    nodes.last.resultImage().setHandle(named("last"));
    nodes.last.resultImage().setExportFromGraph(true);
    const auto graph = graphOf(nodes.last.resultImage());
    CHECK(graph.resultHandle()->label() == "last");
    const auto handles = graph.intermediateImageHandles();
    REQUIRE(handles.size() == 2);

    const Tensor x = reference::distinct(2, 6, 6, 5, 1);
    for (int step = 0; step < 3; ++step) {
        std::vector<MPS::ImageBatch> all;
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            made = graph.encodeBatch(commands, {upload(x)}, {}, &all, nullptr);
        });
        REQUIRE(all.size() == 2);
        for (size_t i = 0; i < 2; ++i) {
            const bool isTanh = handles[i]->label() == "tanh";
            CHECK(reference::compare(download(all[i]), isTanh ? reference::forward(tanH, x) : chain.forward(x), fp32));
        }
        CHECK(reference::compare(download(made), chain.forward(x), fp32));
    }
}

TEST_CASE("a temporary export can be read once more in the command buffer") {
    const Nodes nodes;
    nodes.first.resultImage().setExportFromGraph(true);
    const auto graph = graphOf(nodes.last.resultImage());
    const Tensor x = reference::distinct(2, 6, 6, 5, 1);
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    Guarded taken(2, 6, 6, 5);
    run([&](const MTL::CommandBuffer& commands) {
        std::vector<MPS::ImageBatch> all;
        graph.encodeBatch(commands, {upload(x)}, {}, &all, nullptr);
        const auto temporary = all.at(0)[0].as<MPS::TemporaryImage>();
        REQUIRE(temporary);
        CHECK(temporary.readCount() == 1);
        copy.encodeBatch(commands, all[0], taken.images());
        CHECK(temporary.readCount() == 0);
    });
    CHECK(reference::compare(taken.read(), reference::forward(tanH, x), fp32));
}

TEST_CASE("several results: the first is returned, the others come with the exports") {
    const Nodes nodes;
    nodes.first.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
    const Tensor x = reference::distinct(2, 6, 6, 5, 1);
    for (const bool firstIsNeeded : {true, false}) {
        const MPS::NNGraph graph(testDevice(), {nodes.last.resultImage(), nodes.first.resultImage()},
                                 {firstIsNeeded, true});
        graph.setFormat(ImageFeatureChannelFormat::Float32);
        CHECK(graph.resultImageIsNeeded() == firstIsNeeded);
        std::vector<MPS::ImageBatch> all;
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            made = graph.encodeBatch(commands, {upload(x)}, {}, &all, nullptr);
        });
        REQUIRE(all.size() == 1);
        CHECK(reference::compare(download(all[0]), reference::forward(tanH, x), fp32));
        REQUIRE(made.size() == (firstIsNeeded ? 2 : 0));
        if (firstIsNeeded) CHECK(reference::compare(download(made), chain.forward(x), fp32));
        CHECK_THAT(graph.debugDescription(), ContainsSubstring(firstIsNeeded ? "3 steps" : "1 steps"));
    }
}

TEST_CASE("an encode lowers a temporary input's read count by what the graph says") {
    const Training training;
    const Nodes nodes;
    const auto forward = graphOf(nodes.last.resultImage());
    CHECK(forward.readCountForSourceImage(0) == 1);
    CHECK(training.graph.readCountForSourceImage(0) == 2); // the neuron and its gradient
    CHECK(training.graph.readCountForSourceState(0) == 1);

    const Tensor x = reference::distinct(2, 6, 6, 5, 1), t = reference::random(2, 3, 3, 5, 2, 0, 1);
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    for (const bool isTraining : {false, true}) {
        const auto& graph = isTraining ? training.graph : forward;
        const auto labels = [&] {
            std::vector<MPS::StateBatch> all;
            if (isTraining) all.push_back(lossLabels(t));
            return all;
        };
        const auto states = labels();
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            const auto input = copy.encodeBatch(commands, upload(x));
            const uint64_t reads = graph.readCountForSourceImage(0);
            if (reads > 1)
                CHECK_THAT(refusal([&] { graph.encodeBatch(commands, {input}, states); }),
                           ContainsSubstring("read count 1 but the graph reads it 2 times"));
            MPS::ImageBatchIncrementReadCount(input, int64_t(reads)); // and one more than needed
            made = graph.encodeBatch(commands, {input}, states);
            for (const MPS::Image& image : input) CHECK(image.as<MPS::TemporaryImage>().readCount() == 1);
        });
        CHECK(download(made).v == result(graph, {upload(x)}, labels()).v);
    }
}

TEST_CASE("executeAsync runs on a queue of its own and hands over the result") {
    const auto graph = graphOf(Nodes().last.resultImage());
    const Tensor x = reference::distinct(1, 6, 6, 5, 1);
    for (int step = 0; step < 3; ++step) {
        std::promise<std::pair<MPS::Image, std::string>> promise;
        const MPS::Image returned = graph.executeAsync(
            upload(x), [&](MPS::Image image, std::string error) { promise.set_value({image, error}); });
        const auto [image, error] = promise.get_future().get();
        CHECK(error == "");
        CHECK(image == returned);
        CHECK(reference::compare(download({image}), chain.forward(x), fp32));
    }
    CHECK_THAT(refusal([&] { graph.executeAsync({}, {}); }), ContainsSubstring("at least one source image"));
}

TEST_CASE("a custom padding policy works on the forward kernel alone") {
    struct Policy : MPS::NNPadding {
        MPS::NNPaddingMethod paddingMethod() const override {
            return MPS::NNPaddingMethod::Custom | MPS::NNPaddingMethod::SizeValidOnly;
        }
        MPS::ImageDescriptor destinationImageDescriptor(const MPS::ImageBatch&, const MPS::StateBatch&,
                                                        MPS::Kernel& kernel,
                                                        const MPS::ImageDescriptor& suggested) const override {
            dynamic_cast<MPS::CNNKernel&>(kernel).setOffset({2, 2, 0}); // first tap at 1
            auto d = suggested;
            d.setWidth(2);
            d.setHeight(2);
            ++calls;
            return d;
        }
        mutable int calls = 0;
    };
    const auto policy = std::make_shared<Policy>();
    const MPS::NNImageNode input;
    const MPS::CNNPoolingAverageNode pooling(input, 2);
    pooling.setPaddingPolicy(policy);
    const MPS::CNNLossNode loss(pooling.resultImage(), squares());
    const auto termini = loss.trainingGraph(std::nullopt, {});
    REQUIRE(termini.size() == 1);
    CHECK(termini[0].as<MPS::CNNPoolingAverageGradientNode>().paddingPolicy() == nullptr);
    const auto graph = graphOf(termini[0].resultImage());

    reference::Pooling p;
    p.type = reference::PoolingType::Average;
    p.kernelWidth = p.kernelHeight = p.strideX = p.strideY = p.outputWidth = p.outputHeight = 2;
    p.offsetX = p.offsetY = 2;
    p.edge = reference::EdgeMode::Clamp;
    const Tensor x = reference::random(2, 6, 6, 4, 1), y = reference::forward(p, x), t = reference::randomLike(y, 2);
    CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}),
                             reference::gradient(p, reference::fusedGradient({}, {y, t}), x), fp32));
    CHECK(policy->calls == 1);

    const MPS::CNNPoolingMaxNode valid(input, 3, 1);
    valid.setPaddingPolicy(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    const auto gradient = valid.gradientFilter(input).as<MPS::CNNPoolingMaxGradientNode>();
    CHECK((gradient.paddingPolicy()->paddingMethod() & MPS::NNPaddingMethod::SizeMask) == MPS::NNPaddingMethod::SizeFull);
    CHECK(result(graphOf(valid.resultImage()), {upload(x)}).w == 4);
}

TEST_CASE("pooling nodes keep what they were given") {
    const MPS::NNImageNode input;
    const MPS::CNNPoolingMaxNode all(input, 3, 4, 1, 2);
    CHECK(all.kernelWidth() == 3);
    CHECK(all.kernelHeight() == 4);
    CHECK(all.strideInPixelsX() == 1);
    CHECK(all.strideInPixelsY() == 2);
    const MPS::CNNPoolingL2NormNode square(input, 3);
    CHECK(square.strideInPixelsY() == 3);
    const MPS::CNNDilatedPoolingMaxNode dilated(input, 3, 2, 5);
    CHECK(dilated.dilationRateX() == 5);
    const auto gradient = dilated.gradientFilter(input).as<MPS::CNNDilatedPoolingMaxGradientNode>();
    REQUIRE(gradient);
    CHECK(gradient.dilationRateY() == 5);
    CHECK(gradient.strideInPixelsX() == 2);
    CHECK(MPS::CNNDilatedPoolingMaxNode(input, 3).dilationRateY() == 3);
    CHECK(all.gradientFilter(input).as<MPS::CNNPoolingMaxGradientNode>().kernelHeight() == 4);

    const MPS::NNFilterNode base = all;
    CHECK(base.as<MPS::CNNPoolingMaxNode>() == all);
    CHECK(base.as<MPS::CNNPoolingNode>());
    CHECK_FALSE(base.as<MPS::CNNPoolingAverageNode>());
    CHECK_FALSE(base.as<MPS::CNNNeuronNode>());
    CHECK_FALSE(base.as<MPS::NNGradientFilterNode>());
    CHECK(base.gradientFilter(input).as<MPS::NNGradientFilterNode>());
}

TEST_CASE("misuse of a graph is refused with a sentence") {
    const Tensor x = reference::distinct(2, 6, 6, 5, 1), t = reference::random(2, 3, 3, 5, 2, 0, 1);
    const Training training;
    training.graph.setLabel("net");
    const auto given = [&](std::vector<MPS::ImageBatch> images, std::vector<MPS::StateBatch> states) {
        return refusal([&] { training.graph.encodeBatch(testQueue().commandBuffer(), images, states); });
    };
    CHECK(given({}, {lossLabels(t)}) == "[NNGraph \"net\"] 0 source images were given but the graph takes 1.");
    CHECK(given({upload(x)}, {}) == "[NNGraph \"net\"] 0 source states were given but the graph takes 1.");
    CHECK_THAT(given({MPS::ImageBatch{}}, {lossLabels(t)}), ContainsSubstring("Source image 0 \"input\""));
    CHECK_THAT(given({upload(x)}, {lossLabels(reference::image(t, 0))}), ContainsSubstring("Source state 0"));
    CHECK_THAT(given({upload(x)}, {MPS::StateBatch(2, MPS::State(testDevice(), 16))}), ContainsSubstring("CNNLossLabels"));
    CHECK_THAT(refusal([&] { training.graph.encodeBatch({}, {upload(x)}, {lossLabels(t)}); }),
               ContainsSubstring("[NNGraph \"net\"] The command buffer handle is empty."));
    const auto committed = testQueue().commandBuffer();
    committed.commit();
    committed.waitUntilCompleted();
    CHECK_THAT(refusal([&] { training.graph.encodeBatch(committed, {upload(x)}, {lossLabels(t)}); }),
               ContainsSubstring("commit"));
    CHECK_THAT(refusal([&] { training.graph.readCountForSourceImage(1); }), ContainsSubstring("there are 1"));
    CHECK_THAT(refusal([&] { training.graph.setFormat(ImageFeatureChannelFormat::None); }), ContainsSubstring("format"));
    // After all of this the graph still works.
    CHECK(result(training.graph, {upload(x)}, {lossLabels(t)}).n == 2);

    const Nodes nodes;
    CHECK_THAT(refusal([&] { MPS::NNGraph({}, nodes.last.resultImage(), true); }), ContainsSubstring("device"));
    CHECK_THAT(refusal([&] { MPS::NNGraph(testDevice(), std::vector<MPS::NNImageNode>{}); }),
               ContainsSubstring("No result image"));
    CHECK_THAT(refusal([&] { graphOf(nodes.last.resultImage(), false); }), ContainsSubstring("nothing to encode"));
    const MPS::NNImageNode input;
    CHECK_THAT(refusal([&] { graphOf(input); }), ContainsSubstring("nothing to encode"));
    const MPS::CNNPoolingMaxNode zero(input, 0);
    zero.setLabel("pool");
    CHECK_THAT(refusal([&] { graphOf(zero.resultImage()); }), ContainsSubstring("[CNNPoolingMaxNode \"pool\"]"));
    CHECK_THAT(refusal([&] { MPS::CNNNeuronGradientNode(input, input, {}, MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU)); }),
               ContainsSubstring("[CNNNeuronGradientNode] The source state node is empty."));
    CHECK_THAT(refusal([&] { MPS::NNForwardLossNode(std::vector{input}, squares()); }),
               ContainsSubstring("1 sources were given but there are 2, or 3 with weights."));
    CHECK_THAT(refusal([&] { zero.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceCPU); }),
               ContainsSubstring("nothing to train"));
    CHECK_THAT(refusal([&] { training.loss.gradientFilter(input); }), ContainsSubstring("no gradient"));
}
