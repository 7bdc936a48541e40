// CNNLoss and its labels; NNForwardLoss and NNLossGradient are in NNForwardLoss.cpp.
#include "mtl/CommandBuffer.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/LossCases.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

[[maybe_unused]] const bool named = everyOther([] {
    const LossCase k{lossOf(reference::LossType::Huber, reference::Reduction::Mean, true)};
    return MPS::CNNLoss(testDevice(), k.descriptor(3));
});

MPS::Image imageOf(const Tensor& t, Variant variant = {}) { return upload(t, variant).at(0); }

/// Label objects around images, one per image of `labels`.
MPS::StateBatch labelsAround(const MPS::ImageBatch& labels, const MPS::ImageBatch& weights,
                             MTL::Size lossSize) {
    MPS::StateBatch made;
    for (size_t i = 0; i < labels.size(); ++i)
        made.push_back(MPS::CNNLossLabels(testDevice(), lossSize, labels[i],
                                          weights.empty() ? MPS::Image() : weights[i]));
    return made;
}

/// Label objects that copy the tensors.
MPS::StateBatch labelsOf(const Tensor& labels, const Tensor* weights, MTL::Size lossSize) {
    const auto describe = [](const Tensor& t, size_t i) {
        return MPS::CNNLossDataDescriptor(reference::image(t, i).floats(),
                                          MPS::DataLayout::HeightxWidthxFeatureChannels,
                                          {t.w, t.h, t.c});
    };
    MPS::StateBatch made;
    for (size_t i = 0; i < labels.n; ++i)
        made.push_back(
            MPS::CNNLossLabels(testDevice(), lossSize, describe(labels, i),
                               weights ? std::optional(describe(*weights, i)) : std::nullopt));
    return made;
}

Tensor lossesOf(const MPS::StateBatch& labels) {
    MPS::ImageBatch images;
    for (const MPS::State& state : labels)
        images.push_back(state.as<MPS::CNNLossLabels>().lossImage());
    return download(images);
}

MTL::Size lossSizeOf(const reference::Loss& loss, const Tensor& y) {
    return loss.reduction == reference::Reduction::None ? MTL::Size{y.w, y.h, y.c}
                                                        : MTL::Size{1, 1, 1};
}

size_t dispatches(const MTL::CommandBuffer& commands) {
    size_t sum = 0;
    for (const auto& segment : commands.impl().segments) sum += segment->commands.dispatchCount();
    return sum;
}

MPS::CNNLossLabels labelOf(std::vector<float> values) {
    const MTL::Size size{1, 1, values.size()};
    return MPS::CNNLossLabels(
        testDevice(),
        MPS::CNNLossDataDescriptor(values, MPS::DataLayout::HeightxWidthxFeatureChannels, size));
}

} // namespace

TEST_CASE("the published vectors of every loss") {
    const auto check = [](MPS::CNNLossDescriptor d, std::vector<double> y, std::vector<float> t,
                          std::vector<double> losses, std::vector<double> gradient) {
        INFO("type " << int(d.lossType()));
        const Tensor source(1, 1, 1, 3, y);
        double sum = 0;
        for (double l : losses) sum += l;
        const auto label = labelOf(t);
        Guarded dy(1, 1, 1, 3);
        run([&](const MTL::CommandBuffer& commands) {
            MPS::CNNLoss(testDevice(), d).encode(commands, imageOf(source), label, dy.images()[0]);
        });
        CHECK(reference::compare(download({label.lossImage()}).v, {sum}, {1e-5, 1e-6}));
        CHECK(reference::compare(dy.read().v, gradient, {1e-5}));
    };
    using enum MPS::CNNLossType;
    const auto sum = [](MPS::CNNLossType type) {
        return MPS::CNNLossDescriptor(type, MPS::CNNReductionType::Sum);
    };
    const std::vector<double> y{0.2, -1.5, 0.7};
    check(sum(MeanAbsoluteError), y, {0, 1, 1}, {0.2, 2.5, 0.3}, {1, -1, -1});
    check(sum(MeanSquaredError), y, {0, 1, 1}, {0.04, 6.25, 0.09}, {0.4, -5, -0.6});
    check(sum(SigmoidCrossEntropy), y, {0, 1, 1}, {0.798139, 1.70141, 0.403186},
          {0.549834, -0.817574, -0.331812});
    check(sum(Hinge), y, {0, 1, 1}, {1.2, 2.5, 0.3}, {1, -1, -1});
    check(sum(Huber), y, {0, 1, 1}, {0.02, 2, 0.045}, {0.2, -1, -0.3});
    check(sum(CosineDistance), y, {0, 1, 1}, {1.8}, {0, -1, -1});
    check(sum(Log), {.2, .9, .5}, {0, 1, 1}, {0.223143, 0.10536, 0.693147}, {1.25, -1.111111, -2});
    check(sum(SoftMaxCrossEntropy), y, {0, 1, 0}, {0, 2.74077, 0}, {0.353182, -0.93548, 0.582298});
    auto smoothed = sum(SoftMaxCrossEntropy);
    smoothed.setLabelSmoothing(.1f);
    smoothed.setNumberOfClasses(3);
    check(smoothed, y, {0, 1, 0}, {0.0346924, 2.55805, 0.0180258}, {0.319848, -0.868813, 0.548965});
    // An exact 0 where the formulas are 0 / 0 or 0 * infinity.
    check(sum(MeanAbsoluteError), {1, 2, 3}, {1, 2, 4}, {1}, {0, 0, -1});
    check(sum(CategoricalCrossEntropy), {0, .5, 0}, {0, 1, 0}, {std::log(2.)}, {0, -2, 0});
    check(sum(KullbackLeiblerDivergence), {-1, -2, -3}, {0, 1, 0}, {2}, {0, -1, 0});
    check(sum(Log), {1, 0, 1}, {1, 0, 1}, {0}, {-1, 1, -1});
    const double infinity = std::numeric_limits<double>::infinity();
    check(sum(SoftMaxCrossEntropy), {-infinity, 0, 0}, {0, 1, 0}, {std::log(2.)}, {0, -.5, .5});
    check(sum(SigmoidCrossEntropy), {-infinity, 0, 0}, {0, 1, 0}, {2 * std::log(2.)}, {0, -.5, .5});
    // No overflow, whatever the logits.
    check(sum(SoftMaxCrossEntropy), {1000, 0, -1000}, {0, 1, 0}, {1000}, {1, -1, 0});
    check(sum(SigmoidCrossEntropy), {1000, -1000, 0}, {0, 1, 0}, {2000.693147}, {1, -1, 0.5});
}

TEST_CASE("every type and reduction equals the reference") {
    for (const LossCase& k : lossCases()) {
        INFO(k.name());
        for (const size_t channels : {3, 4, 33}) {
            const LossData data(k.loss, 2, 3, 5, channels);
            for (const Tensor* weights : {static_cast<const Tensor*>(nullptr), &data.weights}) {
                if (weights && k.loss.type == reference::LossType::CosineDistance) continue;
                INFO(channels << " channels" << (weights ? ", weights" : ""));
                const auto labels = labelsOf(data.t, weights, lossSizeOf(k.loss, data.y));
                Guarded dy(2, 3, 5, channels);
                run([&](const MTL::CommandBuffer& commands) {
                    MPS::CNNLoss(testDevice(), k.descriptor(channels))
                        .encodeBatch(commands, upload(data.y), labels, dy.images());
                });
                const reference::LossInputs inputs{data.y, data.t, weights};
                CHECK(reference::compare(lossesOf(labels),
                                         reference::forward(k.with(channels), inputs), {2e-5}));
                CHECK(reference::compare(
                    dy.read(), reference::fusedGradient(k.with(channels), inputs), {2e-5}));
            }
        }
    }
}

TEST_CASE("the storage of predictions, labels and weights changes nothing") {
    for (const Variant variant : variants())
        for (const auto type :
             {reference::LossType::SoftMaxCrossEntropy, reference::LossType::Huber})
            for (const auto reduction : {reference::Reduction::None, reference::Reduction::Mean}) {
                INFO(variant.name());
                const LossCase k{lossOf(type, reduction, false)};
                LossData data(k.loss, 3, 4, 3, 5);
                for (Tensor* t : {&data.y, &data.t, &data.weights})
                    *t = reference::rounded(*t, variant.rounding());
                const auto labels =
                    labelsAround(upload(data.t, variant), upload(data.weights, variant),
                                 lossSizeOf(k.loss, data.y));
                Guarded dy(3, 4, 3, 5, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    MPS::CNNLoss(testDevice(), k.descriptor(5))
                        .encodeBatch(commands, upload(data.y, variant), labels, dy.images());
                });
                const reference::LossInputs inputs{data.y, data.t, &data.weights};
                CHECK(reference::compare(lossesOf(labels), reference::forward(k.with(5), inputs),
                                         {2e-5}));
                CHECK(reference::compare(dy.read(), reference::fusedGradient(k.with(5), inputs),
                                         {variant.tolerance()}));
                conforms("CNNLoss", Aspect::Forward, variant);
                conforms("CNNLoss", Aspect::Gradient, variant);
            }
}

TEST_CASE("many classes, many pixels and many images") {
    struct {
        size_t n, h, w, c;
    } const sizes[] = {
        {3, 1, 1, 1000}, {2, 67, 75, 1}, {2, 40, 33, 21}, {1, 1, 3, 513}, {70, 1, 1, 10}};
    for (const auto& s : sizes)
        for (const bool across : {false, true})
            for (const auto type : {reference::LossType::SoftMaxCrossEntropy,
                                    reference::LossType::MeanSquaredError}) {
                INFO(s.n << " of " << s.h << "x" << s.w << "x" << s.c << " across " << across);
                const LossCase k{lossOf(type, reference::Reduction::SumByNonZeroWeights, across)};
                const LossData data(k.loss, s.n, s.h, s.w, s.c);
                Tensor first;
                for (int round = 0; round < 2; ++round) {
                    const auto labels = labelsOf(data.t, &data.weights, {1, 1, 1});
                    Guarded dy(s.n, s.h, s.w, s.c);
                    run([&](const MTL::CommandBuffer& commands) {
                        MPS::CNNLoss(testDevice(), k.descriptor(s.c))
                            .encodeBatch(commands, upload(data.y), labels, dy.images());
                    });
                    const reference::LossInputs inputs{data.y, data.t, &data.weights};
                    CHECK(reference::compare(lossesOf(labels),
                                             reference::forward(k.with(s.c), inputs), {2e-5}));
                    CHECK(reference::compare(
                        dy.read(), reference::fusedGradient(k.with(s.c), inputs), {2e-5}));
                    if (round > 0) {
                        CHECK(lossesOf(labels).v == first.v);
                    }
                    first = lossesOf(labels);
                }
            }
}

TEST_CASE("labels made one after the other are one dispatch") {
    const size_t n = 128;
    const LossCase k{
        lossOf(reference::LossType::SoftMaxCrossEntropy, reference::Reduction::Sum, false)};
    const LossData data(k.loss, n, 1, 1, 10);
    for (const bool weighted : {false, true}) {
        const auto labels = labelsOf(data.t, weighted ? &data.weights : nullptr, {1, 1, 1});
        Guarded dy(n, 1, 1, 10);
        size_t count = 0;
        run([&](const MTL::CommandBuffer& commands) {
            MPS::CNNLoss(testDevice(), k.descriptor(10))
                .encodeBatch(commands, upload(data.y), labels, dy.images());
            count = dispatches(commands);
        });
        // What earlier tests left free may interrupt the row, once or twice.
        CHECK(count <= 8); // not 128: what earlier tests freed leaves some holes
        const reference::LossInputs inputs{data.y, data.t, weighted ? &data.weights : nullptr};
        CHECK(reference::compare(lossesOf(labels), reference::forward(k.with(10), inputs), {2e-5}));
        CHECK(reference::compare(dy.read(), reference::fusedGradient(k.with(10), inputs), {2e-5}));
    }
}

TEST_CASE("images apart, labels with and without weights, labels used twice") {
    for (const bool across : {false, true}) {
        const LossCase k{lossOf(reference::LossType::MeanSquaredError,
                                reference::Reduction::SumByNonZeroWeights, across)};
        LossData data(k.loss, 4, 3, 2, 5);
        for (size_t i = 0; i < data.weights.size() / 2; ++i) data.weights.v[i] = 1; // as if without
        const auto images = uploadApart(data.t), weights = uploadApart(data.weights);
        MPS::StateBatch labels;
        for (size_t i = 0; i < 4; ++i)
            labels.push_back(MPS::CNNLossLabels(testDevice(), {1, 1, 1}, images[i],
                                                i < 2 ? MPS::Image() : weights[i]));
        Guarded dy(4, 3, 2, 5);
        run([&](const MTL::CommandBuffer& commands) {
            MPS::CNNLoss(testDevice(), k.descriptor(5))
                .encodeBatch(commands, uploadApart(data.y), labels, dy.images());
        });
        const reference::LossInputs inputs{data.y, data.t, &data.weights};
        CHECK(reference::compare(lossesOf(labels), reference::forward(k.with(5), inputs), {2e-5}));
        CHECK(reference::compare(dy.read(), reference::fusedGradient(k.with(5), inputs), {2e-5}));

        // One label object for all: its loss is the last image's, or the batch's.
        Tensor repeated = data.t;
        for (size_t i = 0; i < repeated.size(); ++i)
            repeated.v[i] = data.t.v[i % (repeated.size() / 4)];
        const reference::LossInputs same{data.y, repeated, nullptr};
        const MPS::StateBatch one(4, labels[0]);
        run([&](const MTL::CommandBuffer& commands) {
            MPS::CNNLoss(testDevice(), k.descriptor(5))
                .encodeBatch(commands, upload(data.y), one, dy.images());
        });
        const auto expected = reference::forward(k.with(5), same).v;
        CHECK(reference::compare(lossesOf({one[0]}).v,
                                 {across ? expected.front() : expected.back()}, {2e-5}));
        CHECK(reference::compare(dy.read(), reference::fusedGradient(k.with(5), same), {2e-5}));
    }
}

TEST_CASE(
    "labels with more channels, and windows of the predictions' and the gradient's channels") {
    const LossCase k{
        lossOf(reference::LossType::SoftMaxCrossEntropy, reference::Reduction::Mean, false)};
    const Tensor all = reference::random(2, 2, 3, 12, 5);
    const LossData data(k.loss, 2, 2, 3, 12);
    const Tensor y = reference::channels(all, 4, 5);
    const Tensor t = reference::channels(data.t, 0, 5);
    const auto labels = labelsOf(data.t, nullptr, {1, 1, 1});
    MPS::CNNLoss loss(testDevice(), k.descriptor(5));
    loss.setSourceFeatureChannelOffset(4);
    loss.setSourceFeatureChannelMaxCount(5);
    loss.setDestinationFeatureChannelOffset(8);
    Guarded dy(2, 2, 3, 16);
    loss.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch returned;
    run([&](const MTL::CommandBuffer& commands) {
        loss.encodeBatch(commands, upload(all), labels, dy.images());
        returned = loss.encodeBatch(commands, upload(all), labels);
    });
    const reference::LossInputs inputs{y, t};
    const Tensor expected = reference::fusedGradient(k.with(5), inputs);
    CHECK(reference::compare(lossesOf(labels), reference::forward(k.with(5), inputs), {2e-5}));
    const Tensor got = dy.read();
    CHECK(reference::compare(reference::channels(got, 8, 5), expected, {2e-5}));
    CHECK(reference::channels(got, 0, 8).v == Tensor(2, 2, 3, 8, Guarded::poison).v);
    REQUIRE(returned.at(0).featureChannels() == 13);
    CHECK(reference::compare(reference::channels(download(returned), 8, 5), expected, {2e-5}));
    CHECK(reference::channels(download(returned), 0, 8).v == Tensor(2, 2, 3, 8).v);
}

TEST_CASE("label data: layouts, rows and planes") {
    const Tensor t = reference::random(1, 2, 3, 5, 9);
    std::vector<float> planes, padded(2 * 20, -7.f), spaced(5 * 10 + 9, -7.f);
    for (size_t c = 0; c < 5; ++c)
        for (size_t y = 0; y < 2; ++y)
            for (size_t x = 0; x < 3; ++x) {
                planes.push_back(float(t.at(0, y, x, c)));
                padded[y * 20 + x * 5 + c] = float(t.at(0, y, x, c));
                spaced[c * 10 + y * 4 + x] = float(t.at(0, y, x, c));
            }
    const auto read = [](const MPS::CNNLossDataDescriptor& d) {
        return download({MPS::CNNLossLabels(testDevice(), d).labelsImage()}).v;
    };
    const std::vector<double> expected = reference::rounded(t, reference::Storage::Float32).v;
    MPS::CNNLossDataDescriptor dense(planes, MPS::DataLayout::FeatureChannelsxHeightxWidth,
                                     {3, 2, 5});
    CHECK(dense.bytesPerRow() == 12);
    CHECK(dense.bytesPerImage() == 24);
    CHECK(read(dense) == expected);
    MPS::CNNLossDataDescriptor rows(padded, MPS::DataLayout::HeightxWidthxFeatureChannels,
                                    {3, 2, 5});
    CHECK(rows.bytesPerRow() == 60);
    CHECK(rows.bytesPerImage() == 120);
    rows.setBytesPerRow(80);
    CHECK(read(rows) == expected);
    MPS::CNNLossDataDescriptor apart(std::as_bytes(std::span(spaced)),
                                     MPS::DataLayout::FeatureChannelsxHeightxWidth, {3, 2, 5});
    apart.setBytesPerRow(16);
    apart.setBytesPerImage(40);
    CHECK(read(apart) == expected);
    apart.setBytesPerImage(80);
    CHECK(refusal([&] { read(apart); }) == "[CNNLossDataDescriptor] The data has 236 bytes but 3x2 "
                                           "with 5 feature channels, bytesPerRow 16 and "
                                           "bytesPerImage 80 reach to byte 348.");
    apart.setBytesPerImage(24);
    CHECK(refusal([&] { read(apart); }) == "[CNNLossDataDescriptor] bytesPerImage is 24 but must "
                                           "be from 28 to the 236 bytes of the data.");
    for (const uint64_t bytes : {uint64_t(8), uint64_t(1) << 63}) {
        rows.setBytesPerRow(bytes);
        CHECK(refusal([&] { read(rows); }) == "[CNNLossDataDescriptor] bytesPerRow is " +
                                                  std::to_string(bytes) +
                                                  " but must be from 60 to the 160 bytes of the "
                                                  "data.");
    }
    rows.setBytesPerRow(80);
    const MPS::CNNLossLabels made(testDevice(), {1, 1, 1}, dense, rows);
    CHECK(download({made.weightsImage()}).v == expected);
    CHECK(made.lossImage().featureChannelFormat() == MPS::ImageFeatureChannelFormat::Float32);
    CHECK_FALSE(MPS::CNNLossLabels(testDevice(), dense).weightsImage());
    conforms("CNNLossLabels", Aspect::State);
}

TEST_CASE("the gradient is the derivative of the loss, through a neuron") {
    const LossCase k{
        lossOf(reference::LossType::SigmoidCrossEntropy, reference::Reduction::Sum, false)};
    const LossData data(k.loss, 1, 3, 4, 5);
    MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 2, 1);
    MPS::CNNNeuron neuron(testDevice(), tanh);
    MPS::CNNNeuronGradient gradient(testDevice(), tanh);
    MPS::CNNLoss loss(testDevice(), k.descriptor(5));
    const auto labels = labelsOf(data.t, &data.weights, {1, 1, 1});
    const auto forward = [&](const Tensor& x, Guarded* dx) {
        run([&](const MTL::CommandBuffer& commands) {
            const auto source = upload(x);
            MPS::StateBatch states;
            const auto y = neuron.encodeBatch(commands, source, &states, false);
            const auto dy = loss.encodeBatch(commands, y, labels);
            if (dx) gradient.encodeBatch(commands, dy, source, states, dx->images());
        });
        return lossesOf(labels).v[0];
    };
    Guarded dx(1, 3, 4, 5);
    forward(data.y, &dx);
    CHECK(reference::checkGradient([&](const Tensor& x) { return forward(x, nullptr); }, data.y,
                                   dx.read(), {.step = 1e-2, .tolerance = 2e-3, .samples = 24}));
}

TEST_CASE("temporary labels and weights count as read") {
    const LossCase k{
        lossOf(reference::LossType::MeanSquaredError, reference::Reduction::Sum, false)};
    const LossData data(k.loss, 1, 2, 2, 3);
    MPS::CNNNeuron same(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    MPS::CNNLoss loss(testDevice(), k.descriptor(3));
    MPS::CNNLossLabels labels;
    run([&](const MTL::CommandBuffer& commands) {
        const auto y = same.encode(commands, imageOf(data.y)).as<MPS::TemporaryImage>();
        const auto t = same.encode(commands, imageOf(data.t)).as<MPS::TemporaryImage>();
        const auto w = same.encode(commands, imageOf(data.weights)).as<MPS::TemporaryImage>();
        t.setReadCount(2);
        labels = MPS::CNNLossLabels(testDevice(), {1, 1, 1}, t, w);
        const auto dy = loss.encode(commands, y, labels).as<MPS::TemporaryImage>();
        CHECK(y.readCount() == 0);
        CHECK(t.readCount() == 1);
        CHECK(w.readCount() == 0);
        CHECK(dy.readCount() == 1);
        CHECK(refusal([&] { loss.encode(commands, imageOf(data.y), labels); }) ==
              "[CNNLoss] weights[0] is a temporary image whose read count is 0: its memory is "
              "given back already.");
        CHECK(t.readCount() == 1);
    });
    const reference::LossInputs inputs{data.y, data.t, &data.weights};
    CHECK(reference::compare(lossesOf({labels}), reference::forward(k.with(3), inputs), {2e-5}));
}
