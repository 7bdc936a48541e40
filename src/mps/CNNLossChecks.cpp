// What the loss kernels refuse.
#include "mps/CNNLossPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <iterator>

namespace mpsvk::mps {

using MPS::CNNLossDescriptor;
using MPS::CNNLossType;
using MPS::CNNReductionType;
using MPS::Image;
using MPS::ImageBatch;

namespace {

std::string shapeText(const Image& image) {
    return sizeText(image.width(), image.height()) + " with " +
           std::to_string(image.featureChannels()) + " feature channels";
}

void checkBeside(const std::string& who, const char* role, const LossImages& images,
                 const ImageBatch& others, const MTL::CommandBuffer& commandBuffer) {
    checkBatchLengths(who, "The source batch", images.sources.size(), role, others.size());
    const Image& source = images.sources[0];
    for (size_t i = 0; i < others.size(); ++i) {
        if (!others[i]) continue;
        const std::string name = std::string(role) + "[" + std::to_string(i) + "]";
        others[i].impl().checkUsable(who, name.c_str(), commandBuffer);
        if (others[i].numberOfImages() != 1)
            throw InvalidArgument(who + name + " has numberOfImages " +
                                  std::to_string(others[i].numberOfImages()) +
                                  " but one image of it belongs to one source image.");
        if (others[i].width() != source.width() || others[i].height() != source.height() ||
            others[i].featureChannels() < images.channels)
            throw InvalidArgument(
                who + name + " is " + shapeText(others[i]) + " but the source is " +
                sizeText(source.width(), source.height()) + " and " +
                std::to_string(images.channels) + " feature channels of it are read.");
    }
}

} // namespace

void refuseWithoutLabels(const std::string& who) {
    throw InvalidArgument(who + "No labels were given: a loss is encoded with its labels.");
}

uint64_t checkLossPair(const std::string& who, const char* role, const ImageBatch& sources,
                       uint64_t channelOffset, uint64_t channelMaxCount,
                       const ImageBatch& destinations, uint64_t destinationOffset,
                       const MTL::CommandBuffer& commandBuffer) {
    checkSources(who, role, sources, commandBuffer, true);
    checkSources(who, "destinationImages", destinations, commandBuffer, true);
    checkBatchLengths(who, role, sources.size(), "destinationImages", destinations.size());
    checkSameShapes(who, role, sources);
    checkSameShapes(who, "destinationImages", destinations);
    checkChannelOffset(who, "sourceFeatureChannelOffset", channelOffset);
    checkChannelOffset(who, "destinationFeatureChannelOffset", destinationOffset);
    const uint64_t channels = channelsInUse(sources[0], channelOffset, channelMaxCount);
    checkChannels(who, role, sources[0], channelOffset, channels);
    return channels;
}

void checkLossDescriptor(const std::string& who, const CNNLossDescriptor& d) {
    if (d.lossType() >= CNNLossType::Count)
        throw InvalidArgument(who + "lossType is " + std::to_string(uint32_t(d.lossType())) +
                              " but types go from 0 to 9.");
    if (d.reductionType() < CNNReductionType::None || d.reductionType() >= CNNReductionType::Count)
        throw InvalidArgument(who + "reductionType is " +
                              std::to_string(int32_t(d.reductionType())) +
                              " but types go from 0 to 3.");
    if (d.lossType() == CNNLossType::CosineDistance && d.reductionType() != CNNReductionType::Sum)
        throw InvalidArgument(
            who + "reductionType is " + std::to_string(int32_t(d.reductionType())) +
            " but CosineDistance is one value per image, reduced by Sum (1) only.");
}

void checkSmoothing(const std::string& who, const CNNLossDescriptor& d) {
    if (d.lossType() == CNNLossType::SoftMaxCrossEntropy && d.labelSmoothing() > 0 &&
        d.numberOfClasses() == 0)
        throw InvalidArgument(who + "numberOfClasses is 0 but labelSmoothing divides by it.");
}

void checkLossImages(const std::string& who, const CNNLossDescriptor& d, const LossImages& images,
                     const MTL::CommandBuffer& commandBuffer) {
    checkSmoothing(who, d);
    for (size_t i = 0; i < images.labels.size(); ++i)
        if (!images.labels[i])
            throw InvalidArgument(who + "labels[" + std::to_string(i) +
                                  "] is an empty image handle.");
    checkBeside(who, "labels", images, images.labels, commandBuffer);
    if (images.weights.empty()) return;
    checkBeside(who, "weights", images, images.weights, commandBuffer);
    if (d.lossType() == CNNLossType::CosineDistance)
        for (const Image& weights : images.weights)
            if (weights)
                throw InvalidArgument(
                    who + "A weights image was given but CosineDistance is one value per "
                          "image: only the scalar weight counts.");
}

void checkLossNotAliased(const std::string& who, const LossImages& images,
                         const ImageBatch& destinations) {
    checkNotAliased(who, images.sources, destinations);
    checkNotAliased(who, images.labels, destinations);
    ImageBatch weights;
    std::ranges::copy_if(images.weights, std::back_inserter(weights),
                         [](const Image& image) { return bool(image); });
    checkNotAliased(who, weights, destinations);
}

void checkAnchorChannels(const std::string& who, uint64_t anchors, uint64_t channels) {
    if (channels % anchors == 0 && channels / anchors >= 5) return;
    throw InvalidArgument(
        who + "sourceImages gives " + std::to_string(channels) + " feature channels but " +
        std::to_string(anchors) + " anchor boxes have 5 and one per class each: a multiple of " +
        std::to_string(anchors) + " from " + std::to_string(5 * anchors) + " on.");
}

void checkLossSize(const std::string& who, const std::string& name, const CNNLossDescriptor& d,
                   const LossImages& images, const Image& image, uint64_t channelOffset,
                   bool isLabels) {
    const Image& source = images.sources[0];
    const bool whole = d.reductionType() == CNNReductionType::None;
    const uint64_t width = whole ? source.width() : 1, height = whole ? source.height() : 1;
    const uint64_t channels = whole ? images.channels : 1;
    const uint64_t given = image.featureChannels();
    const bool fits = isLabels ? given == channels || (whole && given == source.featureChannels())
                               : given >= channelOffset + channels;
    if (image.width() == width && image.height() == height && fits) return;
    throw InvalidArgument(who + name + " is " + shapeText(image) + " but " +
                          (whole ? "without a reduction" : "reduced") + " the loss is " +
                          sizeText(width, height) + " with " + std::to_string(channels) +
                          ", from channel " + std::to_string(channelOffset) + " on.");
}

void checkWholeImages(const std::string& who, const char* property, const MPS::Offset& offset,
                      const MTL::Region& clipRect, const Image& destination) {
    if (offset != MPS::Offset{})
        throw InvalidArgument(who + property + " is (" + std::to_string(offset.x) + ", " +
                              std::to_string(offset.y) + ", " + std::to_string(offset.z) +
                              ") but a loss takes the whole image: it must be 0.");
    const Clip clip = clipOf(clipRect, destination);
    if (clip.x != 0 || clip.y != 0 || clip.width != destination.width() ||
        clip.height != destination.height() || clipRect.origin.z != 0 || clipRect.size.depth == 0)
        throw InvalidArgument(who + "clipRect leaves a part of the " +
                              sizeText(destination.width(), destination.height()) +
                              " destination out but a loss takes the whole image.");
}

} // namespace mpsvk::mps
