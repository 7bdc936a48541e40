// How graphs are used: inputs, exports, read counts, policies, refusals.
#include "mps/NNGraphRig.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <future>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using MPS::ImageFeatureChannelFormat;

TEST_CASE("inputs come in the order of the walk, and one without a handle is null") {
    const MPS::NNImageNode prediction(named("prediction")), label, weight(named("weight"));
    const MPS::CNNNeuronLinearNode twice(prediction, 2, 0);
    const auto graph = graphOf(
        MPS::NNForwardLossNode(twice.resultImage(), label, weight, squares()).resultImage());
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
    const auto named = graphOf(training.termini.at(0).resultImage());
    REQUIRE(named.sourceStateHandles().size() == 1);
    CHECK(named.sourceStateHandles()[0]->label() == "labels");
    CHECK(training.graph.sourceStateHandles()[0] == nullptr); // made before
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
            CHECK(reference::compare(
                download(all[i]), isTanh ? reference::forward(tanH, x) : chain.forward(x), fp32));
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
        const MPS::NNGraph graph(testDevice(),
                                 {nodes.last.resultImage(), nodes.first.resultImage()},
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
        CHECK_THAT(graph.debugDescription(),
                   ContainsSubstring(firstIsNeeded ? "3 steps" : "1 steps"));
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
            for (const MPS::Image& image : input)
                CHECK(image.as<MPS::TemporaryImage>().readCount() == 1);
        });
        CHECK(download(made).v == result(graph, {upload(x)}, labels()).v);
    }
}

TEST_CASE("images that come again, and others in their place, while earlier encodes wait") {
    for (const bool lieApart : {false, true}) {
        const auto graph = graphOf(MPS::CNNNeuronTanHNode(MPS::NNImageNode()).resultImage());
        std::vector<MTL::CommandBuffer> waiting;
        std::vector<std::pair<MPS::ImageBatch, Tensor>> made;
        for (uint64_t seed = 1; seed <= 3; ++seed) {
            const Tensor x = reference::random(4, 3, 5, 6, seed);
            auto images = upload(x); // nobody but the encodes has those before any more
            if (lieApart) images[2] = upload(reference::image(x, 2))[0];
            for (int i = 0; i < 4; ++i) {
                waiting.push_back(testQueue().commandBuffer());
                made.emplace_back(graph.encodeBatch(waiting.back(), {images}), x);
            }
        }
        for (const auto& commands : waiting) commands.commit();
        for (const auto& commands : waiting) {
            commands.waitUntilCompleted();
            REQUIRE_FALSE(commands.error());
        }
        for (const auto& [images, x] : made)
            CHECK(reference::compare(download(images), reference::forward(tanH, x), fp32));
    }
}

TEST_CASE("executeAsync runs on a queue of its own and hands over the result") {
    const auto graph = graphOf(Nodes().last.resultImage());
    const Tensor x = reference::distinct(1, 6, 6, 5, 1);
    for (int step = 0; step < 3; ++step) {
        std::promise<std::pair<MPS::Image, std::string>> promise;
        const MPS::Image returned =
            graph.executeAsync(upload(x), [&](MPS::Image image, std::string error) {
                promise.set_value({image, error});
            });
        const auto [image, error] = promise.get_future().get();
        CHECK(error == "");
        CHECK(image == returned);
        CHECK(reference::compare(download({image}), chain.forward(x), fp32));
    }
    CHECK_THAT(refusal([&] { graph.executeAsync({}, {}); }),
               ContainsSubstring("at least one source image"));
}

TEST_CASE("a custom padding policy works on the forward kernel alone") {
    struct Policy : MPS::NNPadding {
        MPS::NNPaddingMethod paddingMethod() const override {
            return MPS::NNPaddingMethod::Custom | MPS::NNPaddingMethod::SizeValidOnly;
        }
        MPS::ImageDescriptor
        destinationImageDescriptor(MPS::ImageBatch, MPS::StateBatch, MPS::Kernel& kernel,
                                   MPS::ImageDescriptor suggested) const override {
            dynamic_cast<MPS::CNNKernel&>(kernel).setOffset({offset, offset, 0});
            auto d = suggested;
            d.setWidth(2);
            d.setHeight(2);
            ++calls;
            return d;
        }
        int64_t offset = 2; // first tap at 1
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
    const Tensor x = reference::random(2, 6, 6, 4, 1), y = reference::forward(p, x),
                 t = reference::randomLike(y, 2);
    CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}),
                             reference::gradient(p, reference::fusedGradient({}, {y, t}), x),
                             fp32));
    CHECK(policy->calls == 1);
    CHECK_THAT(graph.debugDescription(),
               ContainsSubstring("encoded anew each time: CNNPoolingAverageNode asks the program"));
    policy->offset = 3; // it is asked each time
    p.offsetX = p.offsetY = 3;
    const Tensor z = reference::forward(p, x);
    CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}),
                             reference::gradient(p, reference::fusedGradient({}, {z, t}), x),
                             fp32));
    CHECK(policy->calls == 2);

    const MPS::CNNPoolingMaxNode valid(input, 3, 1);
    valid.setPaddingPolicy(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    const auto gradient = valid.gradientFilter(input).as<MPS::CNNPoolingMaxGradientNode>();
    CHECK((gradient.paddingPolicy()->paddingMethod() & MPS::NNPaddingMethod::SizeMask) ==
          MPS::NNPaddingMethod::SizeFull);
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

TEST_CASE("a pooling gradient node becomes the one of its forward node's class") {
    const MPS::NNImageNode input, g;
    const Tensor x = reference::distinct(2, 6, 6, 5, 1), dy = reference::random(2, 3, 3, 5, 2);
    const auto check = [&]<class Gradient>(const MPS::NNFilterNode& node) {
        const auto state = node.resultState().template as<MPS::NNGradientStateNode>();
        const MPS::CNNPoolingGradientNode made(g, input, state, 2, 2, 2, 2, nullptr);
        CHECK(made.template as<Gradient>());
        CHECK(made.strideInPixelsY() == 2);
        const auto derivative = [&](const MPS::NNFilterNode& of) {
            return result(graphOf(of.resultImage()), {upload(dy), upload(x)});
        };
        CHECK(derivative(made).v == derivative(node.gradientFilter(g)).v);
    };
    check.operator()<MPS::CNNPoolingMaxGradientNode>(MPS::CNNPoolingMaxNode(input, 2));
    check.operator()<MPS::CNNPoolingAverageGradientNode>(MPS::CNNPoolingAverageNode(input, 2));
    check.operator()<MPS::CNNPoolingL2NormGradientNode>(MPS::CNNPoolingL2NormNode(input, 2));
    check.operator()<MPS::CNNDilatedPoolingMaxGradientNode>(
        MPS::CNNDilatedPoolingMaxNode(input, 2, 2, 3));
    CHECK(refusal([&] {
              MPS::CNNPoolingGradientNode(g, input, MPS::NNGradientStateNode(), 2, 2, 2, 2,
                                          nullptr);
          }) == "[CNNPoolingGradientNode] gradientState is not the state of a pooling node, which "
                "says what the gradient is of.");
}

TEST_CASE("misuse of a graph is refused with a sentence") {
    const Tensor x = reference::distinct(2, 6, 6, 5, 1), t = reference::random(2, 3, 3, 5, 2, 0, 1);
    const Training training;
    training.graph.setLabel("net");
    const auto given = [&](std::vector<MPS::ImageBatch> images,
                           std::vector<MPS::StateBatch> states) {
        return refusal(
            [&] { training.graph.encodeBatch(testQueue().commandBuffer(), images, states); });
    };
    CHECK(given({}, {lossLabels(t)}) ==
          "[NNGraph \"net\"] 0 source images were given but the graph takes 1.");
    CHECK(given({upload(x)}, {}) ==
          "[NNGraph \"net\"] 0 source states were given but the graph takes 1.");
    CHECK_THAT(given({MPS::ImageBatch{}}, {lossLabels(t)}),
               ContainsSubstring("Source image 0 \"input\""));
    CHECK_THAT(given({upload(x)}, {lossLabels(reference::image(t, 0))}),
               ContainsSubstring("Source state 0"));
    CHECK_THAT(given({upload(x)}, {MPS::StateBatch(2, MPS::State(testDevice(), 16))}),
               ContainsSubstring("CNNLossLabels"));
    CHECK_THAT(refusal([&] { training.graph.encodeBatch({}, {upload(x)}, {lossLabels(t)}); }),
               ContainsSubstring("[NNGraph \"net\"] The command buffer handle is empty."));
    const auto committed = testQueue().commandBuffer();
    committed.commit();
    committed.waitUntilCompleted();
    CHECK_THAT(
        refusal([&] { training.graph.encodeBatch(committed, {upload(x)}, {lossLabels(t)}); }),
        ContainsSubstring("commit"));
    CHECK_THAT(refusal([&] { training.graph.readCountForSourceImage(1); }),
               ContainsSubstring("there are 1"));
    training.graph.setFormat(ImageFeatureChannelFormat::None);
    CHECK(given({upload(x)}, {lossLabels(t)}) ==
          "[NNGraph \"net\"] format is None but must be Float16, Float32 or Unorm8.");
    training.graph.setFormat(ImageFeatureChannelFormat::Float32);
    // After all of this the graph still works.
    CHECK(result(training.graph, {upload(x)}, {lossLabels(t)}).n == 2);

    const Nodes nodes;
    CHECK_THAT(refusal([&] { MPS::NNGraph({}, nodes.last.resultImage(), true); }),
               ContainsSubstring("device"));
    CHECK_THAT(refusal([&] { MPS::NNGraph(testDevice(), std::vector<MPS::NNImageNode>{}); }),
               ContainsSubstring("No result image"));
    CHECK_THAT(refusal([&] { graphOf(nodes.last.resultImage(), false); }),
               ContainsSubstring("nothing to encode"));
    const MPS::NNImageNode input;
    CHECK_THAT(refusal([&] { graphOf(input); }), ContainsSubstring("nothing to encode"));
    const MPS::CNNPoolingMaxNode zero(input, 0);
    zero.setLabel("pool");
    CHECK_THAT(refusal([&] { graphOf(zero.resultImage()); }),
               ContainsSubstring("[CNNPoolingMaxNode \"pool\"]"));
    CHECK_THAT(refusal([&] {
                   MPS::CNNNeuronGradientNode(input, input, {},
                                              MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
               }),
               ContainsSubstring("[CNNNeuronGradientNode] The source state node is empty."));
    CHECK_THAT(refusal([&] { MPS::NNForwardLossNode(std::vector{input}, squares()); }),
               ContainsSubstring("1 sources were given but there are 2, or 3 with weights."));
    CHECK_THAT(refusal([&] { zero.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceCPU); }),
               ContainsSubstring("nothing to train"));
    CHECK_THAT(refusal([&] { training.loss.gradientFilter(input); }),
               ContainsSubstring("no gradient"));
}
