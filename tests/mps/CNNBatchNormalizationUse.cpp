// How batch normalizations are loaded, placed and updated, and what they refuse.
#include "mps/CNNBatchNormalization.hpp"
#include "support/Conformance.hpp"
#include "support/Normalizations.hpp"
#include "support/Optimizers.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::NeuronType;
using reference::Tensor;

namespace {

using State = MPS::CNNBatchNormalizationState;
using GammaAndBeta = MPS::CNNNormalizationGammaAndBetaState;
using MeanAndVariance = MPS::CNNNormalizationMeanAndVarianceState;

MTL::Buffer bufferOf(const std::vector<float>& values) {
    return testDevice().newBuffer(std::as_bytes(std::span(values)));
}

} // namespace

TEST_CASE("a batch normalization takes its parameters from the source, and reloads them") {
    const auto source = std::make_shared<FixedNormalization>(3);
    MPS::CNNBatchNormalization kernel(testDevice(), source);
    CHECK(source->loads == source->purges);
    CHECK(source->loads > 0);
    CHECK(kernel.label() == "norm");
    CHECK(kernel.numberOfFeatureChannels() == 3);
    CHECK(kernel.epsilon() == FLT_MIN);
    CHECK(kernel.dataSource() == source);
    CHECK(kernel.fusedNeuronDescriptor().neuronType() == MPS::CNNNeuronType::None);
    CHECK(kernel.isResultStateReusedAcrossBatch());
    CHECK(MPS::CNNBatchNormalizationStatistics(testDevice()).appendBatchBarrier());
    CHECK(MPS::CNNBatchNormalizationStatisticsGradient(testDevice()).appendBatchBarrier());
    const auto x = upload(reference::random(1, 2, 2, 3, 4));
    const State state = kernel.resultState(x[0], {}, x[0]);
    // Without arrays: gamma and variance 1, beta and mean 0.
    const Values ones(3, 1), zeros(3, 0);
    CHECK(values(state.gamma()) == ones);
    CHECK(values(state.beta()) == zeros);
    CHECK(values(state.mean()) == zeros);
    CHECK(values(state.variance()) == ones);

    source->gammas = {1, 2, 3};
    source->betas = {4, 5, 6};
    source->means = {7, 8, 9};
    source->variances = {10, 11, 12};
    MPS::CNNBatchNormalization copy = kernel;
    kernel.reloadGammaAndBetaFromDataSource();
    CHECK(values(state.gamma()) == Values{1, 2, 3});
    CHECK(values(state.beta()) == Values{4, 5, 6});
    CHECK(values(state.mean()) == zeros);
    kernel.reloadMeanAndVarianceFromDataSource();
    CHECK(values(state.mean()) == Values{7, 8, 9});
    CHECK(values(state.variance()) == Values{10, 11, 12});
    CHECK(values(copy.resultState(x[0], {}, x[0]).gamma()) == ones);

    kernel.setEpsilon(.5f);
    CHECK(kernel.copy(testDevice()).epsilon() == .5f);
    CHECK(kernel.resultState(x[0], {}, x[0]).batchNormalization()->epsilon() == .5f);
    CHECK(state.batchNormalization()->epsilon() == FLT_MIN);

    const std::string who = "[CNNBatchNormalization \"norm\"] ";
    source->betas.pop_back();
    CHECK(refused([&] { kernel.reloadGammaAndBetaFromDataSource(); }) ==
          who + "The data source's beta has 2 elements but there are 3 feature channels.");
    CHECK(values(state.beta()) == Values{4, 5, 6});
    source->variances.push_back(1);
    CHECK(refused([&] { kernel.reloadMeanAndVarianceFromDataSource(); }) ==
          who + "The data source's variance has 4 elements but there are 3 feature channels.");
    source->loadResult = false;
    CHECK(refused([&] { MPS::CNNBatchNormalization(testDevice(), source); }) ==
          who + "The data source's load returned false.");
    source->channels = 0;
    CHECK(refused([&] { MPS::CNNBatchNormalization(testDevice(), source); }) ==
          who + "The data source's numberOfFeatureChannels is 0 but must be at least 1.");
    CHECK(refused([] { MPS::CNNBatchNormalization(testDevice(), nullptr); }) ==
          "[CNNBatchNormalization] The data source is null.");
    conforms("CNNBatchNormalizationDataSource", Aspect::State);
}

TEST_CASE("reloads on a command buffer take effect in its order, through every state") {
    auto b = normalization(5);
    NormalizationLayer layer(b);
    const Tensor x = reference::random(2, 3, 4, 5, 5), g = reference::randomLike(x, 6);
    const auto images = upload(x);
    const State state = layer.state(images);
    Guarded before(2, 3, 4, 5), after(2, 3, 4, 5), inference(2, 3, 4, 5);
    const GammaAndBeta parameters(bufferOf({1, 2, 3, 4, 5, 99}), bufferOf({0, 1, 0, -1, 2}));
    const MeanAndVariance statistics(bufferOf({1, 0, 0, 0, 1}), bufferOf({1, 4, 1, 4, 1}));
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        layer.encodeForward(commands, images, state, before.images());
        layer.forward.reloadGammaAndBeta(commands, parameters);
        layer.forward.reloadMeanAndVariance(commands, statistics);
        layer.forward.encodeBatch(commands, images, state, after.images());
        layer.forward.encodeBatch(commands, images, inference.images());
        dx = layer.encodeGradient(commands, upload(g), images, state);
    });
    const auto own = reference::statistics(x);
    CHECK(reference::compare(before.read(), reference::forward(b, own, x)));
    b.gamma = {1, 2, 3, 4, 5};
    b.beta = {0, 1, 0, -1, 2};
    CHECK(reference::compare(after.read(), reference::forward(b, own, x)));
    CHECK(reference::compare(inference.read(),
                             reference::forward(b, {{1, 0, 0, 0, 1}, {1, 4, 1, 4, 1}}, x)));
    CHECK(reference::compare(download(dx), reference::gradient(b, own, true, g, x).source));

    run([&](const MTL::CommandBuffer& commands) {
        const auto temporary = GammaAndBeta::temporaryState(commands, 5);
        layer.forward.reloadGammaAndBeta(commands, temporary);
        CHECK(temporary.readCount() == 0);
        const std::string who = "[CNNBatchNormalization \"norm\"] ";
        CHECK(refused([&] { layer.forward.reloadGammaAndBeta(commands, temporary); }) ==
              who + "gammaAndBetaState is a temporary state whose read count is 0: its memory is "
                    "given back already.");
        CHECK(refused([&] {
                  layer.forward.reloadMeanAndVariance(commands,
                                                      MeanAndVariance::temporaryState(commands, 4));
              }) == who + "meanAndVarianceState.mean has 16 bytes but 5 feature channels need 20.");
        CHECK(refused([&] { layer.forward.reloadGammaAndBeta(commands, {}); }) ==
              who + "gammaAndBetaState is an empty handle.");
    });
    conforms("CNNNormalizationMeanAndVarianceState", Aspect::State);
}

TEST_CASE("offsets, rectangles and channel ranges place a batch normalization and its gradient") {
    const Tensor x = reference::random(2, 7, 8, 12, 5), before = reference::random(2, 6, 9, 16, 6);
    const auto b = normalization(5, {NeuronType::TanH, 1, 1});
    NormalizationLayer layer(b);
    layer.forward.setOffset({-1, 2, 0});
    layer.forward.setClipRect({{2, 1, 0}, {6, 4, 1}});
    layer.forward.setSourceFeatureChannelOffset(4);
    layer.forward.setSourceFeatureChannelMaxCount(5);
    layer.forward.setDestinationFeatureChannelOffset(8);
    layer.statistics.setOffset({0, 2, 0}); // the part of it inside
    layer.statistics.setClipRect({{0, 0, 0}, {5, 4, 1}});
    layer.statistics.setSourceFeatureChannelOffset(4);
    layer.statistics.setSourceFeatureChannelMaxCount(5);
    const auto source = upload(x), y = upload(before), g = upload(reference::randomLike(before, 7));
    const State state = layer.forward.resultState(source[0], {}, y[0]);
    layer.statisticsGradient.setPrimaryOffset({3, 1, 0});
    layer.statisticsGradient.setSecondaryOffset({0, 2, 0});
    layer.statisticsGradient.setClipRect({{0, 0, 0}, {5, 4, 1}});
    layer.statisticsGradient.setPrimarySourceFeatureChannelOffset(8);
    layer.statisticsGradient.setPrimarySourceFeatureChannelMaxCount(5);
    layer.statisticsGradient.setSecondarySourceFeatureChannelOffset(4);
    layer.statisticsGradient.setSecondarySourceFeatureChannelMaxCount(5);
    MPS::CNNBatchNormalizationGradient byHand = layer.gradient;
    byHand.setPrimaryOffset({4, 1, 0});
    byHand.setSecondaryOffset({1, 2, 0});
    byHand.setClipRect({{2, 3, 0}, {4, 3, 1}});
    byHand.setPrimarySourceFeatureChannelOffset(8);
    byHand.setSecondarySourceFeatureChannelOffset(4);
    byHand.setSecondarySourceFeatureChannelMaxCount(5);
    byHand.setDestinationFeatureChannelOffset(4);
    const auto placed = upload(Tensor(2, 7, 8, 12, 9.0));
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        layer.encodeForward(commands, source, state, y);
        dx = layer.encodeGradient(commands, g, source, state);
        byHand.encodeBatch(commands, g, source, state, placed);
    });
    const Tensor part = reference::channels(reference::crop(x, {0, 2, 5, 4}), 4, 5);
    const auto statistics = reference::statistics(part);
    CHECK(reference::compare(values(state.mean()), statistics.mean));
    CHECK(reference::compare(values(state.variance()), statistics.variance));
    Tensor expected = before;
    const Tensor read = reference::channels(reference::crop(x, {-1, 2, 6, 4}), 4, 5);
    reference::paste(expected, {2, 1}, 8, reference::forward(b, statistics, read));
    Tensor actual = download(y);
    for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
        for (size_t i = 1; i < 5; ++i)
            for (size_t j = 2; j < 8; ++j)
                for (size_t c = 13; c < 16; ++c) actual.at(n, i, j, c) = expected.at(n, i, j, c);
    CHECK(reference::compare(actual, expected));

    const Tensor incoming = reference::channels(reference::crop(download(g), {3, 1, 5, 4}), 8, 5);
    const auto want = reference::gradient(b, statistics, true, incoming, part);
    CHECK(reference::compare(values(state.gradientForGamma()), want.gamma));
    CHECK(reference::compare(values(state.gradientForBeta()), want.beta));
    Tensor whole(2, 7, 8, 5);
    reference::paste(whole, {0, 2}, 0, want.source);
    CHECK(reference::compare(download(dx), whole));
    Tensor corner(2, 7, 8, 12, 9.0);
    reference::paste(corner, {2, 3}, 4, reference::crop(want.source, {1, 0, 4, 3}));
    Tensor got = download(placed);
    for (size_t n = 0; n < 2; ++n)
        for (size_t i = 3; i < 6; ++i)
            for (size_t j = 2; j < 6; ++j)
                for (size_t c = 9; c < 12; ++c) got.at(n, i, j, c) = 9;
    CHECK(reference::compare(got, corner, {1e-5, 1e-6}));

    // The statistics' gradient takes the same from the state where it is asked.
    MPS::CNNBatchNormalizationStatisticsGradient asked = layer.statisticsGradient;
    asked.destinationImageDescriptor({g[0], source[0]}, {state});
    CHECK(asked.primaryOffset() == MPS::Offset{2, 1, 0});
    CHECK(asked.secondaryOffset() == MPS::Offset{-1, 2, 0});
    CHECK(asked.clipRect().size.width == 6);
}

TEST_CASE("statistics are of a rectangle of the clip's size wherever the clip begins") {
    Values ramp;
    for (int i = 1; i <= 16; ++i) ramp.push_back(i);
    const auto x = upload(Tensor(1, 4, 4, 1, ramp));
    NormalizationLayer layer(normalization(1));
    const auto check = [&](double mean, double variance) {
        const State state = layer.state(x);
        run([&](const MTL::CommandBuffer& commands) {
            layer.statistics.encodeBatch(commands, x, state);
        });
        CHECK(reference::compare(values(state.mean()), Values{mean}));
        CHECK(reference::compare(values(state.variance()), Values{variance}));
    };
    for (const uint64_t begin : {0, 2, 5}) {
        INFO("begin " << begin);
        layer.statistics.setClipRect({{begin, begin, 0}, {4, 4, UINT64_MAX}});
        check(8.5, 21.25);
    }
    layer.statistics.setClipRect(MPS::RectNoClip);
    layer.statistics.setOffset({1, 0, 0}); // without the first column
    check(9, 20 + 2. / 3);
}

TEST_CASE("an array of images is normalized as one, and so is its gradient") {
    const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 4, 3, 5, 3);
    const MPS::Image x(testDevice(), d), y(testDevice(), d), g(testDevice(), d),
        dx(testDevice(), d);
    const Tensor source = reference::random(3, 3, 4, 5, 8),
                 incoming = reference::random(3, 3, 4, 5, 9);
    const auto layout = MPS::DataLayout::HeightxWidthxFeatureChannels;
    for (size_t i = 0; i < 3; ++i) {
        x.write(reference::image(source, i).floats(), layout, i);
        g.write(reference::image(incoming, i).floats(), layout, i);
    }
    const auto b = normalization(5);
    NormalizationLayer layer(b);
    const State state = layer.forward.resultState(x, {}, y);
    const auto images = upload(source);
    run([&](const MTL::CommandBuffer& commands) {
        layer.statistics.encodeBatch(commands, images, state);
        layer.forward.encode(commands, x, state, y);
        layer.statisticsGradient.encodeBatch(commands, upload(incoming), images, state);
        layer.gradient.encode(commands, g, x, state, dx);
    });
    const auto statistics = reference::statistics(source);
    const Tensor want = reference::forward(b, statistics, source),
                 slope = reference::gradient(b, statistics, true, incoming, source).source;
    for (size_t i = 0; i < 3; ++i) {
        std::vector<float> result(60), gradient(60);
        y.read(result, layout, i);
        dx.read(gradient, layout, i);
        CHECK(reference::compare(reference::fromFloats(1, 3, 4, 5, result),
                                 reference::image(want, i)));
        CHECK(reference::compare(reference::fromFloats(1, 3, 4, 5, gradient),
                                 reference::image(slope, i)));
    }
}

TEST_CASE("temporary images and states are read as often as documented") {
    NormalizationLayer layer(normalization(4));
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1, 1));
    const auto input = upload(reference::random(3, 2, 2, 4, 1));
    run([&](const MTL::CommandBuffer& commands) {
        const auto x = neuron.encodeBatch(commands, input), g = neuron.encodeBatch(commands, input);
        MPS::ImageBatchIncrementReadCount(x, 3);
        MPS::ImageBatchIncrementReadCount(g, 1);
        const State state = layer.forward.temporaryResultState(commands, x[0], {}, x[0]);
        CHECK(state.isTemporary());
        CHECK(state.readCount() == 1);
        state.setReadCount(4);
        const auto y = upload(Tensor(3, 2, 2, 4));
        const auto counts = [&] {
            return std::array{x[2].as<MPS::TemporaryImage>().readCount(),
                              g[2].as<MPS::TemporaryImage>().readCount(), state.readCount()};
        };
        layer.statistics.encodeBatch(commands, x, state);
        CHECK(counts() == std::array<uint64_t, 3>{3, 2, 4});
        layer.forward.encodeBatch(commands, x, state, y);
        CHECK(counts() == std::array<uint64_t, 3>{2, 2, 3});
        layer.statisticsGradient.encodeBatch(commands, g, x, state);
        CHECK(counts() == std::array<uint64_t, 3>{1, 1, 2});
        layer.gradient.encodeBatch(commands, g, x, state);
        CHECK(counts() == std::array<uint64_t, 3>{0, 0, 1});
        MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
        sgd.encode(commands, state, {},
                   GammaAndBeta(bufferOf({0, 0, 0, 0}), bufferOf({0, 0, 0, 0})));
        CHECK(state.readCount() == 0);
        CHECK(
            refused([&] { layer.statistics.encodeBatch(commands, y, state); }) ==
            "[CNNBatchNormalizationStatistics] batchNormalizationState is a temporary state whose "
            "read count is 0: its memory is given back already.");
    });
}

namespace {
template <class Kernel> Kernel again(const Kernel& kernel) {
    return MPS::KeyedUnarchiver::unarchivedObject<Kernel>(MPS::KeyedArchiver::archivedData(kernel),
                                                          testDevice());
}
} // namespace

TEST_CASE("batch normalization kernels come back from an archive, with the values in use") {
    reference::Neuron prelu{NeuronType::PReLU};
    prelu.slopes = {.25, .5, .75};
    const auto b = normalization(3, prelu);
    NormalizationLayer layer(b);
    layer.forward.setEpsilon(.25f);
    layer.forward.setOffset({1, 0, 0});
    layer.gradient.setKernelOffsetX(3);
    run([&](const MTL::CommandBuffer& commands) {
        layer.forward.reloadMeanAndVariance(
            commands, MeanAndVariance(bufferOf({1, 2, 3}), bufferOf({4, 5, 6})));
    });
    const auto forward = again(layer.forward);
    CHECK(forward.debugDescription() == layer.forward.debugDescription());
    CHECK(forward.epsilon() == .25f);
    CHECK(forward.label() == "norm");
    CHECK(forward.offset() == MPS::Offset{1, 0, 0});
    CHECK(forward.fusedNeuronDescriptor().data() == std::vector<float>{.25f, .5f, .75f});
    const auto x = upload(reference::random(1, 2, 2, 3, 4));
    const State state = forward.resultState(x[0], {}, x[0]);
    CHECK(values(state.gamma()) == b.gamma);
    CHECK(values(state.beta()) == b.beta);
    CHECK(values(state.mean()) == Values{1, 2, 3});
    CHECK(values(state.variance()) == Values{4, 5, 6});
    CHECK(again(layer.statistics).className() == "CNNBatchNormalizationStatistics");
    const auto gradient = again(layer.gradient);
    CHECK(gradient.kernelOffsetX() == 3);
    CHECK(gradient.fusedNeuronDescriptor().data() == forward.fusedNeuronDescriptor().data());
    const auto statisticsGradient = again(layer.statisticsGradient).copy(testDevice());
    CHECK(statisticsGradient.debugDescription() == layer.statisticsGradient.debugDescription());

    // They work.
    Guarded y(1, 2, 2, 3);
    MPS::CNNBatchNormalization one = again(forward);
    one.setOffset({});
    run([&](const MTL::CommandBuffer& commands) { one.encodeBatch(commands, x, y.images()); });
    auto expected = b;
    expected.epsilon = .25;
    CHECK(reference::compare(y.read(),
                             reference::forward(expected, {{1, 2, 3}, {4, 5, 6}}, download(x))));
}

TEST_CASE("returned gradients of a batch normalization have the sizes of their sources") {
    NormalizationLayer layer(normalization(4));
    const auto x = upload(reference::random(1, 4, 5, 4, 1)), g = upload(download(x)),
               small = upload(reference::random(2, 2, 3, 4, 2)), smallG = upload(download(small)),
               given = upload(Tensor(2, 2, 3, 4));
    const State state = layer.state(x);
    MPS::ImageBatch dx, smallDx;
    run([&](const MTL::CommandBuffer& commands) {
        layer.statistics.encodeBatch(commands, x, state);
        layer.statistics.encodeBatch(commands, small, state);
        layer.statisticsGradient.encodeBatch(commands, g, x, state);
        layer.statisticsGradient.encodeBatch(commands, smallG, small, state);
        dx = layer.gradient.encodeBatch(commands, g, x, state);
        smallDx = layer.gradient.encodeBatch(commands, smallG, small, state);
        CHECK(layer.gradient.clipRect().size.width == MPS::RectNoClip.size.width);
        layer.gradient.encodeBatch(commands, smallG, small, state, given);
    });
    CHECK(dx[0].width() == 5);
    CHECK(smallDx[0].width() == 3);
    CHECK(smallDx[0].height() == 2);
    CHECK(download(smallDx).v == download(given).v);
}

TEST_CASE("what batch normalization refuses") {
    NormalizationLayer layer(normalization(4));
    const auto x = upload(Tensor(2, 3, 3, 4)), wide = upload(Tensor(2, 3, 3, 5)),
               narrow = upload(Tensor(2, 3, 3, 3)), y = upload(Tensor(2, 3, 3, 4)),
               wideResult = upload(Tensor(2, 3, 3, 5));
    const State state = layer.state(x);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const std::string forward = "[CNNBatchNormalization \"norm\"] ",
                      statistics = "[CNNBatchNormalizationStatistics] ",
                      statisticsGradient = "[CNNBatchNormalizationStatisticsGradient] ",
                      gradient = "[CNNBatchNormalizationGradient] ";
    CHECK(refused([&] { layer.forward.encodeBatch(commands, wide, wideResult); }) ==
          forward + "sourceImage gives 5 feature channels but the parameters are for 4.");
    CHECK(refused([&] { layer.statistics.encodeBatch(commands, narrow, state); }) ==
          statistics + "sourceImage gives 3 feature channels but the parameters are for 4.");
    CHECK(refused([&] { layer.statistics.encodeBatch(commands, x, State{}); }) ==
          statistics + "batchNormalizationState is an empty handle.");
    CHECK(refused([&] { layer.forward.encodeBatch(commands, x, State{}, y); }) ==
          forward + "batchNormalizationState is an empty handle.");
    CHECK(refused([&] { layer.statisticsGradient.encodeBatch(commands, x, wide, state); }) ==
          statisticsGradient +
              "sourceImage gives 5 feature channels but the parameters are for 4.");
    CHECK(refused([&] {
              layer.statisticsGradient.encodeBatch(commands, narrow, x, state);
          }).starts_with(statisticsGradient + "sourceGradient gives 3 "));
    CHECK(refused([&] {
              layer.gradient.encodeBatch(commands, narrow, x, state, y);
          }).starts_with(gradient + "sourceGradient gives 3 "));
    const auto small = upload(Tensor(2, 2, 2, 4));
    CHECK(refused([&] { layer.statisticsGradient.encodeBatch(commands, small, x, state); }) ==
          statisticsGradient + "sourceGradient is 2x2 but sourceImage is 3x3.");
    CHECK(refused([&] { layer.gradient.encodeBatch(commands, x, small, state, y); }) ==
          gradient + "sourceGradient is 3x3 but sourceImage is 2x2.");
    const State other = layer.state(x);
    CHECK(refused([&] {
              layer.gradient.encodeBatch(commands, x, x, MPS::StateBatch{state, other}, y);
          }) ==
          gradient + "There are several states but a batch has one, given once or once per image.");
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1, 1));
    CHECK(refused([&] {
              layer.gradient.encode(commands, x[0], x[0], neuron.resultState(x[0], {}, x[0]));
          }) == gradient + "gradientState was made by a CNNNeuron but this kernel takes those of a "
                           "CNNBatchNormalization.");
    const MPS::NNNeuronDescriptor relu(MPS::CNNNeuronType::ReLU, .5f);
    MPS::CNNBatchNormalizationStatisticsGradient withNeuron(testDevice(), relu);
    CHECK(refused([&] { withNeuron.encodeBatch(commands, x, x, state); }) ==
          statisticsGradient +
              "The forward kernel's neuron has type 0, a 0.000000, b 0.000000, c 0.000000 but this "
              "kernel's has type 1, a 0.500000, b 0.000000, c 0.000000: they must be the same, "
              "slopes included.");
    layer.forward.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refused([&] { layer.forward.encodeBatch(commands, x, y); }) ==
          forward + "edgeMode is Mirror but only Zero and Clamp are known to this kernel.");
    CHECK(refused([&] {
              MPS::CNNBatchNormalization(
                  testDevice(), layer.source,
                  MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(std::vector<float>{1, 2}));
          }) == forward + "PReLU has 2 slopes but 4 feature channels are processed.");

    // The statistics of a batch want its sums of gradients.
    layer.statistics.encodeBatch(commands, x, state);
    CHECK(refused([&] { layer.gradient.encodeBatch(commands, x, x, state, y); }) ==
          gradient +
              "gradientState has statistics of a batch but no gradients of gamma and beta for "
              "it: CNNBatchNormalizationStatisticsGradient comes first.");
    CHECK_FALSE(state.gradientForGamma());
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(
        refused([&] { layer.statistics.encodeBatch(commands, x, state); }).starts_with(statistics));
    CHECK(values(state.variance()) == Values(4, 0));
    conforms("CNNBatchNormalizationStatistics", Aspect::Misuse);
    conforms("CNNBatchNormalizationStatisticsGradient", Aspect::Misuse);
}
