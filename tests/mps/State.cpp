// States that the program makes.
#include "support/Device.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("read counts of a batch of states change together or not at all") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const MPS::State a = MPS::State::temporaryState(commands, 16),
                     b = MPS::State::temporaryState(commands, 16), c(testDevice(), 16);
    a.setReadCount(3);
    CHECK(sentence<InvalidArgument>([&] {
              MPS::StateBatchIncrementReadCount({a, b}, -2);
          }) == "[State] The read count is 1 but 2 were to be taken off.");
    CHECK(sentence<InvalidArgument>([&] {
              MPS::StateBatchIncrementReadCount({a, {}}, 1);
          }) == "[State] The state handle is empty.");
    CHECK(a.readCount() == 3);
    CHECK(b.readCount() == 1);
    CHECK(MPS::StateBatchIncrementReadCount({a, a, b, c}, 2) == 3);
    CHECK(a.readCount() == 5);
    CHECK(b.readCount() == 3);
    CHECK(c.readCount() == 0);
}

TEST_CASE("lists of resources, filled from the start") {
    const MTL::TextureDescriptor texture(MTL::PixelFormat::RGBA32Float, 3, 2, false);
    MPS::StateResourceList buffers{16, 32};
    buffers.appendTexture(texture);
    const MPS::State state(testDevice(), buffers);
    CHECK(state.resourceCount() == 3);
    CHECK(state.textureInfo(0).width == 3);
    CHECK(state.bufferSize(1) == 16);
    CHECK(state.bufferSize(2) == 32);
    const MPS::State two(testDevice(), MPS::StateResourceList{texture, texture});
    CHECK(two.resourceCount() == 2);
    CHECK(two.resourceType(1) == MPS::StateResourceType::Texture);
}
