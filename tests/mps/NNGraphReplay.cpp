// Replays of graphs that more leaves than one image: exports and further results. States are in
// NNGraphReplayStates.cpp.
#include "mps/Image.hpp"
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "mtl/Device.hpp"

#include <mpsvk/MPS/NNShapeNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Returns the input's gradient, and with it the sigmoid as a further result and the tanh as an
/// exported image.
struct Leaving {
    explicit Leaving(bool eager = false, bool firstIsNeeded = true)
        : loss(nodes.last.resultImage(), squares()) {
        nodes.first.resultImage().setExportFromGraph(true);
        for (const MPS::NNImageNode& image : {nodes.first.resultImage(), nodes.last.resultImage()})
            image.setImageAllocator(eager ? std::make_shared<PlainAllocator>()
                                          : MPS::Image::defaultAllocator());
        const auto termini = loss.trainingGraph(std::nullopt, {});
        graph = MPS::NNGraph(testDevice(), {termini.at(0).resultImage(), nodes.last.resultImage()},
                             {firstIsNeeded, true});
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    }
    struct Made {
        MPS::ImageBatch gradient, sigmoid, tanH;
        MPS::StateBatch labels;
        bool operator==(const Made& other) const {
            return valuesOf(gradient) == valuesOf(other.gradient) &&
                   valuesOf(sigmoid) == valuesOf(other.sigmoid) &&
                   valuesOf(tanH) == valuesOf(other.tanH) &&
                   lossesOf(labels) == lossesOf(other.labels);
        }
    };
    static std::vector<double> valuesOf(const MPS::ImageBatch& images) {
        return images.empty() ? std::vector<double>() : download(images).v;
    }
    Made encode(const MTL::CommandBuffer& commands, const MPS::ImageBatch& input,
                const Tensor& targets) const {
        return encode(commands, input, lossLabels(targets));
    }
    Made encode(const MTL::CommandBuffer& commands, const MPS::ImageBatch& input,
                const MPS::StateBatch& labels) const {
        Made made;
        made.labels = labels;
        std::vector<MPS::ImageBatch> others;
        made.gradient = graph.encodeBatch(commands, {input}, given(made.labels), &others, nullptr);
        made.sigmoid = others.at(0);
        made.tanH = others.at(1);
        return made;
    }
    Made encodeOne(const MTL::CommandBuffer& commands, const MPS::Image& input,
                   const Tensor& target) const {
        Made made;
        made.labels = lossLabels(target);
        std::vector<MPS::Image> others;
        const auto states = given(made.labels).empty() ? MPS::StateBatch() : made.labels;
        const MPS::Image gradient = graph.encode(commands, {input}, states, &others, nullptr);
        if (gradient) made.gradient = {gradient};
        made.sigmoid = {others.at(0)};
        made.tanH = {others.at(1)};
        return made;
    }
    /// Without a gradient that is needed there is no loss.
    std::vector<MPS::StateBatch> given(const MPS::StateBatch& labels) const {
        std::vector<MPS::StateBatch> all;
        if (graph.resultImageIsNeeded()) all.push_back(labels);
        return all;
    }
    Nodes nodes;
    MPS::CNNLossNode loss;
    MPS::NNGraph graph;
};

Tensor pictures(size_t count, uint64_t seed) { return reference::distinct(count, 6, 6, 5, seed); }
Tensor targets(size_t count, uint64_t seed) {
    return reference::random(count, 3, 3, 5, seed, 0, 1);
}

/// Where the labels of a batch lie, and their losses, seen from the first one: what a plan may be
/// made for. Labels that are made anew lie at other distances now and then.
std::vector<int64_t> distances(const MPS::StateBatch& labels) {
    std::vector<int64_t> all;
    const auto& first = labels.at(0).as<MPS::CNNLossLabels>();
    const auto add = [&](const MPS::Image& image, const MPS::Image& from) {
        const auto place = [](const MPS::Image& i) { return i.impl().storage->buffer(); };
        all.push_back(int64_t(place(image).begin()) - int64_t(place(from).begin()));
        all.push_back(place(image).buffer->handle() == place(from).buffer->handle());
    };
    for (const MPS::State& state : labels) {
        const auto& one = state.as<MPS::CNNLossLabels>();
        add(one.labelsImage(), first.labelsImage());
        add(one.lossImage(), first.lossImage());
    }
    return all;
}

const void* memoryOf(const MPS::ImageBatch& images) { return images.at(0).impl().storage.get(); }

} // namespace

TEST_CASE("what leaves a replayed graph has the bits of an eager one's, and keeps them") {
    for (const bool firstIsNeeded : {true, false}) {
        const Leaving replayed(false, firstIsNeeded), eager(true, firstIsNeeded), other;
        std::vector<Leaving::Made> a, b;
        std::vector<MTL::CommandBuffer> inFlight;
        std::set<std::vector<int64_t>> shapes; // sizes of batches, and how their labels lie
        for (uint64_t step = 0; step < 9; ++step) {
            const size_t count = step % 3 == 2 ? 1 : 2; // the last of a set is a smaller batch
            const auto input = upload(pictures(count, 10 + step));
            const Tensor t = targets(count, 40 + step);
            const auto commands = testQueue().commandBuffer();
            if (step % 4 == 3) {
                a.push_back(replayed.encodeOne(commands, input[0], reference::image(t, 0)));
                b.push_back(eager.encodeOne(commands, input[0], reference::image(t, 0)));
            } else {
                a.push_back(replayed.encode(commands, input, t));
                other.encode(commands, input, t); // in the same memory between its steps
                b.push_back(eager.encode(commands, input, t));
                a.push_back(replayed.encode(commands, input, t)); // twice in a command buffer
                b.push_back(b.back());
            }
            commands.commit();
            inFlight.push_back(commands);
            if (step == 4) commands.waitUntilCompleted(); // else many steps are in flight
            if (step % 4 == 3) continue;
            for (size_t i = a.size() - 2; i < a.size(); ++i) {
                auto shape = firstIsNeeded ? distances(a[i].labels) : std::vector<int64_t>();
                shape.push_back(int64_t(count));
                shapes.insert(shape);
            }
        }
        for (const auto& commands : inFlight) {
            commands.waitUntilCompleted();
            REQUIRE_FALSE(commands.error());
        }
        for (size_t i = 0; i < a.size(); ++i) {
            INFO("encode " << i);
            CHECK(a[i].gradient.empty() != firstIsNeeded);
            CHECK(a[i] == b[i]);
            for (size_t k = 0; k < i; ++k) CHECK(memoryOf(a[i].tanH) != memoryOf(a[k].tanH));
        }
        CHECK(isReplayed(replayed.graph));
        // Two sizes, and one image alone; no more than four plans are kept.
        CHECK(planCount(replayed.graph) >= 3);
        CHECK(planCount(replayed.graph) <= std::min<size_t>(shapes.size() + 1, 4));
        CHECK_FALSE(isReplayed(eager.graph));
        CHECK_THAT(eager.graph.debugDescription(),
                   ContainsSubstring("encoded anew each time: the result of CNNNeuronTanHNode has "
                                     "an allocator of the program's"));
    }
}

TEST_CASE("images that nobody holds any more are used again for those that leave a graph") {
    const Leaving leaving;
    const auto input = upload(pictures(2, 1));
    const MPS::StateBatch labels = lossLabels(targets(2, 2));
    std::set<const void*> gradients, sigmoids;
    Leaving::Made made;
    uint64_t allocated = 0;
    for (int step = 0; step < 8; ++step) {
        run([&](const MTL::CommandBuffer& commands) {
            made = leaving.encode(commands, input, labels);
        });
        gradients.insert(memoryOf(made.gradient));
        sigmoids.insert(memoryOf(made.sigmoid));
        if (step == 3) allocated = testDevice().currentAllocatedSize();
    }
    // The last ones are held while the next ones are made.
    CHECK(gradients.size() == 2);
    CHECK(sigmoids.size() == 2);
    CHECK(testDevice().currentAllocatedSize() == allocated);

    // A view is enough to hold an image, and so is a texture of its.
    const Tensor expected = download(made.tanH);
    std::vector<MPS::Image> views;
    for (int step = 0; step < 6; ++step) {
        views.push_back(MPS::Image(made.tanH[1], MTL::Range{0, 2}, 5));
        run([&](const MTL::CommandBuffer& commands) {
            made = leaving.encode(commands, upload(pictures(2, 70 + step)), labels);
        });
        CHECK(memoryOf({views.back()}) != memoryOf(made.tanH));
    }
    CHECK(download({views[0]}).v == reference::image(expected, 1).v);
    CHECK(isReplayed(leaving.graph));
}

TEST_CASE("textures and concatenations leave a replayed graph as any images do") {
    for (const Variant& variant : variants()) {
        const Leaving replayed, eager(true);
        const auto labels = lossLabels(targets(2, 1)), same = lossLabels(targets(2, 1));
        std::vector<Leaving::Made> a, b;
        for (uint64_t step = 0; step < 3; ++step) {
            const auto input = upload(pictures(2, 10 + step), variant);
            run([&](const MTL::CommandBuffer& commands) {
                a.push_back(replayed.encode(commands, input, labels));
                b.push_back(eager.encode(commands, input, same));
            });
            for (uint64_t k = 0; k <= step; ++k) CHECK(a[k] == b[k]);
        }
        CHECK(a[0].tanH[0].storage() == variant.storage);
        CHECK(isReplayed(replayed.graph));
        CHECK(planCount(replayed.graph) == 1);
    }

    const MPS::NNImageNode input;
    const MPS::CNNNeuronTanHNode first(input);
    const MPS::CNNNeuronSigmoidNode second(first.resultImage());
    const MPS::NNConcatenationNode both({first.resultImage(), second.resultImage()});
    both.resultImage().setExportFromGraph(true);
    both.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
    const auto graph = graphOf(MPS::CNNNeuronLinearNode(both.resultImage(), 2, 0).resultImage());
    std::vector<MPS::ImageBatch> exported;
    std::vector<Tensor> expected;
    for (uint64_t step = 0; step < 3; ++step) {
        const Tensor x = reference::random(2, 3, 3, 8, step);
        const Tensor y = reference::forward(tanH, x), z = reference::forward(sigmoid, y);
        expected.emplace_back(2, 3, 3, 16);
        reference::paste(expected.back(), {0, 0, 3, 3}, 0, y);
        reference::paste(expected.back(), {0, 0, 3, 3}, 8, z);
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {upload(x)}, {}, &exported, nullptr);
        });
    }
    for (size_t step = 0; step < 3; ++step)
        CHECK(reference::compare(download(exported[step]), expected[step], fp32));
    CHECK(isReplayed(graph));
    CHECK_THAT(graph.debugDescription(), ContainsSubstring("its sources are written in place"));
}

TEST_CASE("a temporary image that leaves a replayed graph is the command buffer's") {
    const Nodes nodes;
    nodes.first.resultImage().setExportFromGraph(true);
    nodes.last.resultImage().setExportFromGraph(true); // and returned: for two readers
    const auto graph = graphOf(nodes.last.resultImage());
    graph.setDestinationImageAllocator(MPS::TemporaryImage::defaultAllocator());
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    for (uint64_t step = 0; step < 4; ++step) {
        const Tensor x = pictures(2, 1 + step);
        Guarded taken(2, 6, 6, 5), last(2, 3, 3, 5);
        run([&](const MTL::CommandBuffer& commands) {
            std::vector<MPS::ImageBatch> all;
            const auto returned = graph.encodeBatch(commands, {upload(x)}, {}, &all, nullptr);
            REQUIRE(all.size() == 2);
            const bool tanHIsFirst = all[0][0].width() == 6;
            const auto temporary = all[tanHIsFirst ? 0 : 1][0].as<MPS::TemporaryImage>();
            REQUIRE(temporary);
            CHECK(temporary.readCount() == 1);
            CHECK(returned[0].as<MPS::TemporaryImage>().readCount() == 2);
            // What comes next in the command buffer leaves it alone.
            graph.encodeBatch(commands, {upload(pictures(2, 90))});
            copy.encodeBatch(commands, all[tanHIsFirst ? 0 : 1], taken.images());
            copy.encodeBatch(commands, returned, last.images());
            CHECK(temporary.readCount() == 0);
        });
        CHECK(reference::compare(taken.read(), reference::forward(tanH, x), fp32));
        CHECK(reference::compare(last.read(), chain.forward(x), fp32));
    }
    CHECK(isReplayed(graph));
    CHECK(planCount(graph) == 1);
}

TEST_CASE("a temporary image that is several results has a read for each") {
    const Nodes nodes;
    for (const MPS::NNFilterNode& last : {MPS::NNFilterNode(nodes.last), nodes.pooling}) {
        const MPS::NNImageNode image = last.resultImage();
        const MPS::NNGraph graph(testDevice(), {nodes.last.resultImage(), image, image});
        graph.setDestinationImageAllocator(MPS::TemporaryImage::defaultAllocator());
        const uint64_t count = last == nodes.last ? 3 : 2;
        for (int step = 0; step < 2; ++step)
            run([&](const MTL::CommandBuffer& commands) {
                std::vector<MPS::ImageBatch> others;
                graph.encodeBatch(commands, {upload(pictures(2, 1))}, {}, &others, nullptr);
                REQUIRE(others.size() == 2);
                CHECK(others[0][0] == others[1][0]);
                CHECK(others[0][0].as<MPS::TemporaryImage>().readCount() == count);
            });
        CHECK(isReplayed(graph));
    }
}

TEST_CASE("a graph tells why it is not replayed") {
    const network::Network onHost(network::Source::Update::Host);
    CHECK_THAT(onHost.training(false, MPS::NNTrainingStyle::UpdateDeviceCPU).debugDescription(),
               ContainsSubstring("encoded anew each time: weights are updated on the host"));

    const Nodes nodes;
    const auto graph = graphOf(nodes.last.resultImage());
    CHECK_THAT(graph.debugDescription(), ContainsSubstring("encodes are replayed"));
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    run([&](const MTL::CommandBuffer& commands) {
        graph.encodeBatch(commands, {copy.encodeBatch(commands, upload(pictures(2, 1)))});
    });
    CHECK_THAT(graph.debugDescription(), ContainsSubstring("source image 0 is temporary"));
    result(graph, {upload(pictures(2, 1))});
    CHECK(isReplayed(graph));
}

TEST_CASE("plans are not mixed up: arrays of images, parts of channels, textures") {
    const MPS::NNImageNode input;
    const auto graph = graphOf(MPS::CNNNeuronTanHNode(input).resultImage());
    const Tensor x = reference::random(2, 3, 3, 8, 1);
    const auto check = [&](const MPS::Image& image, const Tensor& expected) {
        for (int round = 0; round < 2; ++round) {
            MPS::Image made;
            run([&](const MTL::CommandBuffer& commands) {
                made = graph.encode(commands, {image});
            });
            CHECK(reference::compare(download(made.batchRepresentation()), expected, fp32));
        }
    };
    const Tensor y = reference::forward(tanH, x);
    check(upload(x)[0], reference::image(y, 0));
    check(uploadArray(x), y);
    const Tensor low = reference::channels(reference::image(x, 0), 0, 4);
    check(upload(low)[0], reference::forward(tanH, low));
    check(MPS::Image(upload(x)[0], MTL::Range{0, 1}, 4), reference::forward(tanH, low));
    for (const Variant& variant : variants())
        if (variant.storage == MPS::ImageStorage::Texture &&
            variant.format == MPS::ImageFeatureChannelFormat::Float32)
            check(upload(low, variant)[0], reference::forward(tanH, low));
}

TEST_CASE("a batch that lies in several textures is replayed") {
    if (variants().size() == 2) SKIP("the device has no textures");
    const size_t slices = testDevice().impl().vk->limits().imageLayers / 2;
    for (const bool isTemporary : {false, true}) {
        const MPS::NNImageNode input;
        auto graph = graphOf(MPS::CNNNeuronTanHNode(input).resultImage());
        if (isTemporary)
            graph.setDestinationImageAllocator(MPS::TemporaryImage::defaultAllocator());
        MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
        for (uint64_t round = 0; round < 3; ++round) {
            const Tensor x = reference::random(5, 1, 1, 4 * slices, round);
            MPS::ImageBatch made;
            run([&](const MTL::CommandBuffer& commands) {
                made =
                    graph.encodeBatch(commands, {upload(x, {MPS::ImageFeatureChannelFormat::Float32,
                                                            MPS::ImageStorage::Texture})});
                if (!isTemporary) return;
                const auto kept = upload(Tensor(5, 1, 1, 4 * slices));
                copy.encodeBatch(commands, made, kept);
                made = kept;
            });
            CHECK(reference::compare(download(made), reference::forward(tanH, x), fp32));
        }
        CHECK(isReplayed(graph));
    }
}
