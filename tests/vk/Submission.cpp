// Lists become Vulkan command buffers: in one piece, or in several when they would take too long.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// `steps` dispatches that each add 1, to and fro between two buffers.
struct Chain {
    explicit Chain(size_t steps) {
        const auto pipeline = affinePipeline();
        for (size_t i = 0; i < steps; ++i)
            affine(list, pipeline, sides[i % 2], sides[(i + 1) % 2], 1, 1);
        last = sides[steps % 2];
    }
    vk::BufferSlice sides[2] = {slice(std::vector<float>(70, 0)), slice(std::vector<float>(70, 0))};
    vk::BufferSlice last;
    vk::CommandList list;
};

size_t piecesOf(const Chain& chain, vk::Pace& pace) {
    vk::Submission submission(insides(), pace);
    submission.submit(chain.list);
    vk::GpuTimes times;
    CHECK(submission.wait(times) == VK_SUCCESS);
    CHECK(times.start > 0);
    CHECK(times.end >= times.start);
    return submission.pieces();
}

} // namespace

TEST_CASE("A pace is the slowest of late", "[Submission]") {
    vk::Pace pace(0.5);
    CHECK(pace.dispatchesPerPiece() == 512);
    pace.measured(100, 0.1); // a millisecond each
    CHECK(pace.dispatchesPerPiece() == 500);
    pace.measured(1, 0.25); // slower at once
    CHECK(pace.dispatchesPerPiece() == 2);
    pace.measured(1000000, 1e-6); // faster only by and by
    CHECK(pace.dispatchesPerPiece() == 2);
    for (int i = 0; i < 200; ++i) pace.measured(1000000, 1e-6);
    CHECK(pace.dispatchesPerPiece() > 1000);
    pace.measured(0, 1);
    pace.measured(1, 100); // one dispatch cannot be cut
    CHECK(pace.dispatchesPerPiece() == 1);
}

TEST_CASE("What is expected to take too long is cut", "[Submission]") {
    vk::Pace pace(1e-12);
    const Chain whole(512), cut(513), each(5);
    CHECK(piecesOf(whole, pace) == 1); // nothing is known yet
    vk::Pace fresh(1e-12);
    CHECK(piecesOf(cut, fresh) == 2);
    CHECK(piecesOf(each, fresh) == 5);
    CHECK(read(whole.last) == std::vector<float>(70, 512));
    CHECK(read(cut.last) == std::vector<float>(70, 513));
    CHECK(read(each.last) == std::vector<float>(70, 5));
}

TEST_CASE("A submission is used again and again", "[Submission]") {
    vk::SubmissionPool pool(insides());
    auto first = pool.take();
    vk::Submission* const address = first.get();
    vk::GpuTimes times;
    for (int time = 1; time <= 3; ++time) {
        const Chain chain(300); // more dispatches than one descriptor pool has sets
        first->submit(chain.list);
        CHECK(first->wait(times) == VK_SUCCESS);
        CHECK(read(chain.last) == std::vector<float>(70, 300));
    }
    pool.giveBack(std::move(first));
    CHECK(pool.take().get() == address);
}

TEST_CASE("Parameters of many dispatches fill more than one block", "[Submission]") {
    const Chain chain(3000); // 12 bytes each, at least 16 apart
    vk::Pace pace;
    CHECK(piecesOf(chain, pace) == 6);
    CHECK(read(chain.last) == std::vector<float>(70, 3000));
}

TEST_CASE("A shader's binding that a dispatch does not use gets a placeholder", "[Submission]") {
    const auto pipeline = affinePipeline();
    const auto destination = slice(std::vector<float>(8, -1));
    const AffineParameters parameters{0, 5, 0}; // count 0: nothing is read or written
    vk::Binding bindings[] = {vk::Binding{1, nullptr}, vk::Binding::buffer(2, destination)};
    vk::CommandList list;
    list.dispatch(pipeline, bindings, bytesOf(parameters), {1, 1, 1});
    submitAndWait(list);
    CHECK(read(destination) == std::vector<float>(8, -1));
}

TEST_CASE("Labels go along", "[Submission]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8);
    vk::CommandList list;
    list.label(vk::CommandList::LabelKind::Push, "outer");
    list.label(vk::CommandList::LabelKind::Insert, "here");
    affine(list, pipeline, a, b, 4, 0);
    list.label(vk::CommandList::LabelKind::Pop);
    submitAndWait(list);
    CHECK(read(b) == std::vector<float>(8, 4));
}
