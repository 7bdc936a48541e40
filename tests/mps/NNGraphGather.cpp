// Graphs whose images and labels lie anywhere: plans work on copies that lie together.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <numeric>
#include <random>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

using Labels = MPS::CNNLossLabels;

/// An order in which no four neighbours are at equal distances.
std::vector<size_t> mixed(size_t count) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t(0));
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    return count == 4 ? std::vector<size_t>{2, 0, 3, 1} : order;
}

MPS::ImageBatch scattered(const Tensor& tensor, Variant variant = {}) {
    MPS::ImageBatch made(tensor.n);
    for (size_t i : mixed(tensor.n)) made[i] = upload(reference::image(tensor, i), variant)[0];
    return made;
}

MPS::StateBatch scatteredLabels(const Tensor& labels) {
    MPS::StateBatch made(labels.n);
    for (size_t i : mixed(labels.n))
        made[i] = Labels(testDevice(), lossData(reference::image(labels, i)));
    return made;
}

size_t count(const MPS::NNGraph& graph, const std::string& what) {
    const std::string text = graph.debugDescription();
    size_t found = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++found;
    return found;
}

/// How many plans it has, where it replays them.
size_t plans(const MPS::NNGraph& graph) {
    return count(graph, "encodes are replayed") ? count(graph, "plan: ") : 0;
}

const std::string copies = "on copies that lie together: ";
const std::string allOfOne =
    copies + "input0, the labels of inputState0, the losses of inputState0";

/// Encodes one after the other, waited for at the end.
struct InFlight {
    template <class Encode> void run(Encode encode) {
        buffers.push_back(testQueue().commandBuffer());
        encode(buffers.back());
        buffers.back().commit();
    }
    void wait() {
        for (const auto& commands : buffers) {
            commands.waitUntilCompleted();
            REQUIRE_FALSE(commands.error());
        }
        buffers.clear();
    }
    std::vector<MTL::CommandBuffer> buffers;
};

MPS::NNGraph graphOfTanH() {
    return graphOf(MPS::CNNNeuronTanHNode(MPS::NNImageNode()).resultImage());
}

} // namespace

TEST_CASE("new images and labels each step train by one plan, with the bits of ones that stay") {
    const network::Network one, other;
    const auto anywhere = one.training(true), together = other.training(true);
    std::vector<MPS::StateBatch> labels, expected;
    std::vector<MPS::ImageBatch> made, expectedMade;
    InFlight inFlight;
    for (uint64_t step = 0; step < 14; ++step) {
        const Tensor x = network::inputs(10 + step), t = network::targets(40 + step);
        labels.push_back(scatteredLabels(t));
        expected.push_back(lossLabels(t));
        const auto images = scattered(x);
        inFlight.run([&](const MTL::CommandBuffer& commands) {
            made.push_back(anywhere.encodeBatch(commands, {images}, {labels.back()}));
        });
        inFlight.run([&](const MTL::CommandBuffer& commands) {
            expectedMade.push_back(together.encodeBatch(commands, {upload(x)}, {expected.back()}));
        });
        if (step % 5 == 4) inFlight.wait();
    }
    inFlight.wait();
    for (size_t step = 0; step < labels.size(); ++step) {
        INFO("step " << step);
        CHECK(lossesOf(labels[step]) == lossesOf(expected[step]));
        CHECK(download(made[step]).v == download(expectedMade[step]).v);
    }
    CHECK(one.conv->trained() == other.conv->trained());
    CHECK(one.fc->trained() == other.fc->trained());
    CHECK(plans(anywhere) == 1);
    CHECK_THAT(anywhere.debugDescription(), ContainsSubstring(allOfOne));
}

TEST_CASE("the same images in the same places are found again, whatever they hold") {
    const auto graph = graphOfTanH();
    const auto images = scattered(reference::random(4, 3, 5, 6, 1));
    for (uint64_t step = 0; step < 6; ++step) {
        const Tensor x = reference::random(4, 3, 5, 6, 10 + step);
        for (size_t i = 0; i < 4; ++i) images[i].write(reference::image(x, i).floats());
        CHECK(reference::compare(result(graph, {images}), reference::forward(tanH, x), fp32));
    }
    CHECK(plans(graph) == 1);
    CHECK_THAT(graph.debugDescription(), ContainsSubstring(copies + "input0\n"));
}

TEST_CASE("labels with weights lie anywhere, too") {
    const auto make = [](const Tensor& t, const Tensor& w, std::vector<size_t> order) {
        MPS::StateBatch made(t.n);
        for (size_t i : order)
            made[i] = Labels(testDevice(), {1, 1, 1}, lossData(reference::image(t, i)),
                             lossData(reference::image(w, i)));
        return made;
    };
    const Training anywhere, together;
    for (uint64_t step = 0; step < 4; ++step) {
        const auto images = upload(reference::distinct(4, 6, 6, 5, step));
        const Tensor t = reference::random(4, 3, 3, 5, 20 + step, 0, 1),
                     w = reference::random(4, 3, 3, 5, 60 + step, 0, 1);
        const auto a = make(t, w, mixed(4)), b = make(t, w, {0, 1, 2, 3});
        CHECK(result(anywhere.graph, {images}, {a}).v == result(together.graph, {images}, {b}).v);
        CHECK(lossesOf(a) == lossesOf(b));
    }
    CHECK(plans(anywhere.graph) == 1);
    CHECK_THAT(anywhere.graph.debugDescription(),
               ContainsSubstring(copies + "the labels of inputState0, the losses of inputState0, "
                                          "the weights of inputState0\n"));
}

namespace {

/// Labels with losses of every element, made in this order.
MPS::StateBatch labelsOfElements(const Tensor& t, std::vector<size_t> order) {
    MPS::StateBatch made(t.n);
    for (size_t i : order)
        made[i] =
            Labels(testDevice(), {t.w, t.h, t.c}, lossData(reference::image(t, i)), std::nullopt);
    return made;
}

MPS::NNGraph trainingOfElements() {
    const MPS::CNNNeuronTanHNode y{MPS::NNImageNode()};
    const MPS::CNNLossNode loss(y.resultImage(),
                                {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::None});
    return graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
}

MPS::ImageBatch lossImages(const MPS::StateBatch& labels) {
    MPS::ImageBatch images;
    for (const MPS::State& state : labels) images.push_back(state.as<Labels>().lossImage());
    return images;
}

} // namespace

TEST_CASE("losses of elements of many channels come back whole") {
    const auto anywhere = trainingOfElements(), together = trainingOfElements();
    const auto images = upload(reference::random(4, 3, 2, 9, 1));
    const Tensor t = reference::random(4, 3, 2, 9, 2);
    const auto a = labelsOfElements(t, mixed(4)), b = labelsOfElements(t, {0, 1, 2, 3});
    CHECK(result(anywhere, {images}, {a}).v == result(together, {images}, {b}).v);
    CHECK(download(lossImages(a)).v == download(lossImages(b)).v);
    CHECK_THAT(anywhere.debugDescription(), ContainsSubstring("the losses of inputState0"));
}

TEST_CASE("only those inputs are copied that do not lie at equal distances") {
    const MPS::NNImageNode a(named("a")), b(named("b"));
    const auto graph = graphOf(MPS::NNSubtractionNode(a, b).resultImage());
    for (uint64_t step = 0; step < 3; ++step) {
        const Tensor x = reference::random(4, 3, 3, 5, step), y = reference::random(4, 3, 3, 5, 9);
        Tensor expected = x;
        for (size_t i = 0; i < expected.v.size(); ++i) expected.v[i] -= y.v[i];
        CHECK(reference::compare(result(graph, {upload(x), scattered(y)}), expected, fp32));
    }
    CHECK(plans(graph) == 1);
    CHECK_THAT(graph.debugDescription(), ContainsSubstring(copies + "input1\n"));
    // What lies together needs no copies: a plan without them is made, and taken.
    const Tensor x = reference::random(4, 3, 3, 5, 1), zero(4, 3, 3, 5);
    const auto graph2 = graphOf(MPS::NNSubtractionNode(a, b).resultImage());
    CHECK(reference::compare(result(graph2, {upload(x), upload(zero)}), x, fp32));
    CHECK(reference::compare(result(graph2, {scattered(x), upload(zero)}), x, fp32));
    CHECK(reference::compare(result(graph2, {upload(x), upload(zero)}), x, fp32));
    CHECK(plans(graph2) == 2);
    CHECK(count(graph2, copies) == 1);
}

TEST_CASE("an image is in a batch twice, or in two batches") {
    const MPS::NNImageNode a(named("a")), b(named("b"));
    const auto graph = graphOf(MPS::NNSubtractionNode(a, b).resultImage());
    const Tensor x = reference::random(4, 3, 3, 5, 1);
    const auto images = scattered(x);
    const auto pick = [&](std::vector<size_t> which) {
        MPS::ImageBatch made;
        for (size_t i : which) made.push_back(images[i]);
        return made;
    };
    const std::vector<std::pair<std::vector<size_t>, std::vector<size_t>>> picks = {
        {{0, 1, 2, 3}, {3, 1, 0, 2}}, {{0, 0, 1, 3}, {3, 3, 3, 0}}, {{2, 1, 2, 0}, {2, 1, 2, 0}}};
    for (const auto& [first, second] : picks) {
        Tensor expected(4, 3, 3, 5);
        const size_t each = expected.v.size() / 4;
        for (size_t i = 0; i < expected.v.size(); ++i)
            expected.v[i] =
                x.v[first[i / each] * each + i % each] - x.v[second[i / each] * each + i % each];
        CHECK(reference::compare(result(graph, {pick(first), pick(second)}), expected, fp32));
    }
    CHECK(plans(graph) == 1);
}

TEST_CASE("losses that are shared, or read by the same encode, are worked on where they lie") {
    const Training replayed, eager;
    eager.graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    const auto images = upload(reference::distinct(4, 6, 6, 5, 3));
    const auto labels = [] {
        auto made = scatteredLabels(reference::random(4, 3, 3, 5, 4, 0, 1));
        made[2] = made[1];
        return made;
    };
    const auto a = labels(), b = labels();
    for (int step = 0; step < 2; ++step)
        CHECK(result(replayed.graph, {images}, {a}).v == result(eager.graph, {images}, {b}).v);
    CHECK(lossesOf(a) == lossesOf(b));
    CHECK(plans(replayed.graph) == 1);
    CHECK(count(replayed.graph, copies) == 0);

    // An encode's losses are the pictures of the next one; it reads them before and after.
    const auto graph = trainingOfElements(), anew = trainingOfElements();
    anew.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    const Tensor t = reference::random(4, 3, 2, 9, 2);
    const auto c = labelsOfElements(t, mixed(4)), d = labelsOfElements(t, mixed(4));
    for (int step = 0; step < 3; ++step) {
        CHECK(result(graph, {lossImages(c)}, {c}).v == result(anew, {lossImages(d)}, {d}).v);
        CHECK(download(lossImages(c)).v == download(lossImages(d)).v);
    }
    CHECK(plans(graph) == 1);
    CHECK(count(graph, copies) == 0);
}

TEST_CASE("images and labels may be let go of as soon as they are encoded") {
    const network::Network one, other;
    const auto anywhere = one.training(true), together = other.training(true);
    for (uint64_t step = 0; step < 6; ++step) {
        const Tensor x = network::inputs(step), t = network::targets(step);
        const auto commands = testQueue().commandBuffer();
        const auto made = anywhere.encodeBatch(commands, {scattered(x)}, {scatteredLabels(t)});
        // Would be in their memory.
        const auto others = scattered(network::inputs(70 + step));
        const auto otherLabels = scatteredLabels(network::targets(80 + step));
        commands.commit();
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
        CHECK(download(made).v == result(together, {upload(x)}, {lossLabels(t)}).v);
        CHECK(download(others).v == download(upload(network::inputs(70 + step))).v);
        CHECK(lossesOf(otherLabels) == std::vector<double>(4, 0));
    }
    CHECK(plans(anywhere) == 1);
}

TEST_CASE("copies come after what writes the images, and before what reads the losses") {
    const Training training;
    MPS::CNNNeuron twice(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Linear, 2, 0));
    const Tensor t = reference::random(4, 3, 3, 5, 4, 0, 1);
    const auto labels = scatteredLabels(t);
    const auto images = scattered(Tensor(4, 6, 6, 5));
    const MPS::ImageBatch losses = lossImages(labels);
    for (uint64_t step = 0; step < 3; ++step) {
        Tensor x = reference::distinct(4, 6, 6, 5, step), half = x;
        for (double& v : half.v) v = float(v) / 2;
        Guarded doubled(4, 1, 1, 1), again(4, 1, 1, 1);
        run([&](const MTL::CommandBuffer& commands) {
            twice.encodeBatch(commands, upload(half), images);
            training.graph.encodeBatch(commands, {images}, {labels});
            twice.encodeBatch(commands, losses, doubled.images());
            // Another encode in the same command buffer works on the same copies.
            twice.encodeBatch(commands, upload(x), images);
            training.graph.encodeBatch(commands, {images}, {labels});
            twice.encodeBatch(commands, losses, again.images());
        });
        const Training expected;
        const auto single = lossLabels(t);
        result(expected.graph, {upload(x)}, {single});
        Tensor wanted(4, 1, 1, 1), wantedAgain(4, 1, 1, 1);
        const auto values = lossesOf(single);
        for (size_t i = 0; i < 4; ++i) wanted.v[i] = 2 * values[i];
        for (double& v : x.v) v *= 2;
        const auto second = lossLabels(t);
        result(expected.graph, {upload(x)}, {second});
        for (size_t i = 0; i < 4; ++i) wantedAgain.v[i] = 2 * lossesOf(second)[i];
        CHECK(reference::compare(doubled.read(), wanted, fp32));
        CHECK(reference::compare(again.read(), wantedAgain, fp32));
    }
    CHECK(plans(training.graph) == 1);
}

TEST_CASE("labels at other equal distances each time have a plan that does not mind") {
    const Training training, expected;
    const auto images = upload(reference::distinct(2, 6, 6, 5, 3));
    std::vector<MPS::StateBatch> kept;
    std::vector<MPS::Image> between;
    for (uint64_t step = 0; step < 12; ++step) {
        const Tensor t = reference::random(2, 3, 3, 5, 4 + step, 0, 1);
        MPS::StateBatch labels;
        for (size_t i = 0; i < 2; ++i) {
            labels.push_back(Labels(testDevice(), lossData(reference::image(t, i))));
            between.emplace_back(
                testDevice(),
                MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 16, 1 + step, 4));
            between.back().write(std::vector<float>(64 * (1 + step)));
            // On lavapipe all share their memory; elsewhere labels have one for themselves.
            for (uint64_t k = 0; k < step; ++k)
                kept.push_back({Labels(testDevice(), lossData(reference::image(t, i)))});
        }
        kept.push_back(labels);
        const auto same = kept.emplace_back(lossLabels(t)); // leaves no hole for the next ones
        CHECK(result(training.graph, {images}, {labels}).v ==
              result(expected.graph, {images}, {same}).v);
        CHECK(lossesOf(labels) == lossesOf(same));
    }
    CHECK(plans(training.graph) == 3);
    CHECK(count(training.graph, copies) == 1);
}

TEST_CASE("images of any size and number are copied, from several VkBuffers as well") {
    const auto check = [](const Tensor& x, Variant variant) {
        const auto graph = graphOfTanH();
        graph.setFormat(variant.format);
        const Tensor expected = result(graph, {upload(x, variant)});
        CHECK(result(graph, {scattered(x, variant)}).v == expected.v);
        CHECK(count(graph, copies) == 1);
    };
    for (const auto format :
         {MPS::ImageFeatureChannelFormat::Float32, MPS::ImageFeatureChannelFormat::Float16,
          MPS::ImageFeatureChannelFormat::Unorm8}) {
        const Variant variant{format, MPS::ImageStorage::Buffer};
        check(reference::random(4, 5, 5, 3, 1), variant); // 200 bytes in fp16, 100 in unorm8
        check(reference::random(300, 1, 1, 9, 2), variant);
        check(reference::random(5, 16, 16, 8, 3), variant);
    }
    // Too large for VkBuffers that are shared.
    check(reference::random(3, 740, 740, 4, 4), {});
}

TEST_CASE("textures and images of different shapes are worked on where they lie") {
    const auto graph = graphOfTanH();
    for (const Variant& variant : variants()) {
        if (variant.storage != MPS::ImageStorage::Texture) continue;
        const Tensor x = reference::random(4, 3, 3, 5, 1);
        const auto made = result(graph, {scattered(x, variant)});
        CHECK(reference::compare(made, reference::forward(tanH, x),
                                 reference::Tolerance{variant.tolerance()}));
    }
    // Parts of the channels of larger images.
    const Tensor x = reference::random(4, 3, 3, 12, 1);
    MPS::ImageBatch parts;
    for (const auto& image : scattered(x)) parts.push_back(MPS::Image(image, MTL::Range{1, 1}, 4));
    CHECK(reference::compare(result(graph, {parts}),
                             reference::forward(tanH, reference::channels(x, 4, 4)), fp32));
    CHECK(plans(graph) > 0);
    CHECK(count(graph, copies) == 0);
}

TEST_CASE("what is refused of images that lie anywhere is refused in the same words") {
    const auto said = [](bool anywhere) {
        const Training training;
        const auto images = upload(reference::distinct(4, 6, 6, 5, 3));
        const Tensor t = reference::random(4, 3, 2, 5, 4, 0, 1);
        const auto labels = anywhere ? scatteredLabels(t) : lossLabels(t);
        const auto commands = testQueue().commandBuffer();
        return refusal([&] { training.graph.encodeBatch(commands, {images}, {labels}); });
    };
    CHECK(said(true) == said(false));
    CHECK_THAT(said(true), ContainsSubstring("2x3"));
}
