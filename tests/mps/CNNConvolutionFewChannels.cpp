#include "mps/ConvolutionCases.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <span>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

// Groups of few channels, which kernels of their own compute where the device chooses them.
const Case groupedCases[] = {
    {"32 groups of 4", 2, 9, 17, 128, 128, 3, 3, 1, 1, 32, false, false, same},
    {"groups of 8, stride 2", 2, 9, 11, 32, 32, 3, 3, 2, 1, 4, false, false, same},
    {"32 groups of 2, dilated", 2, 7, 9, 64, 64, 3, 2, 1, 2, 32, false, false, same},
    {"32 groups of 1 to 2", 1, 8, 9, 32, 64, 2, 4, 3, 1, 32, false, false, valid},
    {"6 groups of 1", 2, 5, 4, 6, 6, 3, 1, 1, 1, 6, false, false, full},
    {"groups of 16", 3, 4, 5, 32, 32, 1, 1, 1, 1, 2, false, false, same},
    {"groups of 6 to 3, even window", 2, 7, 6, 18, 9, 4, 2, 2, 3, 3, false, false, tensorflow},
    {"depthwise, stride 2", 2, 9, 10, 12, 12, 3, 3, 2, 1, 1, true, false, same},
    {"depthwise of 6, dilated, clamped", 2, 8, 9, 6, 6, 3, 4, 1, 2, 1, true, true, same},
};

// Images of four channels at most, the same.
const Case thinCases[] = {
    {"colours to 64", 7, 15, 19, 3, 64, 7, 7, 2, 1, 1, false, false, same},
    {"grey to 32", 5, 12, 14, 1, 32, 5, 5, 1, 1, 1, false, false, valid},
    {"grey to 6, clamped", 2, 9, 8, 1, 6, 5, 3, 1, 1, 1, false, true, same},
    {"two to 21, dilated", 2, 9, 17, 2, 21, 3, 4, 1, 2, 1, false, false, full},
    {"four to 40, stride 3", 2, 10, 11, 4, 40, 4, 3, 3, 1, 1, false, false, tensorflow},
    {"colours to 3, clamped", 2, 9, 10, 3, 3, 4, 2, 2, 3, 1, false, true, same},
    {"21 to one, stride 2, clamped", 2, 19, 22, 21, 1, 3, 5, 2, 1, 1, false, true, same},
    {"colours to 160, 1x1", 2, 9, 8, 3, 160, 1, 1, 2, 1, 1, false, false, same},
};

// Few results of many channels, of one pixel each.
const Case narrowCases[] = {
    {"256 to 10 of many images", 150, 1, 1, 256, 10, 1, 1, 1, 1, 1, false, false, same},
    {"70 to 3", 5, 1, 1, 70, 3, 1, 1, 1, 1, 1, false, false, same},
    {"1028 to 16", 67, 1, 1, 1028, 16, 1, 1, 1, 1, 1, false, false, same},
};

void compare(std::span<const Case> cases) {
    size_t index = 0;
    for (const Case& k : cases) {
        // A CPU driver takes long to compile these: both storages with some, textures below.
        auto all = variants();
        all.resize(2);
        if (index > 0) all = {all[index % 2]};
        for (const Variant variant : all) {
            INFO(k.name << ", " << variant.name());
            auto r = referenceOf(k, 40 + index);
            Kernels kernels(r, k.padding, sourceOf(r, MPS::DataType::Float32, !k.depthwise));
            const Tensor x =
                reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), variant.rounding());
            const Passes got =
                runPasses(kernels.forward, kernels.gradient, x, variant, index % 3 == 1);
            place(r, kernels.forward, got.y);
            checkPasses(got, r, x, variant);
        }
        ++index;
    }
}

// Some channels of an image that has more, and a neuron.
void compareNarrowPart() {
    for (const Variant variant : {variants()[0], variants().back()}) {
        INFO(variant.name());
        auto r = referenceOf({"", 3, 1, 1, 96, 8, 1, 1, 1, 1, 1, false, false, same}, 6);
        const Tensor wide =
            reference::rounded(reference::random(3, 1, 1, 104, 8), variant.rounding());
        auto descriptor = descriptorOf(r);
        descriptor.setFusedNeuronDescriptor(
            MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Linear, 2, 1));
        MPS::CNNConvolution conv(testDevice(),
                                 std::make_shared<FixedWeights>(descriptor, r.weights, r.bias));
        conv.setSourceFeatureChannelOffset(4);
        conv.setDestinationFeatureChannelOffset(4);
        Guarded y(3, 1, 1, 16, variant);
        run([&](const MTL::CommandBuffer& commands) {
            conv.encodeBatch(commands, upload(wide, variant), y.images());
        });
        r.outputWidth = r.outputHeight = 1;
        Tensor values = reference::forward(r, reference::channels(wide, 4, 96));
        for (double& value : values.v) value = 2 * value + 1;
        Tensor expected(3, 1, 1, 16, Guarded::poison);
        reference::paste(expected, {0, 0, 1, 1}, 4, values);
        CHECK(
            reference::compare(y.read(), expected,
                               {2e-3 / Guarded::poison *
                                (variant.rounding() == reference::Storage::Float32 ? 1e-2 : 10)}));
    }
}

// The other way round, with a bias and slopes.
void compareNarrowTransposed() {
    reference::ConvolutionTranspose r;
    r.inputChannels = 10;
    r.outputChannels = 72;
    r.kernelWidth = r.kernelHeight = 1;
    fill(r, 8);
    auto descriptor = descriptorOf(r);
    std::vector<float> slopes;
    for (size_t o = 0; o < r.outputChannels; ++o) slopes.push_back(0.05f * float(o) - 1);
    descriptor.setNeuronToPReLU(slopes);
    r.neuron.type = reference::NeuronType::PReLU;
    r.neuron.slopes.assign(slopes.begin(), slopes.end());
    MPS::CNNConvolutionTranspose kernel(
        testDevice(), std::make_shared<FixedWeights>(descriptor, r.weights, r.bias));
    kernel.setDestinationFeatureChannelOffset(4);
    const Tensor x =
        reference::rounded(reference::random(3, 1, 1, 10, 5), reference::Storage::Float32);
    Guarded y(3, 1, 1, 80, {});
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(x), y.images());
    });
    Tensor expected(3, 1, 1, 80, Guarded::poison);
    reference::paste(expected, {0, 0, 1, 1}, 4, reference::forward(r, x));
    CHECK(reference::compare(y.read(), expected, {1e-5 / Guarded::poison}));
}

// Of images that hold more channels, with a neuron; then the gradient of the weights, of the same
// windows.
void compareClipped(const Case& k) {
    for (const Variant variant : {variants()[0], variants().back()}) {
        INFO(variant.name());
        auto r = referenceOf(k, 3);
        const Tensor wide =
            reference::rounded(reference::random(2, k.h, k.w, k.ci + 8, 8), variant.rounding());
        const Tensor x = reference::channels(wide, 4, k.ci);
        auto descriptor = descriptorOf(r);
        descriptor.setFusedNeuronDescriptor(
            MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Linear, 2, 1));
        MPS::CNNConvolution conv(testDevice(),
                                 std::make_shared<FixedWeights>(descriptor, r.weights, r.bias));
        conv.setEdgeMode(MPS::ImageEdgeMode::Clamp);
        conv.setOffset({r.offsetX = 1, r.offsetY = 0, 0});
        conv.setClipRect(MTL::RegionMake2D(2, 1, r.outputWidth = 8, r.outputHeight = 8));
        conv.setSourceFeatureChannelOffset(4);
        conv.setDestinationFeatureChannelOffset(8);
        Guarded y(2, 10, 11, k.co + 8, variant);
        const auto images = upload(wide, variant);
        run([&](const MTL::CommandBuffer& commands) {
            conv.encodeBatch(commands, images, y.images());
        });
        Tensor values = reference::forward(r, x);
        for (double& value : values.v) value = 2 * value + 1;
        Tensor expected(2, 10, 11, k.co + 8, Guarded::poison);
        reference::paste(expected, {2, 1, 8, 8}, 8, values);
        CHECK(
            reference::compare(y.read(), expected,
                               {2e-3 / Guarded::poison *
                                (variant.rounding() == reference::Storage::Float32 ? 1e-2 : 10)}));

        MPS::CNNConvolution plain(testDevice(), sourceOf(r));
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
        plain.setEdgeMode(MPS::ImageEdgeMode::Clamp);
        plain.setOffset(conv.offset());
        plain.setClipRect(conv.clipRect());
        plain.setSourceFeatureChannelOffset(4);
        gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
        gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const Tensor e =
            reference::rounded(reference::random(2, 8, 8, k.co, 9), variant.rounding());
        MPS::StateBatch states;
        run([&](const MTL::CommandBuffer& commands) {
            states = plain.resultStateBatch(images, {}, y.images());
            gradient.encodeBatch(commands, upload(e, variant), images, states);
        });
        const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(reference::compare(contents(state.gradientForWeights()),
                                 reference::weightsGradient(r, e, x), {1e-5}));
        CHECK(reference::compare(contents(state.gradientForBiases()), reference::biasGradient(e),
                                 {1e-5}));
    }
}

// The gradient of the data, its first pixels into a part of an image.
void compareClippedGradient(const Case& k) {
    for (const Variant variant : {variants()[1], variants().back()}) {
        INFO(variant.name());
        auto r = referenceOf(k, 4);
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
        gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
        gradient.setKernelOffsetX(-(r.offsetX = 2) + 1 - int(k.kw % 2));
        gradient.setKernelOffsetY(-(r.offsetY = -1) + 1 - int(k.kh % 2));
        gradient.setClipRect(MTL::RegionMake2D(2, 1, k.w, k.h));
        gradient.setPrimarySourceFeatureChannelOffset(4);
        gradient.setDestinationFeatureChannelOffset(8);
        const Tensor wide =
            reference::rounded(reference::random(2, 7, 8, k.co + 8, 9), variant.rounding());
        r.outputWidth = 8;
        r.outputHeight = 7;
        Guarded dx(2, k.h + 2, k.w + 5, k.ci + 8, variant);
        run([&](const MTL::CommandBuffer& commands) {
            gradient.encodeBatch(commands, upload(wide, variant),
                                 upload(Tensor(2, k.h, k.w, k.ci), variant), {}, dx.images());
        });
        Tensor expected(2, k.h + 2, k.w + 5, k.ci + 8, Guarded::poison);
        reference::paste(expected, {2, 1, k.w, k.h}, 8,
                         reference::dataGradient(r, reference::channels(wide, 4, k.co), k.h, k.w));
        CHECK(
            reference::compare(dx.read(), expected,
                               {2e-3 / Guarded::poison *
                                (variant.rounding() == reference::Storage::Float32 ? 1e-2 : 10)}));
    }
}

// The gradient of the weights where the columns from `first` on are no numbers: those that no
// window reads have no part in it, and others in the taps alone that read them.
void compareUnread(const Case& k, size_t first) {
    auto r = referenceOf(k, 7);
    r.outputWidth = k.w - 3;
    r.outputHeight = k.h;
    const auto some = [](size_t width, const Case& k, size_t channels, uint64_t seed) {
        return reference::rounded(reference::random(k.n, k.h, width, channels, seed),
                                  reference::Storage::Float32);
    };
    Tensor x = some(k.w, k, k.ci, 5);
    const Tensor e = some(k.w - 3, k, k.co, 6);
    for (size_t i = 0; i < x.size(); ++i)
        if (i / k.ci % k.w >= first) x.v[i] = NAN;
    const auto source = sourceOf(r, MPS::DataType::Float32, !k.depthwise);
    MPS::CNNConvolution conv(testDevice(), source);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto images = upload(x), incoming = upload(e);
    const auto states = conv.resultStateBatch(images, {}, incoming);
    run([&](const MTL::CommandBuffer& commands) {
        gradient.encodeBatch(commands, incoming, images, states);
    });
    const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
    auto weights = contents(state.gradientForWeights()),
         expected = reference::weightsGradient(r, e, x);
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(std::isnan(weights[i]) == std::isnan(expected[i]));
        if (std::isnan(expected[i])) weights[i] = expected[i] = 0;
    }
    CHECK(reference::compare(weights, expected, {1e-5}));
    CHECK(reference::compare(contents(state.gradientForBiases()), reference::biasGradient(e),
                             {1e-5}));
}

} // namespace

TEST_CASE("convolution in groups of few channels equals the reference") { compare(groupedCases); }

TEST_CASE("convolution of few channels equals the reference") { compare(thinCases); }

TEST_CASE("convolution to few channels of one pixel equals the reference") {
    compare(narrowCases);
    compareNarrowPart();
    compareNarrowTransposed();
}

TEST_CASE("clamped and clipped convolution in groups of few channels, with a neuron") {
    compareClipped({"", 2, 9, 11, 24, 24, 3, 3, 2, 1, 6, false, true, same});
}

TEST_CASE("clamped and clipped convolution of few channels, with a neuron") {
    compareClipped({"", 2, 9, 11, 2, 24, 3, 3, 2, 1, 1, false, true, same});
    compareClipped({"", 2, 9, 11, 24, 3, 3, 2, 1, 2, 1, false, true, same});
}

TEST_CASE("a part of the gradient of a convolution of few channels") {
    compareClippedGradient({"", 2, 10, 13, 3, 22, 4, 3, 2, 1, 1, false, false, same});
}

TEST_CASE("columns that no window reads have no part in gradients of few channels") {
    const Environment environment("MPSVK_DISABLE", "direct_tile,blocks,winograd");
    for (const size_t beyond : {2, 3}) { // what the last window does not read, and what it reads
        const auto compareLast = [&](const Case& k) { compareUnread(k, k.w - beyond); };
        compareLast({"", 2, 4, 8, 5, 5, 3, 3, 1, 1, 1, true, false, same});
        compareLast({"", 2, 4, 8, 8, 8, 3, 3, 1, 1, 4, false, false, same});
        for (const size_t width : {8, 9, 10})
            for (const size_t channels : {1, 3})
                compareLast({"", 2, 4, width, channels, 24, 3, 3, 1, 1, 1, false, false, same});
    }
}
