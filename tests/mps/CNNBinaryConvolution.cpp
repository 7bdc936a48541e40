#include "mps/BinaryKernels.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/reference/Neuron.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

Tensor result(MPS::CNNKernel& kernel, const MPS::ImageBatch& x, const BinaryConvolution& k,
              Variant variant = {}) {
    Guarded y(x.size(), k.outputHeight, k.outputWidth, k.outputs, variant);
    run([&](const MTL::CommandBuffer& commands) { kernel.encodeBatch(commands, x, y.images()); });
    return y.read();
}

template <class Kernel> Kernel scaledKernel(size_t width, size_t height) {
    BinaryConvolution k = rich(BinaryType::Xnor, 8, 5);
    k.kernelWidth = width, k.kernelHeight = height, k.strideY = k.dilationX = 1;
    k.weights = reference::randomBits(width * height * 5, 3);
    auto source = std::make_shared<Bits>(k);
    source->biases = {1, 2, 3, 4, 5};
    return Kernel(testDevice(), source, 0.5f, MPS::CNNBinaryConvolutionType::XNOR,
                  MPS::CNNBinaryConvolutionFlags::UseBetaScaling);
}
[[maybe_unused]] const bool named[] = {
    everyKernel([] { return kernelOf(rich(BinaryType::Weights, 8, 6)); }),
    everyKernel([] { return scaledKernel<MPS::CNNBinaryConvolution>(3, 2); }),
    everyKernel([] { return scaledKernel<MPS::CNNBinaryFullyConnected>(6, 5); }),
};

constexpr BinaryType types[] = {BinaryType::Weights, BinaryType::Xnor, BinaryType::And};

} // namespace

TEST_CASE("binary convolutions equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const BinaryType type : types)
            for (const auto& [inputs, outputs] :
                 {std::array<size_t, 2>{1, 1}, {32, 4}, {45, 6}, {70, 3}}) {
                INFO(variant.name()
                     << " type " << int(type) << ", " << inputs << " to " << outputs);
                BinaryConvolution k = rich(type, inputs, outputs);
                k.beta = inputs % 2 == 1;
                if (k.beta) k.edge = EdgeMode::Clamp;
                const Tensor x =
                    reference::rounded(reference::random(2, 6, 7, inputs, 5), variant.rounding());
                auto kernel = kernelOf(k);
                const Tensor magnitude = reference::magnitude(k, x);
                CHECK(reference::compare(result(kernel, upload(x, variant), k, variant),
                                         reference::forward(k, x),
                                         {variant.tolerance(), 0, &magnitude}));
                conforms("CNNBinaryConvolution", Aspect::Forward, variant);
            }
}

TEST_CASE("binary fully connected layers equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const BinaryType type : types) {
            INFO(variant.name() << " type " << int(type));
            BinaryConvolution k = rich(type, 35, 6);
            k.beta = true;
            k.strideY = k.dilationX = 1, k.outputWidth = k.outputHeight = 1;
            const Tensor x =
                reference::rounded(reference::random(3, 2, 3, 35, 12), variant.rounding());
            auto kernel = kernelOf<MPS::CNNBinaryFullyConnected>(k);
            const Tensor magnitude = reference::magnitude(k, x);
            CHECK(reference::compare(result(kernel, upload(x, variant), k, variant),
                                     reference::forward(k, x),
                                     {variant.tolerance(), 0, &magnitude}));
            conforms("CNNBinaryFullyConnected", Aspect::Forward, variant);
        }
}

TEST_CASE("zeros around the source have the input terms too, and beta counts them") {
    for (const BinaryType type : types) {
        BinaryConvolution k = rich(type, 33, 5);
        k.beta = true;
        const Tensor x = reference::random(1, 6, 7, 33, 6);
        auto kernel = kernelOf(k);
        const Tensor magnitude = reference::magnitude(k, x);
        CHECK(reference::compare(result(kernel, upload(x), k), reference::forward(k, x),
                                 {1e-5, 0, &magnitude}));
    }
}

TEST_CASE("a binary convolution with one scale takes the data source's biases") {
    BinaryConvolution k = rich(BinaryType::Xnor, 20, 6);
    auto source = std::make_shared<Bits>(k);
    source->biases = floats(k.outputBias);
    k.outputScale.assign(6, 0.25);
    k.inputBias = k.inputScale = {};
    MPS::CNNBinaryConvolution kernel(testDevice(), source, 0.25f,
                                     MPS::CNNBinaryConvolutionType::XNOR,
                                     MPS::CNNBinaryConvolutionFlags::None);
    CHECK(source->loads == 0);
    CHECK(kernel.label() == "bits");
    CHECK(kernel.inputFeatureChannels() == 20);
    CHECK(kernel.outputFeatureChannels() == 6);
    CHECK(kernel.kernelWidth() == 3);
    CHECK(kernel.dilationRateX() == 2);
    kernel.setOffset({k.offsetX, k.offsetY, 0});
    const Tensor x = reference::random(1, 6, 7, 20, 7);
    const Tensor expected = reference::forward(k, x);
    CHECK(reference::compare(result(kernel, upload(x), k), expected));
    source->biases.clear(); // what the kernel has it keeps; a copy asks again
    CHECK(reference::compare(result(kernel, upload(x), k), expected));
    auto copy = kernel.copy(testDevice());
    k.outputBias = {};
    CHECK(reference::compare(result(copy, upload(x), k), reference::forward(k, x)));
}

TEST_CASE("normalization and neuron of the descriptor come last") {
    BinaryConvolution k = rich(BinaryType::Weights, 9, 5);
    const Tensor x = reference::random(1, 6, 7, 9, 8);
    const std::vector<float> mean{1, 0, -1, 2, 0.5f}, variance{1, 2, 4, 0.5f, 3},
        gamma{1, -1, 2, 0.5f, 1}, beta{0, 1, 0, -1, 2}, slopes{0.5f, 0.1f, 2, -1, 0};
    auto source = std::make_shared<Bits>(k);
    source->changed().setBatchNormalizationParametersForInference(mean, variance, gamma, beta,
                                                                  0.1f);
    source->changed().setFusedNeuronDescriptor(
        MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes));
    auto kernel = kernelOf(k, source);
    Tensor expected = reference::forward(k, x);
    for (size_t i = 0; i < expected.size(); ++i) {
        const size_t o = i % 5;
        double& y = expected.v[i];
        y = (y - mean[o]) * gamma[o] / std::sqrt(variance[o] + 0.1) + beta[o];
        if (y < 0) y *= slopes[o];
    }
    CHECK(reference::compare(result(kernel, upload(x), k), expected));
    source->changed().setBatchNormalizationParametersForInference({}, {}, {}, {}, 0);
    source->changed().setFusedNeuronDescriptor(
        MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 2, 0.25f));
    auto tanh = kernelOf(k, source);
    CHECK(reference::compare(result(tanh, upload(x), k),
                             reference::forward({reference::NeuronType::TanH, 2, 0.25, 0, {}},
                                                reference::forward(k, x))));
}

TEST_CASE("binary convolutions are placed by offset, clip rectangle and channel ranges") {
    for (const BinaryType type : types) {
        BinaryConvolution k = rich(type, 10, 4);
        k.beta = true;
        k.offsetX = 2, k.offsetY = 3, k.outputWidth = 3, k.outputHeight = 2;
        const Tensor x = reference::random(2, 6, 7, 16, 9);
        auto kernel = kernelOf(k);
        kernel.setSourceFeatureChannelOffset(4);
        kernel.setDestinationFeatureChannelOffset(8);
        kernel.setClipRect({{1, 2, 0}, {3, 2, 1}});
        Tensor expected(2, 5, 5, 16, 2.0);
        const auto y = upload(expected);
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encodeBatch(commands, upload(x), y);
        });
        reference::paste(expected, {1, 2}, 8, reference::forward(k, reference::channels(x, 4, 10)));
        CHECK(reference::compare(download(y), expected));
    }
}

TEST_CASE("a binary convolution of a batch does not depend on where its images lie") {
    for (const BinaryType type : types) {
        BinaryConvolution k = rich(type, 40, 5);
        k.beta = true;
        const Tensor x = reference::random(4, 6, 7, 40, 10);
        auto kernel = kernelOf(k);
        const Tensor together = result(kernel, upload(x), k);
        CHECK(together.v == result(kernel, uploadApart(x), k).v);
        CHECK(together.v == result(kernel, upload(x), k).v);
        for (size_t i = 0; i < 4; ++i)
            CHECK(reference::image(together, i).v ==
                  result(kernel, upload(reference::image(x, i)), k).v);
    }
    // An array of images is walked over.
    BinaryConvolution k = rich(BinaryType::Xnor, 5, 2);
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 7, 6, 5, 3);
    const MPS::Image x(testDevice(), d);
    std::vector<Tensor> images;
    for (size_t i = 0; i < 3; ++i) {
        images.push_back(reference::random(1, 6, 7, 5, 20 + i));
        x.write(images[i].floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    }
    MPS::ImageDescriptor results(MPS::ImageFeatureChannelFormat::Float32, 7, 3, 2, 2);
    const MPS::Image y(testDevice(), results);
    auto kernel = kernelOf(k);
    kernel.setOffset({k.offsetX, k.offsetY, 1});
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, x, y); });
    CHECK(reference::compare(download(y.batchRepresentation()),
                             reference::forward(k, reference::stack({images[1], images[2]}))));
}

TEST_CASE("a returned image has the padding policy's size") {
    BinaryConvolution k = rich(BinaryType::And, 6, 3);
    const Tensor x = reference::random(1, 6, 7, 6, 11);
    auto kernel = kernelOf(k);
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, upload(x)); });
    k.offsetX = kernel.offset().x, k.offsetY = kernel.offset().y;
    CHECK(reference::compare(download(y), reference::forward(k, x)));
}

TEST_CASE("a binary fully connected layer takes the whole source") {
    for (const BinaryType type : types) {
        BinaryConvolution k = rich(type, 35, 6);
        k.strideY = k.dilationX = 1, k.outputWidth = k.outputHeight = 1;
        const Tensor x = reference::random(3, 2, 3, 35, 12);
        auto kernel = kernelOf<MPS::CNNBinaryFullyConnected>(k);
        k.offsetX = k.offsetY = 1; // the window's middle, wherever `offset` is
        kernel.setOffset({7, -2, 0});
        CHECK(reference::compare(result(kernel, upload(x), k), reference::forward(k, x)));
        auto copy = kernel.copy(testDevice());
        copy.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = copy.encodeBatch(commands, upload(x)); });
        CHECK(reference::compare(download(y), reference::forward(k, x)));
        CHECK(refusal([&] {
                  const auto commands = testQueue().commandBuffer();
                  kernel.encodeBatch(commands, upload(Tensor(1, 3, 3, 35)));
              }) == "[CNNBinaryFullyConnected \"bits\"] sourceImage is 3x3 but a fully connected "
                    "kernel of 3x2 takes a source of its own size, with stride and dilation 1.");
    }
}

TEST_CASE("binary convolutions refuse what cannot be") {
    const BinaryConvolution k = rich(BinaryType::Xnor, 33, 5);
    const auto source = std::make_shared<Bits>(k);
    const auto make = [&](MPS::CNNBinaryConvolutionType type = MPS::CNNBinaryConvolutionType::XNOR,
                          MPS::CNNBinaryConvolutionFlags flags = {}) {
        return refusal([&] { MPS::CNNBinaryConvolution(testDevice(), source, 1, type, flags); });
    };
    CHECK(make(MPS::CNNBinaryConvolutionType(3)) ==
          "[CNNBinaryConvolution] The type is 3 but types go from 0 to 2.");
    CHECK(make(MPS::CNNBinaryConvolutionType::AND, MPS::CNNBinaryConvolutionFlags(2)) ==
          "[CNNBinaryConvolution] The flags are 2 but only UseBetaScaling, 1, is known.");
    source->type = MPS::DataType::Float32;
    CHECK(make() ==
          "[CNNBinaryConvolution] The data source's dataType is Float32 but must be UInt32.");
    CHECK(source->loads == 0);
    source->type = MPS::DataType::UInt32;
    source->words.pop_back();
    CHECK(make() == "[CNNBinaryConvolution] The data source has 236 bytes of weights but its "
                    "descriptor asks for 240.");
    source->words.push_back(0);
    source->biases.resize(3);
    CHECK(make() == "[CNNBinaryConvolution] There are 3 output bias terms but 5 feature channels.");
    source->biases.clear();
    source->changed().setGroups(5);
    CHECK(make() == "[CNNBinaryConvolution] groups is 5 but must divide 33 input and 5 output "
                    "feature channels.");
    source->changed().setGroups(1);
    source->loadResult = false;
    CHECK(make() == "[CNNBinaryConvolution] The data source's load returned false.");
    source->loadResult = true;
    CHECK(refusal([] {
              MPS::CNNBinaryConvolution(testDevice(), nullptr, 1,
                                        MPS::CNNBinaryConvolutionType::AND, {});
          }) == "[CNNBinaryConvolution] The data source is null.");
    const std::vector<float> two(2);
    CHECK(refusal([&] {
              MPS::CNNBinaryConvolution(testDevice(), source, {}, {}, two, {},
                                        MPS::CNNBinaryConvolutionType::AND, {});
          }) == "[CNNBinaryConvolution] There are 2 input bias terms but 33 feature channels.");

    auto kernel = kernelOf(k);
    const auto commands = testQueue().commandBuffer();
    const auto narrow = upload(Tensor(1, 6, 7, 32)), x = upload(Tensor(1, 6, 7, 33)),
               y = upload(Tensor(1, 3, 7, 5));
    CHECK(
        refusal([&] { kernel.encodeBatch(commands, narrow, y); }) ==
        "[CNNBinaryConvolution \"bits\"] sourceImage offers 32 feature channels from channel 0 on "
        "but the convolution reads 33.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }).find("edgeMode is Constant") !=
          std::string::npos);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    kernel.setOffset({int64_t(1) << 40, 0, 0});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }).find("2^30") != std::string::npos);
}

TEST_CASE("a binary convolution of more bits than its source has takes no memory for them") {
    const BinaryConvolution k = rich(BinaryType::Xnor, 1, 5);
    const auto source = std::make_shared<Bits>(k);
    source->changed().setKernelWidth(UINT32_MAX);
    source->changed().setKernelHeight(8192);
    CHECK(refusal([&] {
              MPS::CNNBinaryConvolution(testDevice(), source, 1,
                                        MPS::CNNBinaryConvolutionType::XNOR, {});
          }) ==
          "[CNNBinaryConvolution] The data source has 120 bytes of weights but its descriptor "
          "asks for 703687441612800.");
    CHECK(source->loads == 0);
}
