#include "mps/KernelPairs.hpp"
#include "mps/ReducedPrecision.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/reference/Gram.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/NNGramMatrixCalculation.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

MPS::NNGramMatrixCalculation quarter() { return MPS::NNGramMatrixCalculation(testDevice(), 0.25f); }
[[maybe_unused]] const bool named =
    everyKernel(quarter) &&
    everyGradient([] { return MPS::NNGramMatrixCalculationGradient(testDevice(), 3); },
                  forwardPass(quarter));

struct Result {
    Tensor y, dx;
};

Result both(float alpha, const MPS::ImageBatch& x, const MPS::ImageBatch& g, const Tensor& shape,
            Variant variant = {}) {
    MPS::NNGramMatrixCalculation kernel(testDevice(), alpha);
    MPS::NNGramMatrixCalculationGradient gradient(testDevice(), 77); // the state has the real one
    Guarded y(shape.n, 1, shape.c, shape.c, variant);
    Guarded dx(shape.n, shape.h, shape.w, shape.c, variant);
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = kernel.resultStateBatch(x, {}, y.images());
        kernel.encodeBatch(commands, x, states, y.images());
        gradient.encodeBatch(commands, g, x, states, dx.images());
    });
    CHECK(gradient.alpha() == 77);
    return {y.read(), dx.read()};
}

} // namespace

TEST_CASE("Gram matrices and their gradients equal the reference in every size and storage") {
    struct Case {
        size_t n, h, w, c;
    };
    // Several tiles of channels; several parts of the pixels, also where halves have fewer; neither
    // full.
    const Case cases[] = {{2, 1, 1, 1},    {2, 3, 5, 3},   {3, 7, 9, 4},    {1, 2, 3, 33},
                          {2, 4, 4, 70},   {2, 7, 7, 136}, {1, 5, 13, 131}, {2, 23, 31, 6},
                          {1, 40, 41, 20}, {1, 64, 65, 40}};
    for (const Variant variant : variants())
        for (const Case& k : cases) {
            INFO(variant.name() << ", " << k.h << "x" << k.w << "x" << k.c);
            const Tensor x =
                reference::rounded(reference::random(k.n, k.h, k.w, k.c, 1), variant.rounding());
            const Tensor g =
                reference::rounded(reference::random(k.n, 1, k.c, k.c, 2), variant.rounding());
            const double alpha = 0.375;
            const Result actual =
                both(float(alpha), upload(x, variant), upload(g, variant), x, variant);
            const Tensor mostY = reference::gramMatrix(alpha, reference::absolute(x));
            const Tensor mostDx = reference::gramMatrixGradient(alpha, reference::absolute(g),
                                                                reference::absolute(x));
            CHECK(reference::compare(actual.y, reference::gramMatrix(alpha, x),
                                     {variant.tolerance(), 0, &mostY}));
            CHECK(reference::compare(actual.dx, reference::gramMatrixGradient(alpha, g, x),
                                     {variant.tolerance(), 0, &mostDx}));
            conforms("NNGramMatrixCalculation", Aspect::Forward, variant);
            conforms("NNGramMatrixCalculationGradient", Aspect::Gradient, variant);
            for (size_t f = 0; f < k.c; ++f) // symmetric to the bit
                for (size_t c = 0; c < f; ++c)
                    if (actual.y.at(0, 0, f, c) != actual.y.at(0, 0, c, f)) FAIL_CHECK(f << c);
        }
}

TEST_CASE("the Gram matrix has the documented numbers, and the encodes size it") {
    const Tensor x(1, 1, 2, 3, {1, 2, 3, -1, 0, 4}), g(1, 1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    MPS::NNGramMatrixCalculation kernel(testDevice(), 0.5f);
    MPS::NNGramMatrixCalculationGradient gradient(testDevice());
    CHECK(MPS::NNGramMatrixCalculation(testDevice()).alpha() == 1);
    CHECK(gradient.alpha() == 1);
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x), incoming = upload(g);
    MPS::ImageBatch y, dx, byOwnAlpha;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::StateBatch states;
        byOwnAlpha = gradient.encodeBatch(commands, incoming, source, nullptr, false);
        y = kernel.encodeBatch(commands, source, &states, true);
        dx = gradient.encodeBatch(commands, incoming, source, states);
    });
    CHECK(y[0].width() == 3);
    CHECK(y[0].height() == 1);
    CHECK(y[0].featureChannels() == 3);
    CHECK(download(y).v == std::vector<double>{1, 1, -0.5, 1, 2, 3, -0.5, 3, 12.5});
    CHECK(download(dx).v == std::vector<double>{22, 34, 46, 19, 25, 31});
    CHECK(gradient.alpha() == 0.5f);
}

TEST_CASE("the Gram gradient without a state goes by its own alpha") {
    const Tensor x(1, 1, 2, 3, {1, 2, 3, -1, 0, 4}), g(1, 1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    MPS::NNGramMatrixCalculationGradient gradient(testDevice(), 2);
    Guarded dx(1, 1, 2, 3);
    run([&](const MTL::CommandBuffer& commands) {
        gradient.encodeBatch(commands, upload(g), upload(x), dx.images());
    });
    CHECK(dx.read().v == std::vector<double>{88, 136, 184, 76, 100, 124});
}

TEST_CASE("Gram matrices of a batch are those of its images, wherever they lie") {
    struct Case {
        size_t n, h, w, c;
        MPS::ImageFeatureChannelFormat format;
    };
    constexpr auto single = MPS::ImageFeatureChannelFormat::Float32,
                   half = MPS::ImageFeatureChannelFormat::Float16;
    // Batches that fill a device, and may have other tiles than one image; the last one's images
    // have parts where halves have them, too.
    for (const Case& k : {Case{4, 20, 30, 70, single}, Case{70, 32, 48, 72, single},
                          Case{70, 32, 48, 72, half}, Case{3, 64, 65, 64, half}}) {
        INFO(k.n << " of " << k.h << "x" << k.w << "x" << k.c);
        const Variant variant{k.format};
        const Tensor x = reference::random(k.n, k.h, k.w, k.c, 3),
                     g = reference::random(k.n, 1, k.c, k.c, 4);
        const auto sources = upload(x, variant), gradients = upload(g, variant);
        const Result together = both(0.5f, sources, gradients, x, variant);
        const auto isSame = [](const Tensor& a, const Tensor& b) { return a.v == b.v; };
        if (k.n < 10) {
            const Result again = both(0.5f, sources, gradients, x, variant);
            CHECK(isSame(again.y, together.y)); // too long to print
            CHECK(isSame(again.dx, together.dx));
            const Result apart =
                both(0.5f, uploadApart(x, variant), uploadApart(g, variant), x, variant);
            CHECK(isSame(apart.y, together.y));
            CHECK(isSame(apart.dx, together.dx));
        }
        const Tensor x2 = reference::image(x, 2), g2 = reference::image(g, 2);
        const Result alone = both(0.5f, upload(x2, variant), upload(g2, variant), x2, variant);
        CHECK(isSame(alone.y, reference::image(together.y, 2)));
        CHECK(isSame(alone.dx, reference::image(together.dx, 2)));
    }
}

TEST_CASE("the images of a Gram matrix' batch may lie in different ways") {
    const Tensor x = reference::random(2, 5, 6, 5, 13), g = reference::random(2, 1, 5, 5, 14);
    const auto pair = [](const Tensor& t, Variant a, Variant b) {
        return MPS::ImageBatch{upload(reference::image(t, 0), a)[0],
                               upload(reference::image(t, 1), b)[0]};
    };
    const Tensor noMatrix(2, 1, 5, 5, 9), noImage(2, 5, 6, 5, 9);
    for (const Variant a : variants())
        for (const Variant b : variants()) {
            INFO(a.name() << " and " << b.name());
            MPS::NNGramMatrixCalculation kernel(testDevice(), 0.5f);
            MPS::NNGramMatrixCalculationGradient gradient(testDevice());
            const auto encoded = [&](const MPS::ImageBatch& sources, const MPS::ImageBatch& y,
                                     const MPS::ImageBatch& incoming, const MPS::ImageBatch& dx) {
                const auto states = kernel.resultStateBatch(sources, {}, y);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encodeBatch(commands, sources, states, y);
                    gradient.encodeBatch(commands, incoming, sources, states, dx);
                });
                return std::pair(download(y), download(dx));
            };
            // The sources, the gradients, then the results in two ways.
            const MPS::ImageBatch both = pair(x, a, b), incoming = pair(g, a, b);
            const auto [y, dx] = encoded(both, upload(noMatrix), incoming, upload(noImage));
            for (size_t i = 0; i < 2; ++i) {
                const auto [y1, dx1] = encoded({both[i]}, upload(Tensor(1, 1, 5, 5)), {incoming[i]},
                                               upload(Tensor(1, 5, 6, 5)));
                CHECK(reference::image(y, i).v == y1.v);
                CHECK(reference::image(dx, i).v == dx1.v);
            }
            const auto [there, back] =
                encoded(upload(x), pair(noMatrix, a, b), upload(g), pair(noImage, a, b));
            CHECK(reference::compare(there, reference::gramMatrix(0.5, x), {4e-3, 4e-3}));
            CHECK(reference::compare(back, reference::gramMatrixGradient(0.5, g, x), {4e-3, 4e-3}));
        }
}

TEST_CASE("the Gram gradient of halves is exact up to its own rounding where G is symmetric") {
    const Variant variant{MPS::ImageFeatureChannelFormat::Float16};
    const Tensor x = reference::rounded(reference::random(2, 9, 11, 64, 8), variant.rounding());
    Tensor g = reference::rounded(reference::random(2, 1, 64, 64, 9), variant.rounding());
    g.at(0, 0, 3, 5) = 65504; // of which the sum is beyond a half
    g.at(0, 0, 7, 7) = 6e-8;  // a half's smallest number
    for (size_t i = 0; i < g.n; ++i)
        for (size_t f = 0; f < g.c; ++f)
            for (size_t c = 0; c < f; ++c) g.at(i, 0, f, c) = g.at(i, 0, c, f);
    g = reference::rounded(g, variant.rounding());
    const double alpha = 1.0 / 1024;
    const Tensor actual = both(float(alpha), upload(x, variant), upload(g, variant), x, variant).dx;
    const Tensor most =
        reference::gramMatrixGradient(alpha, reference::absolute(g), reference::absolute(x));
    const Tensor expected = reference::gramMatrixGradient(alpha, g, x);
    for (size_t i = 0; i < expected.size(); ++i) {
        // Half a unit of the last place, of the smallest numbers, too; and sums in fp32.
        const double allowed = std::abs(expected.v[i]) / 2048 + 3e-8 + 1e-6 * most.v[i];
        if (!(std::abs(actual.v[i] - expected.v[i]) <= allowed))
            FAIL_CHECK(i << ": " << actual.v[i] << " for " << expected.v[i]);
    }
}

TEST_CASE("Gram matrices of images in other formats than their results'") {
    constexpr auto texture = MPS::ImageStorage::Texture, buffer = MPS::ImageStorage::Buffer;
    using Format = MPS::ImageFeatureChannelFormat;
    std::vector<Variant> sources{{Format::Unorm8, buffer}, {Format::Float16, buffer}};
    if (variants().size() > 2) sources.push_back({Format::Unorm8, texture});
    for (const Variant from : sources)
        for (const Variant to : variants()) {
            INFO(from.name() << " to " << to.name());
            const Tensor x = reference::rounded(
                reference::absolute(reference::random(2, 6, 7, 40, 10)), from.rounding());
            const Tensor g = reference::rounded(reference::random(2, 1, 40, 40, 11), to.rounding());
            const Result actual = both(0.5f, upload(x, from), upload(g, to), x, to);
            const Tensor most = reference::gramMatrixGradient(0.5, reference::absolute(g), x);
            CHECK(reference::compare(actual.y, reference::gramMatrix(0.5, x), {to.tolerance()}));
            CHECK(reference::compare(actual.dx, reference::gramMatrixGradient(0.5, g, x),
                                     {to.tolerance(), 0, &most}));
        }
    const Tensor x = reference::rounded(reference::absolute(reference::random(1, 5, 3, 6, 12)),
                                        reference::Storage::Float32);
    for (const Variant to : {sources.front(), sources.back()}) {
        const auto y = upload(Tensor(1, 1, 6, 6), to);
        run([&](const MTL::CommandBuffer& commands) {
            MPS::NNGramMatrixCalculation(testDevice(), 1.f / 16)
                .encodeBatch(commands, upload(x), y);
        });
        CHECK(reference::compare(download(y), reference::gramMatrix(1.0 / 16, x), {0, 2.1e-3}));
    }
}

TEST_CASE("Gram matrices and their gradients in reduced precision") {
    for (const size_t pixels : {49, 1600}) { // in one part and in two
        const Tensor x = reference::rounded(reference::random(2, 1, pixels, 132, 13),
                                            reference::Storage::Float32),
                     g = reference::rounded(reference::random(2, 1, 132, 132, 14),
                                            reference::Storage::Float32);
        const auto sources = upload(x), gradients = upload(g);
        const auto result = [&](MPS::KernelOptions options) {
            MPS::NNGramMatrixCalculation kernel(testDevice(), 0.5f);
            MPS::NNGramMatrixCalculationGradient gradient(testDevice(), 0.5f);
            kernel.setOptions(options);
            gradient.setOptions(options);
            Guarded y(2, 1, 132, 132), dx(2, 1, pixels, 132);
            run([&](const MTL::CommandBuffer& commands) {
                kernel.encodeBatch(commands, sources, y.images());
                gradient.encodeBatch(commands, gradients, sources, dx.images());
            });
            return Result{y.read(), dx.read()};
        };
        reduced::check(
            "forward", [&](auto options) { return result(options).y.v; },
            [&] { return reference::gramMatrix(0.5, x).v; });
        reduced::check(
            "gradient", [&](auto options) { return result(options).dx.v; },
            [&] { return reference::gramMatrixGradient(0.5, g, x).v; });
        const Tensor y = result(reduced::allowed).y;
        for (size_t f = 0; f < 132; ++f) // symmetric to the bit
            for (size_t c = 0; c < f; ++c)
                if (y.at(0, 0, f, c) != y.at(0, 0, c, f)) FAIL_CHECK(f << ", " << c);
    }
}

TEST_CASE("the Gram matrix of a range of channels, and of an array of images") {
    const Variant variant =
        GENERATE(from_range(std::vector<Variant>{variants().front(), variants().back()}));
    INFO(variant.name());
    const auto image = [&](uint64_t width, uint64_t height, uint64_t channels, uint64_t images) {
        MPS::ImageDescriptor d(variant.format, width, height, channels, images);
        d.setStorage(variant.storage);
        return MPS::Image(testDevice(), d);
    };
    const Tensor x = reference::rounded(reference::random(3, 4, 5, 14, 5), variant.rounding());
    const MPS::Image many = image(5, 4, 14, 3), y = image(6, 1, 10, 2), dx = image(5, 4, 6, 3);
    for (size_t i = 0; i < 3; ++i)
        many.write(reference::image(x, i).floats(), MPS::DataLayout::HeightxWidthxFeatureChannels,
                   i);
    MPS::NNGramMatrixCalculation kernel(testDevice(), 0.25f);
    kernel.setOffset({0, 0, 1});
    kernel.setSourceFeatureChannelOffset(4);
    kernel.setSourceFeatureChannelMaxCount(6);
    kernel.setDestinationFeatureChannelOffset(4);
    MPS::NNGramMatrixCalculationGradient gradient(testDevice());
    gradient.setPrimarySourceFeatureChannelOffset(4);
    gradient.setSecondarySourceFeatureChannelOffset(4);
    gradient.setSecondarySourceFeatureChannelMaxCount(6);
    gradient.setSecondaryOffset({0, 0, 1});
    gradient.setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 2}});
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::State state = kernel.resultState(many, {}, y);
        kernel.encode(commands, many, state, y);
        gradient.encode(commands, y, many, state, dx); // y as its own gradient
    });
    for (size_t i = 0; i < 2; ++i) {
        const Tensor part = reference::channels(reference::image(x, 1 + i), 4, 6);
        const Tensor gram = reference::gramMatrix(0.25, part);
        const Tensor most = reference::gramMatrix(0.25, reference::absolute(part));
        const Tensor mostSlope =
            reference::gramMatrixGradient(0.25, most, reference::absolute(part));
        std::vector<float> values(60), slope(120);
        y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        dx.read(slope, MPS::DataLayout::HeightxWidthxFeatureChannels, 1 + i);
        const Tensor actual = reference::fromFloats(1, 1, 6, 10, values);
        const Tensor g = reference::channels(actual, 4, 6);
        CHECK(reference::compare(g, gram, {variant.tolerance(), 0, &most}));
        CHECK(reference::compare(reference::fromFloats(1, 4, 5, 6, slope),
                                 reference::gramMatrixGradient(0.25, g, part),
                                 {variant.tolerance(), 0, &mostSlope}));
    }
}

TEST_CASE("Gram gradients are the slopes of the Gram matrix between two neurons") {
    const Tensor x = reference::random(2, 3, 4, 5, 6), cotangent = reference::random(2, 1, 5, 5, 7);
    const KernelPair pair{std::make_unique<MPS::NNGramMatrixCalculation>(testDevice(), 1.f / 12),
                          std::make_unique<MPS::NNGramMatrixCalculationGradient>(testDevice())};
    reference::GradientCheckOptions options;
    options.step = 4e-3;
    options.tolerance = 4e-3;
    options.samples = 20;
    CHECK(checkBetweenNeurons(pair, x, cotangent, options));
}

TEST_CASE("the Gram matrix refuses what cannot be, and says what memory it takes") {
    const auto x = upload(Tensor(2, 4, 5, 6)), y = upload(Tensor(2, 1, 6, 6)),
               wrong = upload(Tensor(2, 2, 6, 6));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::NNGramMatrixCalculation kernel(testDevice(), 2);
    kernel.setLabel("g");
    CHECK(kernel.batchEncodingStorageSize(x, {}, y) == 0); // few channels, and one part
    const Variant bytes{MPS::ImageFeatureChannelFormat::Unorm8};
    CHECK(kernel.batchEncodingStorageSize(upload(Tensor(2, 4, 5, 6), bytes), {}, y) ==
          2 * 4 * 5 * 6 * 4); // a copy in fp32
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, wrong); }) ==
          "[NNGramMatrixCalculation \"g\"] The destination is 6x2 but the Gram matrix of 6 feature "
          "channels is 6x1.");
    kernel.setOffset({0, -1, 0});
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, y);
          }).find("offset is (0, -1) but must be (0, 0)") != std::string::npos);
    kernel.setOffset({});
    kernel.setClipRect({{1, 0, 0}, {5, 1, 1}});
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, y);
          }).find("clipRect leaves 5x1 pixels from (1, 0) of the 6x1") != std::string::npos);
    kernel.setClipRect(MPS::RectNoClip);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNGramMatrixCalculation \"g\"] edgeMode is Constant but only Zero and Clamp are known "
          "to this kernel.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, neuron.resultStateBatch(x, {}, x), y); }) ==
          "[NNGramMatrixCalculation \"g\"] destinationStates has a state that was made by a "
          "CNNNeuron but this "
          "kernel takes its own.");
    const auto states = kernel.resultStateBatch(x, {}, y);
    kernel.setAlpha(3);
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, states, y);
          }).find("made with alpha 2.000000 but this encode has 3.000000") != std::string::npos);

    MPS::NNGramMatrixCalculationGradient gradient(testDevice());
    CHECK(gradient.batchEncodingStorageSize(y, x, {}, x) == 2 * 6 * 8 * 4);
    const auto dx = upload(Tensor(2, 4, 5, 6)), small = upload(Tensor(2, 4, 4, 6)),
               other = upload(Tensor(2, 4, 4, 6));
    CHECK(
        refusal([&] { gradient.encodeBatch(commands, wrong, x, states, dx); }) ==
        "[NNGramMatrixCalculationGradient] sourceGradient is 6x2 but the Gram matrix of 6 feature "
        "channels is 6x1.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, states, small); }) ==
          "[NNGramMatrixCalculationGradient] The destination is 4x4 but sourceImage is 5x4.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, small, states, other); }) ==
          "[NNGramMatrixCalculationGradient] The gradient state is of a source of 5x4 but "
          "sourceImage is 4x4.");
    const MPS::StateBatch mixed{states[0], kernel.resultState(x[1], {}, y[1])};
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, mixed, dx); }) ==
          "[NNGramMatrixCalculationGradient] One gradient state has alpha 2.000000 and another "
          "3.000000.");
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, neuron.resultStateBatch(x, {}, x), dx);
          }).find("was made by a CNNNeuron") != std::string::npos);
}
