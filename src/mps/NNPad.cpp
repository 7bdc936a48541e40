#include "mps/NNPad.hpp"

#include "NNPad.h"
#include "mps/Archive.hpp"
#include "mps/Names.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNReshape.hpp>

#include <algorithm>

namespace mpsvk::mps {

std::string PadGeometry::text() const {
    return sizeText(width, height) + " pixels from (" + std::to_string(offsetX) + ", " +
           std::to_string(offsetY) + ") of a " + sizeText(sourceWidth, sourceHeight) +
           " source with " + std::to_string(before) + " + " + std::to_string(channels) + " + " +
           std::to_string(after) + " feature channels from " + std::to_string(firstChannel) +
           " on and edge mode " + nameOf(mode);
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

// Keeps every index within 32 bits.
constexpr uint64_t mostPadding = 1 << 28;

void checkPadding(const std::string& who, const char* property, const ImageCoordinate& size) {
    if (size.x <= mostPadding && size.y <= mostPadding && size.channel <= mostPadding) return;
    throw InvalidArgument(who + property + " is (" + std::to_string(size.x) + ", " +
                          std::to_string(size.y) + ", " + std::to_string(size.channel) +
                          ") but each must be at most " + std::to_string(mostPadding) + ".");
}

mps::PadGeometry geometryOf(const Offset& offset, const mps::Clip& clip, const Image& source,
                            uint64_t firstChannel, uint64_t channels, uint64_t before,
                            uint64_t after, ImageEdgeMode mode) {
    return {offset.x,       offset.y,        clip.width,   clip.height,
            source.width(), source.height(), firstChannel, channels,
            before,         after,           mode};
}

const mps::PadState* padState(const State& state) {
    return dynamic_cast<const mps::PadState*>(state.shared().get());
}

} // namespace

NNPad::NNPad(const MTL::Device& device, const ImageCoordinate& paddingSizeBefore,
             const ImageCoordinate& paddingSizeAfter, std::span<const float> fillValues)
    : CNNKernel(device, "NNPad"), before_(paddingSizeBefore), after_(paddingSizeAfter) {
    checkPadding("[NNPad] ", "paddingSizeBefore", before_);
    checkPadding("[NNPad] ", "paddingSizeAfter", after_);
    setFillValues({fillValues.begin(), fillValues.end()});
}

NNPad::NNPad(const NNPad& other, const MTL::Device& device) : NNPad(other) {
    setDevice(device);
    setFillValues(other.fillValues_);
}

void NNPad::setFillValues(std::vector<float> values) {
    fillValues_ = std::move(values);
    fillBuffer_ = fillValues_.empty() ? MTL::Buffer{}
                                      : device().newBuffer(std::as_bytes(std::span(fillValues_)));
}

void NNPad::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("paddingSizeBefore", before_);
    archive("paddingSizeAfter", after_);
    archive("fillValue", fillValue_);
    archive("fillValues", fillValues_);
    if (archive.isReading()) setFillValues(std::move(fillValues_));
}

uint64_t NNPad::outputChannels(uint64_t sourceChannels) const {
    return before_.channel + sourceChannels + after_.channel;
}

void NNPad::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    checkPadding(subject(), "paddingSizeBefore", before_);
    checkPadding(subject(), "paddingSizeAfter", after_);
    d.setWidth(before_.x + sources[0].width() + after_.x);
    d.setHeight(before_.y + sources[0].height() + after_.y);
    setOffset({-int64_t(before_.x), -int64_t(before_.y), offset().z});
    MTL::Region clip = clipRect();
    clip.origin.x = clip.origin.y = 0;
    clip.size.width = clip.size.height = UINT64_MAX;
    setClipRect(clip);
}

StateBatch NNPad::makeResultStates(const mps::StateRequest& request) const {
    const mps::ForwardRecord& r = request.record;
    const auto geometry = geometryOf(r.offset, r.clip, request.sources[0], r.sourceChannelOffset,
                                     r.sourceChannels, before_.channel, after_.channel, r.edgeMode);
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i)
        made.push_back(
            NNGradientState(std::make_shared<mps::PadState>(request.device, r, geometry)));
    return made;
}

void NNPad::validate(const mps::UnaryPass& pass) const {
    const std::string who = subject();
    checkPadding(who, "paddingSizeBefore", before_);
    checkPadding(who, "paddingSizeAfter", after_);
    for (const int64_t offset : {pass.offset.x, pass.offset.y})
        if (offset < -int64_t(mostPadding) || offset > int64_t(mostPadding))
            throw InvalidArgument(who + "offset is (" + std::to_string(pass.offset.x) + ", " +
                                  std::to_string(pass.offset.y) + ") but each must be at most " +
                                  std::to_string(mostPadding) + " either way.");
    if (uint64_t(pass.edgeMode) > uint64_t(ImageEdgeMode::Constant))
        throw InvalidArgument(who + "edgeMode is " + std::to_string(uint64_t(pass.edgeMode)) +
                              " but modes go from 0 to 4.");
    if (pass.edgeMode == ImageEdgeMode::Constant && !fillValues_.empty() &&
        fillValues_.size() < pass.destinationChannels)
        throw InvalidArgument(who + "There are " + std::to_string(fillValues_.size()) +
                              " fill values but " + std::to_string(pass.destinationChannels) +
                              " feature channels are written.");
    const auto geometry =
        geometryOf(pass.offset, pass.clip, pass.sources[0], sourceFeatureChannelOffset(),
                   pass.sourceChannels, before_.channel, after_.channel, pass.edgeMode);
    for (const State& state : pass.states) {
        const auto* own = padState(state);
        if (own && own->geometry != geometry)
            throw InvalidArgument(who + "The destination state was made for " +
                                  own->geometry.text() + " but this encode pads to " +
                                  geometry.text() + ".");
    }
}

void NNPad::dispatch(const mps::UnaryPass& pass) const {
    const bool constant = pass.edgeMode == ImageEdgeMode::Constant;
    const bool byChannel = constant && fillBuffer_;
    const glsl::NNPadParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .before = int(before_.channel),
        .mode = uint32_t(pass.edgeMode),
        .fillValue = constant ? fillValue_ : 0,
    };
    pass.encoder->dispatch("NNPad", parameters, pass.clipGrid(),
                           {{1, pass.source},
                            {2, pass.destination},
                            {3, byChannel ? fillBuffer_.impl().slice : vk::BufferSlice{}}},
                           {mps::constant(32, uint32_t(byChannel))});
}

void NNPadGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x, r.clip.y, primaryOffset().z});
    setSecondaryOffset({0, 0, r.offset.z});
    setSecondarySourceFeatureChannelOffset(0);
    setSecondarySourceFeatureChannelMaxCount(UINT64_MAX);
}

void NNPadGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.sourceStates.empty())
        throw InvalidArgument(who + "A padding's gradient needs the gradient state.");
    CNNGradientKernel::validate(pass);
    for (const State& state : pass.sourceStates)
        if (!padState(state)) throw InvalidArgument(who + "gradientState is none of an NNPad.");
    const mps::PadGeometry& g = padState(pass.sourceStates[0])->geometry;
    for (const State& state : pass.sourceStates)
        if (padState(state)->geometry != g)
            throw InvalidArgument(who + "One gradient state is of " + g.text() +
                                  " and another of " + padState(state)->geometry.text() + ".");
    const Image& source = pass.secondaries[0];
    if (source.width() != g.sourceWidth || source.height() != g.sourceHeight)
        throw InvalidArgument(who + "sourceImage is " +
                              mps::sizeText(source.width(), source.height()) +
                              " but the forward source of the gradient state was " +
                              mps::sizeText(g.sourceWidth, g.sourceHeight) + ".");
    const Image& gradient = pass.primaries[0];
    const Offset& from = primaryOffset();
    const auto fits = [](int64_t from, uint64_t length, uint64_t all) {
        return from >= 0 && uint64_t(from) <= all && length <= all - uint64_t(from);
    };
    if (!fits(from.x, g.width, gradient.width()) || !fits(from.y, g.height, gradient.height()))
        throw InvalidArgument(
            who + "sourceGradient is " + mps::sizeText(gradient.width(), gradient.height()) +
            " but the padded image is " + mps::sizeText(g.width, g.height) + " from (" +
            std::to_string(from.x) + ", " + std::to_string(from.y) + ") on.");
    if (pass.primaryChannels < g.channelsWritten())
        throw InvalidArgument(who + "sourceGradient gives " + std::to_string(pass.primaryChannels) +
                              " feature channels but the padded image has " +
                              std::to_string(g.channelsWritten()) + ".");
}

void NNPadGradient::dispatch(const mps::BinaryPass& pass) const {
    const mps::PadGeometry& g = padState(pass.sourceStates[0])->geometry;
    const auto limited = [](int64_t v) {
        return int(std::clamp<int64_t>(v, -int64_t(mostPadding), mostPadding));
    };
    const glsl::NNPadGradientParameters parameters{
        .gradient = pass.primaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .originX = limited(secondaryOffset().x),
        .originY = limited(secondaryOffset().y),
        .sourceWidth = int(g.sourceWidth),
        .sourceHeight = int(g.sourceHeight),
        .offsetX = int(g.offsetX),
        .offsetY = int(g.offsetY),
        .gradientX = int(primaryOffset().x),
        .gradientY = int(primaryOffset().y),
        .lastX = int(g.width) - 1,
        .lastY = int(g.height) - 1,
        .firstChannel = int(int64_t(secondary().channelOffset) - int64_t(g.firstChannel)),
        .channels = int(g.channels),
        .before = int(g.before),
        .written = int(g.channelsWritten()),
        .mode = uint32_t(g.mode),
    };
    pass.encoder->dispatch("NNPadGradient", parameters, pass.clipGrid(),
                           {{1, pass.primary}, {3, pass.destination}});
}

} // namespace mpsvk::MPS
