#include "support/Conformance.hpp"
#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/reference/Neuron.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

struct Case {
    MPS::CNNNeuronType type;
    float a, b, c;
    double low, high;
};

const Case cases[] = {
    {MPS::CNNNeuronType::None, 0, 0, 0, -2, 2},
    {MPS::CNNNeuronType::ReLU, .25f, 0, 0, -2, 2},
    {MPS::CNNNeuronType::Linear, 3, -1, 0, -2, 2},
    {MPS::CNNNeuronType::Sigmoid, 0, 0, 0, -20, 20},
    {MPS::CNNNeuronType::HardSigmoid, .2f, .5f, 0, -4, 4},
    {MPS::CNNNeuronType::TanH, 2, .5f, 0, -20, 20},
    {MPS::CNNNeuronType::Absolute, 0, 0, 0, -2, 2},
    {MPS::CNNNeuronType::SoftPlus, 2, 3, 0, -20, 20},
    {MPS::CNNNeuronType::SoftSign, 0, 0, 0, -20, 20},
    {MPS::CNNNeuronType::ELU, .5f, 0, 0, -4, 4},
    {MPS::CNNNeuronType::PReLU, 0, 0, 0, -2, 2},
    {MPS::CNNNeuronType::ReLUN, .25f, 1, 0, -2, 2},
    {MPS::CNNNeuronType::Power, 1, 3, 2, -2, 2},
    {MPS::CNNNeuronType::Exponential, 1, 1, 2, -2, 2},
    {MPS::CNNNeuronType::Exponential, 1, 0, -1, -2, 2},
    {MPS::CNNNeuronType::Logarithm, 1, 3, 10, -2, 2},
    {MPS::CNNNeuronType::Logarithm, 1, 3, -1, -2, 2},
    {MPS::CNNNeuronType::GeLU, 0, 0, 0, -4, 4},
};

std::vector<float> slopes(size_t channels) {
    std::vector<float> all;
    for (size_t i = 0; i < channels; ++i) all.push_back(0.1f * float(i + 1));
    return all;
}

MPS::NNNeuronDescriptor descriptorOf(const Case& k, size_t channels) {
    if (k.type == MPS::CNNNeuronType::PReLU)
        return MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes(channels));
    return MPS::NNNeuronDescriptor(k.type, k.a, k.b, k.c);
}

reference::Neuron referenceOf(const Case& k, size_t channels) {
    reference::Neuron neuron;
    neuron.type = reference::NeuronType(int(k.type));
    neuron.a = k.a;
    neuron.b = k.b;
    neuron.c = k.c;
    for (float slope : slopes(channels)) neuron.slopes.push_back(slope);
    return neuron;
}

} // namespace

TEST_CASE("neurons and their gradients equal the reference") {
    for (const Variant variant : variants())
        for (const Case& k : cases)
            for (const size_t channels : {1, 3, 8}) {
                INFO(variant.name() << " type " << int(k.type) << " channels " << channels);
                const Tensor x = reference::rounded(
                    reference::random(3, 5, 4, channels, 1, k.low, k.high), variant.rounding());
                const Tensor g =
                    reference::rounded(reference::random(3, 5, 4, channels, 2), variant.rounding());
                MPS::CNNNeuron neuron(testDevice(), descriptorOf(k, channels));
                MPS::CNNNeuronGradient gradient(testDevice(), descriptorOf(k, channels));
                Guarded y(3, 5, 4, channels, variant), dx(3, 5, 4, channels, variant);
                const auto source = upload(x, variant), dy = upload(g, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    MPS::StateBatch states = neuron.resultStateBatch(source, {}, y.images());
                    neuron.encodeBatch(commands, source, states, y.images());
                    gradient.encodeBatch(commands, dy, source, states, dx.images());
                });
                const auto reference = referenceOf(k, channels);
                CHECK(reference::compare(y.read(), reference::forward(reference, x),
                                         {variant.tolerance()}));
                CHECK(reference::compare(dx.read(), reference::gradient(reference, g, x),
                                         {variant.tolerance()}));
                conforms("CNNNeuron", Aspect::Forward, variant);
                conforms("CNNNeuronGradient", Aspect::Gradient, variant);
            }
}

TEST_CASE("a batch of the library's is one dispatch's work whatever its layout") {
    const Tensor x = reference::random(4, 6, 7, 5, 3);
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::Sigmoid));
    Guarded together(4, 6, 7, 5), apart(4, 6, 7, 5);
    run([&](const MTL::CommandBuffer& commands) {
        neuron.encodeBatch(commands, upload(x), together.images());
        neuron.encodeBatch(commands, uploadApart(x), apart.images());
    });
    CHECK(together.read().v == apart.read().v);
}

TEST_CASE("a neuron's gradient goes to where the forward pass read, through the state") {
    const Tensor x = reference::random(2, 6, 7, 5, 3);
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1, 1));
    MPS::CNNNeuronGradient gradient(testDevice(),
                                    MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1, 1));
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    neuron.setOffset({2, -1, 0});
    neuron.setClipRect(MTL::RegionMake2D(1, 1, 4, 5));
    const auto source = upload(x);
    Guarded y(2, 7, 8, 5);
    const Tensor g = reference::random(2, 7, 8, 5, 4);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = neuron.resultStateBatch(source, {}, y.images());
        neuron.encodeBatch(commands, source, states, y.images());
        dx = gradient.encodeBatch(commands, upload(g), source, states);
    });
    Tensor expected(2, 6, 7, 5);
    for (size_t n = 0; n < 2; ++n)
        for (int q = 0; q < 5; ++q)
            for (int p = 0; p < 4; ++p)
                for (size_t c = 0; c < 5; ++c) {
                    const int sy = q - 1, sx = p + 2;
                    if (sy < 0 || sx >= 7) continue;
                    const double t = std::tanh(x.at(n, size_t(sy), size_t(sx), c));
                    expected.at(n, size_t(sy), size_t(sx), c) =
                        g.at(n, size_t(q + 1), size_t(p + 1), c) * (1 - t * t);
                }
    CHECK(reference::compare(download(dx), expected, {1e-5}));
    conforms("NNGradientState", Aspect::State);
    CHECK(refusal([&] {
              gradient.encodeBatch(testQueue().commandBuffer(), upload(Tensor(2, 7, 8, 3)), source,
                                   neuron.resultStateBatch(source, {}, y.images()));
          }) == "[CNNNeuronGradient] sourceGradient gives 3 feature channels but sourceImage 5.");
}
