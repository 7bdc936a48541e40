#include "NNReduce.h"

#include "mps/Archive.hpp"
#include "mps/NNReduce.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNReduce.hpp>

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

Clip checkedClip(const std::string& who, const char* property, const MTL::Region& rect,
                 const MPS::Image& image) {
    const Clip clip = clipOf(rect, image);
    if (clip.width > 0 && clip.height > 0) return clip;
    throw InvalidArgument(who + property + " is " + sizeText(rect.size.width, rect.size.height) +
                          " at (" + std::to_string(rect.origin.x) + ", " +
                          std::to_string(rect.origin.y) + ") and holds no pixel of the " +
                          sizeText(image.width(), image.height()) + " source.");
}

void checkResultHolds(const std::string& who, const Clip& clip, const Clip& result) {
    if (clip.width <= result.width && clip.height <= result.height) return;
    throw InvalidArgument(who + "The clip rectangle covers " + sizeText(clip.width, clip.height) +
                          " pixels of the destination but the result has only " +
                          sizeText(result.width, result.height) + ".");
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

constexpr uint64_t groupSize = glsl::reduceGroupSize;

/// How a workgroup divides its invocations. Only the shape of one image decides, so that a batch
/// gives the same bits however it is cut.
struct GroupShape {
    GroupShape(uint64_t laneCount, uint64_t count) {
        // Lanes read neighbouring texels; a part that sums fewer than 8 of them does not pay.
        const uint64_t fewest = std::min<uint64_t>(16, std::bit_ceil(laneCount));
        parts = std::min(groupSize / fewest, std::bit_floor(std::max<uint64_t>(count / 8, 1)));
        lanes = std::min(groupSize / parts, std::bit_ceil(laneCount));
    }
    uint64_t lines() const { return groupSize / (lanes * parts); }
    uint64_t parts, lanes;
};

/// Partial sums of a large image, each by a workgroup of its own.
uint64_t chunksOf(uint64_t count, uint64_t parts) {
    const uint64_t most = 64, least = 16 * parts;
    return std::clamp<uint64_t>(count / least, 1, most);
}

} // namespace

void NNReduceUnary::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("clipRectSource", clipRectSource_);
}

void NNReduceFeatureChannelsSum::archive(mps::Archive& archive) {
    NNReduceUnary::archive(archive);
    archive("weight", weight_);
}

mps::Clip NNReduceUnary::sourceClip(const Image& source) const {
    return mps::checkedClip(subject(), "clipRectSource", clipRectSource_, source);
}

mps::Clip NNReduceUnary::resultClip(const mps::Clip& read) const {
    mps::Clip result = read;
    if (axis_ == Axis::Row || axis_ == Axis::Image) result.width = 1;
    if (axis_ == Axis::Column || axis_ == Axis::Image) result.height = 1;
    return result;
}

ImageRange NNReduceUnary::sourceImages() const { return mps::imageRange(clipRectSource_); }

void NNReduceUnary::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    const mps::Clip result = resultClip(sourceClip(sources[0]));
    d.setWidth(result.width);
    d.setHeight(result.height);
    d.setNumberOfImages(mps::imagesIn(clipRectSource_, sources[0]));
    const bool isIndex =
        operation_ == Operation::ArgumentMinimum || operation_ == Operation::ArgumentMaximum;
    if (isIndex && d.channelFormat() == ImageFeatureChannelFormat::Unorm8) // which ends at 1
        d.setChannelFormat(ImageFeatureChannelFormat::Float32);
}

void NNReduceUnary::validate(const mps::UnaryPass& pass) const {
    mps::checkResultHolds(subject(), pass.clip, resultClip(sourceClip(pass.sources[0])));
}

void NNReduceUnary::dispatch(const mps::UnaryPass& pass) const {
    if (axis_ == Axis::FeatureChannels)
        dispatchFeatureChannels(pass);
    else
        dispatchSpatial(pass);
}

void NNReduceUnary::dispatchSpatial(const mps::UnaryPass& pass) const {
    const mps::Clip read = sourceClip(pass.sources[0]);
    const uint64_t slices = vk::divideUp(pass.sourceChannels, 4);
    const bool isRow = axis_ == Axis::Row, isColumn = axis_ == Axis::Column;
    const uint64_t reducedWidth = isColumn ? 1 : read.width;
    const uint64_t count = reducedWidth * (isRow ? 1 : read.height);
    const uint64_t laneCount = slices * (isColumn ? pass.clip.width : 1);
    const uint64_t lineCount = isRow ? pass.clip.height : 1;
    const GroupShape shape(slices * (isColumn ? read.width : 1), count);
    const uint64_t chunks = axis_ == Axis::Image ? chunksOf(count, shape.parts) : 1;
    const bool sums = operation_ == Operation::Sum || operation_ == Operation::Mean;
    const glsl::NNReduceSpatialParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .sourceX = int(read.x),
        .sourceY = int(read.y),
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .laneCount = uint32_t(laneCount),
        .lineCount = uint32_t(lineCount),
        .images = uint32_t(pass.imageCount),
        .count = uint32_t(count),
        .reducedWidth = uint32_t(reducedWidth),
        .stepX = uint32_t(shape.parts % reducedWidth),
        .stepY = uint32_t(shape.parts / reducedWidth),
        .lanes = uint32_t(shape.lanes),
        .parts = uint32_t(shape.parts),
        .chunk = uint32_t(vk::divideUp(count, chunks)),
        .chunks = uint32_t(chunks),
        .divisor = operation_ == Operation::Mean ? float(count) : 1.f,
    };
    const uint64_t groups = vk::divideUp(laneCount, shape.lanes) * chunks *
                            vk::divideUp(lineCount * pass.imageCount, shape.lines());
    const uint32_t operation = sums                               ? glsl::reduceSum
                               : operation_ == Operation::Minimum ? glsl::reduceMinimum
                                                                  : glsl::reduceMaximum;
    mps::Encoder& encoder = *pass.encoder;
    if (chunks == 1) {
        encoder.dispatch("NNReduceSpatial", parameters, mps::Grid::of(groups * groupSize),
                         {{1, pass.source}, {2, pass.destination}},
                         {mps::constant(32, operation), mps::constant(33, 0u)});
        return;
    }
    const auto partial = encoder.scratch(laneCount * chunks * pass.imageCount * 4 * sizeof(float));
    encoder.dispatch("NNReduceSpatial", parameters, mps::Grid::of(groups * groupSize),
                     {{1, pass.source}, {3, *partial}},
                     {mps::constant(32, operation), mps::constant(33, 1u)});
    encoder.dispatch("NNReduceSpatialSum", parameters, mps::Grid::of(laneCount * pass.imageCount),
                     {{2, pass.destination}, {3, *partial}});
}

void NNReduceUnary::dispatchFeatureChannels(const mps::UnaryPass& pass) const {
    const mps::Clip read = sourceClip(pass.sources[0]);
    const uint64_t parts =
        std::min(groupSize, std::bit_floor(vk::divideUp(pass.sourceChannels, 4)));
    const glsl::NNReduceFeatureChannelsParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .sourceX = int(read.x),
        .sourceY = int(read.y),
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .images = uint32_t(pass.imageCount),
        .parts = uint32_t(parts),
        .factor = factor(),
        .divisor = operation_ == Operation::Mean ? float(pass.sourceChannels) : 1.f,
    };
    const auto operation = [this] {
        switch (operation_) {
        case Operation::Minimum: return glsl::reduceMinimum;
        case Operation::Maximum: return glsl::reduceMaximum;
        case Operation::ArgumentMinimum: return glsl::reduceArgumentMinimum;
        case Operation::ArgumentMaximum: return glsl::reduceArgumentMaximum;
        default: return glsl::reduceSum;
        }
    };
    pass.encoder->dispatch(
        "NNReduceFeatureChannels", parameters,
        mps::Grid::of(pass.clip.width * pass.clip.height * pass.imageCount * parts),
        {{1, pass.source}, {2, pass.destination}}, {mps::constant(32, operation())});
}

} // namespace mpsvk::MPS
