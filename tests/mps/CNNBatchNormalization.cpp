#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Normalizations.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::NeuronType;
using reference::Tensor;

namespace {

using State = MPS::CNNBatchNormalizationState;

/// What a step leaves.
struct Step {
    Tensor y, dx;
    std::vector<double> mean, variance, dGamma, dBeta;
};

Step read(const Guarded& y, const MPS::ImageBatch& dx, const State& state) {
    return {y.read(),
            download(dx),
            values(state.mean()),
            values(state.variance()),
            values(state.gradientForGamma()),
            values(state.gradientForBeta())};
}

Step step(NormalizationLayer& layer, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
          Variant variant = {}) {
    Guarded y(x.size(), x[0].height(), x[0].width(), x[0].featureChannels(), variant);
    const State state = layer.state(x);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        layer.encodeForward(commands, x, state, y.images());
        dx = layer.encodeGradient(commands, g, x, state);
    });
    return read(y, dx, state);
}

Step expected(const reference::BatchNormalization& b, const Tensor& x, const Tensor& g) {
    const auto s = reference::statistics(x);
    const auto d = reference::gradient(b, s, true, g, x);
    return {reference::forward(b, s, x), d.source, s.mean, s.variance, d.gamma, d.beta};
}

void check(const Step& actual, const Step& expected, double images = 1e-5, double sums = 1e-5) {
    CHECK(reference::compare(actual.mean, expected.mean, {sums}));
    CHECK(reference::compare(actual.variance, expected.variance, {sums}));
    CHECK(reference::compare(actual.y, expected.y, {images}));
    CHECK(reference::compare(actual.dGamma, expected.dGamma, {sums}));
    CHECK(reference::compare(actual.dBeta, expected.dBeta, {sums}));
    CHECK(reference::compare(actual.dx, expected.dx, {images}));
}

bool same(const Step& a, const Step& b) {
    return a.y.v == b.y.v && a.dx.v == b.dx.v && a.mean == b.mean && a.variance == b.variance &&
           a.dGamma == b.dGamma && a.dBeta == b.dBeta;
}

MPS::CNNBatchNormalization exampleKernel() {
    const auto b = normalization(8);
    return {testDevice(), std::make_shared<FixedNormalization>(b.gamma, b.beta, b.epsilon)};
}

GradientInputs exampleInputs(const MPS::ImageBatch& x) {
    const MPS::CNNBatchNormalization forward = exampleKernel();
    const State state = forward.resultState(x[0], {}, x[0]);
    const auto g = upload(reference::randomLike(download(x), 91));
    run([&](const MTL::CommandBuffer& commands) {
        MPS::CNNBatchNormalizationStatistics(testDevice()).encodeBatch(commands, x, state);
        MPS::CNNBatchNormalizationStatisticsGradient(testDevice())
            .encodeBatch(commands, g, x, state);
    });
    return {g, x, MPS::StateBatch(x.size(), state)};
}

const bool named[] = {
    everyKernel(exampleKernel),
    everyGradient([] { return MPS::CNNBatchNormalizationGradient(testDevice()); }, exampleInputs,
                  {6, 5, 8}, false),
    everyOther([] { return MPS::CNNBatchNormalizationStatistics(testDevice()); }),
    everyOther([] { return MPS::CNNBatchNormalizationStatisticsGradient(testDevice()); }),
};

reference::Neuron neuronOf(NeuronType type, size_t channels) {
    reference::Neuron n{type, 1.5, .75};
    if (type == NeuronType::PReLU)
        for (size_t c = 0; c < channels; ++c) n.slopes.push_back(double(.25f * float(c % 5)));
    return n;
}

} // namespace

TEST_CASE("batch normalization, its statistics and its gradients equal the reference") {
    struct Shape {
        size_t n, h, w, c;
    };
    // One pixel, less than a workgroup's row of pixels, several tiles of slices, pairs of slices,
    // many chunks.
    const Shape shapes[] = {{1, 1, 1, 3},  {3, 5, 4, 1},  {2, 3, 3, 5},   {2, 4, 7, 33},
                            {5, 1, 1, 70}, {3, 9, 7, 40}, {2, 37, 41, 4}, {1, 96, 97, 125}};
    const NeuronType neurons[] = {NeuronType::None, NeuronType::TanH, NeuronType::PReLU};
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const Shape& s : shapes) {
            const bool large = s.h > 90; // how it is stored makes no difference to its chunks
            if (large && variant.name() != Variant().name()) continue;
            const NeuronType type = neurons[turn++ % 3];
            INFO(variant.name() << " " << s.n << "x" << s.h << "x" << s.w << "x" << s.c
                                << " neuron " << int(type));
            const auto b = normalization(s.c, neuronOf(type, s.c));
            const Tensor x = reference::rounded(reference::random(s.n, s.h, s.w, s.c, turn, -2, 3),
                                                variant.rounding()),
                         g = reference::rounded(reference::randomLike(x, turn + 50),
                                                variant.rounding());
            NormalizationLayer layer(b);
            // Sums of rounded values that cancel: relative to what is added.
            const double terms = double(s.n * s.h * s.w);
            Step want = expected(b, x, g),
                 actual = step(layer, upload(x, variant), upload(g, variant), variant);
            CHECK(reference::compare(actual.mean, want.mean, {1e-5, 1e-6}));
            CHECK(reference::compare(actual.variance, want.variance, {1e-5, 1e-12}));
            CHECK(reference::compare(actual.dGamma, want.dGamma, {1e-5, 1e-7 * terms}));
            CHECK(reference::compare(actual.dBeta, want.dBeta, {1e-5, 1e-7 * terms}));
            CHECK(reference::compare(actual.y, want.y, {variant.tolerance()}));
            // Of dx what is added is gamma * dy / deviation, times up to 30 where nothing varies.
            double largest = 0;
            for (size_t c = 0; c < s.c; ++c)
                largest = std::max(largest, std::abs(b.gamma.empty() ? 1 : b.gamma[c]) /
                                                std::sqrt(want.variance[c] + b.epsilon));
            CHECK(reference::compare(actual.dx, want.dx,
                                     {variant.tolerance(), std::max(1e-6, 2.4e-7 * largest)}));
            CHECK(same(actual, step(layer, upload(x, variant), upload(g, variant), variant)));
            conforms("CNNBatchNormalization", Aspect::Forward, variant);
            conforms("CNNBatchNormalizationStatistics", Aspect::Forward, variant);
            conforms("CNNBatchNormalizationStatisticsGradient", Aspect::Gradient, variant);
            conforms("CNNBatchNormalizationGradient", Aspect::Gradient, variant);
        }
}

TEST_CASE("statistics keep their digits far from zero and after an outlier") {
    Tensor x = reference::random(2, 16, 16, 3, 4, -1, 1);
    for (size_t i = 0; i < x.size(); ++i)
        if (i % 3 == 1) x.v[i] = 1000 + x.v[i] / 64;
    for (size_t i = 0; i < 3; ++i) x.v[i] = 0; // of the first pixel
    x = reference::rounded(x, reference::Storage::Float32);
    NormalizationLayer layer(normalization(3));
    const auto images = upload(x);
    const State state = layer.state(images);
    run([&](const MTL::CommandBuffer& commands) {
        layer.statistics.encodeBatch(commands, images, state);
    });
    const auto want = reference::statistics(x);
    for (size_t c = 0; c < 3; ++c) {
        CHECK(std::abs(values(state.mean())[c] - want.mean[c]) <=
              1e-6 * std::max(1e-1, std::abs(want.mean[c])));
        CHECK(std::abs(values(state.variance())[c] - want.variance[c]) <= 1e-5 * want.variance[c]);
    }
}

TEST_CASE("a batch may come in parts, on several command buffers, and from anywhere") {
    const Tensor x = reference::random(6, 9, 7, 12, 3), g = reference::randomLike(x, 4);
    const auto b = normalization(12, neuronOf(NeuronType::Sigmoid, 12));
    NormalizationLayer layer(b);
    const Step whole = step(layer, upload(x), upload(g)), want = expected(b, x, g);
    check(whole, want);
    check(step(layer, uploadApart(x), uploadApart(g)), want);
    CHECK(same(whole, step(layer, upload(x), upload(g))));

    for (const size_t size : {1, 4}) {
        INFO("parts of " << size);
        for (const bool severalBuffers : {false, true}) {
            const auto images = upload(x), gradients = upload(g);
            Guarded y(6, 9, 7, 12);
            const auto dx = upload(Tensor(6, 9, 7, 12));
            const State state = layer.state(images);
            const MTL::CommandQueue queue = testDevice().newCommandQueue();
            MTL::CommandBuffer commands = queue.commandBuffer();
            const auto forEachPart = [&](const auto& encode) {
                for (size_t i = 0; i < 6; i += size) {
                    const auto part = [&](const MPS::ImageBatch& all) {
                        return MPS::ImageBatch(all.begin() + std::ptrdiff_t(i),
                                               all.begin() +
                                                   std::ptrdiff_t(std::min<size_t>(6, i + size)));
                    };
                    encode(part);
                    if (!severalBuffers) continue;
                    commands.commit();
                    commands = queue.commandBuffer();
                }
            };
            forEachPart([&](const auto& part) {
                layer.statistics.encodeBatch(commands, part(images), state);
            });
            forEachPart([&](const auto& part) {
                layer.forward.encodeBatch(commands, part(images), state, part(y.images()));
            });
            forEachPart([&](const auto& part) {
                layer.statisticsGradient.encodeBatch(commands, part(gradients), part(images),
                                                     state);
            });
            forEachPart([&](const auto& part) {
                layer.gradient.encodeBatch(commands, part(gradients), part(images), state,
                                           part(dx));
            });
            commands.commit();
            commands.waitUntilCompleted();
            check(read(y, dx, state), want);
        }
    }
}

TEST_CASE("a state is used for batch after batch without a reset, or with one") {
    for (const bool resets : {false, true}) {
        const auto b = normalization(5);
        NormalizationLayer layer(b);
        const auto first = upload(reference::random(3, 4, 5, 5, 60));
        const State state = layer.state(first);
        for (uint64_t batch = 0; batch < 3; ++batch) {
            const Tensor x = reference::random(3, 4, 5, 5, 60 + batch, -1, 1 + double(batch)),
                         g = reference::randomLike(x, 70 + batch);
            const auto images = upload(x), gradients = upload(g);
            Guarded y(3, 4, 5, 5);
            MPS::ImageBatch dx;
            run([&](const MTL::CommandBuffer& commands) {
                layer.encodeForward(commands, images, state, y.images());
                dx = layer.encodeGradient(commands, gradients, images, state);
            });
            CHECK(same(read(y, dx, state), step(layer, images, gradients)));
            if (resets) state.reset();
            CHECK(bool(state.gradientForGamma()) == !resets);
            CHECK(bool(state.gradientForBeta()) == !resets);
            CHECK((values(state.mean()) == std::vector<double>(5, 0)) == resets);
            CHECK((values(state.variance()) == std::vector<double>(5, 1)) == resets);
        }
    }
    conforms("CNNBatchNormalizationState", Aspect::State);
}

TEST_CASE("a batch's gradient sums to zero, and is orthogonal to the normalized source") {
    const Tensor x = reference::random(4, 6, 5, 7, 3, -2, 1), g = reference::randomLike(x, 4);
    auto b = normalization(7);
    b.epsilon = double(FLT_MIN);
    NormalizationLayer layer(b);
    const Step s = step(layer, upload(x), upload(g));
    const auto statistics = reference::statistics(x);
    std::vector<double> sum(7), product(7);
    for (size_t i = 0; i < x.size(); ++i) {
        const size_t c = i % 7;
        sum[c] += s.dx.v[i];
        product[c] += s.dx.v[i] * (x.v[i] - statistics.mean[c]) / std::sqrt(statistics.variance[c]);
    }
    for (size_t c = 0; c < 7; ++c) {
        CHECK(std::abs(sum[c]) < 2e-5);
        CHECK(std::abs(product[c]) < 2e-5);
    }
}

TEST_CASE("a constant image gives beta with the smallest epsilon") {
    for (const Variant variant : variants()) {
        Tensor x(2, 5, 6, 5);
        for (size_t i = 0; i < x.size(); ++i) x.v[i] = .375 + double(i % 5);
        auto b = normalization(5);
        b.beta = {-1, .5, 0, 2, 8};
        b.epsilon = double(FLT_MIN);
        NormalizationLayer layer(b);
        const Step s =
            step(layer, upload(x, variant), upload(Tensor(2, 5, 6, 5, .25), variant), variant);
        for (size_t i = 0; i < x.size(); ++i) CHECK(s.y.v[i] == b.beta[i % 5]);
        CHECK(s.variance == std::vector<double>(5, 0));
        CHECK(s.dGamma == std::vector<double>(5, 0));
        CHECK(s.dBeta == std::vector<double>(5, 15));
        // Nothing but rounding is left of the gradient, times 1 / sqrt(epsilon).
        for (const double v : s.dx.v) CHECK_FALSE(std::isnan(v));
    }
}

TEST_CASE("without statistics of the batch the kernel's own hold, and do not change with x") {
    const auto b = normalization(6, neuronOf(NeuronType::TanH, 6));
    const Tensor x = reference::random(2, 3, 5, 6, 8), g = reference::randomLike(x, 9);
    NormalizationLayer layer(b);
    layer.source->means = {0, 1, -1, .5, .25, 2};
    layer.source->variances = {1, 2, .5, 4, .125, 1};
    layer.forward.reloadMeanAndVarianceFromDataSource();
    const reference::ChannelStatistics fixed{
        {layer.source->means.begin(), layer.source->means.end()},
        {layer.source->variances.begin(), layer.source->variances.end()}};
    const auto images = upload(x);
    Guarded inference(2, 3, 5, 6), one(2, 3, 5, 6), withState(2, 3, 5, 6);
    const State state = layer.state(images);
    MPS::ImageBatch dx, returned;
    run([&](const MTL::CommandBuffer& commands) {
        layer.forward.encodeBatch(commands, images, inference.images());
        layer.forward.encode(commands, images[0], one.images()[0]);
        layer.forward.encode(commands, images[1], state, one.images()[1]);
        layer.forward.encodeBatch(commands, images, state, withState.images());
        dx = layer.encodeGradient(commands, upload(g), images, state);
        MPS::CNNBatchNormalization copy = layer.forward;
        copy.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        returned = copy.encodeBatch(commands, images);
    });
    const Tensor y = reference::forward(b, fixed, x);
    CHECK(reference::compare(inference.read(), y));
    for (const Tensor& other : {one.read(), withState.read(), download(returned)})
        CHECK(other.v == inference.read().v);
    const auto want = reference::gradient(b, fixed, false, g, x);
    CHECK(reference::compare(download(dx), want.source));
    CHECK(reference::compare(values(state.gradientForGamma()), want.gamma));
    CHECK(reference::compare(values(state.gradientForBeta()), want.beta));
    CHECK(values(state.mean()) == fixed.mean);
    CHECK(values(state.variance()) == fixed.variance);
    CHECK(values(state.gamma()) == b.gamma);
    CHECK(values(state.beta()) == b.beta);
    CHECK(state.batchNormalization()->numberOfFeatureChannels() == 6);
}

TEST_CASE("batch normalization gradients are its slopes between two neurons") {
    const auto b = normalization(5, neuronOf(NeuronType::Sigmoid, 5));
    NormalizationLayer layer(b);
    const Tensor x = reference::random(3, 3, 2, 5, 13),
                 cotangent = reference::random(3, 3, 2, 5, 14, -4, 4);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron neuron(testDevice(), tanh);
    MPS::CNNNeuronGradient neuronGradient(testDevice(), tanh);
    neuron.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    neuronGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch hidden, normalized, y, dx;
    State state;
    const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
        hidden = neuron.encodeBatch(commands, at);
        normalized = upload(Tensor(3, 3, 2, 5));
        state = layer.state(hidden);
        layer.encodeForward(commands, hidden, state, normalized);
        y = neuron.encodeBatch(commands, normalized);
    };
    const auto f = [&](const Tensor& at) {
        run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
        return dot(download(y), cotangent);
    };
    run([&](const MTL::CommandBuffer& commands) {
        const auto source = upload(x);
        encode(commands, source);
        auto g = neuronGradient.encodeBatch(commands, upload(cotangent), normalized,
                                            neuron.resultStateBatch(normalized, {}, y));
        g = layer.encodeGradient(commands, g, hidden, state);
        dx = neuronGradient.encodeBatch(commands, g, source,
                                        neuron.resultStateBatch(source, {}, hidden));
    });
    reference::GradientCheckOptions options;
    options.step = 4e-3;
    options.tolerance = 4e-3;
    options.samples = 20;
    CHECK(reference::checkGradient(f, x, download(dx), options));
}
