// What the loss kernels refuse.
#include "mps/CNNLossPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

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

void checkLossImages(const std::string& who, const CNNLossDescriptor& d, const LossImages& images,
                     const MTL::CommandBuffer& commandBuffer) {
    if (d.lossType() == CNNLossType::SoftMaxCrossEntropy && d.labelSmoothing() > 0 &&
        d.numberOfClasses() == 0)
        throw InvalidArgument(who + "numberOfClasses is 0 but labelSmoothing divides by it.");
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

void checkLossSize(const std::string& who, const std::string& name, const CNNLossDescriptor& d,
                   const LossImages& images, const Image& image, uint64_t channelOffset) {
    const Image& source = images.sources[0];
    const bool whole = d.reductionType() == CNNReductionType::None;
    const uint64_t width = whole ? source.width() : 1, height = whole ? source.height() : 1;
    const uint64_t channels = whole ? images.channels : 1;
    if (image.width() == width && image.height() == height &&
        image.featureChannels() >= channelOffset + channels)
        return;
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
