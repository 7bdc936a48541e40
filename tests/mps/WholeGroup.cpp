// Groups of channels that a workgroup keeps in registers: which, and normalizations of them.
#include "mps/WholeGroup.hpp"

#include "mps/NormalizationKernels.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cfloat>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using mpsvk::mps::WholeGroup;

namespace {

vk::Limits limits(uint32_t invocations = 1024, uint32_t sharedBytes = 49152) {
    vk::Limits made;
    made.workGroupInvocations = invocations;
    made.sharedMemoryBytes = sharedBytes;
    made.processor.architecture = vk::Architecture::Nvidia;
    return made;
}

} // namespace

TEST_CASE("workgroups keep all pixels of whole groups, as small as they can be") {
    struct Case {
        uint64_t pixels, slices, groupChannels;
        uint32_t operands, texelsEach, invocations, blockUnits, kept;
    };
    const Case cases[] = {
        {3136, 64, 1, 2, 1, 256, 2, 25}, // planes of 56x56 fill a multiprocessor's registers
        {3136, 64, 8, 2, 1, 256, 2, 25}, {3136, 64, 8, 2, 2, 256, 2, 25},
        {3136, 64, 1, 1, 1, 256, 2, 25}, {784, 64, 1, 2, 1, 128, 2, 13},
        {784, 64, 32, 2, 1, 256, 8, 25}, // a group of many channels is a block of its own
        {784, 64, 32, 1, 2, 128, 4, 25}, {800, 1, 4, 2, 1, 128, 1, 7},
        {400, 3, 6, 2, 1, 126, 3, 10},  // groups that share texels go together
        {400, 6, 12, 2, 2, 126, 3, 10}, // a pair of texels has two groups
    };
    for (const Case& c : cases) {
        INFO(c.pixels << " pixels of " << c.slices << " slices, groups of " << c.groupChannels);
        const auto group = WholeGroup::of(
            limits(), {c.pixels, c.slices, c.groupChannels, c.operands, c.texelsEach});
        REQUIRE(group);
        CHECK(group->invocations == c.invocations);
        CHECK(group->blockUnits == c.blockUnits);
        CHECK(group->kept == c.kept);
        CHECK(group->blocks * c.blockUnits * c.texelsEach == c.slices);
        CHECK(uint64_t(group->kept) * (group->invocations / group->blockUnits) >= c.pixels);
        CHECK(uint64_t(group->kept - 1) * (group->invocations / group->blockUnits) < c.pixels);
    }
}

TEST_CASE("what does not fit in registers, or in the device's limits, is not kept") {
    const WholeGroup::Shape fits{3136, 64, 1, 2, 2};
    CHECK(WholeGroup::of(limits(), fits));
    CHECK_FALSE(WholeGroup::of(limits(512), fits));
    CHECK_FALSE(WholeGroup::of(limits(1024, 16384), fits));
    vk::Limits unknown = limits();
    unknown.processor.architecture = vk::Architecture::Mali;
    CHECK_FALSE(WholeGroup::of(unknown, fits));
    CHECK_FALSE(WholeGroup::of(limits(), {12544, 64, 1, 2, 1})); // 112x112
    CHECK_FALSE(WholeGroup::of(limits(), {4096, 64, 1, 2, 1}));  // 512 invocations would spill
    CHECK(WholeGroup::of(limits(), {4096, 64, 1, 1, 1}));        // but not with one operand
    CHECK_FALSE(WholeGroup::of(limits(), {3136, 64, 256, 2, 1}));
    CHECK_FALSE(WholeGroup::of(limits(), {49, 64, 1, 2, 1}));   // the caches have these
    CHECK_FALSE(WholeGroup::of(limits(), {3136, 63, 1, 2, 2})); // not of pairs
}

TEST_CASE("workgroups share planes that are large, and read whole lines of the cache") {
    vk::Limits limits = ::limits();
    limits.processor.driver = VK_DRIVER_ID_NVIDIA_PROPRIETARY;
    limits.processor.multiprocessors = 132;
    limits.processor.isGuess = false;
    struct Case {
        uint64_t pixels, slices, groupChannels;
        uint32_t texelsEach, invocations, blockUnits, kept, members;
    };
    const Case cases[] = {
        {3136, 64, 1, 1, 128, 8, 25, 8},    {3136, 64, 8, 2, 128, 8, 25, 8},
        {3136, 64, 64, 1, 128, 16, 25, 16}, // a group of many channels
        {12544, 16, 1, 1, 128, 8, 25, 32},  {3136, 3, 1, 1, 126, 3, 25, 3},
    };
    for (const Case& c : cases) {
        INFO(c.pixels << " pixels of " << c.slices << " slices, groups of " << c.groupChannels);
        const auto group =
            WholeGroup::shared(limits, {c.pixels, c.slices, c.groupChannels, 2, c.texelsEach});
        REQUIRE(group);
        CHECK(group->invocations == c.invocations);
        CHECK(group->blockUnits == c.blockUnits);
        CHECK(group->kept == c.kept);
        CHECK(group->members == c.members);
        CHECK(group->blocks * c.blockUnits * c.texelsEach == c.slices);
        const uint64_t lanes = uint64_t(group->invocations) / group->blockUnits * group->members;
        CHECK(group->kept * lanes >= c.pixels);
        CHECK((group->kept - 1) * lanes < c.pixels);
        CHECK(group->stagger(limits.processor, 1000)[0].value == 0);
    }
    const WholeGroup::Shape fits{3136, 64, 1, 2, 2};
    CHECK_FALSE(WholeGroup::shared(limits, {400, 64, 1, 2, 1}));   // one workgroup has it all
    CHECK_FALSE(WholeGroup::shared(limits, {13600, 64, 1, 2, 1})); // more than may wait
    CHECK_FALSE(WholeGroup::shared(limits, {784, 64, 128, 2, 1})); // of too many channels
    limits.processor.multiprocessors = 31;
    CHECK_FALSE(WholeGroup::shared(limits, fits));
    limits.processor.multiprocessors = 32;
    CHECK(WholeGroup::shared(limits, fits));
    vk::Limits other = limits;
    other.processor.isGuess = true;
    CHECK_FALSE(WholeGroup::shared(other, fits));
    for (const VkDriverId driver : {VkDriverId{}, VK_DRIVER_ID_MESA_NVK, VK_DRIVER_ID_MOLTENVK}) {
        other = limits;
        other.processor.driver = driver;
        CHECK_FALSE(WholeGroup::shared(other, fits));
    }
    other = limits;
    other.processor.architecture = vk::Architecture::Amd;
    CHECK_FALSE(WholeGroup::shared(other, fits));
}

TEST_CASE("workgroups begin one after the other where there are many for each multiprocessor") {
    const auto group = WholeGroup::of(limits(), {3136, 64, 1, 2, 2}).value();
    vk::Processor processor = limits().processor;
    processor.multiprocessors = 132;
    const auto imagesFor = [&](uint64_t rounds) {
        return vk::divideUp(rounds * processor.multiprocessors, group.blocks);
    };
    const auto many = group.stagger(processor, imagesFor(4));
    CHECK(many[0].value == processor.multiprocessors);
    CHECK(many[1].value == 80 * group.kept);
    CHECK(group.stagger(processor, imagesFor(4) - 1)[0].value == 0);
    // Two workgroups of 128 invocations fit.
    CHECK(WholeGroup::of(limits(), {784, 64, 1, 2, 1})->stagger(processor, 1000)[0].value == 0);
    vk::Processor unknown = processor;
    unknown.multiprocessors = 0;
    CHECK(group.stagger(unknown, imagesFor(4))[0].value == 0);
    unknown = processor;
    unknown.architecture = vk::Architecture::Mali;
    CHECK(group.stagger(unknown, imagesFor(4))[0].value == 0);
}

TEST_CASE("planes that are read once are normalized as the reference does it") {
    struct Case {
        size_t channels, groups, width, height;
        bool single, half; // formats
    };
    // Of the last two, one has more channels than invocations, and one fills the least shared
    // memory.
    std::vector<Case> cases = {{8, 8, 16, 17, true, false},
                               {24, 2, 15, 12, false, true},
                               {144, 1, 6, 5, false, true},
                               {160, 1, 8, 8, true, false}};
    // A CPU driver takes long to compile these.
    if (testDevice().impl().vk->properties().deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU)
        cases.insert(cases.end(), {{16, 4, 16, 17, true, true},
                                   {32, 1, 9, 8, true, true},
                                   {12, 2, 21, 20, true, false},
                                   {8, 8, 33, 31, true, true},
                                   {16, 2, 56, 56, true, true},
                                   {32, 32, 56, 56, true, true},
                                   {64, 1, 14, 15, true, true},
                                   {64, 16, 64, 63, true, true},
                                   {4, 1, 61, 57, true, false}});
    auto all = variants();
    all.resize(2); // in buffers
    for (const Case& c : cases)
        for (const Variant variant : all) {
            const bool half = variant.format == MPS::ImageFeatureChannelFormat::Float16;
            if (half ? !c.half : !c.single) continue;
            INFO(variant.name() << " " << c.channels << " channels in " << c.groups << " groups, "
                                << c.width << "x" << c.height);
            const GroupNormalization k = randomNormalization(c.channels, c.groups, 1e-3, 61);
            const Tensor x = reference::rounded(
                reference::random(3, c.height, c.width, c.channels, 62, -2, 3), variant.rounding());
            const Tensor g = reference::rounded(reference::randomLike(x, 63), variant.rounding());
            const auto source = upload(x, variant), dy = upload(g, variant);
            const Normalized actual = both<GroupKind>(k, source, dy, x, variant);
            const auto d = reference::gradient(k, g, x);
            CHECK(reference::compare(actual.y, reference::forward(k, x), {variant.tolerance()}));
            CHECK(reference::compare(actual.dx, d.source, {variant.tolerance()}));
            CHECK(reference::compare(actual.gamma, d.gamma.v));
            CHECK(reference::compare(actual.beta, d.beta.v));
            CHECK(both<GroupKind>(k, source, dy, x, variant) == actual);
            CHECK(both<GroupKind>(k, source, dy, x, variant, false) == actual);
            // Nothing is left from before that would be taken for the sums of another gradient.
            const Tensor more =
                reference::rounded(reference::randomLike(x, 64), variant.rounding());
            const Normalized next = both<GroupKind>(k, source, upload(more, variant), x, variant);
            CHECK(reference::compare(next.dx, reference::gradient(k, more, x).source,
                                     {variant.tolerance()}));
            const Environment disabled("MPSVK_DISABLE", "waiting_workgroups");
            const Normalized alone = both<GroupKind>(k, source, dy, x, variant);
            CHECK(reference::compare(alone.y, reference::forward(k, x), {variant.tolerance()}));
            CHECK(reference::compare(alone.dx, d.source, {variant.tolerance()}));
            CHECK(reference::compare(alone.gamma, d.gamma.v));
            CHECK(reference::compare(alone.beta, d.beta.v));
        }
}

TEST_CASE("planes that are read once may have a large mean, or a single value") {
    const GroupNormalization k = randomNormalization(8, 8, 1e-5, 71);
    std::vector<std::array<size_t, 2>> sizes = {{17, 16}};
    // On GPUs several workgroups have a large plane, and bring their means together.
    if (testDevice().impl().vk->properties().deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU)
        sizes.push_back({61, 57});
    for (const auto [height, width] : sizes) {
        INFO(width << "x" << height);
        Tensor x = reference::random(1, height, width, 8, 72, 1000, 1002);
        x.v[0] = 990; // and the first pixel is no typical one
        x = reference::rounded(x, reference::Storage::Float32);
        const Tensor g = reference::randomLike(x, 73);
        const Normalized actual = both<GroupKind>(k, upload(x), upload(g), x);
        // Of 1000, fp32 keeps steps of 6e-5; the deviation is about 0.6.
        CHECK(reference::compare(actual.y, reference::forward(k, x), {2e-4}));
        CHECK(reference::compare(actual.dx, reference::gradient(k, g, x).source, {2e-4}));

        GroupNormalization least = k;
        least.epsilon = FLT_MIN;
        const Tensor constant(1, height, width, 8, double(0.1f));
        const Normalized same = both<GroupKind>(least, upload(constant), upload(g), constant);
        size_t wrong = 0;
        for (size_t i = 0; i < same.y.size(); ++i)
            wrong += same.y.v[i] != k.beta[i % 8] || !std::isfinite(same.dx.v[i]);
        CHECK(wrong == 0);
        for (const double v : same.gamma) CHECK(v == 0);
    }
}
