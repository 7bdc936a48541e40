#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/Weights.hpp"
#include "support/reference/Convolution.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

struct Case {
    const char* name;
    size_t n, h, w, ci, co, kh, kw, stride, dilation, groups;
    bool depthwise, clamp;
    MPS::NNPaddingMethod padding;
};

constexpr auto same = MPS::NNPaddingMethod::SizeSame;
constexpr auto valid = MPS::NNPaddingMethod::SizeValidOnly;
constexpr auto full = MPS::NNPaddingMethod::SizeFull;
constexpr auto tensorflow = same | MPS::NNPaddingMethod::AddRemainderToBottomRight;

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
    {"depthwise", 2, 7, 6, 8, 8, 3, 3, 1, 1, 1, true, false, same},
    {"depthwise times 3", 2, 7, 6, 5, 15, 3, 3, 2, 1, 1, true, false, same},
    {"depthwise clamped", 2, 7, 6, 5, 5, 3, 4, 1, 2, 1, true, true, same},
};

MPS::CNNConvolutionDescriptor descriptorOf(const Case& k) {
    MPS::CNNConvolutionDescriptor d =
        k.depthwise ? MPS::CNNDepthWiseConvolutionDescriptor(k.kw, k.kh, k.ci, k.co)
                    : MPS::CNNConvolutionDescriptor(k.kw, k.kh, k.ci, k.co);
    d.setStrideInPixelsX(k.stride);
    d.setStrideInPixelsY(k.stride);
    d.setDilationRateX(k.dilation);
    d.setDilationRateY(k.dilation);
    d.setGroups(k.groups);
    return d;
}

reference::Convolution referenceOf(const Case& k, uint64_t seed) {
    reference::Convolution c;
    c.inputChannels = k.ci;
    c.outputChannels = k.co;
    c.kernelWidth = k.kw;
    c.kernelHeight = k.kh;
    c.strideX = c.strideY = k.stride;
    c.dilationX = c.dilationY = k.dilation;
    c.groups = k.depthwise ? k.ci : k.groups;
    c.edge = k.clamp ? reference::EdgeMode::Clamp : reference::EdgeMode::Zero;
    c.weights = reference::rounded(reference::randomVector(c.weightCount(), seed),
                                   reference::Storage::Float32);
    c.bias =
        reference::rounded(reference::randomVector(k.co, seed + 1), reference::Storage::Float32);
    return c;
}

std::vector<double> contents(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return {values.begin(), values.end()};
}

struct Passes {
    Tensor y, dx;
    std::vector<double> dw, db;
};

/// Forward, then both gradients through the state, with images that the kernels allocate.
Passes runPasses(const Case& k, const std::shared_ptr<FixedWeights>& source, const Tensor& x,
                 Variant variant, bool apart, reference::Convolution& reference,
                 const Tensor* cotangent = nullptr) {
    MPS::CNNConvolution conv(testDevice(), source);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
    conv.setPadding(MPS::NNDefaultPadding::padding(k.padding));
    conv.setEdgeMode(k.clamp ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero);
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto images = apart ? uploadApart(x, variant) : upload(x, variant);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = conv.encodeBatch(commands, images, &states, false);
    });
    reference.offsetX = conv.offset().x;
    reference.offsetY = conv.offset().y;
    reference.outputWidth = y[0].width();
    reference.outputHeight = y[0].height();
    Passes passes;
    passes.y = download(y);
    const Tensor e =
        cotangent ? *cotangent
                  : reference::rounded(reference::randomLike(passes.y, 77), variant.rounding());
    const auto gradients = apart ? uploadApart(e, variant) : upload(e, variant);
    run([&](const MTL::CommandBuffer& commands) {
        dx = gradient.encodeBatch(commands, gradients, images, states);
    });
    passes.dx = download(dx);
    const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
    passes.dw = contents(state.gradientForWeights());
    passes.db = contents(state.gradientForBiases());
    return passes;
}

double tolerance(Variant variant) {
    return variant.format == MPS::ImageFeatureChannelFormat::Float32 ? 1e-5 : 1e-3;
}

} // namespace

TEST_CASE("convolution and its gradients equal the reference") {
    size_t index = 0;
    for (const Case& k : cases) {
        // Every case in fp32 and fp16; textures and separate allocations with some of them.
        auto all = variants();
        if (index % 4 != 0) all.resize(2);
        for (const Variant variant : all) {
            INFO(k.name << ", " << variant.name());
            auto reference = referenceOf(k, 10 + index);
            const auto source =
                std::make_shared<FixedWeights>(descriptorOf(k), reference.weights, reference.bias);
            const Tensor x =
                reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), variant.rounding());
            const Passes got = runPasses(k, source, x, variant, index % 3 == 1, reference);
            const Tensor e =
                reference::rounded(reference::randomLike(got.y, 77), variant.rounding());
            const auto magnitude = reference::absolute(reference);
            const Tensor ay = reference::forward(magnitude, reference::absolute(x));
            CHECK(reference::compare(got.y, reference::forward(reference, x),
                                     {tolerance(variant), 0, &ay}));
            const Tensor ax = reference::dataGradient(magnitude, reference::absolute(e), k.h, k.w);
            CHECK(reference::compare(got.dx, reference::dataGradient(reference, e, k.h, k.w),
                                     {tolerance(variant), 1e-7, &ax}));
            // Gradients of parameters are fp32 whatever the images are.
            CHECK(reference::compare(got.dw, reference::weightsGradient(reference, e, x), {1e-5}));
            CHECK(reference::compare(got.db, reference::biasGradient(e), {1e-5}));
        }
        ++index;
    }
}

TEST_CASE("explicit destinations, offsets, clip rectangles and channel offsets") {
    for (const Variant variant : variants()) {
        INFO(variant.name());
        Case k = {"", 2, 9, 8, 5, 6, 3, 2, 2, 1, 1, false, false, same};
        auto reference = referenceOf(k, 3);
        const auto source =
            std::make_shared<FixedWeights>(descriptorOf(k), reference.weights, reference.bias);
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
                                 {tolerance(variant)}));
        CHECK(reference::channels(dx.read(), 0, 4).v == Tensor(2, 9, 8, 4, Guarded::poison).v);
        const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(reference::compare(contents(state.gradientForWeights()),
                                 reference::weightsGradient(reference, e, x), {1e-5}));
    }
}

TEST_CASE("fused neuron, batch normalization, sub-pixel rearrangement and rounded weights") {
    Case k = {"", 2, 5, 6, 5, 12, 3, 3, 1, 1, 1, false, false, same};
    const Tensor x =
        reference::rounded(reference::random(2, 5, 6, 5, 4), reference::Storage::Float32);
    const auto forward = [&](const MPS::CNNConvolutionDescriptor& d, reference::Convolution r,
                             MPS::DataType type) {
        const auto source = std::make_shared<FixedWeights>(d, r.weights, r.bias, type);
        MPS::CNNConvolution conv(testDevice(), source);
        conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = conv.encodeBatch(commands, upload(x)); });
        r.outputWidth = y[0].width();
        r.outputHeight = y[0].height();
        r.offsetX = conv.offset().x;
        r.offsetY = conv.offset().y;
        CHECK(reference::compare(download(y), reference::forward(r, x), {1e-5}));
    };
    SECTION("neuron") {
        auto d = descriptorOf(k);
        auto r = referenceOf(k, 1);
        d.setNeuronType(MPS::CNNNeuronType::Sigmoid, 0, 0);
        r.neuron.type = reference::NeuronType::Sigmoid;
        forward(d, r, MPS::DataType::Float32);
    }
    SECTION("slopes per channel") {
        auto d = descriptorOf(k);
        auto r = referenceOf(k, 1);
        std::vector<float> slopes;
        for (int i = 0; i < 12; ++i) slopes.push_back(0.05f * float(i));
        d.setNeuronToPReLU(slopes);
        r.neuron.type = reference::NeuronType::PReLU;
        r.neuron.slopes.assign(slopes.begin(), slopes.end());
        forward(d, r, MPS::DataType::Float32);
    }
    SECTION("batch normalization") {
        auto d = descriptorOf(k);
        auto r = referenceOf(k, 1);
        const std::vector<float> mean(12, 0.25f), variance(12, 2), gamma(12, 1.5f), beta(12, -0.5f);
        d.setBatchNormalizationParametersForInference(mean, variance, gamma, beta, 1e-3f);
        r.normalization = reference::FusedBatchNormalization{{mean.begin(), mean.end()},
                                                             {variance.begin(), variance.end()},
                                                             {gamma.begin(), gamma.end()},
                                                             {beta.begin(), beta.end()},
                                                             1e-3f};
        forward(d, r, MPS::DataType::Float32);
    }
    SECTION("sub-pixel") {
        MPS::CNNSubPixelConvolutionDescriptor d(3, 3, 5, 12);
        d.setSubPixelScaleFactor(2);
        auto r = referenceOf(k, 1);
        r.subPixelScale = 2;
        forward(d, r, MPS::DataType::Float32);
    }
    SECTION("fp16 weights") {
        auto r = referenceOf(k, 1);
        const auto source = std::make_shared<FixedWeights>(descriptorOf(k), r.weights, r.bias,
                                                           MPS::DataType::Float16);
        MPS::CNNConvolution conv(testDevice(), source);
        MPS::CNNConvolutionWeightsAndBiasesState exported;
        run([&](const MTL::CommandBuffer& commands) {
            exported = conv.exportWeightsAndBiases(commands, false);
        });
        CHECK(contents(exported.weights()) ==
              reference::rounded(r.weights, reference::Storage::Float16));
        CHECK(contents(exported.biases()) == r.bias);
        r.weights = reference::rounded(r.weights, reference::Storage::Float16);
        forward(descriptorOf(k), r, MPS::DataType::Float16);
    }
}

TEST_CASE("fully connected layers and their gradients") {
    for (const Variant variant : variants())
        for (const size_t channels : {3, 8}) {
            INFO(variant.name() << " channels " << channels);
            const Tensor x =
                reference::rounded(reference::random(5, 4, 3, channels, 2), variant.rounding());
            const size_t count = 10 * 4 * 3 * channels;
            auto r = reference::fullyConnected(
                x,
                reference::rounded(reference::randomVector(count, 6), reference::Storage::Float32),
                reference::rounded(reference::randomVector(10, 7), reference::Storage::Float32));
            const auto source = std::make_shared<FixedWeights>(
                MPS::CNNConvolutionDescriptor(3, 4, channels, 10), r.weights, r.bias);
            MPS::CNNFullyConnected fc(testDevice(), source);
            MPS::CNNFullyConnectedGradient gradient(testDevice(), source);
            fc.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            const auto images = upload(x, variant);
            const Tensor e =
                reference::rounded(reference::random(5, 1, 1, 10, 8), variant.rounding());
            MPS::ImageBatch y, dx;
            MPS::StateBatch states;
            run([&](const MTL::CommandBuffer& commands) {
                y = fc.encodeBatch(commands, images, &states, false);
                dx = gradient.encodeBatch(commands, upload(e, variant), images, states);
            });
            CHECK(reference::compare(download(y), reference::forward(r, x), {tolerance(variant)}));
            CHECK(reference::compare(download(dx), reference::dataGradient(r, e, 4, 3),
                                     {tolerance(variant)}));
            const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
            CHECK(reference::compare(contents(state.gradientForWeights()),
                                     reference::weightsGradient(r, e, x), {1e-5}));
            CHECK(reference::compare(contents(state.gradientForBiases()),
                                     reference::biasGradient(e), {1e-5}));
            // A destination among other channels takes the way by taps.
            Guarded wide(5, 4, 3, channels + 4, variant);
            gradient.setDestinationFeatureChannelOffset(4);
            gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
            run([&](const MTL::CommandBuffer& commands) {
                gradient.encodeBatch(commands, upload(e, variant), images, states, wide.images());
            });
            CHECK(reference::compare(reference::channels(wide.read(), 4, channels),
                                     reference::dataGradient(r, e, 4, 3), {tolerance(variant)}));
        }
}

TEST_CASE("gradients add up over encodes with one state, and options leave out their part") {
    Case k = cases[2];
    auto r = referenceOf(k, 1);
    const auto source = std::make_shared<FixedWeights>(descriptorOf(k), r.weights, r.bias);
    const Tensor x =
        reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), reference::Storage::Float32);
    const Passes whole = runPasses(k, source, x, {}, false, r);
    const Tensor e =
        reference::rounded(reference::randomLike(whole.y, 77), reference::Storage::Float32);
    MPS::CNNConvolution conv(testDevice(), source);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
    const auto images = upload(x), gradients = upload(e);
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
    CHECK(runPasses(k, source, x, {}, false, r).dw == whole.dw);
    CHECK(runPasses(k, source, x, {}, false, r).dx.v == whole.dx.v);
}

TEST_CASE("weights are reloaded in the order of the command buffer") {
    Case k = cases[0];
    auto r = referenceOf(k, 1), r2 = referenceOf(k, 50);
    const auto source = std::make_shared<FixedWeights>(descriptorOf(k), r.weights, r.bias);
    const Tensor x =
        reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5), reference::Storage::Float32);
    MPS::CNNConvolution conv(testDevice(), source);
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MPS::CNNConvolution copied = conv;
    const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(k));
    const std::vector<float> weights(r2.weights.begin(), r2.weights.end()),
        biases(r2.bias.begin(), r2.bias.end());
    std::memcpy(state.weights().contents().data(), weights.data(), weights.size() * 4);
    std::memcpy(state.biases().contents().data(), biases.data(), biases.size() * 4);
    MPS::ImageBatch before, after, ofCopy;
    const auto images = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        before = conv.encodeBatch(commands, images);
        conv.reloadWeightsAndBiases(commands, state);
        after = conv.encodeBatch(commands, images);
        MPS::CNNConvolution mutableCopy = copied;
        ofCopy = mutableCopy.encodeBatch(commands, images);
    });
    for (auto* reference : {&r, &r2}) reference->outputWidth = k.w, reference->outputHeight = k.h;
    CHECK(reference::compare(download(before), reference::forward(r, x), {1e-5}));
    CHECK(reference::compare(download(after), reference::forward(r2, x), {1e-5}));
    CHECK(download(ofCopy).v == download(before).v);
    conv.reloadWeightsAndBiasesFromDataSource();
    run([&](const MTL::CommandBuffer& commands) { after = conv.encodeBatch(commands, images); });
    CHECK(download(after).v == download(before).v);
    CHECK(source->loads == source->purges);
}

TEST_CASE("the gradient of a convolution in mid-graph by finite differences") {
    Case k = {"", 1, 5, 6, 3, 4, 3, 2, 2, 1, 1, false, false, same};
    auto r = referenceOf(k, 1);
    const auto source = std::make_shared<FixedWeights>(descriptorOf(k), r.weights, r.bias);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), tanh);
    MPS::CNNNeuronGradient lastGradient(testDevice(), tanh), firstGradient(testDevice(), tanh);
    MPS::CNNConvolution conv(testDevice(), source);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
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

TEST_CASE("what a convolution refuses") {
    Case k = cases[0];
    auto r = referenceOf(k, 1);
    const auto source = std::make_shared<FixedWeights>(descriptorOf(k), r.weights, r.bias);
    MPS::CNNConvolution conv(testDevice(), source);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto narrow = upload(Tensor(1, 4, 4, 3));
    CHECK(refusal([&] { conv.encodeBatch(commands, narrow); }) ==
          "[CNNConvolution \"test weights\"] sourceImage offers 3 feature channels from channel 0 "
          "on but the "
          "convolution reads 8.");
    conv.setDestinationFeatureChannelOffset(2);
    CHECK(refusal([&] {
              conv.encodeBatch(commands, upload(Tensor(1, 4, 4, 8)));
          }).find("must be a multiple of 4") != std::string::npos);
    source->weightValues.pop_back();
    CHECK(refusal([&] {
              MPS::CNNConvolution again(testDevice(), source);
          }).find("bytes of weights but its descriptor asks for") != std::string::npos);
    source->weightValues.push_back(0);
    source->loadResult = false;
    CHECK(refusal([&] {
              MPS::CNNConvolution again(testDevice(), source);
          }).find("load returned false") != std::string::npos);
    source->loadResult = true;
    auto d = descriptorOf(k);
    d.setGroups(3);
    const auto grouped = std::make_shared<FixedWeights>(d, r.weights, r.bias);
    CHECK(refusal([&] {
              MPS::CNNConvolution again(testDevice(), grouped);
          }).find("groups is 3 but must divide 8 input and 16") != std::string::npos);
    d = descriptorOf(k);
    d.setNeuronType(MPS::CNNNeuronType::ReLU, 0, 0);
    const auto fused = std::make_shared<FixedWeights>(d, r.weights, r.bias);
    CHECK(refusal([&] {
              MPS::CNNConvolutionGradient again(testDevice(), fused);
          }).find("does not differentiate") != std::string::npos);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
    const auto x = upload(Tensor(1, 4, 4, 8)), e = upload(Tensor(1, 4, 4, 16));
    const MPS::CNNConvolution fresh(testDevice(), source);
    const auto states = fresh.resultStateBatch(x, {}, e);
    CHECK(refusal([&] {
              gradient.encode(commands, upload(Tensor(1, 3, 4, 16))[0], x[0], states[0]);
          }) == "[CNNConvolutionGradient \"test weights\"] sourceGradient is 4x3 but the forward "
                "pass wrote 4x4.");
    gradient.setPrimaryOffset({1, 0, 0});
    CHECK(refusal([&] {
              gradient.encode(commands, e[0], x[0], states[0], upload(Tensor(1, 4, 4, 8))[0]);
          }).find("primaryOffset is (1, 0)") != std::string::npos);
    CHECK(refusal([&] { MPS::CNNConvolutionDescriptor(0, 1, 1, 1); }).find("must be at least 1") !=
          std::string::npos);
}
