#include "mps/KernelPairs.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/reference/Pad.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/NNReshape.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Pad;
using reference::PadMode;
using reference::Tensor;

namespace {

MPS::NNPad reflecting() {
    MPS::NNPad kernel(testDevice(), {1, 2, 3}, {2, 0, 1});
    kernel.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    return kernel;
}
MPS::NNPad filling() {
    const std::vector<float> fill{1, 2, 3, 4, 5, 6, 7, 8, 9};
    MPS::NNPad kernel(testDevice(), {1, 0, 1}, {0, 1, 0}, fill);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    return kernel;
}
[[maybe_unused]] const bool named =
    everyKernel(reflecting, {6, 5, 8}, true) && everyKernel(filling, {6, 5, 8}, true) &&
    everyGradient([] { return MPS::NNPadGradient(testDevice()); }, forwardPass(reflecting));

constexpr PadMode modes[] = {PadMode::Zero, PadMode::Clamp, PadMode::Mirror,
                             PadMode::MirrorWithEdge, PadMode::Constant};

MPS::ImageEdgeMode edgeOf(PadMode mode) { return MPS::ImageEdgeMode(int(mode)); }

/// The kernel as encodes that are given the destination need it.
MPS::NNPad kernelOf(const Pad& p) {
    const std::vector<float> fill(p.fillValues.begin(), p.fillValues.end());
    MPS::NNPad kernel(testDevice(), {0, 0, p.before}, {0, 0, p.after}, fill);
    kernel.setFillValue(float(p.fillValue));
    kernel.setEdgeMode(edgeOf(p.mode));
    kernel.setOffset({p.offsetX, p.offsetY, 0});
    return kernel;
}

struct Result {
    Tensor y, dx;
};

Result both(const Pad& p, const MPS::ImageBatch& x, const MPS::ImageBatch& g, const Tensor& shape,
            Variant variant = {}) {
    auto kernel = kernelOf(p);
    MPS::NNPadGradient gradient(testDevice());
    Guarded y(shape.n, p.height, p.width, p.before + shape.c + p.after, variant);
    Guarded dx(shape.n, shape.h, shape.w, shape.c, variant);
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = kernel.resultStateBatch(x, {}, y.images());
        kernel.encodeBatch(commands, x, states, y.images());
        gradient.encodeBatch(commands, g, x, states, dx.images());
    });
    return {y.read(), dx.read()};
}

Tensor row(const std::vector<double>& values) { return Tensor(1, 1, values.size(), 1, values); }

} // namespace

TEST_CASE("padding and its gradient equal the reference in every mode and storage") {
    const Pad cases[] = {
        {.offsetX = -1, .offsetY = -2, .width = 8, .height = 6},
        {.offsetX = -9, .offsetY = 1, .width = 17, .height = 9, .before = 3, .after = 2},
        {.offsetX = 2, .offsetY = -3, .width = 2, .height = 4, .before = 4, .after = 8},
        {.offsetX = 6, .offsetY = -1, .width = 3, .height = 5, .before = 11},
        {.offsetY = -1, .width = 5, .height = 5, .after = 17},
    };
    size_t turn = 0;
    for (const Variant variant : variants())
        for (Pad p : cases)
            for (const PadMode mode : modes) {
                p.mode = mode;
                p.fillValue = 1.5;
                const size_t channels = std::array{1, 3, 4, 5, 8, 33}[turn++ % 6];
                INFO(variant.name() << ", mode " << int(mode) << ", " << channels << " channels, "
                                    << p.width << "x" << p.height);
                const Tensor x = reference::rounded(reference::random(2, 4, 5, channels, turn),
                                                    variant.rounding());
                const Tensor g =
                    reference::rounded(reference::randomLike(pad(p, x), turn), variant.rounding());
                const Result actual = both(p, upload(x, variant), upload(g, variant), x, variant);
                CHECK(actual.y.v == pad(p, x).v);
                const Tensor most = padGradient(p, reference::absolute(g), x);
                CHECK(reference::compare(actual.dx, padGradient(p, g, x),
                                         {variant.tolerance(), 1e-30, &most}));
                conforms("NNPad", Aspect::Forward, variant);
                conforms("NNPadGradient", Aspect::Gradient, variant);
            }
}

TEST_CASE("padding a row gives the documented numbers, and sizes its result") {
    struct Line {
        PadMode mode;
        uint64_t before, after;
        std::vector<double> x, y, g, dx;
    };
    const std::vector<double> g{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7};
    const Line lines[] = {
        {PadMode::Mirror, 4, 1, {0, 1, 2}, {0, 1, 2, 1, 0, 1, 2, 1}, g, {10001, 10101010, 1000100}},
        {PadMode::MirrorWithEdge,
         2,
         3,
         {1, 2, 3},
         {2, 1, 1, 2, 3, 3, 2, 1},
         g,
         {10000110, 1001001, 110000}},
        {PadMode::Clamp, 2, 3, {1, 2, 3}, {1, 1, 1, 2, 3, 3, 3, 3}, g, {111, 1000, 11110000}},
        {PadMode::Zero, 2, 3, {1, 2, 3}, {0, 0, 1, 2, 3, 0, 0, 0}, g, {100, 1000, 10000}},
        {PadMode::Constant, 2, 3, {1, 2, 3}, {9, 9, 1, 2, 3, 9, 9, 9}, g, {100, 1000, 10000}},
    };
    for (const Line& line : lines)
        for (const bool channels : {false, true}) { // along x, and along the channels
            INFO("mode " << int(line.mode) << ", along the channels: " << channels);
            const auto tensor = [&](const std::vector<double>& v) {
                return channels ? Tensor(1, 1, 1, v.size(), v) : row(v);
            };
            MPS::ImageCoordinate before, after;
            (channels ? before.channel : before.x) = line.before;
            (channels ? after.channel : after.x) = line.after;
            MPS::NNPad kernel(testDevice(), before, after);
            kernel.setFillValue(9);
            kernel.setEdgeMode(edgeOf(line.mode));
            kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            MPS::NNPadGradient gradient(testDevice());
            gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            const auto x = upload(tensor(line.x));
            MPS::ImageBatch y, dx;
            run([&](const MTL::CommandBuffer& commands) {
                MPS::StateBatch states;
                y = kernel.encodeBatch(commands, x, &states, true);
                dx = gradient.encodeBatch(commands, upload(tensor(line.g)), x, states);
            });
            CHECK(kernel.offset().x == -int64_t(before.x));
            CHECK(download(y).v == line.y);
            CHECK(download(dx).v == line.dx);
        }
}

TEST_CASE("a fill value for each channel written wins over the one for all") {
    Pad p{.mode = PadMode::Constant, .offsetX = -1, .width = 3, .before = 2, .after = 4};
    for (size_t c = 0; c < 9; ++c) p.fillValues.push_back(double(c) + 0.5);
    p.fillValue = 77;
    const Tensor x =
        reference::rounded(reference::random(2, 1, 2, 3, 1), reference::Storage::Float32);
    const Tensor g = reference::randomLike(pad(p, x), 2);
    CHECK(both(p, upload(x), upload(g), x).y.v == pad(p, x).v);
    // In a copy too; and of the channels written, not of the destination's.
    auto kernel = kernelOf(p).copy(testDevice());
    CHECK(kernel.fillValue() == 77);
    kernel.setDestinationFeatureChannelOffset(4);
    const auto y = upload(Tensor(2, 1, 3, 13, 12.0));
    run([&](const MTL::CommandBuffer& commands) { kernel.encodeBatch(commands, upload(x), y); });
    CHECK(reference::channels(download(y), 4, 9).v == pad(p, x).v);
    CHECK(reference::channels(download(y), 0, 4).v == Tensor(2, 1, 3, 4, 12.0).v);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    p.mode = PadMode::Zero;
    run([&](const MTL::CommandBuffer& commands) { kernel.encodeBatch(commands, upload(x), y); });
    CHECK(reference::channels(download(y), 4, 9).v == pad(p, x).v);
}

TEST_CASE("any channels of the source can be padded into a part of the destination and back") {
    for (const Variant variant : variants())
        for (const uint64_t first : {0, 1, 3, 4, 6})
            for (const PadMode mode : modes) {
                INFO(variant.name() << ", channels from " << first << ", mode " << int(mode));
                const Tensor x =
                    reference::rounded(reference::random(2, 5, 4, 13, 3), variant.rounding());
                const Tensor before =
                    reference::rounded(reference::random(2, 7, 9, 20, 4), variant.rounding());
                const Pad p{.mode = mode,
                            .offsetX = -3,
                            .offsetY = 2,
                            .width = 6,
                            .height = 4,
                            .before = 1,
                            .after = 4};
                auto kernel = kernelOf(p);
                kernel.setClipRect({{2, 1, 0}, {6, 4, 1}});
                kernel.setSourceFeatureChannelOffset(first);
                kernel.setSourceFeatureChannelMaxCount(6);
                kernel.setDestinationFeatureChannelOffset(8);
                MPS::NNPadGradient gradient(testDevice()), part(testDevice());
                gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
                const auto source = upload(x, variant), y = upload(before, variant);
                const Tensor incoming =
                    reference::rounded(reference::randomLike(before, 5), variant.rounding());
                const auto g = upload(incoming, variant);
                const auto byHand = upload(Tensor(2, 4, 3, 9, 9.0), variant);
                MPS::ImageBatch dx;
                run([&](const MTL::CommandBuffer& commands) {
                    const auto states = kernel.resultStateBatch(source, {}, y);
                    kernel.encodeBatch(commands, source, states, y);
                    dx = gradient.encodeBatch(commands, g, source, states);
                    part.setPrimaryOffset({2, 1, 0});
                    part.setPrimarySourceFeatureChannelOffset(8);
                    part.setSecondaryOffset({1, 2, 0});
                    part.setSecondarySourceFeatureChannelOffset(4);
                    part.setSecondarySourceFeatureChannelMaxCount(5);
                    part.setDestinationFeatureChannelOffset(4);
                    part.setClipRect({{1, 0, 0}, {2, 3, 1}});
                    part.encodeBatch(commands, g, source, states, byHand);
                });
                const Tensor used = reference::channels(x, first, 6);
                Tensor expected = before, actual = download(y);
                reference::paste(expected, {2, 1}, 8, pad(p, used));
                for (size_t i = 0; i < actual.size(); ++i) // lanes of the last texel written
                    if (i % 20 == 19) actual.v[i] = expected.v[i];
                CHECK(actual.v == expected.v);

                Tensor slope(2, 5, 4, 13), most = slope;
                const Tensor from =
                    reference::channels(reference::crop(incoming, {2, 1, 6, 4}), 8, 11);
                reference::paste(slope, {}, first, padGradient(p, from, used));
                reference::paste(most, {}, first, padGradient(p, reference::absolute(from), used));
                const reference::Tolerance tolerance{variant.tolerance(), 1e-30, &most};
                CHECK(reference::compare(download(dx), slope, tolerance));
                CHECK(gradient.primaryOffset() == MPS::Offset{2, 1, 0});
                // Pixels and channels of the same slope.
                const Tensor whole = download(dx);
                const Tensor piece =
                    reference::channels(reference::crop(download(byHand), {1, 0, 2, 3}), 4, 5);
                CHECK(piece.v == reference::channels(reference::crop(whole, {1, 2, 2, 3}), 4, 5).v);
                CHECK(reference::channels(download(byHand), 0, 4).v == Tensor(2, 4, 3, 4, 9.0).v);
            }
}

TEST_CASE("padding of a batch does not depend on where its images lie") {
    const Pad p{.mode = PadMode::Mirror, .offsetX = -4, .width = 12, .height = 3, .before = 5};
    const Tensor x = reference::random(5, 3, 4, 6, 6);
    const Tensor g = reference::randomLike(pad(p, x), 7);
    const Result together = both(p, upload(x), upload(g), x);
    const Result apart = both(p, uploadApart(x), uploadApart(g), x);
    CHECK(together.y.v == apart.y.v);
    CHECK(together.dx.v == apart.dx.v);
    CHECK(together.dx.v == both(p, upload(x), upload(g), x).dx.v);
}

TEST_CASE("an array of images is padded as one, from and to the images that the kernel names") {
    const MPS::Image x(testDevice(), {MPS::ImageFeatureChannelFormat::Float32, 3, 2, 3, 4});
    const MPS::Image y(testDevice(), {MPS::ImageFeatureChannelFormat::Float32, 5, 3, 5, 5});
    const Tensor source =
        reference::rounded(reference::random(4, 2, 3, 3, 8), reference::Storage::Float32);
    for (size_t i = 0; i < 4; ++i)
        x.write(reference::image(source, i).floats(), MPS::DataLayout::HeightxWidthxFeatureChannels,
                i);
    const Pad p{.mode = PadMode::Clamp,
                .offsetX = -1,
                .offsetY = -1,
                .width = 5,
                .height = 3,
                .before = 1,
                .after = 1};
    auto kernel = kernelOf(p);
    kernel.setOffset({-1, -1, 1});
    kernel.setClipRect({{0, 0, 2}, {UINT64_MAX, UINT64_MAX, 3}});
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, x, y); });
    for (size_t i = 0; i < 3; ++i) {
        std::vector<float> values(75);
        y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, 2 + i);
        CHECK(reference::fromFloats(1, 3, 5, 5, values).v ==
              pad(p, reference::image(source, 1 + i)).v);
    }
}

TEST_CASE("padding gradients are the slopes of padding between two neurons") {
    for (const PadMode mode : modes) {
        INFO("mode " << int(mode));
        const Tensor x = reference::random(1, 3, 4, 3, 9);
        const Tensor cotangent = reference::random(1, 6, 9, 6, 10);
        auto kernel = std::make_unique<MPS::NNPad>(testDevice(), MPS::ImageCoordinate{2, 1, 1},
                                                   MPS::ImageCoordinate{3, 2, 2});
        kernel->setEdgeMode(edgeOf(mode));
        kernel->setFillValue(0.25f);
        const KernelPair pair{std::move(kernel),
                              std::make_unique<MPS::NNPadGradient>(testDevice())};
        reference::GradientCheckOptions options;
        options.step = 4e-3;
        options.tolerance = 4e-3;
        options.samples = 16;
        CHECK(checkBetweenNeurons(pair, x, cotangent, options));
    }
}

TEST_CASE("padding refuses what cannot be") {
    const MTL::Device device = testDevice();
    const auto x = upload(Tensor(2, 4, 5, 3)), y = upload(Tensor(2, 6, 7, 5));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              MPS::NNPad(device, {uint64_t(1) << 40, 0, 0}, {});
          }) == "[NNPad] paddingSizeBefore is (1099511627776, 0, 0) but each must be at most "
                "268435456.");
    MPS::NNPad kernel(device, {1, 1, 1}, {1, 1, 1}, std::vector<float>{1, 2, 3, 4});
    kernel.setLabel("p");
    kernel.setOffset({-1, -1, 0});
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNPad \"p\"] There are 4 fill values but 5 feature channels are written.");
    kernel.setEdgeMode(MPS::ImageEdgeMode(7));
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNPad \"p\"] edgeMode is 7 but modes go from 0 to 4.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    kernel.setOffset({0, int64_t(1) << 33, 0});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }).find("offset is (0, 8589934592)") !=
          std::string::npos);
    kernel.setOffset({-1, -1, 0});
    kernel.setPaddingSizeAfter({0, 0, 5});
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, y);
          }).find("destinationImage has 5 feature channels") != std::string::npos);
    kernel.setPaddingSizeAfter({1, 1, 1});
    kernel.setDestinationFeatureChannelOffset(2);
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, y);
          }).find("destinationFeatureChannelOffset is 2") != std::string::npos);
    kernel.setDestinationFeatureChannelOffset(0);

    const auto states = kernel.resultStateBatch(x, {}, y);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, states, y); }) ==
          "[NNPad \"p\"] The destination state was made for 7x6 pixels from (-1, -1) of a 5x4 "
          "source with 1 + 3 + 1 feature channels from 0 on and edge mode Mirror but this encode "
          "pads to 7x6 pixels from (-1, -1) of a 5x4 source with 1 + 3 + 1 feature channels from 0 "
          "on and edge mode Clamp.");
    MPS::CNNNeuron neuron(device, MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    const auto wrong = neuron.resultStateBatch(x, {}, x);
    CHECK(
        refusal([&] { kernel.encodeBatch(commands, x, wrong, y); }) ==
        "[NNPad \"p\"] destinationStates has a state that was made by a CNNNeuron but this kernel "
        "takes its own.");

    MPS::NNPadGradient gradient(device);
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x); }) ==
          "[NNPadGradient] A padding's gradient needs the gradient state.");
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, wrong);
          }).find("was made by a CNNNeuron but this kernel takes those of a NNPad") !=
          std::string::npos);
    const auto other = upload(Tensor(2, 5, 5, 3)), small = upload(Tensor(2, 6, 6, 5)),
               thin = upload(Tensor(2, 6, 7, 4));
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, other, states, x); }) ==
          "[NNPadGradient] sourceImage is 5x5 but the forward source of the gradient state was "
          "5x4.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, small, x, states); }) ==
          "[NNPadGradient] sourceGradient is 6x6 but the padded image is 7x6 from (0, 0) on.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, thin, x, states); }) ==
          "[NNPadGradient] sourceGradient gives 4 feature channels but the padded image has 5.");
    const auto mixed =
        MPS::StateBatch{states[0], kernel.resultState(x[1], {}, y[1])}; // of another edge mode
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, mixed);
          }).find("One gradient state is of 7x6 pixels") != std::string::npos);
}
