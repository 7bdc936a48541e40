#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/reference/SoftMax.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <memory>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

template <class Forward, class Gradient> bool everySoftMax() {
    const auto forward = [] { return Forward(testDevice()); };
    return everyKernel(forward) &&
           everyGradient([] { return Gradient(testDevice()); }, forwardPass(forward, true));
}
[[maybe_unused]] const bool named = everySoftMax<MPS::CNNSoftMax, MPS::CNNSoftMaxGradient>() &&
                                    everySoftMax<MPS::CNNLogSoftMax, MPS::CNNLogSoftMaxGradient>();

std::unique_ptr<MPS::CNNKernel> forwardOf(bool logarithm) {
    if (logarithm) return std::make_unique<MPS::CNNLogSoftMax>(testDevice());
    return std::make_unique<MPS::CNNSoftMax>(testDevice());
}

std::unique_ptr<MPS::CNNGradientKernel> gradientOf(bool logarithm) {
    if (logarithm) return std::make_unique<MPS::CNNLogSoftMaxGradient>(testDevice());
    return std::make_unique<MPS::CNNSoftMaxGradient>(testDevice());
}

Tensor forward(bool logarithm, const Tensor& x) {
    return logarithm ? reference::logSoftMax(x) : reference::softMax(x);
}

Tensor gradient(bool logarithm, const Tensor& g, const Tensor& y) {
    return logarithm ? reference::logSoftMaxGradient(g, y) : reference::softMaxGradient(g, y);
}

struct Result {
    Tensor y, dx;
};

/// The gradient is given `y` as the forward result.
Result both(bool logarithm, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
            const MPS::ImageBatch& y, const Tensor& shape, Variant variant = {}) {
    Guarded result(shape.n, shape.h, shape.w, shape.c, variant),
        dx(shape.n, shape.h, shape.w, shape.c, variant);
    const auto kernel = forwardOf(logarithm);
    const auto gradient = gradientOf(logarithm);
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = kernel->resultStateBatch(x, {}, result.images());
        kernel->encodeBatch(commands, x, states, result.images());
        gradient->encodeBatch(commands, g, y, states, dx.images());
    });
    return {result.read(), dx.read()};
}

} // namespace

TEST_CASE("softmax and its gradient equal the reference, with few channels and with many") {
    for (const Variant variant : variants())
        for (const bool logarithm : {false, true})
            for (const size_t channels : {1, 3, 4, 5, 8, 33, 130, 1000}) {
                INFO(variant.name()
                     << (logarithm ? " logarithm, " : ", ") << channels << " channels");
                const Tensor x = reference::rounded(reference::random(2, 3, 5, channels, 1, -6, 6),
                                                    variant.rounding());
                const Tensor g =
                    reference::rounded(reference::randomLike(x, 2), variant.rounding());
                const Tensor y = reference::rounded(forward(logarithm, x), variant.rounding());
                const Result actual = both(logarithm, upload(x, variant), upload(g, variant),
                                           upload(y, variant), x, variant);
                CHECK(reference::compare(actual.y, forward(logarithm, x), {variant.tolerance()}));
                CHECK(reference::compare(actual.dx, gradient(logarithm, g, y),
                                         {variant.tolerance()}));
                const std::string name = forwardOf(logarithm)->className();
                conforms(name, Aspect::Forward, variant);
                conforms(name + "Gradient", Aspect::Gradient, variant);
            }
}

TEST_CASE("softmax of a batch does not depend on where its images lie, nor on the run") {
    for (const size_t channels : {7, 200}) {
        const Tensor x = reference::random(4, 2, 3, channels, 3), g = reference::randomLike(x, 4);
        const Tensor y = reference::softMax(x);
        const Result together = both(false, upload(x), upload(g), upload(y), x);
        const Result apart = both(false, uploadApart(x), uploadApart(g), uploadApart(y), x);
        const Result again = both(false, upload(x), upload(g), upload(y), x);
        CHECK(together.y.v == apart.y.v);
        CHECK(together.dx.v == apart.dx.v);
        CHECK(together.y.v == again.y.v);
        CHECK(together.dx.v == again.dx.v);
    }
}

TEST_CASE("softmax of three channels gives the documented numbers") {
    const Tensor x(1, 1, 1, 3, {1, 2, 4}), g(1, 1, 1, 3, {1, -1, .5});
    const Tensor y(1, 1, 1, 3, {.0420101, .114195, .843795}),
        dx(1, 1, 1, 3, {.0273186, -.154131, .126812});
    const Result a = both(false, upload(x), upload(g), upload(reference::softMax(x)), x);
    CHECK(reference::compare(a.y, y, {1e-6}));
    CHECK(reference::compare(a.dx, dx, {4e-6}));
    const Tensor logY(1, 1, 1, 3, {-3.16985, -2.16985, -.169846}),
        logDx(1, 1, 1, 3, {.978995, -1.0571, .0781026});
    const Result b = both(true, upload(x), upload(g), upload(reference::logSoftMax(x)), x);
    CHECK(reference::compare(b.y, logY, {2e-6}));
    CHECK(reference::compare(b.dx, logDx, {5e-6}));
}

TEST_CASE("softmax of an array of images, and back") {
    const Tensor x = reference::random(3, 2, 3, 7, 3), g = reference::randomLike(x, 4);
    const MPS::Image source = uploadArray(x), y = uploadArray(Tensor(3, 2, 3, 7, -1)),
                     dx = uploadArray(Tensor(3, 2, 3, 7, -1));
    MPS::CNNSoftMax kernel(testDevice());
    MPS::CNNSoftMaxGradient backward(testDevice());
    kernel.setOffset({0, 0, 1});
    kernel.setClipRect({{0, 0, 0}, {UINT64_MAX, UINT64_MAX, 2}});
    backward.setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 2}});
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, source, y);
        backward.encode(commands, uploadArray(g), y, dx);
    });
    const Tensor result = download(y.batchRepresentation()),
                 slope = download(dx.batchRepresentation());
    for (size_t i = 0; i < 2; ++i) {
        const Tensor one = reference::softMax(reference::image(x, 1 + i));
        CHECK(reference::compare(reference::image(result, i), one, {1e-6}));
        CHECK(reference::compare(reference::image(slope, 1 + i),
                                 reference::softMaxGradient(reference::image(g, i), one), {2e-6}));
    }
    CHECK(reference::image(result, 2).v == Tensor(1, 2, 3, 7, -1).v);
    CHECK(reference::image(slope, 0).v == Tensor(1, 2, 3, 7, -1).v);
}

TEST_CASE("softmax bears large values and lets NaN through") {
    Tensor x(1, 1, 2, 5, {3e38, 3e38, -3e38, 0, 1, -1e4, -1e4 - 1, -2e4, -3e38, -1e4});
    const Result actual = both(false, upload(x), upload(x), upload(x), x);
    CHECK(reference::compare(actual.y, reference::softMax(x), {1e-6}));
    x.v[7] = std::numeric_limits<double>::quiet_NaN();
    const Result poisoned = both(false, upload(x), upload(x), upload(x), x);
    for (size_t i = 0; i < 10; ++i) CHECK(std::isnan(poisoned.y.v[i]) == (i >= 5));
}

TEST_CASE("softmax runs over the channels in use and writes within its clip rectangle") {
    for (const size_t count : {6, 150}) {
        const size_t all = count + 8;
        const Tensor x = reference::random(2, 4, 5, all, 5);
        const auto kernel = forwardOf(false);
        kernel->setOffset({1, 2, 0});
        kernel->setClipRect({{2, 1, 0}, {3, 2, 1}});
        kernel->setSourceFeatureChannelOffset(4);
        kernel->setSourceFeatureChannelMaxCount(count);
        kernel->setDestinationFeatureChannelOffset(8);
        const auto backward = gradientOf(false);
        backward->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const Tensor before = reference::random(2, 4, 6, all, 6);
        const auto source = upload(x), y = upload(before),
                   g = upload(reference::randomLike(before, 7));
        MPS::ImageBatch dx;
        run([&](const MTL::CommandBuffer& commands) {
            const auto states = kernel->resultStateBatch(source, {}, y);
            kernel->encodeBatch(commands, source, states, y);
            dx = backward->encodeBatch(commands, g, y, states);
        });
        const Tensor part = reference::channels(reference::crop(x, {1, 2, 3, 2}), 4, count);
        Tensor expected = before;
        reference::paste(expected, {2, 1}, 8, reference::softMax(part));
        CHECK(reference::compare(download(y), expected, {1e-6}));
        // Of the forward source's size, zero where nothing was read.
        const Tensor used =
            reference::channels(reference::crop(download(g), {2, 1, 3, 2}), 8, count);
        Tensor slope(2, 4, 5, count);
        reference::paste(slope, {1, 2}, 0,
                         reference::softMaxGradient(used, reference::softMax(part)));
        CHECK(reference::compare(download(dx), slope, {2e-6}));
    }
}

TEST_CASE("softmax reads up temporary images and returns images of the source's size") {
    const Tensor x = reference::random(3, 2, 3, 5, 8), g = reference::randomLike(x, 9);
    MPS::CNNLogSoftMax kernel(testDevice());
    MPS::CNNLogSoftMaxGradient backward(testDevice());
    backward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::StateBatch states;
        const auto y = kernel.encodeBatch(commands, upload(x), &states, true);
        const auto first = y[0].as<MPS::TemporaryImage>();
        CHECK(first.readCount() == 1);
        CHECK(states.size() == 3);
        dx = backward.encodeBatch(commands, upload(g), y, states);
        CHECK(first.readCount() == 0);
        CHECK_THROWS_AS(backward.encodeBatch(commands, upload(g), y, states), InvalidArgument);
    });
    CHECK(reference::compare(download(dx),
                             reference::logSoftMaxGradient(g, reference::logSoftMax(x))));
}

TEST_CASE("softmax gradients are the slopes of a softmax between two neurons") {
    for (const bool logarithm : {false, true}) {
        INFO((logarithm ? "logarithm" : "plain"));
        const Tensor x = reference::random(1, 2, 2, 6, 10),
                     cotangent = reference::randomLike(x, 11);
        const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1.5f, 1),
            soft(MPS::CNNNeuronType::SoftSign);
        MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), soft);
        MPS::CNNNeuronGradient firstGradient(testDevice(), tanh), lastGradient(testDevice(), soft);
        const auto kernel = forwardOf(logarithm);
        const auto backward = gradientOf(logarithm);
        for (MPS::CNNKernel* each : {static_cast<MPS::CNNKernel*>(&first), kernel.get(),
                                     static_cast<MPS::CNNKernel*>(&last)})
            each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        firstGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch hidden, y, out, dx;
        const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
            hidden = first.encodeBatch(commands, at);
            y = kernel->encodeBatch(commands, hidden);
            out = last.encodeBatch(commands, y);
        };
        const auto f = [&](const Tensor& at) {
            run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
            return dot(download(out), cotangent);
        };
        const auto source = upload(x);
        run([&](const MTL::CommandBuffer& commands) {
            encode(commands, source);
            auto g = lastGradient.encodeBatch(commands, upload(cotangent), y);
            g = backward->encodeBatch(commands, g, y); // no state is needed
            dx = firstGradient.encodeBatch(commands, g, source);
        });
        reference::GradientCheckOptions options;
        options.step = 4e-3;
        options.tolerance = 2e-3;
        CHECK(reference::checkGradient(f, x, download(dx), options));
    }
}

TEST_CASE("softmax refuses what cannot be") {
    const auto x = upload(reference::random(1, 2, 2, 8, 1)), y = upload(Tensor(1, 2, 2, 8)),
               dx = upload(Tensor(1, 2, 2, 8));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::CNNSoftMax kernel(testDevice());
    kernel.setLabel("prediction");
    kernel.setEdgeMode(MPS::ImageEdgeMode::MirrorWithEdge);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[CNNSoftMax \"prediction\"] edgeMode is MirrorWithEdge but only Zero and Clamp are "
          "known to this kernel.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, x); }).find("does not work in place") !=
          std::string::npos);
    const auto states = kernel.resultStateBatch(x, {}, y);
    CHECK(refusal([&] {
              MPS::CNNLogSoftMaxGradient(testDevice()).encodeBatch(commands, x, y, states);
          }) == "[CNNLogSoftMaxGradient] gradientState was made by a CNNSoftMax but this kernel "
                "takes those of a "
                "CNNLogSoftMax.");
    const auto narrow = upload(Tensor(1, 2, 2, 5));
    CHECK(refusal([&] {
              MPS::CNNSoftMaxGradient(testDevice()).encodeBatch(commands, narrow, y, dx);
          }) == "[CNNSoftMaxGradient] sourceGradient gives 5 feature channels but sourceImage 8.");
}
