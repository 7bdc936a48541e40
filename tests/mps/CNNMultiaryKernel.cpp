// The base of kernels with any number of sources, through a kernel that lays channels side by side.
#include "CNNNeuron.h"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "support/Conformance.hpp"
#include "support/Images.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/CNNMultiaryKernel.hpp>
#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

struct SideBySideState : MPS::NNMultiaryGradientState::Impl {
    using MPS::NNMultiaryGradientState::Impl::Impl;
    std::vector<size_t> perImageBuffers() const override { return {0}; }
};

/// Every source has a multiple of four channels. A state gets one buffer per image.
class SideBySide : public MPS::CNNMultiaryKernel {
public:
    SideBySide(const MTL::Device& device, uint64_t count)
        : CNNMultiaryKernel(device, "SideBySide", count) {}
    SideBySide(MPS::KeyedUnarchiver& coder, const MTL::Device& device)
        : SideBySide(deviceFor(coder, device), 3) {
        unarchive(coder);
    }
    std::string className() const override { return "SideBySide"; }

    mutable size_t dispatches = 0, stateBuffers = 0;

private:
    uint64_t outputChannels(std::span<const uint64_t> sources) const override {
        uint64_t sum = 0;
        for (uint64_t channels : sources) sum += channels;
        return sum;
    }
    MPS::StateBatch makeResultStates(const mps::MultiaryStateRequest& request) const override {
        MPS::StateBatch made;
        for (size_t i = 0; i < request.count(); ++i)
            made.push_back(MPS::NNMultiaryGradientState(
                std::make_shared<SideBySideState>(request.device, request.records)));
        MPS::addBatchBuffer(made, 256, MTL::ResourceOptions::StorageModeShared, request.temporary);
        return made;
    }
    void validate(const mps::MultiaryPass& pass) const override {
        for (const auto& source : pass.sources)
            mps::checkEdgeMode(subject(), "edgeMode", source.edgeMode);
    }
    void dispatch(const mps::MultiaryPass& pass) const override {
        ++dispatches;
        stateBuffers += pass.stateBuffers.size();
        uint64_t channel = destinationFeatureChannelOffset();
        for (const auto& source : pass.sources) {
            const glsl::CNNNeuronParameters parameters{
                .source = source.view,
                .destination = pass.destination.view(channel, source.channels),
                .clipX = int(pass.clip.x),
                .clipY = int(pass.clip.y),
                .offsetX = int(source.offset.x),
                .offsetY = int(source.offset.y),
                .clampEdges = source.edgeMode == MPS::ImageEdgeMode::Clamp,
                .a = 0,
                .b = 0,
                .c = 0,
            };
            pass.encoder->dispatch("CNNNeuron", parameters,
                                   mps::Grid::over((source.channels + 3) / 4, pass.clip.width,
                                                   pass.clip.height, pass.imageCount),
                                   {{1, source.run}, {2, pass.destination}, {3, vk::BufferSlice{}}},
                                   {mps::constant(32, 0u)});
            channel += source.channels;
        }
    }
};

struct Sources {
    Tensor a, b, c;

    explicit Sources(size_t n)
        : a(reference::random(n, 4, 5, 8, 1)), b(reference::random(n, 4, 5, 4, 2)),
          c(reference::random(n, 4, 5, 3, 3)) {
        for (Tensor* t : {&a, &b, &c}) *t = reference::rounded(*t, reference::Storage::Float16);
    }
    std::vector<MPS::ImageBatch> uploaded(Variant variant = {}) const {
        return {upload(a, variant), upload(b, variant), upload(c, variant)};
    }
    Tensor together() const {
        Tensor all(a.n, a.h, a.w, 15);
        reference::paste(all, {}, 0, a);
        reference::paste(all, {}, 8, b);
        reference::paste(all, {}, 12, c);
        return all;
    }
};

MPS::ImageBatch firsts(const std::vector<MPS::ImageBatch>& batches) {
    MPS::ImageBatch images;
    for (const auto& batch : batches) images.push_back(batch[0]);
    return images;
}

} // namespace

TEST_CASE("all encodes of a kernel with three sources") {
    const Sources data(3);
    for (const Variant variant : variants()) {
        INFO(variant.name());
        SideBySide kernel(testDevice(), 3);
        CHECK(kernel.sourceCount() == 3);
        kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        Guarded batch(3, 4, 5, 15, variant), single(1, 4, 5, 15, variant);
        MPS::ImageBatch returned, withStates;
        MPS::Image one, oneWithState;
        MPS::StateBatch states;
        MPS::State state;
        run([&](const MTL::CommandBuffer& commands) {
            const auto sources = data.uploaded(variant);
            kernel.encodeBatch(commands, sources, batch.images());
            CHECK(kernel.dispatches == 1);
            returned = kernel.encodeBatch(commands, sources);
            CHECK(kernel.stateBuffers == 0);
            withStates = kernel.encodeBatch(commands, sources, &states, false);
            CHECK(kernel.stateBuffers == 1);
            kernel.encode(commands, firsts(sources), single.images()[0]);
            one = kernel.encode(commands, firsts(sources));
            oneWithState = kernel.encode(commands, firsts(sources), &state, true);
            CHECK(state.isTemporary());
            CHECK(kernel.stateBuffers == 2);
        });
        const Tensor expected = data.together(), first = reference::image(expected, 0);
        CHECK(batch.read().v == expected.v);
        CHECK(download(returned).v == expected.v);
        CHECK(download(withStates).v == expected.v);
        CHECK(single.read().v == first.v);
        CHECK(download({one}).v == first.v);
        CHECK(download({oneWithState}).v == first.v);
        REQUIRE(states.size() == 3);
        CHECK_FALSE(states[0] == states[1]);
        CHECK(states[0].as<MPS::NNMultiaryGradientState>());
        CHECK_FALSE(states[0].as<MPS::NNGradientState>());
        CHECK_FALSE(states[0].as<MPS::NNBinaryGradientState>());
        CHECK_FALSE(states[0].isTemporary());
        conforms("CNNMultiaryKernel", Aspect::Forward);
        conforms("NNMultiaryGradientState", Aspect::State);
    }
}

TEST_CASE("properties of each source count for that source") {
    const Sources data(2);
    SideBySide kernel(testDevice(), 3);
    kernel.setOffset({1, -1, 0}, 0);
    kernel.setOffset({-1, 2, 0}, 1);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp, 1);
    kernel.setSourceFeatureChannelOffset(4, 0);
    kernel.setSourceFeatureChannelMaxCount(2, 2);
    kernel.setDestinationFeatureChannelOffset(4);
    kernel.setClipRect(MTL::RegionMake2D(2, 1, 3, 2));
    CHECK(kernel.offset(1) == MPS::Offset{-1, 2, 0});
    CHECK(kernel.edgeMode(0) == MPS::ImageEdgeMode::Zero);
    CHECK(kernel.sourceFeatureChannelMaxCount(1) == UINT64_MAX);
    Guarded result(2, 4, 6, 16);
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        const auto sources = data.uploaded();
        kernel.encodeBatch(commands, sources, result.images());
        states = kernel.resultStateBatch(sources, {}, result.images());
        CHECK(kernel.temporaryResultStateBatch(commands, sources, {}, result.images()).size() == 2);
        CHECK(kernel.temporaryResultState(commands, firsts(sources), {}, result.images()[0]));
        CHECK(kernel.resultState(firsts(sources), {}, result.images()[0]));
    });
    Tensor expected(2, 4, 6, 16, Guarded::poison);
    const auto put = [&](const Tensor& source, size_t first, size_t count, int dx, int dy,
                         reference::EdgeMode edge, size_t to) {
        for (size_t n = 0; n < 2; ++n)
            for (int y = 0; y < 2; ++y)
                for (int x = 0; x < 3; ++x)
                    for (size_t c = 0; c < count; ++c) {
                        const auto sy = reference::resolve(y + dy, 4, edge);
                        const auto sx = reference::resolve(x + dx, 5, edge);
                        expected.at(n, size_t(y + 1), size_t(x + 2), to + c) =
                            sy < 0 || sx < 0 ? 0 : source.at(n, size_t(sy), size_t(sx), first + c);
                    }
    };
    put(data.a, 4, 4, 1, -1, reference::EdgeMode::Zero, 4);
    put(data.b, 0, 4, -1, 2, reference::EdgeMode::Clamp, 8);
    put(data.c, 0, 2, 0, 0, reference::EdgeMode::Zero, 12);
    const Tensor got = result.read(); // channels 14 and 15 are the padding of the last four
    CHECK(reference::channels(got, 0, 14).v == reference::channels(expected, 0, 14).v);

    const auto& records = static_cast<SideBySideState&>(states.at(1).impl()).records;
    REQUIRE(records.size() == 3);
    CHECK(records[0].sourceChannelOffset == 4);
    CHECK(records[0].sourceChannels == 4);
    CHECK(records[1].offset == MPS::Offset{-1, 2, 0});
    CHECK(records[1].edgeMode == MPS::ImageEdgeMode::Clamp);
    CHECK(records[2].sourceChannels == 2);
    CHECK(records[2].destinationChannelOffset == 4);
    CHECK(records[2].clip.width == 3);
    CHECK(records[2].destinationWidth == 6);
    CHECK(records[2].className == "SideBySide");
}

TEST_CASE("an archive has the properties of every source") {
    SideBySide kernel(testDevice(), 3);
    kernel.setLabel("s");
    kernel.setOffset({1, 2, 3}, 2);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp, 1);
    kernel.setSourceFeatureChannelOffset(4, 0);
    kernel.setStrideInPixelsX(0, 1);
    kernel.setClipRect(MTL::RegionMake2D(1, 2, 3, 4));
    kernel.setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeFull));
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto bytes = MPS::KeyedArchiver::archivedData(kernel);
    const auto again = MPS::KeyedUnarchiver::unarchivedObject<SideBySide>(bytes, testDevice());
    CHECK(again.debugDescription() == kernel.debugDescription());
    CHECK(again.offset(2) == MPS::Offset{1, 2, 3});
    CHECK(again.edgeMode(1) == MPS::ImageEdgeMode::Clamp);
    CHECK(again.strideInPixelsX(1) == 0);
    CHECK(again.clipRect() == kernel.clipRect());
    CHECK(again.padding()->paddingMethod() == MPS::NNPaddingMethod::SizeFull);
    CHECK(again.destinationImageAllocator() == MPS::Image::defaultAllocator());
    CHECK(sentence<FormatError>([] {
              MPS::KeyedUnarchiver::unarchivedObject<SideBySide>(
                  MPS::KeyedArchiver::archivedData(SideBySide(testDevice(), 2)), testDevice());
          }) == "[KeyedUnarchiver] The archived SideBySide has 2 sources but this one has 3.");
    conforms("CNNMultiaryKernel", Aspect::Archive);
}

TEST_CASE("windows of each source, and what the padding policy makes of them") {
    SideBySide kernel(testDevice(), 2);
    kernel.setKernelWidth(3, 0);
    kernel.setKernelHeight(4, 0);
    kernel.setStrideInPixelsX(2, 0);
    kernel.setStrideInPixelsY(3, 0);
    kernel.setDilationRateX(2, 1);
    kernel.setDilationRateY(3, 1);
    CHECK(kernel.kernelWidth(0) == 3);
    CHECK(kernel.kernelHeight(0) == 4);
    CHECK(kernel.strideInPixelsX(0) == 2);
    CHECK(kernel.strideInPixelsY(0) == 3);
    CHECK(kernel.dilationRateX(1) == 2);
    CHECK(kernel.dilationRateY(1) == 3);
    CHECK(kernel.kernelWidth(1) == 1);
    CHECK(kernel.strideInPixelsX(1) == 1);
    kernel.setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    const auto a = upload(Tensor(1, 9, 9, 4))[0], b = upload(Tensor(1, 9, 9, 8))[0];
    const auto d = kernel.destinationImageDescriptor({a, b});
    CHECK(d.width() == 4);  // (9 - 3) / 2 + 1
    CHECK(d.height() == 2); // (9 - 4) / 3 + 1
    CHECK(d.featureChannels() == 12);
    CHECK(kernel.offset(0) == MPS::Offset{1, 2, 0}); // 2 of 9 rows are left over: both below
    CHECK(kernel.offset(1) == MPS::Offset{});
}

TEST_CASE("arrays of images in kernels with several sources") {
    const Sources data(3);
    const auto a = uploadArray(data.a), b = uploadArray(data.b), c = uploadArray(data.c),
               result = uploadArray(Tensor(3, 4, 5, 15, -1));
    SideBySide kernel(testDevice(), 3);
    kernel.setOffset({0, 0, 1}, 0);
    kernel.setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 2}});
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, {a, b, c}, result); });
    std::vector<float> got(4 * 5 * 15);
    for (size_t i = 0; i < 3; ++i) {
        result.read(got, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        const Tensor read = reference::fromFloats(1, 4, 5, 15, got);
        if (i == 0) {
            CHECK(read.v == Tensor(1, 4, 5, 15, -1).v);
            continue;
        }
        CHECK(reference::channels(read, 0, 8).v == reference::image(data.a, i).v);
        CHECK(reference::channels(read, 8, 4).v == reference::image(data.b, i - 1).v);
        CHECK(reference::channels(read, 12, 3).v == reference::image(data.c, i - 1).v);
    }
}

TEST_CASE("temporary sources of a kernel with several count as read, once an object") {
    SideBySide kernel(testDevice(), 2);
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::TemporaryImage a(
            commands, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 4, 4, 4));
        a.setReadCount(2);
        const auto made = kernel.encode(commands, {a, a}).as<MPS::TemporaryImage>();
        CHECK(made.readCount() == 1);
        CHECK(a.readCount() == 1);
    });
}

TEST_CASE("what kernels with several sources refuse") {
    CHECK(refusal([] { SideBySide(testDevice(), 0); }) ==
          "[SideBySide] sourceCount is 0 but a kernel has at least 1 source.");
    SideBySide kernel(testDevice(), 2);
    kernel.setLabel("s");
    CHECK(refusal([&] { kernel.offset(2); }) ==
          "[SideBySide \"s\"] Source 2 was named but sourceCount is 2.");
    CHECK(refusal([&] { kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp, 7); }) ==
          "[SideBySide \"s\"] Source 7 was named but sourceCount is 2.");
    const auto image = [](size_t channels, size_t width = 3) {
        return upload(Tensor(1, 2, width, channels))[0];
    };
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto a = image(4), b = image(4), y = image(8);
    const auto says = [&](const std::string& text, const std::function<void()>& call) {
        CHECK(refusal(call) == "[SideBySide \"s\"] " + text);
    };
    says("sourceImages has 1 sources but sourceCount is 2.",
         [&] { kernel.encode(commands, {a}, y); });
    says("sourceImages[1] is an empty image handle.", [&] {
        kernel.encode(commands, {a, MPS::Image()}, y);
    });
    says("destinationImage is an empty image handle.", [&] {
        kernel.encode(commands, {a, b}, MPS::Image());
    });
    says("The command buffer handle is empty.", [&] {
        kernel.encode(MTL::CommandBuffer(), {a, b}, y);
    });
    says("sourceImages[0] has 2 images but sourceImages[1] has 1.", [&] {
        kernel.encodeBatch(commands, {{a, b}, {a}}, {y, y});
    });
    says("sourceImages[0] has 1 images but destinationImages has 2.", [&] {
        kernel.encodeBatch(commands, {{a}, {b}}, {y, image(8)});
    });
    says("A destination image is also a source image; the kernel does not work in place.", [&] {
        kernel.encode(commands, {a, y}, y);
    });
    says("destinationImage has 7 feature channels but channels 0 to 8 are needed.", [&] {
        kernel.encode(commands, {a, b}, image(7));
    });
    says("sourceImages[1][1] is 4x2 with 4 feature channels but sourceImages[1][0] is 3x2 with 4.",
         [&] {
             kernel.encodeBatch(commands, {{a, a}, {b, image(4, 4)}}, {y, image(8)});
         });
    says("destinationImageDescriptor takes 2 source images but was given 1, or an empty handle.",
         [&] { kernel.destinationImageDescriptor({a}); });
    says("A result state was asked for 1 sources and 1 destination images but sourceCount is 2.",
         [&] { kernel.resultState({a}, {}, y); });
    kernel.setSourceFeatureChannelOffset(2, 1);
    says("sourceFeatureChannelOffset[1] is 2 but must be a multiple of 4.", [&] {
        kernel.encode(commands, {a, b}, y);
    });
    kernel.setSourceFeatureChannelOffset(4, 1);
    says("sourceImages[1] has 4 feature channels but channels 4 to 5 are needed.", [&] {
        kernel.encode(commands, {a, b}, y);
    });
    kernel.setSourceFeatureChannelOffset(0, 1);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Mirror, 1);
    says("edgeMode is Mirror but only Zero and Clamp are known to this kernel.", [&] {
        kernel.encode(commands, {a, b}, y);
    });
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero, 1);
    kernel.setDilationRateY(0, 1);
    says("The window of source 1 is 1x1 and its dilation 1x0, but each must be at least 1.", [&] {
        kernel.encode(commands, {a, b}, y);
    });
    kernel.setDilationRateY(1, 1);
    kernel.setOffset({0, 0, 1}, 1);
    says("The first image to be read is 1 but the source has 1 images.", [&] {
        kernel.encode(commands, {a, b}, y);
    });
    kernel.setOffset({}, 1);
    kernel.setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    kernel.setKernelWidth(4, 0);
    says("sourceImages[0] is 3x2: the padding policy leaves no pixel of a result.", [&] {
        kernel.encode(commands, {a, b});
    });
    CHECK(kernel.dispatches == 0);
    conforms("CNNMultiaryKernel", Aspect::Misuse);
}
