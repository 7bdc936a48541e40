#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/GradientCheck.hpp"
#include "support/YOLOCases.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNYOLOLoss.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::LossType;
using reference::Tensor;

namespace {

/// No parameter at its default.
reference::YOLOLoss unusual(std::vector<double> anchors, size_t classes, LossType xy, LossType wh,
                            LossType confidence, LossType classLoss) {
    reference::YOLOLoss loss = usualYOLOLoss(std::move(anchors));
    double weight = 0.5;
    for (reference::Loss* part : {&loss.xy, &loss.wh, &loss.confidence, &loss.classes}) {
        part->weight = weight += 0.25;
        part->labelSmoothing = 0.125;
        part->numberOfClasses = classes;
        part->epsilon = 0.0078125;
        part->delta = 0.25;
    }
    loss.xy.type = xy;
    loss.wh.type = wh;
    loss.confidence.type = confidence;
    loss.classes.type = classLoss;
    loss.scaleXY = 3;
    loss.scaleWH = 7;
    loss.scaleNoObject = 2;
    loss.scaleObject = 20;
    loss.scaleClass = 5;
    loss.presence = 0.625;
    loss.absence = 0.375;
    return loss;
}

struct Losses {
    MPS::StateBatch labels;

    Losses(const Tensor& t, const Tensor* weights, MTL::Size size, Variant variant = {},
           bool apart = false) {
        const auto make = [&](const Tensor& tensor) {
            return apart ? uploadApart(tensor, variant) : upload(tensor, variant);
        };
        const auto images = make(t);
        const auto factors = weights ? make(*weights) : MPS::ImageBatch(t.n);
        for (size_t i = 0; i < t.n; ++i)
            labels.push_back(MPS::CNNLossLabels(testDevice(), size, images[i], factors[i]));
    }
    Tensor read() const {
        MPS::ImageBatch images;
        for (const MPS::State& state : labels)
            images.push_back(state.as<MPS::CNNLossLabels>().lossImage());
        return download(images);
    }
};

MTL::Size lossSizeOf(const reference::YOLOLoss& loss, const Tensor& y) {
    return loss.reduction == reference::Reduction::None ? MTL::Size{y.w, y.h, y.c}
                                                        : MTL::Size{1, 1, 1};
}

void checkAgainstReference(const reference::YOLOLoss& loss, const YOLOData& data,
                           const Tensor* weights, Variant variant = {}) {
    const reference::LossInputs inputs{data.y, data.t, weights};
    const auto boxes = reference::assign(loss, inputs);
    const Losses losses(data.t, weights, lossSizeOf(loss, data.y), variant);
    Guarded dy(data.y.n, data.y.h, data.y.w, data.y.c, variant);
    run([&](const MTL::CommandBuffer& commands) {
        MPS::CNNYOLOLoss(testDevice(), YOLODescriptorOf(loss))
            .encodeBatch(commands, upload(data.y, variant), losses.labels, dy.images());
    });
    CHECK(reference::compare(losses.read(), reference::forward(loss, inputs, boxes), {1e-5}));
    CHECK(reference::compare(dy.read(), reference::fusedGradient(loss, inputs, boxes),
                             {variant.tolerance()}));
}

const std::vector<double> someAnchors{1, 2, 2.5, 1.5, 1, 2, 3, 3};

[[maybe_unused]] const bool named = everyOther([] {
    using enum LossType;
    return MPS::CNNYOLOLoss(testDevice(), YOLODescriptorOf(unusual({1, 2, 3, 1}, 3, Log, Huber,
                                                                   Hinge, SoftMaxCrossEntropy)));
});

} // namespace

TEST_CASE("the YOLO loss of one cell, by hand") {
    const YOLOCell cell;
    const Losses losses(cell.t, nullptr, {1, 1, 1});
    Guarded dy(1, 1, 1, 14);
    run([&](const MTL::CommandBuffer& commands) {
        MPS::CNNYOLOLoss(testDevice(), YOLODescriptorOf(cell.loss))
            .encode(commands, upload(cell.y)[0], losses.labels[0].as<MPS::CNNLossLabels>(),
                    dy.images()[0]);
    });
    CHECK(reference::compare(losses.read().v, {cell.sum}, {1e-5}));
    CHECK(reference::compare(dy.read(), cell.gradient, {1e-6}));
}

TEST_CASE("the YOLO loss with every reduction equals the reference") {
    using enum LossType;
    const LossType parts[][4] = {
        {MeanSquaredError, Huber, SigmoidCrossEntropy, SoftMaxCrossEntropy},
        {SigmoidCrossEntropy, MeanAbsoluteError, MeanSquaredError, CategoricalCrossEntropy},
        {SoftMaxCrossEntropy, SoftMaxCrossEntropy, SoftMaxCrossEntropy, KullbackLeiblerDivergence},
        {Log, MeanSquaredError, Hinge, Huber}};
    for (const auto& [xy, wh, confidence, classLoss] : parts)
        for (int reduction = 0; reduction < 4; ++reduction)
            for (const bool across : {false, true})
                for (const bool weighted : {false, true}) {
                    INFO("parts from " << int(xy) << " reduction " << reduction << " across "
                                       << across << " weighted " << weighted);
                    auto loss = unusual(someAnchors, 3, xy, wh, confidence, classLoss);
                    loss.reduction = reference::Reduction(reduction);
                    loss.reduceAcrossBatch = across;
                    loss.rescore = !across;
                    const YOLOData data(loss, 2, 3, 5, 3);
                    checkAgainstReference(loss, data, weighted ? &data.weights : nullptr);
                }
}

TEST_CASE("the YOLO loss in every storage") {
    for (const Variant variant : variants())
        for (const auto reduction : {reference::Reduction::None, reference::Reduction::Mean}) {
            INFO(variant.name());
            auto loss = usualYOLOLoss(someAnchors);
            loss.reduction = reduction;
            const YOLOData data(loss, 2, 4, 3, 2);
            checkAgainstReference(loss, data, &data.weights, variant);
            conforms("CNNYOLOLoss", Aspect::Forward, variant);
            conforms("CNNYOLOLoss", Aspect::Gradient, variant);
        }
}

TEST_CASE("the YOLO loss with few and many anchors, classes and cells") {
    std::vector<double> many;
    for (int i = 0; i < 200; ++i) many.insert(many.end(), {1 + 0.5 * (i % 2), 2. + i / 100});
    const struct {
        std::vector<double> anchors;
        size_t n, h, w, classes;
    } grids[] = {{{1, 1}, 2, 1, 1, 0},
                 {{1, 2, 3, 1}, 1, 31, 33, 1},
                 {{1, 2, 2.5, 1.5, 3, 3}, 3, 13, 13, 20},
                 {many, 1, 2, 3, 1}};
    for (const auto& g : grids) {
        INFO(g.anchors.size() / 2 << " anchors " << g.h << "x" << g.w);
        const auto loss = usualYOLOLoss(g.anchors);
        const YOLOData data(loss, g.n, g.h, g.w, g.classes);
        checkAgainstReference(loss, data, nullptr);
    }
}

TEST_CASE("a batch of the YOLO loss is its images one by one, bit by bit") {
    const auto loss = usualYOLOLoss(someAnchors);
    const YOLOData data(loss, 4, 7, 9, 3);
    MPS::CNNYOLOLoss kernel(testDevice(), YOLODescriptorOf(loss));
    const Losses together(data.t, &data.weights, {1, 1, 1});
    const Losses apart(data.t, &data.weights, {1, 1, 1}, {}, true);
    const Losses alone(data.t, &data.weights, {1, 1, 1});
    Guarded a(4, 7, 9, data.y.c), b(4, 7, 9, data.y.c), c(4, 7, 9, data.y.c);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(data.y), together.labels, a.images());
        kernel.encodeBatch(commands, uploadApart(data.y), apart.labels, b.images());
        const auto sources = upload(data.y);
        for (size_t i = 0; i < 4; ++i)
            kernel.encode(commands, sources[i], alone.labels[i].as<MPS::CNNLossLabels>(),
                          c.images()[i]);
    });
    CHECK(a.read().v == b.read().v);
    CHECK(a.read().v == c.read().v);
    CHECK(together.read().v == apart.read().v);
    CHECK(together.read().v == alone.read().v);
}

TEST_CASE("windows of the YOLO loss's channels, and a returned gradient") {
    const auto loss = usualYOLOLoss(someAnchors);
    const YOLOData data(loss, 2, 2, 3, 1);
    Tensor wide = reference::random(2, 2, 3, 32, 7);
    reference::paste(wide, {}, 4, data.y);
    MPS::CNNYOLOLoss kernel(testDevice(), YOLODescriptorOf(loss));
    kernel.setSourceFeatureChannelOffset(4);
    kernel.setSourceFeatureChannelMaxCount(24);
    kernel.setDestinationFeatureChannelOffset(8);
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const Losses losses(data.t, nullptr, {1, 1, 1});
    Guarded dy(2, 2, 3, 36);
    MPS::ImageBatch returned;
    MPS::Image single;
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(wide), losses.labels, dy.images());
        returned = kernel.encodeBatch(commands, upload(wide), losses.labels);
        single =
            kernel.encode(commands, upload(wide)[0], losses.labels[0].as<MPS::CNNLossLabels>());
    });
    const reference::LossInputs inputs{data.y, data.t};
    const Tensor expected = reference::fusedGradient(loss, inputs, reference::assign(loss, inputs));
    CHECK(reference::compare(reference::channels(dy.read(), 8, 24), expected, {1e-5}));
    CHECK(reference::channels(dy.read(), 0, 8).v == Tensor(2, 2, 3, 8, Guarded::poison).v);
    CHECK(reference::channels(dy.read(), 32, 4).v == Tensor(2, 2, 3, 4, Guarded::poison).v);
    REQUIRE(returned.at(0).featureChannels() == 32);
    CHECK(reference::compare(reference::channels(download(returned), 8, 24), expected, {1e-5}));
    CHECK(reference::channels(download(returned), 0, 8).v == Tensor(2, 2, 3, 8).v);
    CHECK(download({single}).v == download({returned[0]}).v);
}

TEST_CASE("the YOLO gradient is the derivative of the loss, through a neuron") {
    auto loss = usualYOLOLoss(someAnchors);
    loss.rescore = false; // a rescored target moves with the prediction but has no derivative
    const YOLOData data(loss, 1, 2, 2, 3);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 2, 1);
    MPS::CNNNeuron neuron(testDevice(), tanh);
    MPS::CNNNeuronGradient gradient(testDevice(), tanh);
    MPS::CNNYOLOLoss kernel(testDevice(), YOLODescriptorOf(loss));
    const Losses losses(data.t, &data.weights, {1, 1, 1});
    const auto forward = [&](const Tensor& x, Guarded* dx) {
        run([&](const MTL::CommandBuffer& commands) {
            const auto source = upload(x);
            MPS::StateBatch states;
            const auto y = neuron.encodeBatch(commands, source, &states, false);
            const auto dy = kernel.encodeBatch(commands, y, losses.labels);
            if (dx) gradient.encodeBatch(commands, dy, source, states, dx->images());
        });
        return losses.read().v[0];
    };
    Guarded dx(1, 2, 2, data.y.c);
    forward(data.y, &dx);
    CHECK(reference::checkGradient([&](const Tensor& x) { return forward(x, nullptr); }, data.y,
                                   dx.read(), {.step = 1e-2, .tolerance = 2e-3, .samples = 32}));
}

TEST_CASE("properties and copies of the YOLO loss") {
    const std::vector<float> anchors{1, 2, 3, 1};
    using enum MPS::CNNLossType;
    MPS::CNNYOLOLossDescriptor d(MeanSquaredError, Huber, SigmoidCrossEntropy, SoftMaxCrossEntropy,
                                 MPS::CNNReductionType::Sum, std::span<const float>(anchors), 2);
    CHECK(d.rescore());
    CHECK(d.scaleXY() == 10);
    CHECK(d.scaleWH() == 10);
    CHECK(d.scaleNoObject() == 5);
    CHECK(d.scaleObject() == 100);
    CHECK(d.scaleClass() == 2);
    CHECK(d.minIOUForObjectPresence() == 0.7f);
    CHECK(d.maxIOUForObjectAbsence() == 0.3f);
    CHECK_FALSE(d.reduceAcrossBatch());
    d.setReductionType(MPS::CNNReductionType::Mean);
    d.setReduceAcrossBatch(true);
    CHECK(d.classesLossDescriptor().reductionType() == MPS::CNNReductionType::Mean);
    const MPS::CNNYOLOLoss original(testDevice(), d);
    const auto archived = MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNYOLOLoss>(
        MPS::KeyedArchiver::archivedData(original), testDevice());
    CHECK(archived.anchorBoxes() == original.anchorBoxes());
    CHECK(archived.lossWH().lossType() == Huber);
    CHECK(archived.lossWH().reduceAcrossBatch());
    const MPS::CNNYOLOLoss loss = original.copy(testDevice());
    CHECK(loss.lossXY().lossType() == MeanSquaredError);
    CHECK(loss.lossWH().lossType() == Huber);
    CHECK(loss.lossConfidence().lossType() == SigmoidCrossEntropy);
    CHECK(loss.lossClasses().lossType() == SoftMaxCrossEntropy);
    CHECK(loss.lossXY().reduceAcrossBatch());
    CHECK(loss.reduceAcrossBatch());
    CHECK(loss.reductionType() == MPS::CNNReductionType::Mean);
    CHECK(loss.rescore());
    CHECK(loss.scaleObject() == 100);
    CHECK(loss.numberOfAnchorBoxes() == 2);
    REQUIRE(loss.anchorBoxes().size() == 16);
    CHECK(std::memcmp(loss.anchorBoxes().data(), anchors.data(), 16) == 0);
}

TEST_CASE("what a YOLO loss refuses") {
    using enum LossType;
    const auto making = [](const auto& change) {
        auto d = YOLODescriptorOf(usualYOLOLoss({1, 2, 3, 1}));
        change(d);
        return refusal([&] { MPS::CNNYOLOLoss(testDevice(), d); });
    };
    using D = MPS::CNNYOLOLossDescriptor;
    using Type = MPS::CNNLossType;
    using Reduction = MPS::CNNReductionType;
    CHECK(making([](D& d) { d.setNumberOfAnchorBoxes(0); }) ==
          "[CNNYOLOLoss] numberOfAnchorBoxes is 0 but must be from 1 to 256.");
    CHECK(making([](D& d) { d.setNumberOfAnchorBoxes(257); }) ==
          "[CNNYOLOLoss] numberOfAnchorBoxes is 257 but must be from 1 to 256.");
    CHECK(making([](D& d) { d.setNumberOfAnchorBoxes(3); }) ==
          "[CNNYOLOLoss] anchorBoxes has 16 bytes but 3 anchor boxes take 24.");
    const std::vector<float> flat{1, 2, 3, 0};
    CHECK(making([&](D& d) { d.setAnchorBoxes(std::span<const float>(flat)); }) ==
          "[CNNYOLOLoss] Anchor box 1 is 3.000000 x 0.000000 but its sizes must be above 0.");
    CHECK(making([](D& d) {
              d.setWHLossDescriptor(MPS::CNNLossDescriptor(Type::CosineDistance, Reduction::Sum));
          }) == "[CNNYOLOLoss] WHLossDescriptor's lossType is CosineDistance (7), which is one "
                "value per image and no loss of an anchor's channels.");
    CHECK(making([](D& d) {
              d.setXYLossDescriptor(MPS::CNNLossDescriptor(Type::Count, Reduction::Sum));
          }) == "[CNNYOLOLoss] XYLossDescriptor's lossType is 10 but types go from 0 to 9.");
    CHECK(making([](D& d) { d.setReductionType(Reduction::Count); }) ==
          "[CNNYOLOLoss] XYLossDescriptor's reductionType is 4 but types go from 0 to 3.");
    CHECK(making([](D& d) {
              d.setConfidenceLossDescriptor(MPS::CNNLossDescriptor(Type::Log, Reduction::Mean));
          }) == "[CNNYOLOLoss] confidenceLossDescriptor's reductionType is 2 and its "
                "reduceAcrossBatch 0 but the parts share 1 and 0.");
    CHECK(making([](D& d) {
              MPS::CNNLossDescriptor part(Type::SoftMaxCrossEntropy, Reduction::Sum);
              part.setLabelSmoothing(.1f);
              part.setNumberOfClasses(0);
              d.setClassesLossDescriptor(part);
          }) == "[CNNYOLOLoss] classesLossDescriptor's numberOfClasses is 0 but labelSmoothing "
                "divides by it.");
    CHECK(refusal([] {
              MPS::CNNYOLOLoss(MTL::Device(), YOLODescriptorOf(usualYOLOLoss({1, 1})));
          }) == "[Kernel] The device handle is empty.");

    MPS::CNNYOLOLoss loss(testDevice(), YOLODescriptorOf(usualYOLOLoss({1, 2, 3, 1})));
    loss.setLabel("boxes");
    const auto image = [](size_t channels) { return upload(Tensor(1, 2, 3, channels))[0]; };
    const MPS::CNNLossLabels good(testDevice(), {1, 1, 1}, image(14), MPS::Image());
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] { loss.encode(commands, image(14), image(14)); }) ==
          "[CNNYOLOLoss \"boxes\"] No labels were given: a loss is encoded with its labels.");
    CHECK(refusal([&] { loss.encode(commands, image(13), good, image(13)); }) ==
          "[CNNYOLOLoss \"boxes\"] sourceImages gives 13 feature channels but 2 anchor boxes have "
          "5 and one per class each: a multiple of 2 from 10 on.");
    CHECK(refusal([&] { loss.encode(commands, image(8), good); }) ==
          "[CNNYOLOLoss \"boxes\"] sourceImages gives 8 feature channels but 2 anchor boxes have 5 "
          "and one per class each: a multiple of 2 from 10 on.");
    CHECK(refusal([&] { loss.encode(commands, image(16), good, image(16)); }) ==
          "[CNNYOLOLoss \"boxes\"] labels[0] is 3x2 with 14 feature channels but the source is 3x2 "
          "and 16 feature channels of it are read.");
    CHECK(refusal([&] {
              loss.encodeBatch(commands, {image(14)}, MPS::StateBatch{MPS::State()}, {image(14)});
          }) == "[CNNYOLOLoss \"boxes\"] labels is an empty state handle.");
    loss.setClipRect({{1, 0, 0}, {1, 1, 1}});
    CHECK(refusal([&] { loss.encode(commands, image(14), good, image(14)); }) ==
          "[CNNYOLOLoss \"boxes\"] clipRect leaves a part of the 3x2 destination out but a loss "
          "takes the whole image.");
    conforms("CNNYOLOLoss", Aspect::Misuse);
}
