// How instance and group normalizations are placed, updated and copied.
#include "mps/NormalizationKernels.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

template <class Kind> bool everyNormalization(size_t groups) {
    const auto forward = [=] {
        return forwardOf<Kind>(randomNormalization(8, groups, 1e-3, 1), 8);
    };
    return everyKernel(forward) &&
           everyGradient([] { return typename Kind::Gradient(testDevice()); },
                         forwardPass(forward));
}
[[maybe_unused]] const bool named =
    everyNormalization<InstanceKind>(8) && everyNormalization<GroupKind>(4);

} // namespace

TEST_CASE("offset, edge mode and clip rectangle place the result, not the statistics") {
    const Tensor x = reference::random(2, 6, 7, 12, 1, -1, 3),
                 before = reference::random(2, 8, 9, 16, 2);
    GroupNormalization k = randomNormalization(6, 2, 1e-3, 3);
    // Inside the source, and beyond it on two sides.
    const std::pair<int, int> offsets[] = {{1, 2}, {-2, 3}};
    for (const auto& [offsetX, offsetY] : offsets) {
        INFO("offset " << offsetX << ", " << offsetY);
        k.offsetX = offsetX, k.offsetY = offsetY, k.width = 5, k.height = 4;
        auto forward = forwardOf<GroupKind>(k, 6);
        forward.setClipRect({{2, 3, 0}, {5, 4, 1}});
        forward.setSourceFeatureChannelOffset(4);
        forward.setSourceFeatureChannelMaxCount(6);
        forward.setDestinationFeatureChannelOffset(8);
        MPS::CNNGroupNormalizationGradient gradient(testDevice()), byHand(testDevice());
        gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto source = upload(x), y = upload(before),
                   g = upload(reference::randomLike(before, 4)),
                   placed = upload(Tensor(2, 5, 6, 12, 9.0));
        MPS::ImageBatch dx;
        MPS::StateBatch states;
        run([&](const MTL::CommandBuffer& commands) {
            states = forward.resultStateBatch(source, {}, y);
            forward.encodeBatch(commands, source, states, y);
            dx = gradient.encodeBatch(commands, g, source, states);
        });
        const Tensor part = reference::channels(x, 4, 6);
        Tensor expected = before;
        reference::paste(expected, {2, 3}, 8, reference::forward(k, part));
        Tensor actual = download(y);
        for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
            for (size_t i = 3; i < 7; ++i)
                for (size_t j = 2; j < 7; ++j)
                    for (size_t c = 14; c < 16; ++c)
                        actual.at(n, i, j, c) = expected.at(n, i, j, c);
        CHECK(reference::compare(actual, expected));
        const Tensor used = reference::channels(reference::crop(download(g), {2, 3, 5, 4}), 8, 6);
        const auto d = reference::gradient(k, used, part);
        CHECK(reference::compare(download(dx), d.source));
        CHECK(reference::compare(gammaGradients(states), d.gamma.v));
        CHECK(reference::compare(betaGradients(states), d.beta.v));
        CHECK(gradient.primaryOffset() == MPS::Offset{2 - offsetX, 3 - offsetY, 0});
        CHECK(gradient.secondaryOffset() == MPS::Offset{0, 0, 0});

        // A part of the result, by hand, somewhere else.
        byHand.setPrimaryOffset({2 - offsetX + 1, 3 - offsetY + 2, 0});
        byHand.setSecondaryOffset({1, 2, 0});
        byHand.setPrimarySourceFeatureChannelOffset(8);
        byHand.setSecondarySourceFeatureChannelOffset(4);
        byHand.setSecondarySourceFeatureChannelMaxCount(6);
        byHand.setDestinationFeatureChannelOffset(4);
        byHand.setClipRect({{2, 1, 0}, {3, 2, 1}});
        run([&](const MTL::CommandBuffer& commands) {
            byHand.encodeBatch(commands, g, source, states, placed);
        });
        Tensor whole(2, 5, 6, 12, 9.0);
        reference::paste(whole, {2, 1}, 4, reference::crop(d.source, {1, 2, 3, 2}));
        Tensor result = download(placed);
        for (size_t n = 0; n < 2; ++n)
            for (size_t i = 1; i < 3; ++i)
                for (size_t j = 2; j < 5; ++j)
                    for (size_t c = 10; c < 12; ++c) result.at(n, i, j, c) = 9;
        CHECK(reference::compare(result, whole));
        CHECK(reference::compare(gammaGradients(states), d.gamma.v));
    }
    k.edge = reference::EdgeMode::Clamp;
    Guarded clamped(2, 4, 5, 6);
    auto forward = forwardOf<GroupKind>(k, 6);
    const auto source = upload(reference::channels(x, 0, 6));
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = forward.resultStateBatch(source, {}, clamped.images());
        forward.encodeBatch(commands, source, states, clamped.images());
        MPS::CNNGroupNormalizationGradient gradient(testDevice());
        CHECK(refusal([&] { gradient.encodeBatch(commands, clamped.images(), source, states); }) ==
              "[CNNGroupNormalizationGradient] secondaryEdgeMode is Clamp and the forward pass "
              "read 5x4 pixels from (-2, 3) on, beyond its source of 7x6: there is no gradient "
              "for repeated pixels.");
    });
    CHECK(reference::compare(clamped.read(), reference::forward(k, reference::channels(x, 0, 6))));
}

TEST_CASE("a result larger than its source counts as a whole") {
    // In one workgroup, and in parts.
    for (const auto& [size, result] : {std::pair<size_t, size_t>{3, 9}, {50, 70}}) {
        INFO(size << " to " << result);
        const Tensor x = reference::random(2, size, size, 4, 51, 1, 2);
        GroupNormalization k = randomNormalization(4, 2, 1e-3, 52);
        k.offsetX = -2, k.offsetY = -3, k.width = k.height = result;
        const Tensor g = reference::random(2, result, result, 4, 53);
        const Normalized actual = both<GroupKind>(k, upload(x), upload(g), x);
        const auto d = reference::gradient(k, g, x);
        CHECK(reference::compare(actual.y, reference::forward(k, x)));
        CHECK(reference::compare(actual.dx, d.source));
        CHECK(reference::compare(actual.gamma, d.gamma.v));
        CHECK(reference::compare(actual.beta, d.beta.v));
    }
    // Nothing written, nothing to differentiate.
    auto forward = forwardOf<GroupKind>(randomNormalization(4, 2, 1e-3, 54), 4);
    forward.setClipRect({{0, 0, 0}, {0, 3, 1}});
    MPS::CNNGroupNormalizationGradient gradient(testDevice());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto x = upload(reference::random(2, 3, 3, 4, 55));
    MPS::ImageBatch dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        states = forward.resultStateBatch(x, {}, x);
        forward.encodeBatch(commands, x, states, upload(Tensor(2, 3, 3, 4)));
        dx = gradient.encodeBatch(commands, x, x, states);
    });
    CHECK(download(dx).v == Tensor(2, 3, 3, 4).v);
    CHECK(gammaGradients(states) == std::vector<double>(8));
}

TEST_CASE("an array of images has one state, with the sums over all images") {
    for (const auto& [width, height] : {std::pair<size_t, size_t>{4, 3}, {97, 90}}) {
        INFO(width << "x" << height);
        const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, width, height, 5, 4);
        const MPS::Image x(testDevice(), d), y(testDevice(), d), g(testDevice(), d),
            dx(testDevice(), d);
        const Tensor source = reference::random(4, height, width, 5, 11),
                     incoming = reference::randomLike(source, 12);
        const auto layout = MPS::DataLayout::HeightxWidthxFeatureChannels;
        for (size_t i = 0; i < 4; ++i) {
            x.write(reference::image(source, i).floats(), layout, i);
            g.write(reference::image(incoming, i).floats(), layout, i);
        }
        const GroupNormalization k = randomNormalization(5, 5, 1e-3, 13);
        auto forward = forwardOf<InstanceKind>(k, 5);
        forward.setOffset({0, 0, 1});
        forward.setClipRect({{0, 0, 0}, {UINT64_MAX, UINT64_MAX, 3}});
        MPS::CNNInstanceNormalizationGradient gradient(testDevice());
        gradient.setSecondaryOffset({0, 0, 1});
        gradient.setClipRect(forward.clipRect());
        MPS::State state;
        const auto slope = [&](const MTL::CommandBuffer& commands) {
            gradient.encode(commands, g, x, state, dx);
        };
        run([&](const MTL::CommandBuffer& commands) {
            state = forward.resultState(x, {}, y);
            forward.encode(commands, x, state, y);
            slope(commands);
        });
        std::vector<double> gamma(5), beta(5);
        for (size_t i = 0; i < 3; ++i) {
            const Tensor one = reference::image(source, 1 + i), e = reference::image(incoming, i);
            const auto expected = reference::gradient(k, e, one);
            std::vector<float> values(one.size()), slopes(one.size());
            y.read(values, layout, i);
            dx.read(slopes, layout, i);
            CHECK(reference::compare(reference::fromFloats(1, height, width, 5, values),
                                     reference::forward(k, one)));
            CHECK(reference::compare(reference::fromFloats(1, height, width, 5, slopes),
                                     expected.source));
            for (size_t c = 0; c < 5; ++c) {
                gamma[c] += expected.gamma.v[c];
                beta[c] += expected.beta.v[c];
            }
        }
        CHECK(reference::compare(gammaGradients({state}), gamma));
        CHECK(reference::compare(betaGradients({state}), beta));
        const auto once = gammaGradients({state});
        run(slope); // writes the sums anew
        CHECK(gammaGradients({state}) == once);
    }
}

TEST_CASE("an optimizer on the state's buffers trains gamma and beta, which states share") {
    const Tensor x = reference::random(2, 4, 5, 6, 21), g = reference::randomLike(x, 22);
    GroupNormalization k = randomNormalization(6, 6, 1e-3, 23);
    auto forward = forwardOf<InstanceKind>(k, 6);
    MPS::CNNInstanceNormalizationGradient gradient(testDevice());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MTL::Device device = testDevice();
    const auto vectorOf = [](const MTL::Buffer& buffer) {
        return MPS::Vector(buffer, MPS::VectorDescriptor(6, MPS::DataType::Float32));
    };
    const auto bufferOf = [&](const std::vector<double>& values) {
        const std::vector<float> all(values.begin(), values.end());
        return device.newBuffer(std::as_bytes(std::span(all)));
    };
    const MTL::Buffer gamma = bufferOf(k.gamma), beta = bufferOf(k.beta);
    MPS::NNOptimizerStochasticGradientDescent sgd(device, .125f);
    const auto source = upload(x);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = forward.encodeBatch(commands, source, &states, false);
        gradient.encodeBatch(commands, upload(g), source, states);
        for (const MPS::State& each : states) {
            const auto state = each.as<MPS::CNNInstanceNormalizationGradientState>();
            sgd.encode(commands, vectorOf(state.gradientForGamma()), vectorOf(gamma), MPS::Vector{},
                       vectorOf(gamma));
            sgd.encode(commands, vectorOf(state.gradientForBeta()), vectorOf(beta), MPS::Vector{},
                       vectorOf(beta));
        }
        forward.reloadGammaAndBeta(commands, MPS::CNNNormalizationGammaAndBetaState(gamma, beta));
        // The statistics do not change, but gamma does: for the state that there was before, too.
        dx = gradient.encodeBatch(commands, upload(g), source, states);
        y = forward.encodeBatch(commands, source);
    });
    const auto d = reference::gradient(k, g, x);
    for (size_t c = 0; c < 6; ++c)
        for (size_t n = 0; n < 2; ++n) {
            k.gamma[c] -= .125 * d.gamma.at(n, 0, 0, c);
            k.beta[c] -= .125 * d.beta.at(n, 0, 0, c);
        }
    CHECK(reference::compare(download(y), reference::forward(k, x)));
    CHECK(reference::compare(download(dx), reference::gradient(k, g, x).source));
    const auto state = states[1].as<MPS::CNNInstanceNormalizationGradientState>();
    CHECK(reference::compare(floatsIn(state.gamma()), k.gamma));
    CHECK(reference::compare(floatsIn(state.beta()), k.beta));
    CHECK(state.gradientForGamma().length() == 24);
    conforms("CNNInstanceNormalizationGradientState", Aspect::State);
    conforms("CNNInstanceNormalizationDataSource", Aspect::State);
    conforms("CNNNormalizationGammaAndBetaState", Aspect::State);

    // A temporary state with them is read up; copies of the kernel keep what they had.
    const MPS::CNNInstanceNormalization copied = forward;
    run([&](const MTL::CommandBuffer& commands) {
        const auto temporary = MPS::CNNNormalizationGammaAndBetaState::temporaryState(commands, 6);
        for (const MTL::Buffer& each : {temporary.gamma(), temporary.beta()})
            sgd.encode(commands, vectorOf(gamma), vectorOf(gamma), MPS::Vector{}, vectorOf(each));
        forward.reloadGammaAndBeta(commands, temporary);
        CHECK(temporary.readCount() == 0);
    });
    CHECK(!reference::compare(floatsIn(state.gamma()), k.gamma));
    auto again = copied;
    again.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    run([&](const MTL::CommandBuffer& commands) { y = again.encodeBatch(commands, source); });
    CHECK(reference::compare(download(y), reference::forward(k, x)));
}

TEST_CASE("a reload asks the data source again, which may give other arrays") {
    const GroupNormalization k = randomNormalization(8, 2, 1e-3, 31);
    const auto source = std::make_shared<FixedGroups>(8, k);
    MPS::CNNGroupNormalization kernel(testDevice(), source);
    CHECK(source->loads == 1);
    CHECK(source->purges == 1);
    CHECK(kernel.label() == "test parameters");
    CHECK(kernel.dataSource() == source);
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    GroupNormalization other = randomNormalization(8, 2, 1e-3, 33);
    source->gammas.assign(other.gamma.begin(), other.gamma.end());
    source->betas.clear();
    source->setNumberOfGroups(4); // too late for this kernel
    other.beta.clear();
    kernel.reloadGammaAndBetaFromDataSource();
    CHECK(source->loads == 2);
    CHECK(source->purges == 2);
    const Tensor x = reference::random(1, 3, 4, 8, 34);
    const auto y = [&](MPS::CNNGroupNormalization& each) {
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            made = each.encodeBatch(commands, upload(x));
        });
        return download(made);
    };
    CHECK(reference::compare(y(kernel), reference::forward(other, x)));
    kernel.setEpsilon(.25f);
    other.epsilon = .25;
    MPS::CNNGroupNormalization made = kernel.copy(testDevice()); // of 2 groups, whatever it is now
    CHECK(made.epsilon() == .25f);
    CHECK(reference::compare(y(made), reference::forward(other, x)));
    source->loadResult = false;
    CHECK(refusal([&] { kernel.reloadGammaAndBetaFromDataSource(); }) ==
          "[CNNGroupNormalization \"test parameters\"] The data source's load returned false.");
    CHECK(source->purges == 2);
    conforms("CNNGroupNormalizationDataSource", Aspect::State);
}
