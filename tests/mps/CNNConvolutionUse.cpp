#include "mps/ConvolutionKernels.hpp"

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

auto whole() {
    return std::make_shared<FixedWeights>(
        MPS::CNNConvolutionDescriptor(6, 5, 8, 8),
        reference::rounded(reference::randomVector(6 * 5 * 64, 6), reference::Storage::Float32),
        reference::randomVector(8, 7));
}
auto generic() { return MPS::CNNFullyConnected(testDevice(), whole()); }

const bool named[] = {
    everyKernel(generic),
    everyGradient([] { return MPS::CNNFullyConnectedGradient(testDevice(), whole()); },
                  forwardPass(generic)),
};

} // namespace

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
            CHECK(reference::compare(download(y), reference::forward(r, x),
                                     {productTolerance(variant)}));
            CHECK(reference::compare(download(dx), reference::dataGradient(r, e, 4, 3),
                                     {productTolerance(variant)}));
            const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
            CHECK(reference::compare(contents(state.gradientForWeights()),
                                     reference::weightsGradient(r, e, x), {1e-5}));
            CHECK(reference::compare(contents(state.gradientForBiases()),
                                     reference::biasGradient(e), {1e-5}));
            conforms("CNNFullyConnected", Aspect::Forward, variant);
            conforms("CNNFullyConnectedGradient", Aspect::Gradient, variant);
            // A destination among other channels takes the way by taps.
            Guarded wide(5, 4, 3, channels + 4, variant);
            gradient.setDestinationFeatureChannelOffset(4);
            gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
            run([&](const MTL::CommandBuffer& commands) {
                gradient.encodeBatch(commands, upload(e, variant), images, states, wide.images());
            });
            CHECK(reference::compare(reference::channels(wide.read(), 4, channels),
                                     reference::dataGradient(r, e, 4, 3),
                                     {productTolerance(variant)}));
        }
}

TEST_CASE("a fully connected layer places its one window whatever the offsets say") {
    const Tensor x =
        reference::rounded(reference::random(3, 4, 3, 6, 2), reference::Storage::Float32);
    auto r = reference::fullyConnected(
        x, reference::rounded(reference::randomVector(5 * 12 * 6, 6), reference::Storage::Float32),
        reference::rounded(reference::randomVector(5, 7), reference::Storage::Float32));
    const auto source = std::make_shared<FixedWeights>(MPS::CNNConvolutionDescriptor(3, 4, 6, 5),
                                                       r.weights, r.bias);
    MPS::CNNFullyConnected fc(testDevice(), source);
    MPS::CNNFullyConnectedGradient gradient(testDevice(), source);
    fc.setOffset({5, -3, 0});
    gradient.setKernelOffsetX(4);
    gradient.setSecondaryOffset({2, 2, 0});
    // The clip rectangle is cut to the one pixel that there is.
    Guarded y(3, 2, 3, 5), dx(3, 4, 3, 6);
    const Tensor e =
        reference::rounded(reference::random(3, 1, 1, 5, 8), reference::Storage::Float32);
    MPS::StateBatch states;
    const auto images = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        fc.encodeBatch(commands, images, y.images());
        states = fc.resultStateBatch(images, {}, y.images());
        gradient.encodeBatch(commands, upload(e), images, states, dx.images());
    });
    CHECK(reference::compare(reference::crop(y.read(), {0, 0, 1, 1}), reference::forward(r, x),
                             {1e-5}));
    CHECK(reference::crop(y.read(), {1, 0, 2, 2}).v == Tensor(3, 2, 2, 5, Guarded::poison).v);
    CHECK(reference::compare(dx.read(), reference::dataGradient(r, e, 4, 3), {1e-5}));
    const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
    CHECK(state.convolution()->className() == "CNNFullyConnected");
    CHECK(reference::compare(contents(state.gradientForWeights()),
                             reference::weightsGradient(r, e, x), {1e-5}));
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              fc.encode(commands, upload(Tensor(1, 4, 4, 6))[0]);
          }).find("sourceImage is 4x4 but a fully connected kernel of 3x4") != std::string::npos);
    CHECK(refusal([&] {
              gradient.encode(commands, upload(Tensor(1, 1, 1, 5))[0],
                              upload(Tensor(1, 4, 4, 6))[0], states[0]);
          }).find("sourceImage is 4x4 but the forward source of the gradient state was 3x4") !=
          std::string::npos);
}

TEST_CASE("a fully connected layer makes an image of one pixel under every padding") {
    const Tensor x =
        reference::rounded(reference::random(2, 5, 6, 8, 2), reference::Storage::Float32);
    const auto source = whole();
    const auto r =
        reference::fullyConnected(x, {source->weightValues.begin(), source->weightValues.end()},
                                  {source->biases.begin(), source->biases.end()});
    MPS::CNNFullyConnected fc(testDevice(), source);
    fc.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    for (const auto padding : {same, valid, full}) {
        INFO("padding " << uint64_t(padding));
        fc.setPadding(MPS::NNDefaultPadding::padding(padding));
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = fc.encodeBatch(commands, upload(x)); });
        REQUIRE(y[0].width() == 1);
        REQUIRE(y[0].height() == 1);
        CHECK(reference::compare(download(y), reference::forward(r, x), {1e-5}));
    }
}

TEST_CASE("the last pixel of a clamped source gets its whole gradient in a wider destination") {
    for (const size_t channels : {1, 5}) { // of 5 depthwise
        INFO("channels " << channels);
        auto r = squareConvolution(channels, channels, 3, 1, channels);
        r.kernelHeight = 1;
        r.bias = {};
        r.weights = {};
        for (size_t o = 0; o < channels; ++o) r.weights.insert(r.weights.end(), {1, 10, 100});
        MPS::CNNConvolution conv(testDevice(), sourceOf(r));
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
        conv.setEdgeMode(MPS::ImageEdgeMode::Clamp);
        gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
        const auto x = upload(Tensor(1, 1, 4, channels)), e = upload(Tensor(1, 1, 4, channels, 1));
        const auto states = conv.resultStateBatch(x, {}, e);
        gradient.destinationImageDescriptor({e[0], x[0]}, states);
        gradient.setClipRect(MTL::RegionMake2D(0, 0, 4, 1));
        Guarded dx(1, 1, 6, channels);
        run([&](const MTL::CommandBuffer& commands) {
            gradient.encodeBatch(commands, e, x, states, dx.images());
        });
        Tensor expected(1, 1, 6, channels, Guarded::poison);
        for (size_t c = 0; c < channels; ++c)
            reference::paste(expected, {}, c, Tensor(1, 1, 4, 1, {12, 111, 111, 210}));
        CHECK(dx.read().v == expected.v);
    }
}

TEST_CASE("a convolution gradient set by hand gives the bits of one set by the state") {
    struct Shape {
        size_t kw, kh, stride, dilation, groups;
        int64_t ox, oy;
        bool clamp;
    };
    for (const Shape& s : {Shape{4, 3, 2, 1, 1, 1, -1, false}, Shape{2, 5, 3, 2, 2, 0, 2, false},
                           Shape{3, 2, 1, 3, 1, -2, 1, true}, Shape{3, 4, 2, 1, 4, 1, 1, true}}) {
        INFO(s.kw << "x" << s.kh << " stride " << s.stride << " groups " << s.groups);
        auto r = squareConvolution(4, 4, 1, s.stride, s.groups);
        r.kernelWidth = s.kw;
        r.kernelHeight = s.kh;
        r.dilationX = r.dilationY = s.dilation;
        fill(r, 5);
        MPS::CNNConvolution conv(testDevice(), sourceOf(r));
        MPS::CNNConvolutionGradient byState(testDevice(), sourceOf(r)), byHand = byState;
        conv.setOffset({s.ox, s.oy, 0});
        conv.setEdgeMode(s.clamp ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero);
        byState.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto extent = [&](size_t taps) { return int64_t((taps - 1) * s.dilation + 1); };
        const auto even = [&](size_t taps) { return extent(taps) % 2 == 0 ? 1 : 0; };
        byHand.setKernelOffsetX(-s.ox + even(s.kw));
        byHand.setKernelOffsetY(-s.oy + even(s.kh));
        byHand.setSecondaryOffset({s.ox - extent(s.kw) / 2, s.oy - extent(s.kh) / 2, 0});
        byHand.setSecondaryEdgeMode(conv.edgeMode());
        const auto x = upload(reference::random(2, 9, 8, 4, 1)),
                   e = upload(reference::random(2, 4, 3, 4, 2));
        Guarded dx(2, 9, 8, 4);
        MPS::StateBatch first, second;
        MPS::ImageBatch automatic;
        run([&](const MTL::CommandBuffer& commands) {
            first = conv.resultStateBatch(x, {}, e);
            second = conv.resultStateBatch(x, {}, e);
            byHand.encodeBatch(commands, e, x, first, dx.images());
            automatic = byState.encodeBatch(commands, e, x, second);
        });
        CHECK(byState.kernelOffsetX() == byHand.kernelOffsetX());
        CHECK(byState.kernelOffsetY() == byHand.kernelOffsetY());
        CHECK(byState.secondaryOffset() == byHand.secondaryOffset());
        CHECK(byState.primaryOffset() == MPS::Offset{0, 0, 0});
        CHECK(download(automatic).v == dx.read().v);
        const auto a = first[0].as<MPS::CNNConvolutionGradientState>(),
                   b = second[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(contents(a.gradientForWeights()) == contents(b.gradientForWeights()));
        CHECK(contents(a.gradientForBiases()) == contents(b.gradientForBiases()));
        // <conv(u), E> = <u, dx>, whatever the edge mode, and <E, conv_V(x)> = <V, dW>.
        MPS::CNNConvolution linear = conv;
        auto v = r;
        fill(v, 31);
        v.bias.assign(4, 0);
        MPS::CNNConvolution ofV(testDevice(), sourceOf(v));
        ofV.setOffset(conv.offset());
        ofV.setEdgeMode(conv.edgeMode());
        const auto u = upload(reference::random(2, 9, 8, 4, 3));
        Guarded zero(2, 4, 3, 4), atU(2, 4, 3, 4), withV(2, 4, 3, 4);
        run([&](const MTL::CommandBuffer& commands) {
            linear.encodeBatch(commands, upload(Tensor(2, 9, 8, 4)), zero.images());
            linear.encodeBatch(commands, u, atU.images());
            ofV.encodeBatch(commands, x, withV.images());
        });
        const Tensor cotangent = download(e);
        Tensor product = atU.read();
        for (size_t i = 0; i < product.v.size(); ++i) product.v[i] -= zero.read().v[i];
        CHECK(std::abs(reference::dot(product, cotangent) -
                       reference::dot(download(u), download(automatic))) < 2e-4);
        const Tensor weights(1, 1, 1, v.weights.size(), v.weights),
            gradient(1, 1, 1, v.weights.size(), contents(a.gradientForWeights()));
        CHECK(std::abs(reference::dot(withV.read(), cotangent) -
                       reference::dot(weights, gradient)) < 2e-4);
    }
}

TEST_CASE("several images in one MPSImage pass a convolution together") {
    for (const size_t groups : {1, 3}) { // 3: depthwise
        auto r = squareConvolution(3, 6, 3, 2, groups);
        r.outputWidth = 4;
        r.outputHeight = 3;
        MPS::CNNConvolution conv(testDevice(), sourceOf(r));
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
        const Tensor x =
            reference::rounded(reference::random(4, 5, 7, 3, 4), reference::Storage::Float32);
        const Tensor e =
            reference::rounded(reference::random(4, 3, 4, 6, 5), reference::Storage::Float32);
        const MPS::Image source = arrayOf(x), cotangent = arrayOf(e);
        const MPS::Image y = arrayOf(Tensor(4, 3, 4, 6)), dx = arrayOf(Tensor(4, 5, 7, 3));
        // Images 1 and 2 of the source to 2 and 3 of the result.
        conv.setOffset({0, 0, 1});
        MTL::Region clip = MPS::RectNoClip;
        clip.origin.z = 2;
        conv.setClipRect(clip);
        gradient.setKernelOffsetX(0);
        gradient.setSecondaryOffset({-1, -1, 0});
        MPS::CNNConvolutionGradientState state;
        run([&](const MTL::CommandBuffer& commands) {
            conv.encode(commands, source, y);
            state = conv.resultState(source, {}, y);
            gradient.encode(commands, cotangent, source, state, dx);
        });
        const Tensor expected = reference::forward(r, x);
        for (size_t i = 0; i < 2; ++i)
            CHECK(reference::compare(imageOf(y, 2 + i), reference::image(expected, 1 + i), {1e-5}));
        CHECK(imageOf(y, 1).v == Tensor(1, 3, 4, 6).v);
        const Tensor back = reference::dataGradient(r, e, 5, 7);
        for (size_t i = 0; i < 4; ++i)
            CHECK(reference::compare(imageOf(dx, i), reference::image(back, i), {1e-5}));
        // The gradients of weights are sums over all images processed.
        CHECK(reference::compare(contents(state.gradientForWeights()),
                                 reference::weightsGradient(r, e, x), {1e-5}));
        CHECK(reference::compare(contents(state.gradientForBiases()), reference::biasGradient(e),
                                 {1e-5}));
    }
}

TEST_CASE("a convolution's state tells which kernel made it, and where") {
    const auto r = squareConvolution(3, 6, 3, 2);
    MPS::CNNConvolution conv(testDevice(), sourceOf(r));
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    conv.setOffset({9, 9, 0});
    MPS::StateBatch states;
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) {
        y = conv.encodeBatch(commands, upload(Tensor(3, 5, 8, 3)), &states, true);
        CHECK(conv.isResultStateReusedAcrossBatch());
        CHECK(states.size() == 3);
        CHECK(states[2] == states[0]);
        CHECK(states[0].isTemporary());
        CHECK(states[0].readCount() == 1);
        const auto state = states[0].as<MPS::CNNConvolutionGradientState>();
        CHECK(!state.as<MPS::CNNConvolutionTransposeGradientState>());
        CHECK(state.sourceWidth() == 8);
        CHECK(state.sourceHeight() == 5);
        CHECK(state.gradientForWeightsLayout() == MPS::CNNConvolutionWeightsLayout::OHWI);
        const auto made = state.convolution();
        CHECK(made->className() == "CNNConvolution");
        CHECK(made->label() == "test weights");
        CHECK(made->dataSource() == conv.dataSource());
        CHECK(made->offset() == conv.offset());
        CHECK(made->strideInPixelsX() == 2);
        MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
        CHECK(gradient.isStateModified());
        CHECK(gradient.isBackwards());
        gradient.setSerializeWeightsAndBiases(true);
        CHECK(gradient.serializeWeightsAndBiases());
        gradient.encodeBatch(commands, y, upload(Tensor(3, 5, 8, 3)), states);
        CHECK(states[0].readCount() == 0);
    });
    conforms("CNNConvolutionGradientState", Aspect::State);
    const auto kept = conv.resultState(upload(Tensor(1, 5, 8, 3))[0], {}, y[0]);
    CHECK(!kept.isTemporary());
    CHECK(kept.gradientForWeights().length() == r.weights.size() * 4);
    CHECK(kept.gradientForBiases().length() == 24);
}

TEST_CASE("what a convolution refuses") {
    const auto r = squareConvolution(8, 16, 3);
    const auto source = sourceOf(r);
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
    auto d = descriptorOf(r);
    d.setGroups(3);
    const auto grouped = std::make_shared<FixedWeights>(d, r.weights, r.bias);
    CHECK(refusal([&] {
              MPS::CNNConvolution again(testDevice(), grouped);
          }).find("groups is 3 but must divide 8 input and 16") != std::string::npos);
    d = descriptorOf(r);
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
    // States of other kernels.
    gradient.setPrimaryOffset({});
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
    CHECK(refusal([&] {
              gradient.encode(commands, upload(Tensor(1, 3, 4, 16))[0], x[0], states[0]);
          }).find("sourceGradient is 4x3 but the forward pass wrote 4x4.") != std::string::npos);
    MPS::CNNConvolution narrower(testDevice(), sourceOf(squareConvolution(8, 16, 1)));
    const auto others = narrower.resultStateBatch(x, {}, e);
    CHECK(refusal([&] { gradient.encode(commands, e[0], x[0], others[0]); })
              .find("gradientState is of a convolution with 128 weights and 16 output feature "
                    "channels but this one has 1152 and 16.") != std::string::npos);
    MPS::CNNConvolution ready(testDevice(), source);
    CHECK(refusal([&] {
              ready.encode(commands, x[0], others[0], e[0]);
          }).find("destinationState is of a convolution with 128 weights") != std::string::npos);
    MPS::CNNFullyConnectedGradient fullyConnected(testDevice(), source);
    CHECK(refusal([&] { fullyConnected.encode(commands, e[0], x[0], states[0]); })
              .find("gradientState was made by a CNNConvolution but this kernel takes those of a "
                    "CNNFullyConnected.") != std::string::npos);
    ready.setAccumulatorPrecisionOption(MPS::NNConvolutionAccumulatorPrecisionOption::Half);
    CHECK(refusal([&] {
              ready.encode(commands, x[0]);
          }).find("accumulatorPrecisionOption is Half but") != std::string::npos);
}

TEST_CASE("what descriptors a convolution refuses") {
    const auto text = [](const MPS::CNNConvolutionDescriptor& d) {
        const std::string made = refusal([&] {
            MPS::CNNConvolution(
                testDevice(), std::make_shared<FixedWeights>(
                                  d, std::vector<double>(d.weightCount()), std::vector<double>{}));
        });
        UNSCOPED_INFO(made);
        return made;
    };
    const auto says = [&](const MPS::CNNConvolutionDescriptor& d, const char* part) {
        CHECK(text(d).find(part) != std::string::npos);
    };
    says(MPS::CNNDepthWiseConvolutionDescriptor(3, 3, 8, 4),
         "there are 1 groups, 8 inputs and 4 outputs.");
    const MPS::CNNDepthWiseConvolutionDescriptor depthwise(3, 3, 8, 8);
    const MPS::CNNConvolutionDescriptor regular(3, 3, 8, 8);
    for (MPS::CNNConvolutionDescriptor d : {MPS::CNNConvolutionDescriptor(depthwise), regular}) {
        d.setInputFeatureChannels(0);
        says(d, "The convolution has 0 input and 8 output feature channels");
        d.setInputFeatureChannels(8);
        d.setOutputFeatureChannels(0);
        says(d, "The convolution has 8 input and 0 output feature channels");
    }
    auto d = regular;
    const std::vector<float> ones(8, 1);
    d.setBatchNormalizationParametersForInference(ones, ones, ones, ones, 1e-3f);
    d.setOutputFeatureChannels(16);
    says(d, "The mean of the fused batch normalization has 8 values but there are 16");

    class Throwing : public FixedWeights {
    public:
        using FixedWeights::FixedWeights;
        MPS::CNNConvolutionDescriptor descriptor() const override {
            throw std::runtime_error("no descriptor");
        }
    };
    const auto throwing =
        std::make_shared<Throwing>(regular, std::vector<double>(576), std::vector<double>{});
    CHECK_THROWS_AS(MPS::CNNConvolution(testDevice(), throwing), std::runtime_error);
    CHECK(throwing->loads == 1);
    CHECK(throwing->purges == 1);
}

TEST_CASE("what a convolution's gradient refuses of its window and its state") {
    const auto r = squareConvolution(4, 4, 3);
    const auto source = sourceOf(r);
    MPS::CNNConvolution conv(testDevice(), source);
    MPS::CNNConvolutionGradient gradient(testDevice(), source);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto x = upload(Tensor(2, 4, 4, 4)), e = upload(Tensor(2, 4, 4, 4)),
               dx = upload(Tensor(2, 4, 4, 4));
    const auto states = conv.resultStateBatch(x, {}, e);
    const auto contains = [](const std::string& text, const char* part) {
        INFO(text);
        CHECK(text.find(part) != std::string::npos);
    };
    const auto given = [&](MPS::CNNConvolutionGradient& kernel) {
        return refusal([&] { kernel.encodeBatch(commands, e, x, states, dx); });
    };
    for (const auto set : {&MPS::CNNConvolutionGradient::setPrimaryStrideInPixelsX,
                           &MPS::CNNConvolutionGradient::setSecondaryStrideInPixelsX}) {
        auto kernel = gradient;
        (kernel.*set)(0);
        contains(given(kernel), "its stride 0x1 and its dilation 1x1, but each must be at least 1");
    }
    constexpr int64_t far = int64_t(1) << 32;
    auto kernel = gradient;
    kernel.setKernelOffsetX(far);
    contains(given(kernel), "the kernelOffset (4294967296, 0)");
    kernel = gradient;
    kernel.setSecondaryOffset({0, far, 0});
    contains(given(kernel), "the offset (0, 4294967296)");
    conv.setOffset({-far, 0, 0});
    contains(refusal([&] { conv.encodeBatch(commands, x, e); }), "the offset (-4294967296, 0)");
    conv.setOffset({});

    // dW is one sum, of the forward pass's source.
    MPS::StateBatch apart;
    for (size_t i = 0; i < 2; ++i) apart.push_back(conv.resultState(x[i], {}, e[i]));
    const auto all = refusal([&] { gradient.encodeBatch(commands, e, x, apart, dx); });
    contains(all, "The batch has different gradient states");
    contains(
        refusal([&] { gradient.encode(commands, e[0], upload(Tensor(1, 3, 5, 4))[0], states[0]); }),
        "sourceImage is 5x3 but the forward source of the gradient state was 4x4.");
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithData);
    gradient.encodeBatch(commands, e, x, apart, dx);
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::All);

    auto wide = r, dilated = r;
    wide.kernelWidth = 9;
    wide.kernelHeight = 1;
    dilated.dilationX = 2;
    for (const auto& other : {wide, dilated}) {
        const MPS::CNNConvolution made(testDevice(), sourceOf(other));
        const auto state = made.resultState(x[0], {}, e[0]);
        contains(refusal([&] { gradient.encode(commands, e[0], x[0], state); }),
                 "but this kernel's is 3x3 with 1x1.");
    }

    // A temporary state's gradients end with its last read.
    MPS::State temporary;
    const auto y = conv.encode(commands, x[0], &temporary, true);
    gradient.encode(commands, y, x[0], temporary);
    const auto state = temporary.as<MPS::CNNConvolutionGradientState>();
    contains(refusal([&] { state.gradientForWeights(); }), "whose read count is 0");
    contains(refusal([&] { state.gradientForBiases(); }), "whose read count is 0");
}

TEST_CASE("gradients of weights alone are sums over the images that there are") {
    const auto r = squareConvolution(3, 4, 1);
    MPS::CNNConvolution conv(testDevice(), sourceOf(r));
    MPS::CNNConvolutionGradient gradient(testDevice(), sourceOf(r));
    gradient.setGradientOption(MPS::CNNConvolutionGradientOption::GradientWithWeightsAndBias);
    const Tensor x = reference::rounded(reference::random(3, 2, 2, 3, 4),
                                        reference::Storage::Float32),
                 e = reference::rounded(reference::random(2, 2, 2, 4, 5),
                                        reference::Storage::Float32);
    const MPS::Image source = arrayOf(x), cotangent = arrayOf(e);
    const auto sums = [&](const reference::Tensor& of, size_t image) {
        MPS::CNNConvolutionGradientState state;
        run([&](const MTL::CommandBuffer& commands) {
            state = conv.resultState(source, {}, cotangent);
            gradient.encode(commands, cotangent, source, state, MPS::Image());
        });
        CHECK(reference::compare(contents(state.gradientForWeights()),
                                 reference::weightsGradient(r, of, reference::image(x, image)),
                                 {1e-5}));
        CHECK(reference::compare(contents(state.gradientForBiases()), reference::biasGradient(of),
                                 {1e-5}));
    };
    gradient.setSecondaryOffset({0, 0, 2}); // the last image of the source
    sums(reference::image(e, 0), 2);
    gradient.setSecondaryOffset({0, 0, 1});
    gradient.setPrimaryOffset({0, 0, 1});
    sums(reference::image(e, 1), 1);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    gradient.setSecondaryOffset({0, 0, 3});
    CHECK(refusal([&] {
              gradient.encode(commands, cotangent, source, conv.resultState(source, {}, cotangent),
                              MPS::Image());
          }).find("The first image to be read is 3 but the source has 3 images.") !=
          std::string::npos);
}
