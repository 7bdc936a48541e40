// NNForwardLoss, NNLossGradient and NNInitialGradient.
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/LossCases.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Reduction;
using reference::Tensor;

namespace {

/// The shape of a loss's result, with random values.
Tensor incomingFor(const reference::Loss& loss, const Tensor& y, Variant variant = {}) {
    const bool whole = loss.reduction == Reduction::None;
    Tensor g = whole ? reference::randomLike(y, 21) : reference::random(y.n, 1, 1, 1, 21);
    if (whole && loss.type == reference::LossType::SoftMaxCrossEntropy)
        for (size_t i = 0; i < g.size(); ++i) g.v[i] = g.v[i / g.c * g.c];
    return reference::rounded(g, variant.rounding());
}

} // namespace

[[maybe_unused]] const bool named =
    everyOther([] {
        const LossCase k{lossOf(reference::LossType::Log, Reduction::Mean, true)};
        return MPS::NNForwardLoss(testDevice(), k.descriptor(3));
    }) &&
    everyOther([] {
        const LossCase k{lossOf(reference::LossType::Log, Reduction::Mean, true)};
        MPS::NNLossGradient made(testDevice(), k.descriptor(3));
        made.setComputeLabelGradients(true);
        return made;
    }) &&
    everyKernel([] { return MPS::NNInitialGradient(testDevice()); });

TEST_CASE("separate losses and their gradients equal the reference") {
    for (const LossCase& k : lossCases()) {
        INFO(k.name());
        const size_t channels = 5;
        const LossData data(k.loss, 3, 4, 3, channels);
        const bool cosine = k.loss.type == reference::LossType::CosineDistance;
        for (const Tensor* weights : {static_cast<const Tensor*>(nullptr), &data.weights}) {
            if (weights && cosine) continue;
            const reference::LossInputs inputs{data.y, data.t, weights};
            const reference::Loss loss = k.with(channels);
            const Tensor g = incomingFor(loss, data.y);
            MPS::NNForwardLoss forward(testDevice(), k.descriptor(channels));
            // Every value that a state carries is wrong here, and right in the state.
            MPS::NNLossGradient gradient(testDevice(), k.descriptor(channels));
            gradient.setWeight(9);
            gradient.setLabelSmoothing(.5f);
            gradient.setEpsilon(.5f);
            gradient.setDelta(7);
            const Tensor expected = reference::forward(loss, inputs);
            Guarded result(expected.n, expected.h, expected.w, expected.c), dy(3, 4, 3, channels),
                dt(3, 4, 3, channels);
            const auto y = upload(data.y), t = upload(data.t), dl = upload(g);
            const auto w = weights ? upload(*weights) : MPS::ImageBatch{};
            run([&](const MTL::CommandBuffer& commands) {
                const auto states = forward.resultStateBatch(y, {}, result.images());
                forward.encodeBatch(commands, y, t, w, states, result.images());
                gradient.encodeBatch(commands, dl, y, t, w, states, dy.images());
                gradient.setComputeLabelGradients(true);
                gradient.encodeBatch(commands, dl, y, t, w, states, dt.images());
            });
            CHECK(reference::compare(result.read(), expected, {2e-5}));
            CHECK(reference::compare(dy.read(), reference::gradient(loss, inputs, g), {2e-5}));
            CHECK(reference::compare(dt.read(), reference::labelGradient(loss, inputs, g), {2e-5}));
        }
    }
}

TEST_CASE("all storages, images apart, and images that are returned") {
    for (const Variant variant : variants())
        for (const Reduction reduction : {Reduction::None, Reduction::SumByNonZeroWeights}) {
            INFO(variant.name());
            const LossCase k{lossOf(reference::LossType::SigmoidCrossEntropy, reduction, true)};
            LossData data(k.loss, 3, 5, 4, 6);
            for (Tensor* t : {&data.y, &data.t, &data.weights})
                *t = reference::rounded(*t, variant.rounding());
            const Tensor g = incomingFor(k.loss, data.y, variant);
            const reference::LossInputs inputs{data.y, data.t, &data.weights};
            MPS::NNForwardLoss forward(testDevice(), k.descriptor(6));
            MPS::NNLossGradient gradient(testDevice(), k.descriptor(6));
            forward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            MPS::ImageBatch loss, dy;
            run([&](const MTL::CommandBuffer& commands) {
                const auto y = uploadApart(data.y, variant), t = upload(data.t, variant),
                           w = uploadApart(data.weights, variant);
                MPS::StateBatch states;
                loss = forward.encodeBatch(commands, y, t, w, &states, true);
                REQUIRE(states.size() == 3);
                dy = gradient.encodeBatch(commands, upload(g, variant), y, t, w, states);
            });
            CHECK(dy[0].featureChannelFormat() == variant.format);
            const double tolerance = reduction == Reduction::None ? variant.tolerance() : 2e-5;
            CHECK(reference::compare(download(loss), reference::forward(k.loss, inputs),
                                     {tolerance}));
            CHECK(reference::compare(download(dy), reference::gradient(k.loss, inputs, g),
                                     {variant.tolerance()}));
            conforms("NNForwardLoss", Aspect::Forward, variant);
            conforms("NNLossGradient", Aspect::Gradient, variant);
        }
}

TEST_CASE("long reductions and many classes, twice the same") {
    struct {
        size_t n, h, w, c;
    } const sizes[] = {{2, 70, 61, 2}, {3, 1, 2, 700}};
    for (const auto& s : sizes)
        for (const bool across : {false, true}) {
            INFO(s.h << "x" << s.w << "x" << s.c << " across " << across);
            const LossCase k{lossOf(reference::LossType::SoftMaxCrossEntropy,
                                    Reduction::SumByNonZeroWeights, across)};
            LossData data(k.loss, s.n, s.h, s.w, s.c);
            for (size_t i = 0; i < 5 * s.c; ++i) data.weights.v[i] = 0;
            const reference::LossInputs inputs{data.y, data.t, &data.weights};
            const Tensor g = incomingFor(k.loss, data.y);
            std::vector<double> first[2];
            for (int round = 0; round < 2; ++round) {
                Guarded loss(s.n, 1, 1, 1), dy(s.n, s.h, s.w, s.c);
                run([&](const MTL::CommandBuffer& commands) {
                    const auto y = upload(data.y), t = upload(data.t), w = upload(data.weights);
                    MPS::NNForwardLoss(testDevice(), k.descriptor(s.c))
                        .encodeBatch(commands, y, t, w, MPS::StateBatch{}, loss.images());
                    MPS::NNLossGradient(testDevice(), k.descriptor(s.c))
                        .encodeBatch(commands, upload(g), y, t, w, {}, dy.images());
                });
                CHECK(reference::compare(loss.read(), reference::forward(k.with(s.c), inputs),
                                         {2e-5}));
                CHECK(reference::compare(dy.read(), reference::gradient(k.with(s.c), inputs, g),
                                         {2e-5}));
                if (round > 0) {
                    CHECK(loss.read().v == first[0]);
                    CHECK(dy.read().v == first[1]);
                }
                first[0] = loss.read().v;
                first[1] = dy.read().v;
            }
        }
}

TEST_CASE("a mean over the batch, between neurons, against finite differences") {
    const LossCase k{lossOf(reference::LossType::SoftMaxCrossEntropy, Reduction::Mean, true)};
    const LossData data(k.loss, 2, 2, 3, 5);
    const MPS::NNNeuronDescriptor before(MPS::CNNNeuronType::TanH, 2, 1),
        after(MPS::CNNNeuronType::Power, 1, 0, 2);
    MPS::CNNNeuron neuron(testDevice(), before), square(testDevice(), after);
    MPS::CNNNeuronGradient neuronGradient(testDevice(), before),
        squareGradient(testDevice(), after);
    MPS::NNForwardLoss forward(testDevice(), k.descriptor(5));
    MPS::NNLossGradient gradient(testDevice(), k.descriptor(5));
    MPS::NNInitialGradient initial(testDevice());
    const auto t = upload(data.t), w = upload(data.weights);
    const auto step = [&](const Tensor& x, Guarded* dx) {
        Guarded total(2, 1, 1, 1);
        run([&](const MTL::CommandBuffer& commands) {
            const auto source = upload(x);
            MPS::StateBatch first, middle, last;
            const auto y = neuron.encodeBatch(commands, source, &first, false);
            MPS::ImageBatchIncrementReadCount(y, 1);
            const auto loss = forward.encodeBatch(commands, y, t, w, &middle, false);
            MPS::ImageBatchIncrementReadCount(loss, 2);
            last = square.resultStateBatch(loss, {}, total.images());
            square.encodeBatch(commands, loss, last, total.images());
            const auto one = initial.encodeBatch(commands, total.images());
            const auto dLoss = squareGradient.encodeBatch(commands, one, loss, last);
            const auto dy = gradient.encodeBatch(commands, dLoss, y, t, w, middle);
            if (dx) neuronGradient.encodeBatch(commands, dy, source, first, dx->images());
            CHECK(y[0].as<MPS::TemporaryImage>().readCount() == 0);
            CHECK(loss[0].as<MPS::TemporaryImage>().readCount() == 1);
            CHECK(dLoss[0].as<MPS::TemporaryImage>().readCount() == 0);
        });
        return total.read().v[0] + total.read().v[1];
    };
    Guarded dx(2, 2, 3, 5);
    step(data.y, &dx);
    CHECK(reference::checkGradient([&](const Tensor& x) { return step(x, nullptr); }, data.y,
                                   dx.read(), {.step = 1e-2, .tolerance = 4e-3, .samples = 20}));
}

TEST_CASE("label gradients have the labels' channels") {
    const LossCase k{lossOf(reference::LossType::MeanSquaredError, Reduction::Sum, false)};
    const LossData data(k.loss, 2, 2, 3, 12);
    const Tensor y = reference::channels(data.y, 0, 5), t = reference::channels(data.t, 0, 5);
    const Tensor g = incomingFor(k.loss, y);
    MPS::NNLossGradient gradient(testDevice(), k.descriptor(5));
    gradient.setComputeLabelGradients(true);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dt;
    run([&](const MTL::CommandBuffer& commands) {
        dt = gradient.encodeBatch(commands, upload(g), upload(y), upload(data.t), {}, {});
    });
    REQUIRE(dt[0].featureChannels() == 12);
    CHECK(reference::compare(reference::channels(download(dt), 0, 5),
                             reference::labelGradient(k.loss, {y, t}, g), {2e-5}));
    CHECK(reference::channels(download(dt), 5, 7).v == Tensor(2, 2, 3, 7).v);
}

TEST_CASE("labels that are also the gradient are read once") {
    const LossCase k{lossOf(reference::LossType::MeanSquaredError, Reduction::None, false)};
    const LossData data(k.loss, 1, 2, 3, 5);
    MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    MPS::NNLossGradient gradient(testDevice(), k.descriptor(5));
    Guarded dy(1, 2, 3, 5);
    run([&](const MTL::CommandBuffer& commands) {
        const auto t = copy.encodeBatch(commands, upload(data.t));
        MPS::ImageBatchIncrementReadCount(t, 1);
        gradient.encodeBatch(commands, t, upload(data.y), t, {}, {}, dy.images());
        CHECK(t[0].as<MPS::TemporaryImage>().readCount() == 1);
    });
    CHECK(reference::compare(
        dy.read(), reference::gradient(k.with(5), {data.y, data.t, nullptr}, data.t), {2e-5}));
}

TEST_CASE("an initial gradient is 1 in the clip rectangle") {
    for (const Variant variant : variants()) {
        MPS::NNInitialGradient initial(testDevice());
        initial.setClipRect({{1, 2, 0}, {3, 9, 1}});
        initial.setDestinationFeatureChannelOffset(4);
        Guarded destination(2, 5, 6, 9, variant);
        run([&](const MTL::CommandBuffer& commands) {
            initial.encodeBatch(commands, upload(Tensor(2, 5, 6, 5), variant),
                                destination.images());
        });
        Tensor expected(2, 5, 6, 9, Guarded::poison);
        for (size_t n = 0; n < 2; ++n)
            for (size_t y = 2; y < 5; ++y)
                for (size_t x = 1; x < 4; ++x)
                    for (size_t c = 4; c < 9; ++c) expected.at(n, y, x, c) = 1;
        CHECK(destination.read().v == expected.v);
        conforms("NNInitialGradient", Aspect::Forward, variant);
    }
}

TEST_CASE("what separate losses refuse") {
    const auto image = [](size_t h, size_t w, size_t c) {
        return upload(reference::random(1, h, w, c, 1));
    };
    const auto y = image(2, 3, 5), t = image(2, 3, 5), one = image(1, 1, 1), whole = image(2, 3, 5);
    MPS::NNForwardLoss forward(
        testDevice(), MPS::CNNLossDescriptor(MPS::CNNLossType::Log, MPS::CNNReductionType::Mean));
    MPS::NNLossGradient gradient(
        testDevice(), MPS::CNNLossDescriptor(MPS::CNNLossType::Log, MPS::CNNReductionType::Mean));
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] { forward.encodeBatch(commands, y, t, {}, MPS::StateBatch{}, whole); }) ==
          "[NNForwardLoss] destinationImages[0] is 3x2 with 5 feature channels but reduced the "
          "loss is 1x1 with 1, "
          "from channel 0 on.");
    CHECK(refusal([&] { forward.encodeBatch(commands, y, {}, {}, MPS::StateBatch{}, one); }) ==
          "[NNForwardLoss] The source batch has 1 images but labels has 0.");
    CHECK(refusal([&] {
              forward.encodeBatch(commands, y, {MPS::Image()}, {}, MPS::StateBatch{}, one);
          }) == "[NNForwardLoss] labels[0] is an empty image handle.");
    CHECK(refusal([&] { forward.encodeBatch(commands, y, one); }) ==
          "[NNForwardLoss] No labels were given: a loss is encoded with its labels.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, whole, y, t, {}, {}, image(2, 3, 5)); }) ==
          "[NNLossGradient] sourceGradients[0] is 3x2 with 5 feature channels but reduced the loss "
          "is 1x1 with 1, "
          "from channel 0 on.");
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, one, y, t, {}, {MPS::State(testDevice(), 4)}, whole);
          }) == "[NNLossGradient] sourceStates[0] was not made by a NNForwardLoss.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, one, y, t, {}, {}, one); }) ==
          "[NNLossGradient] destinationImages[0] has 1 feature channels but channels 0 to 5 are "
          "needed.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, one, y); }) ==
          "[NNLossGradient] No labels were given: a loss is encoded with its labels.");
    gradient.setSecondaryOffset({0, 1, 0});
    CHECK(refusal([&] { gradient.encodeBatch(commands, one, y, t, {}, {}, whole); }) ==
          "[NNLossGradient] secondaryOffset is (0, 1, 0) but a loss takes the whole image: it must "
          "be 0.");
    gradient.setSecondaryOffset({});
    forward.setOffset({1, 0, 0});
    CHECK(refusal([&] { forward.encodeBatch(commands, y, t, {}, MPS::StateBatch{}, one); }) ==
          "[NNForwardLoss] offset is (1, 0, 0) but a loss takes the whole image: it must be 0.");
    forward.setOffset({});
    CHECK(refusal([&] { forward.encodeBatch(commands, y, t, one, MPS::StateBatch{}, one); }) ==
          "[NNForwardLoss] weights[0] is 1x1 with 1 feature channels but the source is 3x2 and 5 "
          "feature channels of it are read.");
    CHECK(refusal([&] {
              forward.encodeBatch(commands, {y[0], y[0]}, t, {}, MPS::StateBatch{}, one);
          }) == "[NNForwardLoss] sourceImages has 2 images but destinationImages has 1.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, one, y, t, {}, {}, t); }) ==
          "[NNLossGradient] A destination image is also a source image; the kernel does not work "
          "in place.");
    CHECK(refusal([&] { gradient.encodeBatch(MTL::CommandBuffer(), one, y, t, {}, {}, whole); }) ==
          "[NNLossGradient] The command buffer handle is empty.");
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    const auto foreign = neuron.resultStateBatch(y, {}, whole);
    CHECK(refusal([&] { forward.encodeBatch(commands, y, t, {}, foreign, one); }) ==
          "[NNForwardLoss] destinationStates has a state that was made by a CNNNeuron but this "
          "kernel takes its own.");
    const auto early = forward.resultStateBatch(y, {}, one);
    forward.setWeight(5);
    CHECK(refusal([&] { forward.encodeBatch(commands, y, t, {}, early, one); }) ==
          "[NNForwardLoss] destinationStates were made for another weight, labelSmoothing, epsilon "
          "or delta than this encode has.");
    MPS::StateBatch own = early;
    CHECK_FALSE(refusal([&] { forward.encodeBatch(commands, y, {}, {}, &own, false); }).empty());
    CHECK(own == early);
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { gradient.encodeBatch(commands, one, y, t, {}, {}, whole); }) ==
          "[NNLossGradient] secondaryEdgeMode is Constant but only Zero and Clamp are known to "
          "this kernel.");
    conforms("NNForwardLoss", Aspect::Misuse);
    conforms("NNLossGradient", Aspect::Misuse);
}
