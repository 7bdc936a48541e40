#include "mtl/CommandBuffer.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/reference/Dropout.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Dropout;
using reference::Tensor;

namespace {

constexpr uint64_t seed = 0x123456789abcdef0;

MPS::CNNDropout half() { return {testDevice(), .5f, seed, {1, 1, 1}}; }
[[maybe_unused]] const bool named =
    everyKernel(half) && everyGradient(
                             [] {
                                 return MPS::CNNDropoutGradient(testDevice(), .5f, seed, {1, 1, 1});
                             },
                             forwardPass(half));

Dropout dropoutOf(float keep, MTL::Size stride, uint64_t ordinal = 0) {
    return {keep, seed, ordinal, stride.width == 1, stride.height == 1, stride.depth == 1};
}

Tensor maskOf(const Dropout& d, size_t images, size_t height, size_t width, size_t channels) {
    std::vector<Tensor> each;
    for (size_t i = 0; i < images; ++i) {
        const auto mask = reference::dropoutMask(d, height, width, channels, i);
        each.emplace_back(1, mask.height, mask.width, mask.channels,
                          std::vector<double>(mask.bits.begin(), mask.bits.end()));
    }
    return reference::stack(each);
}

std::vector<double> maskData(const MPS::StateBatch& states) {
    std::vector<double> all;
    for (const MPS::State& state : states)
        for (const std::byte b : state.as<MPS::CNNDropoutGradientState>().maskData())
            all.push_back(double(b));
    return all;
}

struct Result {
    Tensor y, dx;
    std::vector<double> mask;
};

Result both(MPS::CNNDropout& dropout, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
            const Tensor& shape, Variant variant = {}) {
    Guarded y(shape.n, shape.h, shape.w, shape.c, variant),
        dx(shape.n, shape.h, shape.w, shape.c, variant);
    MPS::CNNDropoutGradient gradient(testDevice(), dropout.keepProbability(), dropout.seed(),
                                     dropout.maskStrideInPixels());
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        states = dropout.resultStateBatch(x, {}, y.images());
        dropout.encodeBatch(commands, x, states, y.images());
        gradient.encodeBatch(commands, g, x, states, dx.images());
    });
    return {y.read(), dx.read(), maskData(states)};
}

} // namespace

TEST_CASE("dropout, its mask and its gradient equal the reference") {
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const size_t channels : {1, 3, 4, 5, 8, 33})
            for (const MTL::Size stride :
                 {MTL::Size{1, 1, 1}, {0, 0, 1}, {1, 1, 0}, {0, 1, 1}, {1, 0, 0}, {0, 0, 0}}) {
                INFO(variant.name() << " channels " << channels << " mask stride " << stride.width
                                    << stride.height << stride.depth);
                const float keep = std::array{.5f, .8f, .25f}[turn++ % 3];
                const Tensor x = reference::rounded(
                    reference::random(3, 5, 4, channels, turn, 1, 3), variant.rounding());
                const Tensor g = reference::rounded(reference::randomLike(x, turn + 1000, 1, 3),
                                                    variant.rounding());
                MPS::CNNDropout dropout(testDevice(), keep, seed, stride);
                const Dropout d = dropoutOf(keep, stride);
                const Result actual =
                    both(dropout, upload(x, variant), upload(g, variant), x, variant);
                CHECK(
                    reference::compare(actual.y, reference::forward(d, x), {variant.tolerance()}));
                CHECK(reference::compare(actual.dx, reference::gradient(d, g, 5, 4),
                                         {variant.tolerance()}));
                CHECK(actual.mask == maskOf(d, 3, 5, 4, channels).v);
                conforms("CNNDropout", Aspect::Forward, variant);
                conforms("CNNDropoutGradient", Aspect::Gradient, variant);
                conforms("CNNDropoutGradientState", Aspect::State);
            }
}

TEST_CASE("every encode has another mask, and a program that starts again has the same ones") {
    const Tensor x(4, 6, 5, 7, 1.0);
    const MTL::Size stride{1, 1, 1};
    MPS::CNNDropout dropout(testDevice(), .5f, seed, stride);
    for (uint64_t ordinal = 0; ordinal < 3; ++ordinal) {
        CHECK(dropout.encodeCount() == ordinal);
        // A batch whose images lie apart takes several dispatches, and is one encode all the same.
        const auto source = ordinal == 1 ? uploadApart(x) : upload(x);
        const Result actual = both(dropout, source, source, x);
        CHECK(actual.mask == maskOf(dropoutOf(.5f, stride, ordinal), 4, 6, 5, 7).v);
        CHECK(actual.y.v == actual.dx.v);
    }
    const MPS::CNNDropout copied = dropout;
    CHECK(copied.encodeCount() == 0);
    CHECK(dropout.copy(testDevice()).encodeCount() == 0);
    MPS::CNNDropout resumed(testDevice(), .5f, seed, stride);
    resumed.setEncodeCount(uint64_t(7) << 32 | 5);
    const Result late = both(resumed, upload(x), upload(x), x);
    CHECK(late.mask == maskOf(dropoutOf(.5f, stride, uint64_t(7) << 32 | 5), 4, 6, 5, 7).v);
    const MPS::CNNDropout moved = std::move(resumed);
    CHECK(moved.encodeCount() == (uint64_t(7) << 32 | 6));
}

TEST_CASE("a replayed dropout advances its count once for each replay") {
    const Tensor x(4, 3, 3, 5, 1.0);
    const MTL::Size stride{1, 1, 1};
    for (const bool apart : {false, true}) {
        const auto source = apart ? uploadApart(x) : upload(x);
        const auto y = apart ? uploadApart(x) : upload(x);
        MPS::CNNDropout dropout(testDevice(), .5f, seed, stride);
        const MTL::CommandBuffer recorded = testQueue().commandBuffer();
        auto& list = recorded.impl().list("");
        list.setTemplate();
        dropout.encodeBatch(recorded, source, y);
        CHECK((list.dispatchCount() > 1) == apart);
        CHECK(dropout.encodeCount() == 0);
        for (uint64_t ordinal = 0; ordinal < 3; ++ordinal) {
            run([&](const MTL::CommandBuffer& commands) { commands.impl().list("").append(list); });
            CHECK(dropout.encodeCount() == ordinal + 1);
            CHECK(download(y).v == reference::forward(dropoutOf(.5f, stride, ordinal), x).v);
        }
    }
}

TEST_CASE("dropout needs no state forward, and with everything kept it copies") {
    const Tensor x = reference::random(2, 3, 4, 5, 20);
    MPS::CNNDropout half(testDevice(), .5f, 3, {1, 1, 1}), all(testDevice(), 1, 3, {1, 1, 1});
    Guarded y(2, 3, 4, 5), same(2, 3, 4, 5);
    run([&](const MTL::CommandBuffer& commands) {
        half.encodeBatch(commands, upload(x), y.images());
        all.encodeBatch(commands, upload(x), same.images());
    });
    Dropout d;
    d.seed = 3;
    CHECK(reference::compare(y.read(), reference::forward(d, x)));
    CHECK(same.read().v == download(upload(x)).v);
}

TEST_CASE("the share of kept elements is the probability") {
    const Tensor x(1, 64, 64, 8, 1.0);
    MPS::CNNDropout dropout(testDevice(), .3f, 99, {1, 1, 1});
    const Result actual = both(dropout, upload(x), upload(x), x);
    double kept = 0;
    for (const double m : actual.mask) kept += m;
    const double n = 64 * 64 * 8, deviation = std::sqrt(.3 * .7 / n);
    CHECK(std::abs(kept / n - .3) < 5 * deviation);
}

TEST_CASE("dropout places its mask at the clip rectangle and the first processed channel") {
    const Tensor x = reference::random(2, 6, 7, 12, 21, 1, 2),
                 before = reference::random(2, 5, 6, 16, 22);
    const MTL::Size stride{1, 1, 1};
    MPS::CNNDropout dropout(testDevice(), .5f, seed, stride);
    dropout.setOffset({2, 1, 0});
    dropout.setClipRect({{1, 2, 0}, {4, 3, 1}});
    dropout.setSourceFeatureChannelOffset(4);
    dropout.setSourceFeatureChannelMaxCount(6);
    dropout.setDestinationFeatureChannelOffset(8);
    MPS::CNNDropoutGradient gradient(testDevice(), .5f, seed, stride),
        shifted(testDevice(), .5f, seed, stride);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x), y = upload(before),
               g = upload(reference::randomLike(before, 23, 1, 2));
    const Tensor small = reference::random(2, 2, 2, 6, 24, 1, 2);
    Guarded byHand(2, 2, 2, 6);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = dropout.resultStateBatch(source, {}, y);
        dropout.encodeBatch(commands, source, states, y);
        dx = gradient.encodeBatch(commands, g, source, states);
        shifted.setSecondaryOffset({2, 1, 0});
        shifted.setSecondarySourceFeatureChannelMaxCount(6);
        shifted.encodeBatch(commands, upload(small), source, states, byHand.images());
    });
    const Dropout d = dropoutOf(.5f, stride);
    Tensor expected = before;
    reference::paste(
        expected, {1, 2}, 8,
        reference::forward(d, reference::channels(reference::crop(x, {2, 1, 4, 3}), 4, 6)));
    Tensor actual = download(y);
    for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
        for (size_t i = 2; i < 5; ++i)
            for (size_t j = 1; j < 5; ++j)
                for (size_t c = 14; c < 16; ++c) actual.at(n, i, j, c) = expected.at(n, i, j, c);
    CHECK(reference::compare(actual, expected));
    Tensor slope(2, 6, 7, 6);
    const Tensor used = reference::channels(reference::crop(download(g), {1, 2, 4, 3}), 8, 6);
    reference::paste(slope, {2, 1}, 0, reference::gradient(d, used, 3, 4));
    CHECK(reference::compare(download(dx), slope));
    CHECK(reference::compare(byHand.read(), reference::gradient(d, small, 3, 4, 2, 1)));
}

TEST_CASE("a dropout of an array of images keeps all its masks in one state") {
    const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 5, 4);
    const MPS::Image x(testDevice(), d), y(testDevice(), d), dx(testDevice(), d);
    const std::vector<float> ones(30, 1);
    for (size_t i = 0; i < 4; ++i) x.write(ones, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    MPS::CNNDropout dropout(testDevice(), .5f, seed, {1, 1, 1});
    dropout.setOffset({0, 0, 1});
    dropout.setClipRect({{0, 0, 0}, {UINT64_MAX, UINT64_MAX, 3}});
    MPS::CNNDropoutGradient gradient(testDevice(), .5f, seed, {1, 1, 1});
    gradient.setClipRect(dropout.clipRect());
    MPS::State state;
    run([&](const MTL::CommandBuffer& commands) {
        state = dropout.resultState(x, {}, y);
        dropout.encode(commands, x, state, y);
        gradient.encode(commands, x, x, state, dx);
    });
    const Tensor expected = reference::forward(dropoutOf(.5f, {1, 1, 1}), Tensor(3, 2, 3, 5, 1.0));
    CHECK(maskData({state}) == maskOf(dropoutOf(.5f, {1, 1, 1}), 3, 2, 3, 5).v);
    for (size_t i = 0; i < 3; ++i) {
        std::vector<float> values(30), slopes(30);
        y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        dx.read(slopes, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        CHECK(std::vector<double>(values.begin(), values.end()) == reference::image(expected, i).v);
        CHECK(slopes == values);
    }
}

TEST_CASE("temporary dropout states are read up, and a dropped value passes nothing on") {
    const Tensor x = reference::random(3, 4, 3, 6, 25), cotangent = reference::randomLike(x, 26);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1),
        sigmoid(MPS::CNNNeuronType::Sigmoid);
    MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), sigmoid);
    MPS::CNNNeuronGradient firstGradient(testDevice(), tanh), lastGradient(testDevice(), sigmoid);
    MPS::CNNDropout dropout(testDevice(), .5f, seed, {1, 1, 1});
    MPS::CNNDropoutGradient gradient(testDevice(), .5f, seed, {1, 1, 1});
    for (MPS::CNNKernel* each :
         {static_cast<MPS::CNNKernel*>(&first), static_cast<MPS::CNNKernel*>(&dropout),
          static_cast<MPS::CNNKernel*>(&last)})
        each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    firstGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch hidden, y, out, dx;
    MPS::StateBatch states;
    const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
        dropout.setEncodeCount(0);
        hidden = first.encodeBatch(commands, at);
        y = dropout.encodeBatch(commands, hidden, &states, true);
        out = last.encodeBatch(commands, y);
    };
    const auto source = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        encode(commands, source);
        CHECK(states[0].isTemporary());
        CHECK(states[1].readCount() == 1);
        CHECK(refusal([&] { states[0].as<MPS::CNNDropoutGradientState>().maskData(); }) ==
              "[CNNDropoutGradientState] maskData is for states that the host can reach but this "
              "one is temporary.");
        auto g = lastGradient.encodeBatch(commands, upload(cotangent), y);
        g = gradient.encodeBatch(commands, g, hidden, states);
        CHECK(states[1].readCount() == 0);
        dx = firstGradient.encodeBatch(commands, g, source);
    });
    const auto f = [&](const Tensor& at) {
        run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
        return dot(download(out), cotangent);
    };
    reference::GradientCheckOptions options;
    options.step = 4e-3;
    options.tolerance = 2e-3;
    options.samples = 32;
    CHECK(reference::checkGradient(f, x, download(dx), options));
}

TEST_CASE("dropout refuses what cannot be") {
    const MTL::Device device = testDevice();
    for (const float keep : {0.f, -1.f, 1.5f, NAN})
        CHECK(refusal([&] {
                  MPS::CNNDropout(device, keep, 0, {1, 1, 1});
              }).find(" but must be above 0 and at most 1.") != std::string::npos);
    CHECK(refusal([&] {
              MPS::CNNDropoutGradient(device, .5f, 0, {1, 2, 0});
          }) == "[CNNDropoutGradient] maskStrideInPixels is 1x2x0 but each must be 0 or 1.");
    const auto x = upload(Tensor(2, 3, 4, 5)), y = upload(Tensor(2, 3, 4, 5)),
               dx = upload(Tensor(2, 3, 4, 5));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::CNNDropout dropout(device, .5f, 1, {1, 1, 1}), other(device, .5f, 2, {1, 1, 1});
    dropout.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { dropout.encodeBatch(commands, x, y); }) ==
          "[CNNDropout] edgeMode is Mirror but only Zero and Clamp are known to this kernel.");
    dropout.setEdgeMode(MPS::ImageEdgeMode::Zero);
    const auto states = dropout.resultStateBatch(x, {}, y);
    CHECK(refusal([&] { other.encodeBatch(commands, x, states, y); }) ==
          "[CNNDropout] The destination state was made by a kernel with keepProbability 0.500000, "
          "seed 1 and "
          "maskStrideInPixels 1x1x1 but this one has keepProbability 0.500000, seed 2 and "
          "maskStrideInPixels 1x1x1.");
    dropout.setClipRect({{1, 0, 0}, {2, 3, 1}});
    CHECK(refusal([&] { dropout.encodeBatch(commands, x, states, y); }) ==
          "[CNNDropout] The destination state was made for a result of 4x3 with 5 feature channels "
          "but this "
          "encode writes 2x3 with 5.");
    CHECK(dropout.encodeCount() == 0);
    dropout.setClipRect(MPS::RectNoClip);
    dropout.encodeBatch(commands, x, states, y);
    CHECK(refusal([&] { states[0].as<MPS::CNNDropoutGradientState>().maskData(); }) ==
          "[CNNDropoutGradientState] maskData was called while a command buffer that writes the "
          "mask is not completed.");

    MPS::CNNDropoutGradient gradient(device, .5f, 1, {1, 1, 1});
    gradient.setLabel("drop");
    CHECK(
        refusal([&] { gradient.encodeBatch(commands, y, x, dx); }) ==
        "[CNNDropoutGradient \"drop\"] A dropout gradient needs the gradient state with the mask.");
    MPS::CNNNeuron neuron(device, MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    const auto foreign = neuron.resultStateBatch(x, {}, y);
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, foreign, dx); }) ==
          "[CNNDropoutGradient \"drop\"] gradientState was made by a CNNNeuron but this kernel "
          "takes those of a "
          "CNNDropout.");
    CHECK(refusal([&] {
              MPS::CNNDropoutGradient(device, .5f, 1, {1, 1, 0})
                  .encodeBatch(commands, y, x, states, dx);
          })
              .find("gradientState was made by a kernel with keepProbability 0.500000, seed 1 and "
                    "maskStrideInPixels 1x1x1 but this one has") != std::string::npos);
    CHECK(
        refusal(
            [&] { gradient.encodeBatch(commands, upload(Tensor(2, 3, 4, 4)), x, states, dx); }) ==
        "[CNNDropoutGradient \"drop\"] sourceGradient gives 4 feature channels but sourceImage 5.");
    const auto wide = upload(Tensor(2, 3, 4, 9)), wideResult = upload(Tensor(2, 3, 4, 9));
    CHECK(refusal([&] { gradient.encodeBatch(commands, wide, wide, states, wideResult); }) ==
          "[CNNDropoutGradient \"drop\"] sourceImage gives 9 feature channels but the mask of "
          "gradientState has 5.");
}
