#include "mps/ArithmeticKernels.hpp"
#include "support/Conformance.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using Case = ArithmeticCase;

TEST_CASE("arithmetic and its gradients, with every broadcast, equal the reference") {
    for (int operation = 0; operation < 4; ++operation)
        for (const Strides& primary : broadcasts)
            for (const Strides& secondary : broadcasts)
                for (const bool clamped : {false, true}) {
                    const Case k{
                        ArithmeticOperation(operation), primary, secondary, 4, 3, 5, clamped};
                    INFO(k.name());
                    const Tensor x = k.operand(2, primary, 1), y = k.operand(2, secondary, 2);
                    const Arithmetic a = k.reference();
                    const Tensor expected = reference::forward(a, x, y);
                    const Tensor g = reference::rounded(reference::randomLike(expected, 3),
                                                        reference::Storage::Float32);
                    Guarded result(2, expected.h, expected.w, expected.c), dx(2, x.h, x.w, x.c),
                        dy(2, y.h, y.w, y.c);
                    const auto left = upload(x), right = upload(y), dz = upload(g);
                    const auto forward = k.forward();
                    const bool divides = k.operation == ArithmeticOperation::Divide;
                    const bool multiplies = k.operation == ArithmeticOperation::Multiply;
                    run([&](const MTL::CommandBuffer& commands) {
                        const auto states =
                            forward->resultStateBatch(left, right, {}, result.images());
                        forward->encodeBatch(commands, left, right, states, result.images());
                        if (divides) return;
                        for (const bool isSecondary : {false, true}) {
                            const auto gradient = k.gradient(isSecondary);
                            const bool second = multiplies ? !isSecondary : isSecondary;
                            const Strides& s = second ? secondary : primary;
                            gradient->setSecondaryStrideInPixelsX(s.x);
                            gradient->setSecondaryStrideInPixelsY(s.y);
                            gradient->setSecondaryStrideInFeatureChannels(s.c);
                            gradient->encodeBatch(commands, dz, second ? right : left, states,
                                                  isSecondary ? dy.images() : dx.images());
                        }
                    });
                    CHECK(reference::compare(result.read(), expected));
                    if (divides) continue;
                    CHECK(reference::compare(dx.read(), reference::gradient(a, g, x, y, false),
                                             {1e-5, 1e-7}));
                    CHECK(reference::compare(dy.read(), reference::gradient(a, g, x, y, true),
                                             {1e-5, 1e-7}));
                }
}

namespace {

void checkReturned(Variant variant, const Case& k) {
    INFO(variant.name() << " " << k.c << " channels, " << k.name());
    const Tensor x = reference::rounded(k.operand(3, k.primary, 1), variant.rounding());
    const Tensor y = reference::rounded(k.operand(3, k.secondary, 2), variant.rounding());
    const Arithmetic a = k.reference();
    const Tensor expected = reference::forward(a, x, y);
    const Tensor g = reference::rounded(reference::randomLike(expected, 3), variant.rounding());
    const auto forward = k.forward();
    const bool divides = k.operation == ArithmeticOperation::Divide;
    const bool multiplies = k.operation == ArithmeticOperation::Multiply;
    forward->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch z, d[2];
    run([&](const MTL::CommandBuffer& commands) {
        const auto left = upload(x, variant), right = uploadApart(y, variant),
                   dz = upload(g, variant);
        MPS::StateBatch states;
        z = forward->encodeBatch(commands, left, right, &states, true);
        if (k.clamped) REQUIRE(states[0].isTemporary());
        if (divides) return;
        MPS::StateBatchIncrementReadCount(states, 1);
        for (const bool isSecondary : {false, true}) {
            const auto gradient = k.gradient(isSecondary);
            gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
            d[isSecondary] = gradient->encodeBatch(
                commands, dz, isSecondary == multiplies ? left : right, states);
        }
        CHECK(states[0].readCount() == 0);
    });
    CHECK(reference::compare(download(z), expected, {variant.tolerance()}));
    conforms(forward->className(), Aspect::Forward, variant);
    if (divides) return;
    for (const bool isSecondary : {false, true})
        CHECK(reference::compare(download(d[isSecondary]),
                                 reference::gradient(a, g, x, y, isSecondary),
                                 {variant.tolerance()}));
    conforms(forward->className() + "Gradient", Aspect::Gradient, variant);
    conforms("CNNArithmeticGradientState", Aspect::State);
    conforms("NNBinaryGradientState", Aspect::State);
}

} // namespace

TEST_CASE("results that are returned have the larger operand's size, gradients the operand's") {
    for (const Variant variant : variants())
        for (int operation = 0; operation < 4; ++operation)
            for (const size_t c : {1, 4, 33})
                checkReturned(variant, {ArithmeticOperation(operation),
                                        {0, 1, 1},
                                        {1, 1, c % 2 ? size_t(0) : size_t(1)},
                                        3,
                                        5,
                                        c,
                                        true});
}

TEST_CASE("what flows to a bias is summed over all pixels of a large image") {
    for (const Variant variant : variants())
        for (int operation = 0; operation < 3; ++operation)
            for (const size_t c : {5, 16})
                for (const bool clamped : {false, true})
                    checkReturned(
                        variant,
                        {ArithmeticOperation(operation), {1, 1, 1}, {0, 0, 1}, 19, 23, c, clamped});
}

TEST_CASE("offsets, clip rectangle, channel windows and edges, and back") {
    for (const bool clampEdges : {false, true}) {
        INFO("clamp " << clampEdges);
        const Tensor x = reference::random(2, 5, 6, 9, 1), y = reference::random(2, 4, 7, 5, 2);
        MPS::CNNMultiply multiply(testDevice());
        multiply.setPrimaryOffset({-2, 1, 0});
        multiply.setSecondaryOffset({3, -1, 0});
        multiply.setClipRect({{2, 1, 0}, {5, 6, 1}});
        multiply.setPrimarySourceFeatureChannelOffset(4);
        multiply.setPrimarySourceFeatureChannelMaxCount(5);
        multiply.setDestinationFeatureChannelOffset(4);
        const auto edge = clampEdges ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero;
        multiply.setPrimaryEdgeMode(edge);
        multiply.setSecondaryEdgeMode(edge);
        const auto value = [&](const Tensor& t, size_t n, ptrdiff_t row, ptrdiff_t column,
                               size_t c) -> double {
            const auto mode = clampEdges ? reference::EdgeMode::Clamp : reference::EdgeMode::Zero;
            row = reference::resolve(row, t.h, mode);
            column = reference::resolve(column, t.w, mode);
            return row < 0 || column < 0 ? 0 : t.at(n, size_t(row), size_t(column), c);
        };
        Tensor expected(2, 8, 8, 9, Guarded::poison), dx(2, 5, 6, 5), dy(2, 4, 7, 5);
        const Tensor g = reference::random(2, 8, 8, 9, 3);
        for (size_t n = 0; n < 2; ++n)
            for (ptrdiff_t q = 0; q < 6; ++q)
                for (ptrdiff_t p = 0; p < 5; ++p)
                    for (size_t c = 0; c < 5; ++c) {
                        const double a = value(x, n, 1 + q, p - 2, 4 + c),
                                     b = value(y, n, q - 1, 3 + p, c);
                        expected.at(n, size_t(1 + q), size_t(2 + p), 4 + c) = a * b;
                        const double dz = g.at(n, size_t(1 + q), size_t(2 + p), 4 + c);
                        const auto mode =
                            clampEdges ? reference::EdgeMode::Clamp : reference::EdgeMode::Zero;
                        const auto r = reference::resolve(1 + q, 5, mode),
                                   s = reference::resolve(p - 2, 6, mode);
                        if (r >= 0 && s >= 0) dx.at(n, size_t(r), size_t(s), c) += dz * b;
                        const auto t = reference::resolve(q - 1, 4, mode),
                                   u = reference::resolve(3 + p, 7, mode);
                        if (t >= 0 && u >= 0) dy.at(n, size_t(t), size_t(u), c) += dz * a;
                    }
        Guarded z(2, 8, 8, 9);
        MPS::ImageBatch got[2];
        run([&](const MTL::CommandBuffer& commands) {
            const auto left = upload(x), right = upload(y);
            const auto states = multiply.resultStateBatch(left, right, {}, z.images());
            multiply.encodeBatch(commands, left, right, states, z.images());
            for (const bool isSecondary : {false, true}) {
                MPS::CNNMultiplyGradient gradient(testDevice(), isSecondary);
                gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
                got[isSecondary] =
                    gradient.encodeBatch(commands, upload(g), isSecondary ? left : right, states);
            }
        });
        CHECK(reference::compare(z.read(), expected));
        CHECK(reference::compare(download(got[0]), dx, {1e-5, 1e-6}));
        CHECK(reference::compare(download(got[1]), dy, {1e-5, 1e-6}));
    }
}

TEST_CASE("long sums take two passes and give the same bits however the batch lies") {
    struct {
        size_t h, w, c;
        Strides s;
    } const sizes[] = {{64, 75, 3, {0, 0, 1}},
                       {61, 67, 6, {0, 0, 0}},
                       {3, 2, 600, {1, 1, 0}},
                       {1, 900, 40, {0, 1, 1}}};
    for (const auto& size : sizes) {
        const Case k{
            ArithmeticOperation::Multiply, {1, 1, 1}, size.s, size.h, size.w, size.c, true};
        INFO(size.h << "x" << size.w << "x" << size.c);
        const Tensor x = k.operand(3, k.primary, 1), y = k.operand(3, k.secondary, 2);
        const Arithmetic a = k.reference();
        const Tensor g =
            reference::rounded(reference::randomLike(x, 3), reference::Storage::Float32);
        std::vector<double> first;
        for (int round = 0; round < 3; ++round) {
            const auto forward = k.forward();
            const auto gradient = k.gradient(true);
            gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
            MPS::ImageBatch dy;
            run([&](const MTL::CommandBuffer& commands) {
                const auto left = round == 1 ? uploadApart(x) : upload(x), right = upload(y);
                MPS::StateBatch states;
                forward->encodeBatch(commands, left, right, &states, false);
                dy = gradient->encodeBatch(commands, round == 1 ? uploadApart(g) : upload(g), left,
                                           states);
            });
            // Terms cancel: the error is a share of their sum without signs.
            Arithmetic unsignedTerms = a;
            unsignedTerms.minimum = -std::numeric_limits<float>::max();
            unsignedTerms.maximum = std::numeric_limits<float>::max();
            const Tensor magnitude = reference::absolute(
                reference::gradient(unsignedTerms, reference::absolute(g), reference::absolute(x),
                                    reference::absolute(y), true));
            const auto got = download(dy);
            CHECK(reference::compare(got, reference::gradient(a, g, x, y, true),
                                     {1e-6, 0, &magnitude}));
            if (round > 0) {
                CHECK(got.v == first);
            }
            first = got.v;
        }
    }
}

TEST_CASE("gradients without a state sum where the destination has size 1") {
    const Tensor g =
        reference::rounded(reference::random(2, 4, 5, 6, 1), reference::Storage::Float32);
    const Tensor s =
        reference::rounded(reference::random(2, 4, 5, 6, 2), reference::Storage::Float32);
    MPS::CNNMultiplyGradient gradient(testDevice(), true);
    gradient.setPrimaryScale(2);
    gradient.setSecondaryScale(-3);
    reference::ArithmeticGradientKernel k;
    k.multiply = true;
    k.primaryScale = 2;
    k.secondary.scale = -3;
    for (int axes = 0; axes < 8; ++axes) {
        INFO("axes " << axes);
        k.sumColumns = axes & 1;
        k.sumRows = axes & 2;
        k.sumChannels = axes & 4;
        const Tensor expected = reference::forward(k, g, s);
        Guarded d(2, expected.h, expected.w, expected.c);
        run([&](const MTL::CommandBuffer& commands) {
            gradient.encodeBatch(commands, upload(g), upload(s), d.images());
        });
        CHECK(reference::compare(d.read(), expected));
    }
    // A mask needs bounds, bounds need a mask.
    Case clamped{ArithmeticOperation::Add, {1, 1, 1}, {1, 1, 1}, 4, 5, 6, true};
    const auto forward = clamped.forward();
    MPS::CNNAddGradient plain(testDevice(), false), bounded(testDevice(), false);
    bounded.setMaximumValue(0.75f);
    Guarded a(2, 4, 5, 6), b(2, 4, 5, 6);
    run([&](const MTL::CommandBuffer& commands) {
        const auto left = upload(g), right = upload(s), dz = upload(g);
        MPS::StateBatch states;
        forward->encodeBatch(commands, left, right, &states, false);
        plain.encodeBatch(commands, dz, left, states, a.images());
        bounded.encodeBatch(commands, dz, left, b.images());
    });
    CHECK(a.read().v == g.v);
    CHECK(b.read().v == g.v);
}

TEST_CASE("comparisons equal the reference") {
    for (const Variant variant : variants())
        for (int type = 0; type < 6; ++type)
            for (const double threshold : {0., 0.25}) {
                INFO(variant.name() << " type " << type << " threshold " << threshold);
                Tensor x = reference::random(2, 4, 3, 5, 1), y = reference::random(2, 1, 3, 1, 2);
                for (auto* t : {&x, &y})
                    for (double& v : t->v) v = std::round(4 * v) / 4;
                Arithmetic a;
                a.secondary.strideY = a.secondary.strideChannels = 0;
                a.outputWidth = 3, a.outputHeight = 4, a.outputChannels = 5;
                MPS::NNCompare compare(testDevice());
                compare.setComparisonType(MPS::NNComparisonType(type));
                compare.setThreshold(float(threshold));
                compare.setPrimaryScale(5);
                compare.setBias(7);
                compare.setMaximumValue(0);
                compare.setSecondaryStrideInPixelsY(0);
                compare.setSecondaryStrideInFeatureChannels(0);
                Guarded z(2, 4, 3, 5, variant);
                MPS::StateBatch states;
                run([&](const MTL::CommandBuffer& commands) {
                    compare.encodeBatch(commands, upload(x, variant), upload(y, variant),
                                        z.images());
                    compare.encodeBatch(commands, upload(x, variant), upload(y, variant), &states,
                                        false);
                });
                conforms("NNCompare", Aspect::Forward, variant);
                CHECK(states.empty());
                CHECK(z.read().v == reference::compareElements(reference::ComparisonType(type),
                                                               threshold, a, x, y)
                                        .v);
            }
}

TEST_CASE("broadcast products between neurons, against finite differences") {
    const Case k{ArithmeticOperation::Multiply, {1, 1, 1}, {0, 0, 1}, 3, 4, 5};
    const Tensor x = k.operand(2, k.primary, 1), y = k.operand(2, k.secondary, 2);
    const MPS::NNNeuronDescriptor sigmoid(MPS::CNNNeuronType::Sigmoid),
        tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron before(testDevice(), sigmoid), after(testDevice(), tanh);
    MPS::CNNNeuronGradient beforeGradient(testDevice(), sigmoid), afterGradient(testDevice(), tanh);
    const auto forward = k.forward();
    const auto gradient = k.gradient(true);
    const Tensor cotangent = reference::random(2, 3, 4, 5, 9);
    const auto step = [&](const Tensor& gate, Guarded* d) {
        Guarded z(2, 3, 4, 5);
        run([&](const MTL::CommandBuffer& commands) {
            const auto left = upload(x), source = upload(gate);
            MPS::StateBatch first, middle;
            const auto s = before.encodeBatch(commands, source, &first, false);
            const auto product = forward->encodeBatch(commands, left, s, &middle, false);
            MPS::ImageBatchIncrementReadCount(product, 1);
            const auto last = after.resultStateBatch(product, {}, z.images());
            after.encodeBatch(commands, product, last, z.images());
            const auto dProduct =
                afterGradient.encodeBatch(commands, upload(cotangent), product, last);
            const auto ds = gradient->encodeBatch(commands, dProduct, left, middle);
            if (d) beforeGradient.encodeBatch(commands, ds, source, first, d->images());
        });
        return reference::dot(z.read(), cotangent);
    };
    Guarded d(2, 1, 1, 5);
    step(y, &d);
    CHECK(reference::checkGradient([&](const Tensor& t) { return step(t, nullptr); }, y, d.read(),
                                   {.step = 1e-2, .tolerance = 2e-3}));
}
