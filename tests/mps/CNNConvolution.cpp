#include "mps/ConvolutionCases.hpp"
#include "support/GradientCheck.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

const Case cases[] = {
    {"3x3 same", 2, 7, 9, 8, 16, 3, 3, 1, 1, 1, false, false, same},
    {"1x1 one channel", 1, 5, 4, 1, 1, 1, 1, 1, 1, 1, false, false, same},
    {"3x3 stride 2", 3, 11, 10, 3, 5, 3, 3, 2, 1, 1, false, false, same},
    {"5x3 dilated", 2, 12, 13, 4, 33, 5, 3, 1, 2, 1, false, false, same},
    {"even window, clamped", 2, 9, 8, 5, 8, 4, 2, 2, 1, 1, false, true, same},
    {"2x2 stride 3 valid", 2, 13, 14, 33, 4, 2, 2, 3, 2, 1, false, false, valid},
    {"clamped, dilated", 1, 10, 9, 6, 7, 3, 3, 2, 2, 1, false, true, same},
    {"full", 2, 6, 5, 4, 8, 3, 4, 1, 1, 1, false, false, full},
    {"remainder at the end", 2, 8, 8, 4, 4, 3, 3, 2, 1, 1, false, false, tensorflow},
    {"two groups", 2, 6, 6, 32, 64, 3, 3, 1, 1, 2, false, false, same},
    {"three groups of 3 to 5", 2, 6, 5, 9, 15, 3, 3, 1, 1, 3, false, false, same},
    {"four groups to one", 2, 6, 6, 20, 4, 3, 3, 1, 1, 4, false, false, same},
    {"wide tiles", 2, 9, 7, 24, 136, 3, 3, 1, 1, 1, false, false, same},
    {"wide tiles, stride 2", 3, 9, 10, 64, 72, 3, 3, 2, 1, 1, false, false, same},
    {"wide tiles, stride 5", 3, 16, 17, 64, 72, 7, 7, 5, 1, 1, false, false, same},
    {"wide tiles, dilated", 1, 9, 8, 72, 32, 3, 2, 1, 2, 1, false, false, same},
    {"few results of many", 2, 8, 9, 40, 12, 3, 3, 2, 1, 1, false, false, same},
    {"two groups of 64", 2, 5, 6, 48, 128, 3, 3, 1, 1, 2, false, false, same},
    {"colours", 2, 15, 13, 3, 64, 7, 7, 2, 1, 1, false, false, same},
    {"depthwise", 2, 7, 6, 8, 8, 3, 3, 1, 1, 1, true, false, same},
    {"depthwise times 3", 2, 7, 6, 5, 15, 3, 3, 2, 1, 1, true, false, same},
    {"depthwise clamped", 2, 7, 6, 5, 5, 3, 4, 1, 2, 1, true, true, same},
};

reference::Convolution genericShape() {
    return referenceOf({"", 1, 1, 1, 8, 8, 3, 2, 1, 1, 1, false, false, same}, 1);
}
auto generic() { return MPS::CNNConvolution(testDevice(), sourceOf(genericShape())); }

const bool named[] = {
    everyKernel(generic),
    everyGradient(
        [] { return MPS::CNNConvolutionGradient(testDevice(), sourceOf(genericShape())); },
        forwardPass(generic)),
};

} // namespace

TEST_CASE("convolution and its gradients equal the reference") {
    size_t index = 0;
    for (const Case& k : cases) {
        // Every case in fp32 and fp16; textures and separate allocations with some of them.
        auto all = variants();
        if (index % 4 != 0) all.resize(2);
        for (const Variant variant : all) {
            INFO(k.name << ", " << variant.name());
            auto r = referenceOf(k, 10 + index);
            const auto kept = keptWeights(r, variant);
            Kernels kernels(r, k.padding, sourceOf(r, kept));
            const Tensor x =
                reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), variant.rounding());
            const Passes got =
                runPasses(kernels.forward, kernels.gradient, x, variant, index % 3 == 1);
            place(r, kernels.forward, got.y);
            checkPasses(got, r, x, variant);
            conforms("CNNConvolution", Aspect::Forward, variant);
            conforms("CNNConvolutionGradient", Aspect::Gradient, variant);
        }
        ++index;
    }
}

TEST_CASE("a convolution whose steps and tiles are not whole, by whatever tiles") {
    const auto r = referenceOf({"", 2, 9, 7, 28, 32, 3, 3, 1, 1, 1, false, false, same}, 3);
    const Tensor x =
        reference::rounded(reference::random(2, 9, 7, 28, 6), reference::Storage::Float32);
    Kernels kernels(r);
    const Passes got = runPasses(kernels.forward, kernels.gradient, x);
    auto placed = r;
    place(placed, kernels.forward, got.y);
    checkPasses(got, placed, x);
    CHECK(runPasses(kernels.forward, kernels.gradient, x).dw == got.dw);
}

TEST_CASE("explicit destinations, offsets, clip rectangles and channel offsets") {
    for (const Variant variant : variants()) {
        INFO(variant.name());
        Case k = {"", 2, 9, 8, 5, 6, 3, 2, 2, 1, 1, false, false, same};
        auto reference = referenceOf(k, 3);
        const auto source = std::make_shared<FixedWeights>(descriptorOf(reference),
                                                           reference.weights, reference.bias);
        const Tensor wide =
            reference::rounded(reference::random(2, 9, 8, 12, 8), variant.rounding());
        MPS::CNNConvolution conv(testDevice(), source);
        conv.setOffset({2, -1, 0});
        conv.setClipRect(MTL::RegionMake2D(1, 2, 3, 4));
        conv.setSourceFeatureChannelOffset(4);
        conv.setDestinationFeatureChannelOffset(8);
        reference.offsetX = 2;
        reference.offsetY = -1;
        reference.outputWidth = 3;
        reference.outputHeight = 4;
        Guarded y(2, 7, 6, 20, variant);
        run([&](const MTL::CommandBuffer& commands) {
            conv.encodeBatch(commands, upload(wide, variant), y.images());
        });
        Tensor expected(2, 7, 6, 20, Guarded::poison);
        const Tensor x = reference::channels(wide, 4, 5);
        reference::paste(expected, {1, 2, 3, 4}, 8, reference::forward(reference, x));
        // The last texel's lanes that are no channels are zero.
        for (size_t n = 0; n < 2; ++n)
            for (size_t yy = 2; yy < 6; ++yy)
                for (size_t xx = 1; xx < 4; ++xx)
                    expected.at(n, yy, xx, 14) = expected.at(n, yy, xx, 15) = 0;
        CHECK(
            reference::compare(y.read(), expected,
                               {2e-3 / Guarded::poison *
                                (variant.rounding() == reference::Storage::Float32 ? 1e-2 : 10)}));

        // Gradients by hand-set geometry equal those by the state.
        MPS::CNNConvolutionGradient gradient(testDevice(), source);
        gradient.setKernelOffsetX(-2 + 1);
        gradient.setKernelOffsetY(1);
        gradient.setSecondaryOffset({2 - 1, -1 - 1, 0});
        gradient.setSecondarySourceFeatureChannelOffset(4);
        gradient.setDestinationFeatureChannelOffset(4);
        const Tensor e = reference::rounded(reference::random(2, 4, 3, 6, 9), variant.rounding());
        Guarded dx(2, 9, 8, 12, variant);
        const auto images = upload(wide, variant);
        MPS::StateBatch states;
        run([&](const MTL::CommandBuffer& commands) {
            states = conv.resultStateBatch(images, {}, y.images());
            gradient.encodeBatch(commands, upload(e, variant), images, states, dx.images());
        });
        const Tensor got = reference::channels(dx.read(), 4, 5);
        CHECK(reference::compare(got, reference::dataGradient(reference, e, 9, 8),
                                 {productTolerance(variant)}));
        CHECK(reference::channels(dx.read(), 0, 4).v == Tensor(2, 9, 8, 4, Guarded::poison).v);
        const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(reference::compare(contents(state.gradientForWeights()),
                                 reference::weightsGradient(reference, e, x), {1e-5}));
    }
}

TEST_CASE("gradients add up over encodes with one state, and options leave out their part") {
    Case k = cases[2];
    const auto r = referenceOf(k, 1);
    Kernels kernels(r);
    const Tensor x =
        reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), reference::Storage::Float32);
    const Passes whole = runPasses(kernels.forward, kernels.gradient, x);
    auto& conv = kernels.forward;
    auto& gradient = kernels.gradient;
    const auto images = upload(x), gradients = upload(whole.e);
    MPS::StateBatch states;
    MPS::ImageBatch dx;
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
    run([&](const MTL::CommandBuffer& commands) {
        conv.encodeBatch(commands, images, &states, false);
        for (size_t i = 0; i < k.n; ++i)
            dx = gradient.encodeBatch(commands, {gradients[i]}, {images[i]}, {states[0]});
    });
    const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
    CHECK(dx[0].width() == k.w);
    CHECK(reference::compare(contents(state.gradientForWeights()), whole.dw, {1e-6}));
    CHECK(reference::compare(contents(state.gradientForBiases()), whole.db, {1e-6}));
    // Data alone touches no state.
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto before = contents(state.gradientForWeights());
    run([&](const MTL::CommandBuffer& commands) {
        dx = gradient.encodeBatch(commands, gradients, images, states);
    });
    CHECK(download(dx).v == whole.dx.v);
    CHECK(contents(state.gradientForWeights()) == before);
    // The same bits every time.
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::All);
    const Passes again = runPasses(conv, gradient, x);
    CHECK(again.dw == whole.dw);
    CHECK(again.dx.v == whole.dx.v);
}

TEST_CASE("the gradient of a convolution in mid-graph by finite differences") {
    const Case k = {"", 1, 5, 6, 3, 4, 3, 2, 2, 1, 1, false, false, same};
    const auto r = referenceOf(k, 1);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), tanh);
    MPS::CNNNeuronGradient lastGradient(testDevice(), tanh), firstGradient(testDevice(), tanh);
    Kernels kernels(r);
    auto& conv = kernels.forward;
    auto& gradient = kernels.gradient;
    for (MPS::CNNKernel* kernel :
         {(MPS::CNNKernel*)&first, (MPS::CNNKernel*)&last, (MPS::CNNKernel*)&conv})
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    for (MPS::CNNBinaryKernel* kernel :
         {(MPS::CNNBinaryKernel*)&lastGradient, (MPS::CNNBinaryKernel*)&firstGradient,
          (MPS::CNNBinaryKernel*)&gradient})
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const Tensor x =
        reference::rounded(reference::random(1, 5, 6, 3, 5), reference::Storage::Float32);
    Tensor cotangent;
    const auto forward = [&](const Tensor& at) {
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) {
            y = last.encodeBatch(
                commands, conv.encodeBatch(commands, first.encodeBatch(commands, upload(at))));
        });
        return download(y);
    };
    cotangent =
        reference::rounded(reference::randomLike(forward(x), 3), reference::Storage::Float32);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::StateBatch s1, s2, s3;
        const auto input = upload(x);
        const auto a = first.encodeBatch(commands, input, &s1, false);
        const auto b = conv.encodeBatch(commands, a, &s2, false);
        last.encodeBatch(commands, b, &s3, false);
        const auto db = lastGradient.encodeBatch(commands, upload(cotangent), b, s3);
        const auto da = gradient.encodeBatch(commands, db, a, s2);
        dx = firstGradient.encodeBatch(commands, da, input, s1);
    });
    reference::GradientCheckOptions options;
    options.step = 1e-2;
    options.tolerance = 2e-3;
    CHECK(reference::checkGradient(
        [&](const Tensor& at) { return reference::dot(forward(at), cotangent); }, x, download(dx),
        options));
}
