#include "mps/Archive.hpp"
#include "mps/CNNLossPass.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNYOLOLoss.hpp>

#include <algorithm>
#include <cstring>

namespace mpsvk::MPS {

namespace {

constexpr uint64_t mostAnchors = 256;   // mostBoxes of glsl/CNNYOLOLoss.comp
constexpr uint64_t boxesPerGroup = 128; // its workgroup: about one box per invocation

CNNLossDescriptor checkedPart(const char* name, const CNNLossDescriptor& part,
                              const CNNYOLOLossDescriptor& whole) {
    const std::string who = "[CNNYOLOLoss] " + std::string(name) + "'s ";
    if (part.lossType() == CNNLossType::CosineDistance)
        throw InvalidArgument(who + "lossType is CosineDistance (7), which is one value per image "
                                    "and no loss of an anchor's channels.");
    mps::checkLossDescriptor(who, part);
    if (part.reductionType() != whole.reductionType() ||
        part.reduceAcrossBatch() != whole.reduceAcrossBatch())
        throw InvalidArgument(
            who + "reductionType is " + std::to_string(int(part.reductionType())) +
            " and its reduceAcrossBatch " + std::to_string(part.reduceAcrossBatch()) +
            " but the parts share " + std::to_string(int(whole.reductionType())) + " and " +
            std::to_string(whole.reduceAcrossBatch()) + ".");
    mps::checkSmoothing(who, part);
    return part;
}

MTL::Buffer anchorBuffer(const MTL::Device& device, const CNNYOLOLossDescriptor& d) {
    const std::string who = "[CNNYOLOLoss] ";
    const uint64_t count = d.numberOfAnchorBoxes();
    if (count == 0 || count > mostAnchors)
        throw InvalidArgument(who + "numberOfAnchorBoxes is " + std::to_string(count) +
                              " but must be from 1 to " + std::to_string(mostAnchors) + ".");
    std::vector<float> sizes(2 * count);
    const uint64_t bytes = sizes.size() * sizeof(float);
    if (d.anchorBoxes().size() < bytes)
        throw InvalidArgument(who + "anchorBoxes has " + std::to_string(d.anchorBoxes().size()) +
                              " bytes but " + std::to_string(count) + " anchor boxes take " +
                              std::to_string(bytes) + ".");
    std::memcpy(sizes.data(), d.anchorBoxes().data(), bytes);
    for (uint64_t i = 0; i < count; ++i)
        if (!(sizes[2 * i] > 0) || !(sizes[2 * i + 1] > 0))
            throw InvalidArgument(
                who + "Anchor box " + std::to_string(i) + " is " + std::to_string(sizes[2 * i]) +
                " x " + std::to_string(sizes[2 * i + 1]) + " but its sizes must be above 0.");
    return device.newBuffer(std::as_bytes(std::span(sizes)));
}

glsl::CNNYOLOLossPart partOf(const CNNLoss& loss, const CNNLossDescriptor& d, float scale,
                             float scaleNoObject = 0) {
    const mps::LabelSmoothing smoothing(d);
    return {
        .type = uint32_t(loss.lossType()),
        .weight = scale * loss.weight(),
        .labelScale = smoothing.scale,
        .labelShift = smoothing.shift,
        .epsilon = loss.epsilon(),
        .delta = loss.delta(),
        .weightNoObject = scaleNoObject * loss.weight(),
    };
}

/// What an archive is read over.
CNNYOLOLossDescriptor oneAnchor() {
    const float size[] = {1, 1};
    constexpr auto type = CNNLossType::MeanSquaredError;
    return {type, type, type, type, CNNReductionType::Sum, std::span<const float>(size), 1};
}

struct AnchorFunction {
    explicit AnchorFunction(const CNNYOLOLoss& kernel, const CNNYOLOLossDescriptor& d,
                            const MTL::Buffer& anchors)
        : reduction(CNNLossType::MeanSquaredError, d.reductionType()) {
        reduction.setReduceAcrossBatch(d.reduceAcrossBatch());
        auto& p = losses.parameters;
        p.parts[glsl::anchorXY] = partOf(kernel.lossXY(), d.XYLossDescriptor(), d.scaleXY());
        p.parts[glsl::anchorWH] = partOf(kernel.lossWH(), d.WHLossDescriptor(), d.scaleWH());
        p.parts[glsl::anchorConfidence] =
            partOf(kernel.lossConfidence(), d.confidenceLossDescriptor(), d.scaleObject(),
                   d.scaleNoObject());
        p.parts[glsl::anchorClasses] =
            partOf(kernel.lossClasses(), d.classesLossDescriptor(), d.scaleClass());
        p.anchors = uint32_t(d.numberOfAnchorBoxes());
        p.pixels = std::max<uint32_t>(1, uint32_t(boxesPerGroup) / p.anchors);
        p.rescores = d.rescore();
        p.presence = d.minIOUForObjectPresence();
        p.absence = d.maxIOUForObjectAbsence();
        losses.anchorBoxes = anchors.impl().slice;
    }
    operator mps::LossFunction() const { return {reduction, &losses}; }

    CNNLossDescriptor reduction;
    mps::AnchorLosses losses{};
};

} // namespace

CNNYOLOLossDescriptor::CNNYOLOLossDescriptor(CNNLossType XYLossType, CNNLossType WHLossType,
                                             CNNLossType confidenceLossType,
                                             CNNLossType classesLossType,
                                             CNNReductionType reductionType,
                                             std::span<const std::byte> anchorBoxes,
                                             uint64_t numberOfAnchorBoxes)
    : xy_(XYLossType, reductionType), wh_(WHLossType, reductionType),
      confidence_(confidenceLossType, reductionType), classes_(classesLossType, reductionType),
      reductionType_(reductionType), numberOfAnchorBoxes_(numberOfAnchorBoxes),
      anchorBoxes_(anchorBoxes.begin(), anchorBoxes.end()) {}

CNNYOLOLossDescriptor::CNNYOLOLossDescriptor(CNNLossType XYLossType, CNNLossType WHLossType,
                                             CNNLossType confidenceLossType,
                                             CNNLossType classesLossType,
                                             CNNReductionType reductionType,
                                             std::span<const float> anchorBoxes,
                                             uint64_t numberOfAnchorBoxes)
    : CNNYOLOLossDescriptor(XYLossType, WHLossType, confidenceLossType, classesLossType,
                            reductionType, std::as_bytes(anchorBoxes), numberOfAnchorBoxes) {}

void CNNYOLOLossDescriptor::archive(mps::Archive& archive) {
    archive("XYLossDescriptor", xy_);
    archive("WHLossDescriptor", wh_);
    archive("confidenceLossDescriptor", confidence_);
    archive("classesLossDescriptor", classes_);
    archive("reductionType", reductionType_);
    archive("reduceAcrossBatch", reduceAcrossBatch_);
    archive("rescore", rescore_);
    archive("scaleXY", scaleXY_);
    archive("scaleWH", scaleWH_);
    archive("scaleNoObject", scaleNoObject_);
    archive("scaleObject", scaleObject_);
    archive("scaleClass", scaleClass_);
    archive("minIOUForObjectPresence", minIOUForObjectPresence_);
    archive("maxIOUForObjectAbsence", maxIOUForObjectAbsence_);
    archive("numberOfAnchorBoxes", numberOfAnchorBoxes_);
    archive("anchorBoxes", anchorBoxes_);
}

void CNNYOLOLossDescriptor::setReductionType(CNNReductionType v) {
    reductionType_ = v;
    for (CNNLossDescriptor* part : {&xy_, &wh_, &confidence_, &classes_}) part->setReductionType(v);
}

void CNNYOLOLossDescriptor::setReduceAcrossBatch(bool v) {
    reduceAcrossBatch_ = v;
    for (CNNLossDescriptor* part : {&xy_, &wh_, &confidence_, &classes_})
        part->setReduceAcrossBatch(v);
}

CNNYOLOLoss::CNNYOLOLoss(const MTL::Device& device, const CNNYOLOLossDescriptor& d)
    : CNNKernel(device, "CNNYOLOLoss"), descriptor_(d),
      lossXY_(device, checkedPart("XYLossDescriptor", d.XYLossDescriptor(), d)),
      lossWH_(device, checkedPart("WHLossDescriptor", d.WHLossDescriptor(), d)),
      lossConfidence_(device,
                      checkedPart("confidenceLossDescriptor", d.confidenceLossDescriptor(), d)),
      lossClasses_(device, checkedPart("classesLossDescriptor", d.classesLossDescriptor(), d)),
      anchors_(anchorBuffer(device, d)) {}

CNNYOLOLoss::CNNYOLOLoss(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNYOLOLoss(deviceFor(coder, device), oneAnchor()) {
    unarchive(coder);
}

CNNYOLOLoss CNNYOLOLoss::copy(const MTL::Device& device) const {
    CNNYOLOLoss made(*this);
    made.setDevice(device);
    made.setDescriptor(descriptor_);
    return made;
}

void CNNYOLOLoss::setDescriptor(const CNNYOLOLossDescriptor& descriptor) {
    const CNNYOLOLoss made(device(), descriptor);
    descriptor_ = made.descriptor_;
    lossXY_ = made.lossXY_;
    lossWH_ = made.lossWH_;
    lossConfidence_ = made.lossConfidence_;
    lossClasses_ = made.lossClasses_;
    anchors_ = made.anchors_;
}

void CNNYOLOLoss::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    CNNYOLOLossDescriptor descriptor = descriptor_;
    archive("descriptor", descriptor);
    if (archive.isReading()) setDescriptor(descriptor);
}

void CNNYOLOLoss::validate(const mps::UnaryPass&) const { mps::refuseWithoutLabels(subject()); }
void CNNYOLOLoss::dispatch(const mps::UnaryPass&) const {} // validate lets nothing come here

void CNNYOLOLoss::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                         const CNNLossLabels& labels, const Image& destination) {
    mps::encodeLabelledLosses(subject(), *this, AnchorFunction(*this, descriptor_, anchors_),
                              commandBuffer, {source}, {labels}, {destination}, false);
}

Image CNNYOLOLoss::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                          const CNNLossLabels& labels) {
    return mps::encodeLabelledLosses(subject(), *this, AnchorFunction(*this, descriptor_, anchors_),
                                     commandBuffer, {source}, {labels}, false)[0];
}

void CNNYOLOLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                              const StateBatch& labels, const ImageBatch& destinations) {
    mps::encodeLabelledLosses(subject(), *this, AnchorFunction(*this, descriptor_, anchors_),
                              commandBuffer, sources, labels, destinations, true);
}

ImageBatch CNNYOLOLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                    const ImageBatch& sources, const StateBatch& labels) {
    return mps::encodeLabelledLosses(subject(), *this, AnchorFunction(*this, descriptor_, anchors_),
                                     commandBuffer, sources, labels, true);
}

} // namespace mpsvk::MPS
