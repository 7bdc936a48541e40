#include "mps/ConvolutionKernels.hpp"

#include <catch2/catch_test_macros.hpp>

#include <span>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

struct Case {
    const char* name;
    size_t n, h, w, ci, co, kw, kh, sx, sy, dx, dy, groups;
    MPS::NNPaddingMethod padding;
};

const Case cases[] = {
    {"2x2 stride 2", 2, 4, 5, 8, 16, 2, 2, 2, 2, 1, 1, 1, valid},
    {"4x4 stride 2, full", 2, 3, 4, 5, 8, 4, 4, 2, 2, 1, 1, 1, full},
    {"3x5 stride 2x3", 2, 5, 4, 3, 6, 3, 5, 2, 3, 1, 1, 1, same},
    {"stride 1, remainder at the end", 1, 6, 5, 4, 4, 4, 2, 1, 1, 1, 1, 1, tensorflow},
    {"1x1 stride 3, one channel", 3, 3, 2, 1, 1, 1, 1, 3, 3, 1, 1, 1, same},
    {"dilated by 3x2, stride 2", 1, 5, 6, 6, 33, 3, 2, 2, 2, 3, 2, 1, same},
    {"dilated by 2, stride 3", 2, 4, 5, 33, 4, 2, 3, 3, 2, 2, 3, 1, full},
    {"window smaller than the stride", 2, 3, 4, 4, 8, 2, 1, 3, 3, 1, 1, 1, same},
    {"two groups", 2, 4, 3, 32, 64, 3, 3, 2, 2, 1, 1, 2, same},
    {"four groups of 3 to 5", 2, 3, 4, 12, 20, 3, 2, 2, 1, 1, 1, 4, same},
    {"two groups to one channel each", 2, 3, 3, 10, 2, 2, 2, 2, 2, 1, 1, 2, full},
    {"wide tiles", 2, 5, 6, 40, 136, 4, 4, 2, 2, 1, 1, 1, same},
    {"wide tiles, stride 1", 1, 6, 5, 64, 64, 3, 3, 1, 1, 1, 1, 1, same},
    {"depthwise", 2, 4, 5, 8, 8, 3, 3, 2, 2, 1, 1, 8, same},
    {"depthwise times 3", 2, 4, 3, 5, 15, 4, 3, 3, 2, 1, 2, 5, full},
};

// Groups of few channels, which kernels of their own compute where the device chooses them.
const Case groupedCases[] = {
    {"32 groups of 4, stride 2", 2, 4, 5, 128, 128, 3, 4, 2, 2, 1, 1, 32, same},
    {"groups of 8", 2, 5, 9, 32, 32, 2, 3, 1, 1, 1, 1, 4, full},
    {"32 groups of 2, dilated", 1, 5, 4, 64, 64, 2, 2, 2, 3, 3, 2, 32, same},
    {"8 groups of 1 to 2, stride 3", 2, 3, 4, 8, 16, 2, 4, 3, 2, 1, 1, 8, same},
    {"depthwise, stride 2", 2, 4, 5, 12, 12, 4, 3, 2, 2, 1, 1, 12, same},
};

// Images of four channels at most, the same.
const Case thinCases[] = {
    {"40 to colours, stride 2", 2, 6, 9, 40, 3, 4, 4, 2, 2, 1, 1, 1, same},
    {"9 to grey, dilated", 2, 9, 8, 9, 1, 3, 2, 1, 1, 2, 1, 1, same},
    {"two to 12, stride 3 to 1", 2, 5, 9, 2, 12, 3, 5, 3, 1, 1, 2, 1, full},
};

reference::ConvolutionTranspose referenceOf(const Case& k, uint64_t seed) {
    reference::ConvolutionTranspose r;
    r.inputChannels = k.ci;
    r.outputChannels = k.co;
    r.kernelWidth = k.kw;
    r.kernelHeight = k.kh;
    r.strideX = k.sx;
    r.strideY = k.sy;
    r.dilationX = k.dx;
    r.dilationY = k.dy;
    r.groups = k.groups;
    fill(r, seed);
    return r;
}

struct Kernels {
    explicit Kernels(const reference::ConvolutionTranspose& r, MPS::NNPaddingMethod padding = same)
        : Kernels(sourceOf(r), padding) {}
    Kernels(const std::shared_ptr<FixedWeights>& source, MPS::NNPaddingMethod padding)
        : forward(testDevice(), source), gradient(testDevice(), source) {
        forward.setPadding(MPS::NNDefaultPadding::padding(padding));
    }
    MPS::CNNConvolutionTranspose forward;
    MPS::CNNConvolutionTransposeGradient gradient;
};

reference::ConvolutionTranspose genericShape() {
    return referenceOf({"", 1, 1, 1, 8, 8, 3, 2, 2, 1, 1, 1, 1, same}, 1);
}
auto generic() { return MPS::CNNConvolutionTranspose(testDevice(), sourceOf(genericShape())); }

const bool named[] = {
    everyKernel(generic),
    everyGradient(
        [] { return MPS::CNNConvolutionTransposeGradient(testDevice(), sourceOf(genericShape())); },
        forwardPass(generic)),
};

void place(reference::ConvolutionTranspose& r, const MPS::CNNConvolutionTranspose& kernel,
           const Tensor& y) {
    r.offsetX = kernel.offset().x;
    r.offsetY = kernel.offset().y;
    r.kernelOffsetX = kernel.kernelOffsetX();
    r.kernelOffsetY = kernel.kernelOffsetY();
    r.outputWidth = y.w;
    r.outputHeight = y.h;
}

} // namespace

TEST_CASE("transposed convolution and its gradients equal the reference") {
    size_t index = 0;
    for (const Case& k : cases) {
        // Every case in fp32 and fp16; textures and separate allocations with some of them.
        auto all = variants();
        if (index % 5 != 0) all.resize(2);
        for (const Variant variant : all) {
            INFO(k.name << ", " << variant.name());
            auto r = referenceOf(k, 10 + index);
            const auto kept = keptWeights(r, variant);
            Kernels kernels(sourceOf(r, kept), k.padding);
            const Tensor x =
                reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), variant.rounding());
            const Passes got =
                runPasses(kernels.forward, kernels.gradient, x, variant, index % 3 == 1);
            place(r, kernels.forward, got.y);
            checkPasses(got, r, x, variant);
            conforms("CNNConvolutionTranspose", Aspect::Forward, variant);
            conforms("CNNConvolutionTransposeGradient", Aspect::Gradient, variant);
        }
        ++index;
    }
}

namespace {

void compare(std::span<const Case> cases) {
    size_t index = 0;
    for (const Case& k : cases) {
        auto all = variants();
        all.resize(2);
        if (index > 0) all = {all[index % 2]};
        for (const Variant variant : all) {
            INFO(k.name << ", " << variant.name());
            auto r = referenceOf(k, 40 + index);
            const bool isDepthwise = k.groups == k.ci && k.groups == k.co;
            Kernels kernels(sourceOf(r, MPS::DataType::Float32, !isDepthwise), k.padding);
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

} // namespace

TEST_CASE("transposed convolution in groups of few channels equals the reference") {
    compare(groupedCases);
}

TEST_CASE("transposed convolution of few channels equals the reference") { compare(thinCases); }

TEST_CASE("padding policies place a transposed convolution as documented") {
    struct Line {
        size_t taps, dilation, stride;
        MPS::NNPaddingMethod padding;
        size_t size;
        int64_t kernelOffset;
    };
    // For a source of 5 pixels.
    const Line lines[] = {
        {3, 1, 2, same, 9, 0},   {2, 1, 2, same, 9, 0},   {2, 1, 2, tensorflow, 9, 1},
        {4, 1, 3, same, 13, 0},  {3, 1, 1, same, 5, 0},   {2, 1, 2, valid, 8, 1},
        {3, 1, 2, valid, 7, 1},  {3, 1, 2, full, 11, -1}, {2, 1, 2, full, 10, 0},
        {2, 3, 2, full, 12, -1}, {2, 3, 2, valid, 6, 2},
    };
    for (const Line& line : lines) {
        reference::ConvolutionTranspose r;
        r.kernelWidth = r.kernelHeight = line.taps;
        r.strideX = r.strideY = line.stride;
        r.dilationX = r.dilationY = line.dilation;
        fill(r, 1);
        Kernels kernels(r, line.padding);
        kernels.forward.setOffset({7, 7, 0});
        const auto d = kernels.forward.destinationImageDescriptor(upload(Tensor(1, 5, 5, 1)));
        INFO(line.taps << " taps, dilation " << line.dilation << ", size " << line.size);
        CHECK(d.width() == line.size);
        CHECK(d.height() == line.size);
        CHECK(kernels.forward.kernelOffsetX() == line.kernelOffset);
        CHECK(kernels.forward.kernelOffsetY() == line.kernelOffset);
        CHECK(kernels.forward.offset() == MPS::Offset{0, 0, 0});
    }
}

TEST_CASE("a transposed convolution of turned weights is a convolution's data gradient") {
    // The convolution: 3 to 6 channels, even and odd windows, placed by hand.
    struct Shape {
        size_t kw, kh, stride, dilation;
        int64_t ox, oy;
    };
    for (const Shape& s : {Shape{4, 3, 2, 1, 1, 0}, Shape{2, 4, 3, 1, 2, 1},
                           Shape{2, 3, 2, 3, 0, 1}, Shape{5, 1, 1, 1, -1, 0}}) {
        INFO(s.kw << "x" << s.kh << " stride " << s.stride);
        reference::Convolution c;
        c.inputChannels = 3;
        c.outputChannels = 6;
        c.kernelWidth = s.kw;
        c.kernelHeight = s.kh;
        c.strideX = c.strideY = s.stride;
        c.dilationX = c.dilationY = s.dilation;
        fill(c, 3);
        reference::ConvolutionTranspose t;
        static_cast<reference::Convolution&>(t) = c;
        std::swap(t.inputChannels, t.outputChannels);
        t.bias.assign(3, 0);
        const size_t taps = s.kw * s.kh;
        for (size_t o = 0; o < 6; ++o)
            for (size_t tap = 0; tap < taps; ++tap)
                for (size_t i = 0; i < 3; ++i)
                    t.weights[(i * taps + taps - 1 - tap) * 6 + o] =
                        c.weights[(o * taps + tap) * 3 + i];
        MPS::CNNConvolution conv(testDevice(), sourceOf(c));
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(c));
        Kernels kernels(t);
        for (MPS::CNNKernel* kernel : {(MPS::CNNKernel*)&conv, (MPS::CNNKernel*)&kernels.forward})
            kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        conv.setOffset({s.ox, s.oy, 0});
        const auto x = upload(reference::random(2, 9, 8, 3, 4));
        const auto e = upload(reference::random(2, 4, 3, 6, 5));
        MPS::ImageBatch dx, y, single;
        run([&](const MTL::CommandBuffer& commands) {
            const auto states = conv.resultStateBatch(x, {}, e);
            dx = gradient.encodeBatch(commands, e, x, states);
            y = kernels.forward.encodeBatch(commands, e, states);
            single = {kernels.forward.encode(commands, e[1], states[1])};
        });
        const auto even = [&](size_t count) { return int64_t((count - 1) * s.dilation % 2); };
        CHECK(kernels.forward.kernelOffsetX() == -s.ox + even(s.kw));
        CHECK(kernels.forward.kernelOffsetY() == -s.oy + even(s.kh));
        CHECK(reference::compare(download(y), download(dx), {1e-6}));
        CHECK(download(single).v == reference::image(download(y), 1).v);
    }
}

TEST_CASE("explicit destinations of a transposed convolution and its gradients") {
    for (const Variant variant : variants()) {
        INFO(variant.name());
        auto r = referenceOf({"", 2, 5, 4, 5, 6, 3, 2, 2, 3, 1, 2, 1, same}, 3);
        Kernels kernels(r);
        MPS::CNNConvolutionTranspose& forward = kernels.forward;
        const Tensor wide =
            reference::rounded(reference::random(2, 5, 4, 12, 8), variant.rounding());
        const Tensor x = reference::channels(wide, 4, 5);
        forward.setOffset({1, -1, 0});
        forward.setKernelOffsetX(-2);
        forward.setKernelOffsetY(3);
        forward.setClipRect(MTL::RegionMake2D(1, 2, 7, 9));
        forward.setSourceFeatureChannelOffset(4);
        forward.setDestinationFeatureChannelOffset(8);
        place(r, forward, Tensor(2, 9, 7, 6));
        Guarded y(2, 13, 9, 20, variant);
        const auto images = upload(wide, variant);
        run([&](const MTL::CommandBuffer& commands) {
            forward.encodeBatch(commands, images, y.images());
        });
        Tensor expected(2, 13, 9, 20, Guarded::poison);
        reference::paste(expected, {1, 2, 7, 9}, 8, reference::forward(r, x));
        // The last texel's lanes that are no channels are zero.
        for (size_t n = 0; n < 2; ++n)
            for (size_t yy = 2; yy < 11; ++yy)
                for (size_t xx = 1; xx < 8; ++xx)
                    expected.at(n, yy, xx, 14) = expected.at(n, yy, xx, 15) = 0;
        CHECK(
            reference::compare(y.read(), expected,
                               {2e-3 / Guarded::poison *
                                (variant.rounding() == reference::Storage::Float32 ? 1e-2 : 10)}));

        const Tensor e = reference::rounded(reference::random(2, 9, 7, 6, 9), variant.rounding());
        const auto gradients = upload(e, variant);
        MPS::CNNConvolutionTransposeGradient byState = kernels.gradient;
        byState.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::CNNConvolutionTransposeGradient& byHand = kernels.gradient;
        byHand.setKernelOffsetX(-2);
        byHand.setKernelOffsetY(3);
        byHand.setSecondaryOffset({1, -1, 0});
        byHand.setSecondarySourceFeatureChannelOffset(4);
        byHand.setDestinationFeatureChannelOffset(4);
        Guarded dx(2, 5, 4, 12, variant);
        MPS::StateBatch first, second;
        MPS::ImageBatch automatic;
        run([&](const MTL::CommandBuffer& commands) {
            first = forward.resultStateBatch(images, {}, y.images());
            second = forward.resultStateBatch(images, {}, y.images());
            byHand.encodeBatch(commands, gradients, images, first, dx.images());
            byState.setPrimarySourceFeatureChannelOffset(0);
            automatic = byState.encodeBatch(commands,
                                            upload(
                                                [&] {
                                                    Tensor shifted(2, 9, 7, 14);
                                                    reference::paste(shifted, {}, 8, e);
                                                    return shifted;
                                                }(),
                                                variant),
                                            images, second);
        });
        CHECK(reference::compare(reference::channels(dx.read(), 4, 5),
                                 reference::dataGradient(r, e, 5, 4), {productTolerance(variant)}));
        CHECK(reference::channels(dx.read(), 0, 4).v == Tensor(2, 5, 4, 4, Guarded::poison).v);
        // The state brings the same geometry, and the channel offsets of the forward pass.
        CHECK(byState.kernelOffsetX() == -2);
        CHECK(byState.kernelOffsetY() == 3);
        CHECK(byState.secondaryOffset() == MPS::Offset{1, -1, 0});
        CHECK(byState.primarySourceFeatureChannelOffset() == 8);
        CHECK(download(automatic).v == reference::channels(dx.read(), 4, 5).v);
        const auto a = first[0].as<MPS::CNNConvolutionTransposeGradientState>();
        const auto b = second[0].as<MPS::CNNConvolutionTransposeGradientState>();
        CHECK(contents(a.gradientForWeights()) == contents(b.gradientForWeights()));
        CHECK(contents(a.gradientForBiases()) == contents(b.gradientForBiases()));
        CHECK(reference::compare(contents(a.gradientForWeights()),
                                 reference::weightsGradient(r, e, x), {1e-5}));
        CHECK(reference::compare(contents(a.gradientForBiases()), reference::biasGradient(e),
                                 {1e-5}));
    }
}

TEST_CASE("a batch of transposed convolutions does not depend on where its images lie") {
    for (const Case& k : {cases[2], cases[9], cases[12]}) {
        INFO(k.name);
        const auto r = referenceOf(k, 2);
        Kernels kernels(r, k.padding);
        const Tensor x = reference::rounded(reference::random(3, k.h, k.w, k.ci, 5),
                                            reference::Storage::Float32);
        const Passes whole = runPasses(kernels.forward, kernels.gradient, x);
        const Passes again = runPasses(kernels.forward, kernels.gradient, x);
        const Passes apart = runPasses(kernels.forward, kernels.gradient, x, {}, true);
        CHECK(again.y.v == whole.y.v);
        CHECK(again.dx.v == whole.dx.v);
        CHECK(again.dw == whole.dw);
        CHECK(again.db == whole.db);
        CHECK(apart.y.v == whole.y.v);
        CHECK(apart.dx.v == whole.dx.v);
        CHECK(reference::compare(apart.dw, whole.dw, {1e-6}));
        // Image by image into one state.
        const auto images = upload(x), gradients = upload(whole.e);
        MPS::StateBatch states;
        std::vector<Tensor> y, dx;
        for (size_t i = 0; i < 3; ++i) {
            MPS::ImageBatch one, back;
            run([&](const MTL::CommandBuffer& commands) {
                one = kernels.forward.encodeBatch(commands, {images[i]},
                                                  states.empty() ? &states : nullptr, false);
                back = kernels.gradient.encodeBatch(commands, {gradients[i]}, {images[i]}, states);
            });
            y.push_back(download(one));
            dx.push_back(download(back));
        }
        CHECK(reference::stack(y).v == whole.y.v);
        CHECK(reference::stack(dx).v == whole.dx.v);
        const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(reference::compare(contents(state.gradientForWeights()), whole.dw, {1e-6}));
        CHECK(reference::compare(contents(state.gradientForBiases()), whole.db, {1e-6}));
    }
}
