#include "mps/ConvolutionKernels.hpp"
#include "support/GradientCheck.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("a transposed convolution and the state of the convolution that it undoes") {
    reference::Convolution c;
    c.inputChannels = 3;
    c.outputChannels = 4;
    c.kernelWidth = c.kernelHeight = 4;
    c.strideX = c.strideY = 2;
    fill(c, 1);
    auto r = squareConvolution<reference::ConvolutionTranspose>(4, 3, 4, 2);
    MPS::CNNConvolution conv(testDevice(), sourceOf(c));
    MPS::CNNConvolutionTranspose kernel(testDevice(), sourceOf(r));
    MPS::CNNConvolutionTransposeGradient gradient(testDevice(), sourceOf(r));
    const Tensor x =
        reference::rounded(reference::random(2, 7, 10, 3, 2), reference::Storage::Float32);
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto images = upload(x);
    MPS::ImageBatch y, z;
    MPS::StateBatch states, kept;
    test::run([&](const MTL::CommandBuffer& commands) {
        MPS::StateBatch convolutions;
        y = conv.encodeBatch(commands, images, &convolutions, true);
        REQUIRE(convolutions[0].readCount() == 1);
        MPS::StateBatchIncrementReadCount(convolutions, 3);
        // Given directly, and kept inside the new state, it is read once.
        z = kernel.encodeBatch(commands, y, convolutions, &states, true);
        CHECK(convolutions[0].readCount() == 3);
        CHECK(states[0].readCount() == 1);
        CHECK(states[0] == states[1]);
        const auto state = states[0].as<MPS::CNNConvolutionTransposeGradientState>();
        CHECK(state.convolution()->label() == conv.label());
        CHECK(state.convolution()->offset() == conv.offset());
        CHECK(state.convolutionTranspose()->kernelOffsetX() == kernel.kernelOffsetX());
        CHECK(state.sourceWidth() == 5);
        CHECK(state.sourceHeight() == 4);
        // Explicit destinations: a state of its own, made with the convolution's, or that one.
        kept = kernel.resultStateBatch(y, {{convolutions[0]}, {convolutions[1]}}, z);
        CHECK(convolutions[0].readCount() == 3);
        kernel.encodeBatch(commands, y, kept, z);
        CHECK(convolutions[0].readCount() == 2);
        kernel.encodeBatch(commands, y, convolutions, z);
        CHECK(convolutions[0].readCount() == 1);
        MPS::CNNConvolutionTransposeGradientState single;
        kernel.encode(commands, y[0], convolutions[0], &single, false);
        CHECK(convolutions[0].readCount() == 0);
        CHECK(single.convolution());
        CHECK(refusal([&] {
                  kernel.encode(commands, y[0], convolutions[0]);
              }).find("read count is 0") != std::string::npos);
        CHECK(refusal([&] {
                  kernel.encode(commands, y[0], single, z[0]);
              }).find("read count is 0") != std::string::npos);
        // The gradient reads both images and the state.
        const auto e = kernel.encodeBatch(commands, y);
        (void)e;
        gradient.encodeBatch(commands, z, y, states);
        CHECK(states[0].readCount() == 0);
    });
    CHECK(z[0].width() == 10);
    CHECK(z[0].height() == 7);
    conforms("CNNConvolutionTransposeGradientState", Aspect::State);
    // No convolution: no coupling, and the size that the policy says.
    test::run([&](const MTL::CommandBuffer& commands) {
        MPS::CNNConvolutionTransposeGradientState alone;
        const auto image = kernel.encode(commands, y[0], MPS::State{}, &alone, false);
        CHECK(image.width() == 9);
        CHECK(alone.convolution() == nullptr);
        CHECK(kernel.encodeBatch(commands, y, MPS::StateBatch{})[0].width() == 9);
        const auto temporary = kernel.temporaryResultState(commands, y[0], {}, image);
        CHECK(temporary.isTemporary());
    });
}

TEST_CASE("several images in one MPSImage pass a transposed convolution together") {
    auto r = squareConvolution<reference::ConvolutionTranspose>(3, 6, 3, 2);
    const Tensor x =
        reference::rounded(reference::random(4, 3, 4, 3, 4), reference::Storage::Float32);
    placeSame(r, x);
    MPS::CNNConvolutionTranspose kernel(testDevice(), sourceOf(r));
    MPS::CNNConvolutionTransposeGradient gradient(testDevice(), sourceOf(r));
    const Tensor e =
        reference::rounded(reference::random(4, 5, 7, 6, 5), reference::Storage::Float32);
    const MPS::Image source = arrayOf(x), cotangent = arrayOf(e);
    const MPS::Image y = arrayOf(Tensor(4, 5, 7, 6)), dx = arrayOf(Tensor(4, 3, 4, 3));
    // Images 1 and 2 of the source to 2 and 3 of the result.
    kernel.setOffset({0, 0, 1});
    MTL::Region clip = MPS::RectNoClip;
    clip.origin.z = 2;
    kernel.setClipRect(clip);
    MPS::CNNConvolutionTransposeGradientState state;
    test::run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, source, y);
        state = kernel.resultState(source, {}, y);
        gradient.encode(commands, cotangent, source, state, dx);
    });
    const Tensor expected = reference::forward(r, x);
    for (size_t i = 0; i < 2; ++i)
        CHECK(reference::compare(imageOf(y, 2 + i), reference::image(expected, 1 + i), {1e-5}));
    CHECK(imageOf(y, 1).v == Tensor(1, 5, 7, 6).v);
    const Tensor back = reference::dataGradient(r, e, 3, 4);
    for (size_t i = 0; i < 4; ++i)
        CHECK(reference::compare(imageOf(dx, i), reference::image(back, i), {1e-5}));
    CHECK(reference::compare(contents(state.gradientForWeights()),
                             reference::weightsGradient(r, e, x), {1e-5}));
    CHECK(reference::compare(contents(state.gradientForBiases()), reference::biasGradient(e),
                             {1e-5}));
}

TEST_CASE("the gradient option of a transposed convolution leaves out its part") {
    auto r = squareConvolution<reference::ConvolutionTranspose>(5, 6, 2, 2);
    MPS::CNNConvolutionTranspose kernel(testDevice(), sourceOf(r));
    MPS::CNNConvolutionTransposeGradient gradient(testDevice(), sourceOf(r));
    const Tensor x = reference::random(2, 3, 4, 5, 4);
    const Passes whole = runPasses(kernel, gradient, x);
    const auto images = upload(x), gradients = upload(whole.e);
    MPS::StateBatch states;
    MPS::ImageBatch dx;
    const auto encode = [&](MPS::CNNConvolutionGradientOption option) {
        gradient.setGradientOption(option);
        test::run([&](const MTL::CommandBuffer& commands) {
            kernel.encodeBatch(commands, images, &states, false);
            dx = gradient.encodeBatch(commands, gradients, images, states);
        });
        return states[0].as<MPS::CNNConvolutionGradientState>();
    };
    auto state = encode(MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
    CHECK(contents(state.gradientForWeights()) == whole.dw);
    CHECK(contents(state.gradientForBiases()) == whole.db);
    CHECK(dx[0].width() == 4);
    state = encode(MPS::CNNConvolutionGradientOption::GradientWithData);
    CHECK(download(dx).v == whole.dx.v);
    CHECK(contents(state.gradientForWeights()) == std::vector<double>(whole.dw.size()));
}

TEST_CASE("the gradient of a transposed convolution in mid-graph by finite differences") {
    auto r = squareConvolution<reference::ConvolutionTranspose>(3, 4, 3, 2);
    r.kernelWidth = 2;
    r.weights = reference::randomVector(r.weightCount(), 4);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), tanh);
    MPS::CNNNeuronGradient lastGradient(testDevice(), tanh), firstGradient(testDevice(), tanh);
    MPS::CNNConvolutionTranspose middle(testDevice(), sourceOf(r));
    MPS::CNNConvolutionTransposeGradient gradient(testDevice(), sourceOf(r));
    for (MPS::CNNKernel* kernel :
         {(MPS::CNNKernel*)&first, (MPS::CNNKernel*)&last, (MPS::CNNKernel*)&middle})
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    for (MPS::CNNBinaryKernel* kernel :
         {(MPS::CNNBinaryKernel*)&lastGradient, (MPS::CNNBinaryKernel*)&firstGradient,
          (MPS::CNNBinaryKernel*)&gradient})
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const Tensor x =
        reference::rounded(reference::random(1, 3, 4, 3, 5), reference::Storage::Float32);
    const auto forward = [&](const Tensor& at) {
        MPS::ImageBatch y;
        test::run([&](const MTL::CommandBuffer& commands) {
            y = last.encodeBatch(
                commands, middle.encodeBatch(commands, first.encodeBatch(commands, upload(at))));
        });
        return download(y);
    };
    const Tensor cotangent =
        reference::rounded(reference::randomLike(forward(x), 3), reference::Storage::Float32);
    MPS::ImageBatch dx;
    MPS::StateBatch s1, s2, s3;
    test::run([&](const MTL::CommandBuffer& commands) {
        const auto input = upload(x);
        const auto a = first.encodeBatch(commands, input, &s1, false);
        const auto b = middle.encodeBatch(commands, a, &s2, false);
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
    options.samples = 24;
    const auto ofWeights = [&](const std::vector<double>& weights) {
        middle = MPS::CNNConvolutionTranspose(
            testDevice(), std::make_shared<FixedWeights>(descriptorOf(r), weights, r.bias));
        middle.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        return reference::dot(forward(x), cotangent);
    };
    const auto state = s2[0].as<MPS::CNNConvolutionGradientState>();
    CHECK(reference::checkGradient(ofWeights, r.weights, contents(state.gradientForWeights()),
                                   options));
}

TEST_CASE("what a transposed convolution refuses") {
    const auto r = squareConvolution<reference::ConvolutionTranspose>(8, 4, 3, 2);
    const auto source = sourceOf(r);
    MPS::CNNConvolutionTranspose kernel(testDevice(), source);
    MPS::CNNConvolutionTransposeGradient gradient(testDevice(), source);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto x = upload(Tensor(1, 4, 4, 8)), e = upload(Tensor(1, 7, 7, 4));
    CHECK(refusal([&] { kernel.encodeBatch(commands, upload(Tensor(1, 4, 4, 3))); }) ==
          "[CNNConvolutionTranspose \"test weights\"] sourceImage offers 3 feature channels from "
          "channel 0 on but the convolution reads 8.");
    const auto states = kernel.resultStateBatch(x, {}, e);
    const auto contains = [](const std::string& text, const char* part) {
        INFO(text);
        CHECK(text.find(part) != std::string::npos);
    };
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    const auto neuronState = neuron.resultState(x[0], {}, x[0]);
    contains(refusal([&] { kernel.encode(commands, x[0], neuronState); }),
             "convolutionGradientState is no gradient state of a CNNConvolution.");
    contains(refusal([&] { kernel.encode(commands, x[0], states[0]); }),
             "convolutionGradientState is no gradient state of a CNNConvolution.");
    contains(refusal([&] { kernel.encode(commands, x[0], neuronState, e[0]); }),
             "neither a gradient state of a transposed convolution nor one of a convolution");
    contains(refusal([&] {
                 kernel.encodeBatch(commands, x, {states[0], states[0]});
             }),
             "is no gradient state of a CNNConvolution");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
    contains(refusal([&] { kernel.encode(commands, x[0]); }), "edgeMode is Clamp but must be Zero");

    contains(
        refusal([&] { gradient.encode(commands, upload(Tensor(1, 6, 7, 4))[0], x[0], states[0]); }),
        "sourceGradient is 7x6 but the forward pass wrote 7x7.");
    MPS::CNNConvolutionGradient ofConvolution(testDevice(), source);
    contains(refusal([&] { ofConvolution.encode(commands, e[0], x[0], states[0]); }),
             "gradientState was made by a CNNConvolutionTranspose but this kernel takes those of a "
             "CNNConvolution.");
    contains(
        refusal([&] { gradient.encode(commands, e[0], upload(Tensor(1, 4, 4, 4))[0], states[0]); }),
        "sourceImage offers 4 feature channels but the gradient reads 8.");
    gradient.setPrimaryOffset({1, 0, 0});
    contains(refusal([&] { gradient.encode(commands, e[0], x[0], states[0], x[0]); }), "also a");
    const auto dx = upload(Tensor(1, 4, 4, 8));
    contains(refusal([&] { gradient.encode(commands, e[0], x[0], states[0], dx[0]); }),
             "primaryOffset is (1, 0) but must be (0, 0)");
    gradient.setPrimaryOffset({});
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Clamp);
    contains(refusal([&] { gradient.encode(commands, e[0], x[0], states[0], dx[0]); }),
             "secondaryEdgeMode is Clamp but must be Zero");
    const auto given = [&](MPS::CNNConvolutionTransposeGradient again) {
        again.setSecondaryEdgeMode(MPS::ImageEdgeMode::Zero);
        return refusal([&] { again.encode(commands, e[0], x[0], states[0], dx[0]); });
    };
    auto bent = gradient;
    bent.setPrimaryStrideInPixelsX(0);
    contains(given(bent), "its stride 0x2 and its dilation 1x1, but each must be at least 1");
    bent = gradient;
    bent.setSecondaryStrideInPixelsY(0);
    contains(given(bent), "its stride 2x0 and its dilation 1x1, but each must be at least 1");
    constexpr int64_t far = int64_t(1) << 32;
    bent = gradient;
    bent.setKernelOffsetY(far);
    contains(given(bent), "the kernelOffset (0, 4294967296)");
    MPS::CNNConvolutionTranspose forward(testDevice(), source);
    forward.setKernelOffsetX(-far);
    contains(refusal([&] { forward.encode(commands, x[0], e[0]); }),
             "the kernelOffset (-4294967296, 0)");
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Zero);
    const auto two = upload(Tensor(2, 4, 4, 8)), twoE = upload(Tensor(2, 7, 7, 4)),
               twoDx = upload(Tensor(2, 4, 4, 8));
    const MPS::StateBatch apart{kernel.resultState(two[0], {}, twoE[0]),
                                kernel.resultState(two[1], {}, twoE[1])};
    contains(refusal([&] { gradient.encodeBatch(commands, twoE, two, apart, twoDx); }),
             "The batch has different gradient states");
    contains(
        refusal([&] { gradient.encode(commands, e[0], upload(Tensor(1, 5, 4, 8))[0], states[0]); }),
        "sourceImage is 4x5 but the forward source of the gradient state was 4x4.");

    const auto made = [&](const MPS::CNNConvolutionDescriptor& d, bool forward) {
        const auto given = std::make_shared<FixedWeights>(d, r.weights, r.bias);
        if (forward)
            MPS::CNNConvolutionTranspose again(testDevice(), given);
        else
            MPS::CNNConvolutionTransposeGradient again(testDevice(), given);
    };
    auto d = descriptorOf(r);
    d.setNeuronType(MPS::CNNNeuronType::ReLU, 0, 0);
    contains(refusal([&] { made(d, false); }), "does not differentiate");
    MPS::CNNSubPixelConvolutionDescriptor sub(3, 3, 8, 4);
    sub.setSubPixelScaleFactor(2);
    contains(refusal([&] { made(sub, true); }), "subPixelScaleFactor is 2");
    class Bytes : public FixedWeights {
    public:
        using FixedWeights::FixedWeights;
        MPS::DataType dataType() const override { return MPS::DataType::UInt8; }
        std::span<const std::byte> weights() const override {
            return FixedWeights::weights().first(weightValues.size());
        }
    };
    contains(refusal([&] {
                 MPS::CNNConvolutionTranspose again(
                     testDevice(), std::make_shared<Bytes>(descriptorOf(r), r.weights, r.bias,
                                                           MPS::DataType::Float16));
             }),
             "dataType is UInt8 but a transposed convolution takes Float32 or Float16.");
    CHECK(refusal([&] { MPS::CNNConvolutionTranspose again(testDevice(), nullptr); }) ==
          "[CNNConvolutionTranspose] The data source is null.");
}
