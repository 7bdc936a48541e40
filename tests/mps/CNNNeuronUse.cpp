// Neurons at single points, how they are placed, and what they refuse.
#include "support/EveryKernel.hpp"
#include "support/reference/Neuron.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;
using Type = MPS::CNNNeuronType;

namespace {

MPS::CNNNeuron slopes() {
    const std::vector<float> each{.5f, .25f, 2, 3, -1, 7, 1, 0};
    return {testDevice(), MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(each)};
}
[[maybe_unused]] const bool named =
    everyKernel(slopes) &&
    everyGradient([] { return MPS::CNNNeuronGradient(testDevice(), slopes().descriptor()); },
                  forwardPass(slopes));

struct Pair {
    Tensor y, slope;
};

/// f(x) and f'(x) of a row of points.
Pair evaluated(const MPS::NNNeuronDescriptor& d, const std::vector<double>& points) {
    const Tensor x(1, 1, points.size(), 1, points), ones(1, 1, points.size(), 1, 1.0);
    MPS::CNNNeuron neuron(testDevice(), d);
    MPS::CNNNeuronGradient gradient(testDevice(), d);
    Guarded y(1, 1, points.size(), 1), dx(1, 1, points.size(), 1);
    run([&](const MTL::CommandBuffer& commands) {
        const auto source = upload(x);
        neuron.encodeBatch(commands, source, y.images());
        gradient.encodeBatch(commands, upload(ones), source, dx.images()); // no state is needed
    });
    return {y.read(), dx.read()};
}

} // namespace

TEST_CASE("neurons at the documented points and at their kinks") {
    const struct {
        Type type;
        float a, b, c;
        std::vector<double> more; // points
    } rows[] = {{Type::None, 0, 0, 0, {}},
                {Type::ReLU, .25f, 0, 0, {-0.0}},
                {Type::Linear, 3, -1, 0, {}},
                {Type::Sigmoid, 0, 0, 0, {-100, 100}},
                {Type::HardSigmoid, .25f, .5f, 0, {-2, 2, -3, 3}},
                {Type::HardSigmoid, -.25f, .5f, 0, {-2, 2, -3, 3}},
                {Type::TanH, 2, .5f, 0, {-100, 100}},
                {Type::Absolute, 0, 0, 0, {}},
                {Type::SoftPlus, 2, 3, 0, {-100, 100}},
                {Type::SoftSign, 0, 0, 0, {1e6}},
                {Type::ELU, .5f, 0, 0, {-100, -1e-3}},
                {Type::ReLUN, .25f, 1, 0, {1, 1.5}},
                {Type::ReLUN, .25f, -.25f, 0, {-1, -1.5}},
                {Type::ReLUN, 1, 6, 0, {6, -7}},
                {Type::Power, 1, 3, 2, {-3, -4}},
                {Type::Power, 2, 0, 1, {}},
                {Type::Power, 1, 0, 0, {}},
                {Type::Power, 1, 3, 2.5f, {}},
                {Type::Exponential, 1, 0, -1, {}},
                {Type::Exponential, 1, 1, 2, {}},
                {Type::Logarithm, 1, 3, -1, {}},
                {Type::Logarithm, 1, 3, 10, {}},
                {Type::GeLU, 0, 0, 0, {-8, -6, -3.5, -1e-3, 3.5, 10}}};
    for (const auto& row : rows) {
        INFO("type " << int(row.type) << " a " << row.a << " b " << row.b << " c " << row.c);
        std::vector<double> points{-2, -0.5, 0, 0.5, 2};
        points.insert(points.end(), row.more.begin(), row.more.end());
        reference::Neuron neuron;
        neuron.type = reference::NeuronType(int(row.type));
        neuron.a = row.a;
        neuron.b = row.b;
        neuron.c = row.c;
        const Pair got = evaluated(MPS::NNNeuronDescriptor(row.type, row.a, row.b, row.c), points);
        for (size_t i = 0; i < points.size(); ++i) {
            INFO("x " << points[i]);
            const Tensor x(1, 1, 1, 1, points[i]), one(1, 1, 1, 1, 1.0);
            CHECK(reference::compare({got.y.v[i]}, forward(neuron, x).v, {1e-5, 1e-30}));
            CHECK(reference::compare({got.slope.v[i]}, gradient(neuron, one, x).v, {1e-5, 1e-30}));
        }
    }
}

TEST_CASE("a power of a negative number is NaN unless the exponent is whole") {
    const Pair got = evaluated(MPS::NNNeuronDescriptor(Type::Power, 1, 0, .5f), {-1, 4});
    CHECK(std::isnan(got.y.v[0]));
    CHECK(std::isnan(got.slope.v[0]));
    CHECK(got.y.v[1] == 2);
    const Pair cube = evaluated(MPS::NNNeuronDescriptor(Type::Power, 1, 0, 3), {-2, 2});
    CHECK(reference::compare(cube.y.v, {-8, 8}, {1e-6}));
    CHECK(reference::compare(cube.slope.v, {12, 12}, {1e-6}));
}

TEST_CASE("a PReLU's slopes count from the first channel in use") {
    const std::vector<float> slopes{.5f, .25f, 2, 3, -1, 7};
    const auto d = MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes, true);
    CHECK(d.neuronType() == Type::PReLU);
    CHECK(d.a() == 0);
    MPS::CNNNeuron neuron(testDevice(), d);
    MPS::CNNNeuronGradient gradient(testDevice(), d);
    CHECK(neuron.data() == slopes);
    neuron.setSourceFeatureChannelOffset(4);
    neuron.setSourceFeatureChannelMaxCount(5);
    const Tensor x =
        reference::rounded(reference::random(2, 2, 3, 12, 1), reference::Storage::Float32);
    const Tensor g = reference::random(2, 2, 3, 5, 2);
    Guarded y(2, 2, 3, 5);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto source = upload(x);
        const auto states = neuron.resultStateBatch(source, {}, y.images());
        neuron.encodeBatch(commands, source, states, y.images());
        dx = gradient.encodeBatch(commands, upload(g), source, states);
    });
    reference::Neuron expected;
    expected.type = reference::NeuronType::PReLU;
    expected.slopes.assign(slopes.begin(), slopes.end());
    const Tensor part = reference::channels(x, 4, 5);
    CHECK(reference::compare(y.read(), forward(expected, part), {1e-6}));
    CHECK(reference::compare(download(dx), reference::gradient(expected, g, part), {1e-6}));
    neuron.setSourceFeatureChannelMaxCount(7);
    CHECK(refusal([&] { neuron.encodeBatch(testQueue().commandBuffer(), upload(x)); }) ==
          "[CNNNeuron] PReLU has 6 slopes but 7 feature channels are processed.");
}

TEST_CASE("a neuron sees what lies outside its source as the edge mode says") {
    const Tensor x(1, 1, 3, 1, {1, 2, 3});
    for (const bool clamps : {false, true}) {
        MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(Type::Linear, 10, 1));
        neuron.setOffset({-2, 0, 0});
        neuron.setEdgeMode(clamps ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero);
        Guarded y(1, 1, 6, 1);
        run([&](const MTL::CommandBuffer& commands) {
            neuron.encodeBatch(commands, upload(x), y.images());
        });
        const double first = clamps ? 11 : 1, last = clamps ? 31 : 1;
        CHECK(y.read().v == std::vector<double>{first, first, 11, 21, 31, last});
    }
}

TEST_CASE("a returned image is zero where the encode writes nothing") {
    const auto one = [](double a, double b, double c) { return Tensor(3, 1, 1, 1, {a, b, c}); };
    struct MoreChannels : MPS::NNPadding {
        MPS::NNPaddingMethod paddingMethod() const override { return MPS::NNPaddingMethod::Custom; }
        MPS::ImageDescriptor
        destinationImageDescriptor(MPS::ImageBatch, MPS::StateBatch, MPS::Kernel&,
                                   MPS::ImageDescriptor suggested) const override {
            MPS::ImageDescriptor d = suggested;
            d.setFeatureChannels(8);
            return d;
        }
    };
    const auto returned = [](MPS::CNNKernel& kernel, const MPS::Image& source) {
        MPS::Image result;
        run([&](const MTL::CommandBuffer& commands) {
            // Leaves sevens in the memory of temporary images.
            MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(Type::None)), keep(copy);
            keep.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            keep.encode(commands, copy.encode(commands, uploadArray(Tensor(8, 4, 4, 4, 7))));
            result = keep.encode(commands, kernel.encode(commands, source));
        });
        return download(result.batchRepresentation()).v;
    };
    using Values = std::vector<double>;
    const MPS::Image source = uploadArray(one(1, 2, 3));
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(Type::None));
    neuron.setOffset({0, 0, 1});
    CHECK(returned(neuron, source) == Values{2, 3, 0});
    neuron.setOffset({});
    neuron.setClipRect({{0, 0, 0}, {UINT64_MAX, UINT64_MAX, 1}});
    CHECK(returned(neuron, source) == Values{1, 0, 0});
    neuron.setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}});
    CHECK(returned(neuron, source) == Values{0, 1, 2});
    neuron.setClipRect(MPS::RectNoClip);
    neuron.setPadding(std::make_shared<MoreChannels>());
    CHECK(returned(neuron, upload(Tensor(1, 1, 1, 4, {1, 2, 3, 4}))[0]) ==
          Values{1, 2, 3, 4, 0, 0, 0, 0});
}

TEST_CASE("an array of images goes through a neuron and back as one") {
    const Tensor x = reference::random(4, 3, 2, 5, 1), g = reference::random(3, 3, 2, 5, 2);
    const MPS::NNNeuronDescriptor tanh(Type::TanH, 1, 1);
    MPS::CNNNeuron neuron(testDevice(), tanh);
    MPS::CNNNeuronGradient gradient(testDevice(), tanh);
    const MPS::Image source = uploadArray(x), dy = uploadArray(g),
                     y = uploadArray(Tensor(3, 3, 2, 5, -1)),
                     dx = uploadArray(Tensor(4, 3, 2, 5, -1));
    neuron.setOffset({0, 0, 2});
    neuron.setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 2}});
    gradient.setPrimaryOffset({0, 0, 1});
    gradient.setSecondaryOffset({0, 0, 2});
    gradient.setClipRect({{0, 0, 2}, {UINT64_MAX, UINT64_MAX, 2}});
    run([&](const MTL::CommandBuffer& commands) {
        neuron.encode(commands, source, y);
        gradient.encode(commands, dy, source, neuron.resultState(source, {}, y), dx);
    });
    reference::Neuron expected;
    expected.type = reference::NeuronType::TanH;
    expected.a = expected.b = 1;
    const Tensor result = download(y.batchRepresentation()),
                 slope = download(dx.batchRepresentation());
    CHECK(reference::image(result, 0).v == Tensor(1, 3, 2, 5, -1).v);
    CHECK(reference::image(slope, 1).v == Tensor(1, 3, 2, 5, -1).v);
    for (size_t i = 0; i < 2; ++i) {
        const Tensor one = reference::image(x, 2 + i);
        CHECK(reference::compare(reference::image(result, 1 + i), forward(expected, one), {1e-5}));
        CHECK(reference::compare(reference::image(slope, 2 + i),
                                 reference::gradient(expected, reference::image(g, 1 + i), one),
                                 {1e-5}));
    }
}

TEST_CASE("what neurons refuse") {
    const auto make = [](Type type) {
        return MPS::CNNNeuron(testDevice(), MPS::NNNeuronDescriptor(type));
    };
    CHECK(refusal([&] { make(Type::Count); }) ==
          "[CNNNeuron] neuronType is 16 but types go from 0 to 15.");
    CHECK(refusal([&] { make(Type(-1)); }) ==
          "[CNNNeuron] neuronType is -1 but types go from 0 to 15.");
    CHECK(refusal([&] { make(Type::PReLU); }) ==
          "[CNNNeuron] PReLU needs its slopes in the descriptor's data.");
    CHECK(refusal([&] {
              MPS::CNNNeuronGradient(testDevice(), MPS::NNNeuronDescriptor(Type::PReLU));
          }) == "[CNNNeuronGradient] PReLU needs its slopes in the descriptor's data.");
    CHECK(refusal([] { MPS::CNNNeuron(MTL::Device(), MPS::NNNeuronDescriptor(Type::ReLU)); }) ==
          "[Kernel] The device handle is empty.");
    MPS::CNNNeuron neuron = make(Type::ReLU);
    neuron.setLabel("n");
    const auto image = [](size_t channels) { return upload(Tensor(1, 2, 3, channels))[0]; };
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto x = image(5), y = image(5);
    neuron.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { neuron.encode(commands, x, y); }) ==
          "[CNNNeuron \"n\"] edgeMode is Mirror but only Zero and Clamp are known to this kernel.");
    // A refused encode leaves everything as it was, also what the padding policy would have set.
    neuron.setOffset({9, 8, 0});
    MPS::StateBatch kept{MPS::State(testDevice(), 4)};
    CHECK_FALSE(refusal([&] { neuron.encodeBatch(commands, {x}, &kept, false); }).empty());
    CHECK(neuron.offset() == MPS::Offset{9, 8, 0});
    CHECK(kept[0].resourceSize() == 4);
    neuron.setOffset({});
    neuron.setEdgeMode(MPS::ImageEdgeMode::Zero);
    CHECK(refusal([&] { neuron.encode(commands, x, image(4)); }) ==
          "[CNNNeuron \"n\"] destinationImage has 4 feature channels but channels 0 to 5 are "
          "needed.");
    neuron.setSourceFeatureChannelOffset(6);
    CHECK(refusal([&] { neuron.encode(commands, x, y); }) ==
          "[CNNNeuron \"n\"] sourceFeatureChannelOffset is 6 but must be a multiple of 4.");
    neuron.setSourceFeatureChannelOffset(8);
    CHECK(refusal([&] { neuron.encode(commands, x, y); }) ==
          "[CNNNeuron \"n\"] sourceImage has 5 feature channels but channels 8 to 9 are needed.");
    neuron.setSourceFeatureChannelOffset(0);
    const MPS::State state = neuron.resultState(x, {}, y);
    MPS::CNNNeuronGradient gradient(testDevice(), MPS::NNNeuronDescriptor(Type::ReLU));
    CHECK(refusal([&] {
              gradient.encode(commands, y, x, MPS::State(testDevice(), 4), image(5));
          }) == "[CNNNeuronGradient] gradientState is no gradient state of a forward kernel.");
    MPS::CNNNeuronGradient other(testDevice(), MPS::NNNeuronDescriptor(Type::ReLU));
    MPS::CNNSoftMax softMax(testDevice());
    CHECK(refusal([&] { other.encode(commands, y, x, softMax.resultState(x, {}, y), image(5)); }) ==
          "[CNNNeuronGradient] gradientState was made by a CNNSoftMax but this kernel takes those "
          "of a CNNNeuron.");
    const MTL::CommandBuffer committed = testQueue().commandBuffer();
    committed.commit();
    CHECK(refusal([&] { neuron.encode(committed, x); }) ==
          refusal([&] { neuron.encode(committed, x, y); }));
    CHECK(refusal([&] { neuron.encode(committed, x); }).starts_with("[CNNNeuron \"n\"] "));
    CHECK(refusal([&] { gradient.encode(commands, y, x, state, x); }) ==
          "[CNNNeuronGradient] A destination image is also a source image; the kernel does not "
          "work in place.");
}
