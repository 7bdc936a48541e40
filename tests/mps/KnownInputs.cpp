// What a graph is given, recognized when it comes again: by the objects, not by where they lie.
#include "mps/KnownInputs.hpp"
#include "mps/Image.hpp"
#include "mps/NNGraphRig.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

MPS::ImageBatch images(size_t count) { return upload(reference::random(count, 2, 2, 4, 1)); }

} // namespace

TEST_CASE("inputs are known when they are the same objects in the same batches") {
    std::vector<MPS::ImageBatch> batches{images(3), images(3)};
    std::vector<MPS::StateBatch> states{lossLabels(reference::random(3, 1, 1, 4, 1))};
    mps::KnownInputs known;
    CHECK_FALSE(known.are({batches, states}));
    known.set({batches, states});
    CHECK(known.are({batches, states}));

    auto others = batches;
    std::swap(others[0][0], others[0][1]);
    CHECK_FALSE(known.are({others, states}));
    CHECK_FALSE(known.are({{batches[0]}, states}));
    CHECK_FALSE(known.are({batches, {}}));
    others = batches;
    others[1].pop_back();
    CHECK_FALSE(known.are({others, states}));
    others[1].push_back({});
    CHECK_FALSE(known.are({others, states}));
    CHECK(known.are({batches, states}));
    known.clear();
    CHECK_FALSE(known.are({batches, states}));
}

TEST_CASE("an image that is made when another one has come to its end is not taken for that") {
    std::vector<MPS::ImageBatch> batches{images(1)};
    const MPS::ImageDescriptor descriptor = batches[0][0].impl().descriptor;
    mps::KnownInputs known;
    for (int i = 0; i < 100; ++i) {
        known.set({batches, {}});
        batches.clear();
        batches = {{MPS::Image(testDevice(), descriptor)}};
        CHECK_FALSE(known.are({batches, {}}));
    }
}

TEST_CASE("batches that a graph knows are checked all the same when one element is another") {
    const Nodes nodes;
    const MPS::CNNLossNode loss(nodes.last.resultImage(), squares());
    const auto graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
    std::vector<MPS::ImageBatch> pictures{upload(reference::distinct(2, 6, 6, 5, 1))};
    std::vector<MPS::StateBatch> labels{lossLabels(reference::random(2, 3, 3, 5, 2, 0, 1))};
    const auto encode = [&] {
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            made = graph.encodeBatch(commands, pictures, labels);
        });
        return download(made).v;
    };
    const auto first = encode();
    for (int i = 0; i < 4; ++i) CHECK(encode() == first);
    CHECK(isReplayed(graph));

    const auto refused = [&] { return sentence<InvalidArgument>([&] { encode(); }); };
    const MPS::Image picture = pictures[0][1];
    pictures[0][1] = {};
    CHECK_THAT(refused(), ContainsSubstring("[1] is an empty image handle"));
    pictures[0].pop_back();
    CHECK_THAT(refused(), ContainsSubstring("There are 1 images but"));
    pictures[0].push_back(upload(reference::distinct(1, 6, 6, 5, 9))[0]);
    CHECK(encode() != first);
    pictures[0][1] = picture;
    CHECK(encode() == first);
    labels[0][0] = {};
    CHECK_THAT(refused(), ContainsSubstring("[0] is an empty state handle"));
}
