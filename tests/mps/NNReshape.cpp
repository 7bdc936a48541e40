#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/NNReshape.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

MPS::NNReshape reshape() { return MPS::NNReshape(testDevice()); }
[[maybe_unused]] const bool named =
    everyKernel(reshape) &&
    everyGradient([] { return MPS::NNReshapeGradient(testDevice()); }, forwardPass(reshape));

struct Shape {
    size_t h, w, c;
};

Tensor reshaped(const Tensor& x, const Shape& to) { return Tensor(x.n, to.h, to.w, to.c, x.v); }

// From, to; in the order of the elements.
const std::pair<Shape, Shape> cases[] = {
    {{3, 4, 8}, {2, 3, 16}},  {{3, 4, 8}, {1, 1, 96}},  {{1, 1, 96}, {4, 6, 4}},
    {{5, 3, 7}, {7, 5, 3}},   {{2, 6, 5}, {1, 1, 60}},  {{1, 1, 60}, {3, 4, 5}},
    {{4, 4, 3}, {6, 2, 4}},   {{2, 3, 4}, {8, 3, 1}},   {{4, 3, 4}, {4, 3, 4}},
    {{1, 33, 1}, {1, 1, 33}}, {{3, 1, 10}, {2, 15, 1}},
};

} // namespace

TEST_CASE("reshape and its gradient keep the order of the elements, in every storage") {
    for (const Variant variant : variants())
        for (const auto& [from, to] : cases) {
            INFO(variant.name() << ", " << from.h << "x" << from.w << "x" << from.c << " to "
                                << to.h << "x" << to.w << "x" << to.c);
            const Tensor x = reference::rounded(reference::random(2, from.h, from.w, from.c, 1),
                                                variant.rounding());
            const Tensor g =
                reference::rounded(reshaped(reference::randomLike(x, 2), to), variant.rounding());
            MPS::NNReshape kernel(testDevice());
            MPS::NNReshapeGradient gradient(testDevice());
            Guarded y(2, to.h, to.w, to.c, variant), dx(2, from.h, from.w, from.c, variant);
            const auto source = upload(x, variant);
            run([&](const MTL::CommandBuffer& commands) {
                const auto states = kernel.resultStateBatch(source, {}, y.images());
                kernel.encodeBatch(commands, source, states, y.images());
                gradient.encodeBatch(commands, upload(g, variant), source, states, dx.images());
            });
            CHECK(y.read().v == x.v);
            CHECK(dx.read().v == g.v);
            conforms("NNReshape", Aspect::Forward, variant);
            conforms("NNReshapeGradient", Aspect::Gradient, variant);
        }
}

TEST_CASE("reshape from one storage and format into another") {
    const Tensor x =
        reference::rounded(reference::random(3, 2, 4, 12, 3), reference::Storage::Float16);
    for (const Variant from : variants())
        for (const Variant to : variants()) {
            INFO(from.name() << " to " << to.name());
            MPS::NNReshape kernel(testDevice());
            Guarded whole(3, 3, 4, 8, to), odd(3, 4, 8, 3, to);
            run([&](const MTL::CommandBuffer& commands) {
                kernel.encodeBatch(commands, upload(x, from), whole.images());
                kernel.encodeBatch(commands, upload(x, from), odd.images());
            });
            CHECK(whole.read().v == x.v);
            CHECK(odd.read().v == x.v);
        }
}

TEST_CASE("every encode that names a shape makes an image of that shape") {
    const Tensor x =
        reference::rounded(reference::random(2, 2, 3, 4, 4), reference::Storage::Float32);
    MPS::NNReshape kernel(testDevice());
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::NNReshapeGradient gradient(testDevice());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x);
    MPS::Image one, oneWithState, dOne;
    MPS::ImageBatch batch, batchWithStates, dx, same;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::State state;
        MPS::StateBatch states;
        one = kernel.encode(commands, source[0], 1, 2, 12);
        oneWithState = kernel.encode(commands, source[1], &state, false, 3, 8, 1);
        batch = kernel.encodeBatch(commands, source, 12, 1, 2);
        batchWithStates = kernel.encodeBatch(commands, source, &states, true, 2, 4, 3);
        same = kernel.encodeBatch(commands, source);
        dOne = gradient.encode(commands, oneWithState, source[1], state);
        dx = gradient.encodeBatch(commands, batchWithStates, source, states);
        CHECK(states[1].isTemporary() == false); // nothing on the device
    });
    CHECK(one.height() == 2);
    CHECK(one.featureChannels() == 12);
    CHECK(oneWithState.width() == 3);
    CHECK(oneWithState.height() == 8);
    CHECK(batch[1].width() == 12);
    CHECK(batchWithStates[0].featureChannels() == 3);
    CHECK(same[0].featureChannels() == 4);
    CHECK(download({one}).v == reference::image(x, 0).v);
    CHECK(download({oneWithState}).v == reference::image(x, 1).v);
    CHECK(download(batch).v == x.v);
    CHECK(download(batchWithStates).v == x.v);
    CHECK(download(same).v == x.v);
    CHECK(download({dOne}).v == reference::image(x, 1).v);
    CHECK(download(dx).v == x.v);
    CHECK(dx[0].width() == 3);
}

TEST_CASE("reshape counts the channels in use only, and places its result") {
    const Tensor x =
        reference::rounded(reference::random(2, 3, 2, 13, 5), reference::Storage::Float32);
    MPS::NNReshape kernel(testDevice());
    kernel.setSourceFeatureChannelOffset(4);
    kernel.setSourceFeatureChannelMaxCount(8);
    kernel.setDestinationFeatureChannelOffset(4);
    MPS::NNReshapeGradient gradient(testDevice());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x), y = upload(Tensor(2, 4, 3, 8, 9.0));
    const Tensor incoming =
        reference::rounded(reference::random(2, 4, 3, 8, 6), reference::Storage::Float32);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = kernel.resultStateBatch(source, {}, y);
        kernel.encodeBatch(commands, source, states, y);
        dx = gradient.encodeBatch(commands, upload(incoming), source, states);
    });
    Tensor expected(2, 4, 3, 8, 9.0);
    reference::paste(expected, {}, 4, reshaped(reference::channels(x, 4, 8), {4, 3, 4}));
    CHECK(download(y).v == expected.v);
    CHECK(dx[0].width() == 2);
    CHECK(dx[0].featureChannels() == 8);
    CHECK(download(dx).v == reference::channels(incoming, 4, 4).v);
}

TEST_CASE("reshape is the same wherever the images lie, and takes arrays of images") {
    const Tensor x =
        reference::rounded(reference::random(4, 2, 3, 6, 7), reference::Storage::Float32);
    for (const Shape to : {Shape{1, 9, 4}, Shape{3, 3, 4}, Shape{1, 1, 36}}) {
        MPS::NNReshape kernel(testDevice());
        Guarded apart(4, to.h, to.w, to.c);
        const MPS::Image many(testDevice(), {MPS::ImageFeatureChannelFormat::Float32, 3, 2, 6, 4});
        const MPS::Image few(testDevice(),
                             {MPS::ImageFeatureChannelFormat::Float32, to.w, to.h, to.c, 3});
        for (size_t i = 0; i < 4; ++i)
            many.write(reference::image(x, i).floats(),
                       MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        kernel.setOffset({0, 0, 1});
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encode(commands, many, few);
            kernel.encodeBatch(commands, uploadApart(x), apart.images());
        });
        CHECK(apart.read().v == x.v);
        for (size_t i = 0; i < 3; ++i) {
            std::vector<float> values(36);
            few.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
            CHECK(reference::fromFloats(1, 2, 3, 6, values).v == reference::image(x, 1 + i).v);
        }
    }
}

TEST_CASE("reshape refuses what cannot be") {
    const auto x = upload(Tensor(2, 4, 4, 3)), y = upload(Tensor(2, 2, 8, 3)),
               wrong = upload(Tensor(2, 4, 4, 4)), flat = upload(Tensor(2, 2, 8, 3));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::NNReshape kernel(testDevice());
    kernel.setLabel("r");
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, wrong); }) ==
          "[NNReshape \"r\"] sourceImage is 4x4 with 3 feature channels but the result 4x4 with 4 "
          "feature channels: these are not as many elements.");
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, 4, 4, 5); }) ==
          "[NNReshape \"r\"] The result is to be 4x4 with 5 feature channels but sourceImage gives "
          "48 elements.");
    CHECK(refusal([&] {
              kernel.encode(commands, x[0], uint64_t(1) << 32, uint64_t(1) << 32, 1);
          }).find("sourceImage gives 48 elements.") != std::string::npos);
    CHECK(refusal([&] {
              kernel.encode(commands, x[0], 0, 4, 4);
          }).find("0x4 with 4 feature channels") != std::string::npos);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNReshape \"r\"] edgeMode is Mirror but only Zero and Clamp are known to this kernel.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    kernel.setOffset({1, 0, 0});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNReshape \"r\"] offset is (1, 0) but must be (0, 0): the kernel works on whole "
          "images.");
    kernel.setOffset({});
    kernel.setClipRect({{0, 0, 0}, {8, 1, 1}});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNReshape \"r\"] clipRect leaves 8x1 pixels from (0, 0) of the 8x2 destination but the "
          "kernel works on whole images.");
    kernel.setClipRect(MPS::RectNoClip);
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, neuron.resultStateBatch(x, {}, x), y); }) ==
          "[NNReshape \"r\"] destinationStates has a state that was made by a CNNNeuron but "
          "this kernel takes its own.");
    const auto states = kernel.resultStateBatch(x, {}, y);
    CHECK(refusal([&] { kernel.encodeBatch(commands, y, states, x); }) ==
          "[NNReshape \"r\"] The destination state was made for a source of 4x4 with 3 feature "
          "channels but this one is 8x2 with 3 feature channels.");

    MPS::NNReshapeGradient gradient(testDevice());
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x); }) ==
          "[NNReshapeGradient] A reshape's gradient needs the gradient state.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, states, flat); }) ==
          "[NNReshapeGradient] The result is 8x2 but the forward source of the gradient state was "
          "4x4.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, wrong, x, states); }) ==
          "[NNReshapeGradient] sourceGradient is 4x4 with 4 feature channels but the result 4x4 "
          "with 3 feature channels: these are not as many elements.");
    gradient.setPrimaryOffset({0, 1, 0});
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, states, wrong);
          }).find("primaryOffset is (0, 1)") != std::string::npos);
}
