// What CNNLoss and its labels refuse.
#include "mtl/CommandBuffer.hpp"
#include "support/Conformance.hpp"
#include "support/Images.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("what a loss refuses") {
    using Type = MPS::CNNLossType;
    using Reduction = MPS::CNNReductionType;
    const auto make = [](Type type, Reduction reduction) {
        return MPS::CNNLoss(testDevice(), MPS::CNNLossDescriptor(type, reduction));
    };
    CHECK(refusal([&] { make(Type::Count, Reduction::Sum); }) ==
          "[CNNLoss] lossType is 10 but types go from 0 to 9.");
    CHECK(refusal([&] { make(Type::Log, Reduction::Count); }) ==
          "[CNNLoss] reductionType is 4 but types go from 0 to 3.");
    CHECK(refusal([&] { make(Type::CosineDistance, Reduction::Mean); }) ==
          "[CNNLoss] reductionType is 2 but CosineDistance is one value per image, reduced by Sum "
          "(1) only.");
    CHECK(refusal([] {
              MPS::CNNLossDataDescriptor(std::vector<float>(9),
                                         MPS::DataLayout::HeightxWidthxFeatureChannels, {1, 2, 5});
          }) == "[CNNLossDataDescriptor] The data has 36 bytes but 1x2 with 5 feature channels "
                "take 4 for each element, and there must be one.");
    const auto image = [](size_t h, size_t w, size_t c) {
        return upload(reference::random(1, h, w, c, 1)).at(0);
    };
    CHECK(refusal([&] {
              MPS::CNNLossLabels(testDevice(), {1, 0, 1}, image(1, 1, 1), MPS::Image());
          }) == "[CNNLossLabels] lossImageSize is 1x0 with 1 feature channels but each must be at "
                "least 1.");
    CHECK(refusal([&] {
              MPS::CNNLossLabels(testDevice(), {1, 1, 1}, MPS::Image(), MPS::Image());
          }) == "[CNNLossLabels] labelsImage is an empty image handle.");

    MTL::CommandBuffer commands = testQueue().commandBuffer();
    auto loss = make(Type::MeanSquaredError, Reduction::Sum);
    loss.setLabel("l");
    const auto source = image(2, 3, 5), destination = image(2, 3, 5);
    const auto encode = [&](const MPS::CNNLossLabels& labels) {
        return refusal([&] { loss.encode(commands, source, labels, destination); });
    };
    const auto around = [&](const MPS::Image& t, const MPS::Image& w = {},
                            MTL::Size size = {1, 1, 1}) {
        return MPS::CNNLossLabels(testDevice(), size, t, w);
    };
    CHECK(encode({}) == "[CNNLoss \"l\"] labels is an empty state handle.");
    CHECK(encode(around(image(2, 2, 5))) ==
          "[CNNLoss \"l\"] labels[0] is 2x2 with 5 feature channels but the source is 3x2 and 5 "
          "feature channels of "
          "it are read.");
    CHECK(encode(around(image(2, 3, 4))) ==
          "[CNNLoss \"l\"] labels[0] is 3x2 with 4 feature channels but the source is 3x2 and 5 "
          "feature channels of "
          "it are read.");
    CHECK(encode(around(image(2, 3, 5), image(2, 3, 1))) ==
          "[CNNLoss \"l\"] weights[0] is 3x2 with 1 feature channels but the source is 3x2 and 5 "
          "feature channels of "
          "it are read.");
    CHECK(encode(around(image(2, 3, 5), {}, {3, 2, 5})) ==
          "[CNNLoss \"l\"] labels's lossImage is 3x2 with 5 feature channels but reduced the loss "
          "is 1x1 with 1, from "
          "channel 0 on.");
    CHECK(encode(around(image(2, 3, 5), {}, {1, 1, 5})) ==
          "[CNNLoss \"l\"] labels's lossImage is 1x1 with 5 feature channels but reduced the loss "
          "is 1x1 with 1, from channel 0 on.");
    const auto good = around(image(2, 3, 5));
    CHECK(refusal([&] { loss.encode(commands, source, good, image(2, 3, 4)); }) ==
          "[CNNLoss \"l\"] destinationImages[0] has 4 feature channels but channels 0 to 5 are "
          "needed.");
    CHECK(refusal([&] { loss.encode(commands, source, good, image(3, 3, 5)); }) ==
          "[CNNLoss \"l\"] destinationImages[0] is 3x3 but the gradient has the size of the "
          "source, 3x2.");
    CHECK(refusal([&] { loss.encode(commands, source, good, source); }) ==
          "[CNNLoss \"l\"] A destination image is also a source image; the kernel does not work in "
          "place.");
    CHECK(refusal([&] { loss.encode(commands, source, good, good.labelsImage()); }) ==
          "[CNNLoss \"l\"] A destination image is also a source image; the kernel does not work in "
          "place.");
    const auto weighted = around(image(2, 3, 5), image(2, 3, 5));
    CHECK(refusal([&] { loss.encode(commands, source, weighted, weighted.weightsImage()); }) ==
          "[CNNLoss \"l\"] A destination image is also a source image; the kernel does not work in "
          "place.");
    CHECK(refusal([&] { loss.encode(commands, source, destination); }) ==
          "[CNNLoss \"l\"] No labels were given: a loss is encoded with its labels.");
    CHECK(refusal([&] {
              loss.encodeBatch(commands, {source}, MPS::StateBatch{MPS::State(testDevice(), 4)});
          }) == "[CNNLoss \"l\"] labels[0] is a state of another class than CNNLossLabels.");
    CHECK(refusal([&] {
              loss.encodeBatch(commands, {source, image(2, 3, 5)}, MPS::StateBatch{good});
          }) == "[CNNLoss \"l\"] There are 2 images but labels has 1 states.");
    loss.setOffset({1, 0, 0});
    CHECK(refusal([&] { loss.encode(commands, source, good, destination); }) ==
          "[CNNLoss \"l\"] offset is (1, 0, 0) but a loss takes the whole image: it must be 0.");
    loss.setOffset({});
    loss.setClipRect({{0, 1, 0}, {3, 1, 1}});
    CHECK(refusal([&] { loss.encode(commands, source, good, destination); }) ==
          "[CNNLoss \"l\"] clipRect leaves a part of the 3x2 destination out but a loss takes the "
          "whole image.");
    auto none = make(Type::Log, Reduction::None);
    CHECK(refusal([&] { none.encode(commands, source, good, destination); }) ==
          "[CNNLoss] labels's lossImage is 1x1 with 1 feature channels but without a reduction the "
          "loss is 3x2 with "
          "5, from channel 0 on.");
    const auto each = around(image(2, 3, 5), {}, {3, 2, 5});
    for (const auto& [from, to] :
         {std::pair(source, each.lossImage()), std::pair(each.lossImage(), destination)})
        CHECK(refusal([&] { none.encode(commands, from, each, to); }) ==
              "[CNNLoss] A destination image is also a source image; the kernel does not work in "
              "place.");
    none.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { none.encode(commands, source, each, destination); }) ==
          "[CNNLoss] edgeMode is Mirror but only Zero and Clamp are known to this kernel.");
    auto cosine = make(Type::CosineDistance, Reduction::Sum);
    CHECK(refusal([&] {
              cosine.encode(commands, source, around(image(2, 3, 5), image(2, 3, 5)), destination);
          }) == "[CNNLoss] A weights image was given but CosineDistance is one value per image: "
                "only the scalar weight "
                "counts.");
    MPS::CNNLossDescriptor d(Type::SoftMaxCrossEntropy, Reduction::Sum);
    d.setLabelSmoothing(.1f);
    d.setNumberOfClasses(0);
    MPS::CNNLoss smoothed(testDevice(), d);
    CHECK(refusal([&] { smoothed.encode(commands, source, good, destination); }) ==
          "[CNNLoss] numberOfClasses is 0 but labelSmoothing divides by it.");
    CHECK(std::ranges::all_of(commands.impl().segments, [](const auto& segment) {
        return segment->commands.dispatchCount() == 0;
    }));
    conforms("CNNLoss", Aspect::Misuse);
}
