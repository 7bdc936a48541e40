// Recording, replaying with other resources, and what is pending meanwhile.
#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("A list replays with other buffers in some places", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(100, 1)), b = slice(std::vector<float>(100, -7)),
               c = slice(std::vector<float>(100, -7));
    const auto a2 = slice(std::vector<float>(100, 10)), c2 = slice(std::vector<float>(100, -7));
    vk::CommandList recorded;
    affine(recorded, pipeline, a, b, 2, 1);
    affine(recorded, pipeline, b, c, 3, 0);

    vk::CommandList replay;
    const std::shared_ptr<vk::Resource> from[] = {a.buffer, c.buffer},
                                        to[] = {a2.buffer, c2.buffer};
    replay.append(recorded, from, to);
    CHECK(replay.dispatchCount() == 2);
    submitAndWait(replay);
    CHECK(read(b) == std::vector<float>(100, 21));
    CHECK(read(c2) == std::vector<float>(100, 63));
    CHECK(read(c) == std::vector<float>(100, -7));

    SECTION("and as it was, behind commands of another list") {
        vk::CommandList both;
        affine(both, pipeline, c2, a, 1, 0);
        both.append(recorded);
        submitAndWait(both);
        CHECK(read(c) == std::vector<float>(100, (63 * 2 + 1) * 3));
    }
}

TEST_CASE("A list knows what was noted in those whose commands it has", "[CommandList]") {
    const int one = 1, two = 2;
    vk::CommandList appended, taken, list;
    appended.noted().add(&one);
    taken.setTemplate();
    taken.noted().add(&two);
    list.take(taken); // as it is, for there is nothing before
    CHECK(list.noted().mayHave(&two));
    CHECK_FALSE(taken.noted().mayHave(&two));
    list.append(appended);
    CHECK(list.noted().mayHave(&one));
    CHECK(list.noted().mayHave(&two));
    list.clear();
    CHECK_FALSE(list.noted().mayHave(&one));
}

TEST_CASE("A part of a replaced buffer stays the same part", "[CommandList]") {
    const auto pipeline = affinePipeline();
    std::vector<float> counting(256);
    for (size_t i = 0; i < counting.size(); ++i) counting[i] = float(i);
    const auto a = slice(256), a2 = slice(counting), c = slice(64);
    vk::BufferSlice part = a;
    part.offset = 128 * sizeof(float);
    part.size = 64 * sizeof(float);
    vk::CommandList recorded, replay;
    affine(recorded, pipeline, part, c, 1, 0);
    const std::shared_ptr<vk::Resource> from[] = {a.buffer}, to[] = {a2.buffer};
    replay.append(recorded, from, to);
    submitAndWait(replay);
    CHECK(read(c) == std::vector<float>(counting.begin() + 128, counting.begin() + 192));
}

TEST_CASE("A list that is included works on the resources it is told, but keeps none",
          "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(100, 1)), b = slice(100), c = slice(100);
    const auto a2 = slice(std::vector<float>(100, 10)), c2 = slice(100);
    vk::CommandList recorded;
    affine(recorded, pipeline, a, b, 2, 1);
    affine(recorded, pipeline, b, c, 3, 0);
    const std::shared_ptr<vk::Resource> places[] = {a.buffer, c.buffer}, first[] = {a2.buffer},
                                        second[] = {c2.buffer};
    const auto uses = recorded.usesOf(places);
    const auto owners = [&] {
        return std::array{b.buffer.use_count(), a2.buffer.use_count(), c2.buffer.use_count(),
                          pipeline.use_count()};
    };
    const auto before = owners();
    vk::CommandList replay;
    replay.include(recorded, uses, first, second);
    CHECK(owners() == before);
    CHECK(replay.dispatchCount() == 2);
    CHECK(c2.buffer->hasPendingWrites());
    SECTION("alone") {
        submitAndWait(replay);
        CHECK(read(b) == std::vector<float>(100, 21));
        CHECK(read(c2) == std::vector<float>(100, 63));
        replay.clear();
    }
    SECTION("between other commands, which stay before and behind it") {
        vk::CommandList all;
        affine(all, pipeline, a, a2, 4, 0);
        all.append(replay);
        affine(all, pipeline, c2, c, 1, 1);
        replay.clear();
        submitAndWait(all);
        CHECK(read(c2) == std::vector<float>(100, (4 * 2 + 1) * 3));
        CHECK(read(c) == std::vector<float>(100, (4 * 2 + 1) * 3 + 1));
        all.clear();
    }
    CHECK_FALSE(c2.buffer->hasPendingWrites());
}

TEST_CASE("What a list forgets to write is not pending", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8), c = slice(8);
    vk::CommandList list;
    affine(list, pipeline, a, b, 2, 1);
    affine(list, pipeline, b, c, 3, 0);
    const std::shared_ptr<vk::Resource> inner[] = {b.buffer};
    list.forgetWrites(inner);
    CHECK_FALSE(b.buffer->hasPendingWrites());
    CHECK(c.buffer->hasPendingWrites());
    list.clear();
    CHECK_FALSE(b.buffer->hasPendingWrites());
    CHECK_FALSE(c.buffer->hasPendingWrites());
}

TEST_CASE("Refreshed parameters are made anew for each replay", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8);
    int ordinal = 0;
    vk::CommandList recorded;
    affine(recorded, pipeline, a, b, 1, 0, [&ordinal](std::byte* parameters) {
        const float offset = float(++ordinal) * 10;
        std::memcpy(parameters + offsetof(AffineParameters, offset), &offset, sizeof offset);
    });
    CHECK(ordinal == 1);
    for (int time = 2; time < 5; ++time) {
        vk::CommandList replay;
        replay.append(recorded);
        submitAndWait(replay);
        CHECK(ordinal == time);
        CHECK(read(b) == std::vector<float>(8, float(1 + time * 10)));
    }
}

TEST_CASE("An included list's parameters are refreshed where it is included for execution",
          "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8);
    int ordinal = 0;
    vk::CommandList recorded;
    recorded.setTemplate();
    affine(recorded, pipeline, a, a, 1, 0); // one that stays the same
    affine(recorded, pipeline, a, b, 1, 0, [&ordinal](std::byte* parameters) {
        const float offset = float(++ordinal) * 10;
        std::memcpy(parameters + offsetof(AffineParameters, offset), &offset, sizeof offset);
    });
    const auto uses = recorded.usesOf({});
    for (int time = 1; time < 4; ++time) {
        vk::CommandList draft, replay;
        draft.setTemplate();
        draft.include(recorded, uses, {});
        CHECK(ordinal == time - 1);
        if (time == 2) affine(replay, pipeline, a, a, 1, 0); // takes the draft behind it
        replay.take(draft);
        CHECK(ordinal == time);
        vk::CommandList again;
        again.append(replay);
        CHECK(ordinal == time);
        submitAndWait(again);
        CHECK(read(b) == std::vector<float>(8, float(1 + time * 10)));
    }
}

TEST_CASE("A template made of a template leaves to be refreshed what was", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8);
    int ordinal = 0;
    vk::CommandList recorded, placed;
    recorded.setTemplate();
    placed.setTemplate();
    affine(recorded, pipeline, a, b, 1, 0, [&ordinal](std::byte* parameters) {
        const float offset = float(++ordinal) * 10;
        std::memcpy(parameters + offsetof(AffineParameters, offset), &offset, sizeof offset);
    });
    placed.append(recorded);
    CHECK(ordinal == 0);
    for (int time = 1; time < 4; ++time) {
        vk::CommandList replay;
        replay.append(placed);
        submitAndWait(replay);
        CHECK(ordinal == time);
        CHECK(read(b) == std::vector<float>(8, float(1 + time * 10)));
    }
}

TEST_CASE("A list works on parts of a buffer in place of buffers", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(64, 3));
    // Without memory: only to be replaced.
    const auto nothing = [](uintptr_t number) {
        return std::make_shared<vk::Buffer>((VkBuffer)number, 256, nullptr);
    };
    const auto first = nothing(1), second = nothing(3);
    vk::CommandList recorded, replay;
    recorded.setTemplate();
    affine(recorded, pipeline, a, vk::whole(first), 2, 0);
    affine(recorded, pipeline, vk::whole(first), vk::whole(second), 1, 1);
    const auto both = slice(128).buffer;
    const std::shared_ptr<vk::Resource> from[] = {first, second},
                                        to[] = {std::make_shared<vk::Buffer>(both, 256, 256),
                                                std::make_shared<vk::Buffer>(both, 0, 256)};
    replay.append(recorded, from, to);
    submitAndWait(replay);
    auto expected = std::vector<float>(64, 7);
    expected.resize(128, 6);
    CHECK(read(vk::whole(both)) == expected);
    CHECK(static_cast<vk::Buffer&>(*to[0]).mapped() ==
          (both->mapped() ? both->mapped() + 256 : nullptr));
    // Two dispatches of 256 bytes each way.
    CHECK(recorded.traffic(0, 2).read == 512);
    CHECK(recorded.traffic(0, 2).written == 512);
    CHECK(recorded.traffic(1, 2).read == 256);
    CHECK(recorded.traffic(2, 2).read == 0);
}

TEST_CASE("A resource is pending from the command that writes it until its list is cleared",
          "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(8), b = slice(8), c = slice(8);
    {
        vk::CommandList first;
        vk::CommandList second;
        affine(first, pipeline, a, b, 1, 0);
        affine(first, pipeline, a, b, 1, 0);
        second.copy(a, b);
        second.fill(c, 0);
        CHECK_FALSE(a.buffer->hasPendingWrites());
        CHECK(b.buffer->hasPendingWrites());
        CHECK(c.buffer->hasPendingWrites());
        first.clear();
        CHECK(first.empty());
        CHECK(b.buffer->hasPendingWrites()); // by the second
        second.append(first);
    }
    CHECK_FALSE(b.buffer->hasPendingWrites());
    CHECK_FALSE(c.buffer->hasPendingWrites());
}

TEST_CASE("A replay is pending for the buffers that it writes", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(8), b = slice(8), b2 = slice(8);
    vk::CommandList recorded, replay;
    affine(recorded, pipeline, a, b, 1, 0);
    const std::shared_ptr<vk::Resource> from[] = {b.buffer}, to[] = {b2.buffer};
    replay.append(recorded, from, to);
    CHECK(b2.buffer->hasPendingWrites());
    recorded.clear();
    CHECK_FALSE(b.buffer->hasPendingWrites());
}

TEST_CASE("A template is pending for nothing, its copies are", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(8), b = slice(8), c = slice(8);
    vk::CommandList recorded;
    recorded.setTemplate();
    affine(recorded, pipeline, a, b, 1, 0);
    recorded.alsoWrites(c.buffer);
    CHECK_FALSE(b.buffer->hasPendingWrites());
    CHECK_FALSE(c.buffer->hasPendingWrites());
    REQUIRE(recorded.written().size() == 2);
    CHECK(recorded.written()[0] == b.buffer);
    CHECK(recorded.written()[1] == c.buffer);
    vk::CommandList copy;
    copy.append(recorded);
    recorded.clear();
    CHECK(b.buffer->hasPendingWrites());
    CHECK(c.buffer->hasPendingWrites());
    copy.clear();
    CHECK_FALSE(b.buffer->hasPendingWrites());
    CHECK_FALSE(c.buffer->hasPendingWrites());
}

TEST_CASE("A list keeps what it uses", "[CommandList]") {
    const auto pipeline = affinePipeline();
    std::weak_ptr<vk::Buffer> buffer;
    std::weak_ptr<int> object;
    vk::CommandList list;
    {
        const auto a = slice(8), b = slice(8);
        affine(list, pipeline, a, b, 1, 0);
        buffer = a.buffer;
        const auto held = std::make_shared<int>(1);
        list.retain(held);
        object = held;
    }
    CHECK_FALSE(buffer.expired());
    CHECK_FALSE(object.expired());
    list.clear();
    CHECK(buffer.expired());
    CHECK(object.expired());
}

TEST_CASE("A dispatch is made to work on more, step by step", "[CommandList]") {
    const auto pipeline = affinePipeline();
    constexpr VkDeviceSize part = 256;
    // Parts of one VkBuffer as objects of their own.
    const auto partsOf = [&](const vk::BufferSlice& of) {
        std::vector<std::shared_ptr<vk::Buffer>> all;
        for (VkDeviceSize k = 0; k < 4; ++k)
            all.push_back(std::make_shared<vk::Buffer>(of.buffer, k * part, part));
        return all;
    };
    std::vector<float> counting(256);
    for (size_t i = 0; i < counting.size(); ++i) counting[i] = float(i);
    const auto source = slice(counting), destination = slice(std::vector<float>(256, -7));
    auto sources = partsOf(source), destinations = partsOf(destination);
    using More = std::array<uint32_t, 5>; // the room that it makes lasts for one more
    vk::CommandList list, copy;
    const auto widen = [&](vk::CommandList& in, size_t command, size_t first, size_t last,
                           size_t added) {
        const AffineParameters parameters{2, 1, uint32_t((last - first + 1) * 64)};
        const auto binding = [&](uint32_t number, auto& buffers) {
            vk::Binding made = vk::Binding::buffer(number, vk::whole(buffers[added]));
            made.offset = buffers[first]->offset();
            made.size = made.bytes = (last - first + 1) * part;
            return made;
        };
        const vk::Binding wider[] = {binding(1, sources), binding(2, destinations)};
        More more;
        more.fill(uint32_t(added));
        in.widen(command, wider, bytesOf(parameters), bytesOf(more),
                 {uint32_t(last - first + 1), 1, 1});
    };
    const auto other = slice(8);
    affine(list, pipeline, other, other, 1, 0);
    affine(list, pipeline, vk::whole(sources[1]), vk::whole(destinations[1]), 2, 1);
    widen(list, 1, 1, 2, 2);
    affine(list, pipeline, other, other, 1, 0);
    widen(list, 1, 0, 2, 0);
    CHECK(list.dispatchCount() == 3);
    CHECK(list.traffic(1, 2).read == 3 * part);
    for (size_t k = 0; k < 4; ++k) CHECK(destinations[k]->hasPendingWrites() == (k < 3));
    const std::weak_ptr<vk::Buffer> kept[] = {sources[2], sources[3]};
    // What becomes of it in another list, where it grows on.
    affine(copy, pipeline, other, other, 1, 0);
    copy.append(list);
    list.clear();
    widen(copy, 2, 0, 3, 3);
    const auto parametersOf = [&](size_t command) {
        const auto& c = copy.commands()[command];
        return copy.bytes(c.parameters, c.parameterBytes);
    };
    const auto table = parametersOf(2).subspan(sizeof(AffineParameters));
    REQUIRE(table.size() == 3 * sizeof(More));
    for (const size_t k : {0, 1, 2}) {
        More added;
        std::memcpy(&added, &table[k * sizeof added], sizeof added);
        CHECK(added[4] == std::array{2u, 0u, 3u}[k]);
    }
    const AffineParameters others{1, 0, 8}; // nothing was written over those of the next command
    CHECK(std::ranges::equal(parametersOf(3), bytesOf(others)));
    for (const auto& buffer : destinations) CHECK(buffer->hasPendingWrites());
    submitAndWait(copy);
    const auto got = read(destination);
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == float(2 * i + 1));
    sources.clear();
    for (const auto& buffer : kept) CHECK_FALSE(buffer.expired());
    copy.clear();
    for (const auto& buffer : kept) CHECK(buffer.expired());
    for (const auto& buffer : destinations) CHECK_FALSE(buffer->hasPendingWrites());
}

TEST_CASE("The last command moves before others", "[CommandList]") {
    const auto pipeline = affinePipeline();
    const auto a = slice(std::vector<float>(8, 1)), b = slice(8), c = slice(8), d = slice(8);
    vk::CommandList list;
    affine(list, pipeline, a, a, 2, 0);
    affine(list, pipeline, b, c, 3, 0);
    affine(list, pipeline, c, d, 5, 0);
    affine(list, pipeline, a, b, 1, 1);
    list.moveLast(1);
    submitAndWait(list);
    CHECK(read(c) == std::vector<float>(8, 9));
    CHECK(read(d) == std::vector<float>(8, 45));
}
