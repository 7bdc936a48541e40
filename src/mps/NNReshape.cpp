#include "NNReshape.h"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNReshape.hpp>

namespace mpsvk::MPS {

namespace {

std::string shapeText(uint64_t width, uint64_t height, uint64_t channels) {
    return mps::sizeText(width, height) + " with " + std::to_string(channels) + " feature channels";
}

void checkElements(const std::string& who, const char* sourceRole, const Image& source,
                   uint64_t sourceChannels, const Image& destination,
                   uint64_t destinationChannels) {
    if (source.width() * source.height() * sourceChannels ==
        destination.width() * destination.height() * destinationChannels)
        return;
    throw InvalidArgument(
        who + sourceRole + " is " + shapeText(source.width(), source.height(), sourceChannels) +
        " but the result " +
        shapeText(destination.width(), destination.height(), destinationChannels) +
        ": these are not as many elements.");
}

/// One row of whole texels where the texels of an image lie one after the other: placing one then
/// takes no arithmetic.
glsl::ImageView flattened(const mps::ImageRun& run, glsl::ImageView view) {
    if (run.isTexture() || view.channels != view.slices * 4) return view;
    view.width *= view.height * view.slices;
    view.height = view.slices = 1;
    view.channels = 4;
    return view;
}

void reshape(mps::Encoder& encoder, const mps::ImageRun& source, const glsl::ImageView& sourceView,
             const mps::ImageRun& destination, const glsl::ImageView& destinationView) {
    const bool whole = (sourceView.channels | destinationView.channels) % 4 == 0;
    const glsl::NNReshapeParameters parameters{
        .source = whole ? flattened(source, sourceView) : sourceView,
        .destination = whole ? flattened(destination, destinationView) : destinationView,
        .images = uint32_t(destination.count()),
    };
    const auto& d = parameters.destination;
    const uint64_t texels = uint64_t(d.width) * d.height * mps::slicesFor(d.channels);
    encoder.dispatch("NNReshape", parameters, mps::Grid::of(texels * destination.count()),
                     {{1, source}, {2, destination}});
}

} // namespace

/// The shape that an encode names, for as long as that encode runs.
class NNReshape::Reshaping {
public:
    Reshaping(NNReshape& kernel, const Shape& shape) : kernel_(kernel) { kernel.reshaped_ = shape; }
    ~Reshaping() { kernel_.reshaped_.reset(); }
    Reshaping(const Reshaping&) = delete;

private:
    NNReshape& kernel_;
};

Image NNReshape::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                        uint64_t width, uint64_t height, uint64_t channels) {
    const Reshaping scope(*this, {width, height, channels});
    return encode(commandBuffer, source);
}

Image NNReshape::encode(const MTL::CommandBuffer& commandBuffer, const Image& source, State* state,
                        bool isTemporary, uint64_t width, uint64_t height, uint64_t channels) {
    const Reshaping scope(*this, {width, height, channels});
    return encode(commandBuffer, source, state, isTemporary);
}

ImageBatch NNReshape::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                  const ImageBatch& sources, uint64_t width, uint64_t height,
                                  uint64_t channels) {
    const Reshaping scope(*this, {width, height, channels});
    return encodeBatch(commandBuffer, sources);
}

ImageBatch NNReshape::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                  const ImageBatch& sources, StateBatch* states, bool isTemporary,
                                  uint64_t width, uint64_t height, uint64_t channels) {
    const Reshaping scope(*this, {width, height, channels});
    return encodeBatch(commandBuffer, sources, states, isTemporary);
}

uint64_t NNReshape::channelsWritten(uint64_t, const Image& destination) const {
    return mps::channelsInUse(destination, destinationFeatureChannelOffset(), UINT64_MAX);
}

void NNReshape::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    d.setWidth(reshaped_ ? reshaped_->width : sources[0].width());
    d.setHeight(reshaped_ ? reshaped_->height : sources[0].height());
    if (!reshaped_) return;
    const uint64_t elements = sources[0].width() * sources[0].height() *
                              mps::channelsInUse(sources[0], sourceFeatureChannelOffset(),
                                                 sourceFeatureChannelMaxCount());
    const Shape& s = *reshaped_;
    // Before an image of a shape that cannot be is made.
    if (s.width == 0 || s.height == 0 || s.channels == 0 ||
        elements / s.width / s.height / s.channels == 0 ||
        s.width * s.height * s.channels != elements)
        throw InvalidArgument(subject() + "The result is to be " +
                              shapeText(s.width, s.height, s.channels) + " but sourceImage gives " +
                              std::to_string(elements) + " elements.");
    d.setFeatureChannels(destinationFeatureChannelOffset() + s.channels);
}

StateBatch NNReshape::makeResultStates(const mps::StateRequest& request) const {
    return mps::plainGradientStates(request);
}

void NNReshape::validate(const mps::UnaryPass& pass) const {
    const std::string who = subject();
    mps::checkWholeImages(who, pass.clip, pass.destinations[0], {{"offset", pass.offset}});
    checkElements(who, "sourceImage", pass.sources[0], pass.sourceChannels, pass.destinations[0],
                  pass.destinationChannels);
    for (const State& state : pass.states) {
        const auto* own = dynamic_cast<const NNGradientState::Impl*>(&state.impl());
        if (!own) continue; // refused with those of other classes
        const mps::ForwardRecord& r = own->record;
        if (r.sourceWidth != pass.sources[0].width() ||
            r.sourceHeight != pass.sources[0].height() || r.sourceChannels != pass.sourceChannels)
            throw InvalidArgument(
                who + "The destination state was made for a source of " +
                shapeText(r.sourceWidth, r.sourceHeight, r.sourceChannels) + " but this one is " +
                shapeText(pass.sources[0].width(), pass.sources[0].height(), pass.sourceChannels) +
                ".");
    }
}

void NNReshape::dispatch(const mps::UnaryPass& pass) const {
    reshape(*pass.encoder, pass.source, pass.sourceView, pass.destination, pass.destinationView);
}

void NNReshapeGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.sourceStates.empty())
        throw InvalidArgument(who + "A reshape's gradient needs the gradient state.");
    CNNGradientKernel::validate(pass);
    mps::checkWholeImages(
        who, pass.clip, pass.destinations[0],
        {{"primaryOffset", primaryOffset()}, {"secondaryOffset", secondaryOffset()}});
    for (const State& state : pass.sourceStates) {
        const auto* own = dynamic_cast<const NNGradientState::Impl*>(&state.impl());
        if (!own) throw InvalidArgument(who + "gradientState is none of an NNReshape.");
        const mps::ForwardRecord& r = own->record;
        for (const auto& [role, image] : {std::pair{"sourceImage", pass.secondaries[0]},
                                          std::pair{"The result", pass.destinations[0]}})
            if (image.width() != r.sourceWidth || image.height() != r.sourceHeight)
                throw InvalidArgument(who + role + " is " +
                                      mps::sizeText(image.width(), image.height()) +
                                      " but the forward source of the gradient state was " +
                                      mps::sizeText(r.sourceWidth, r.sourceHeight) + ".");
    }
    checkElements(who, "sourceGradient", pass.primaries[0], pass.primaryChannels,
                  pass.destinations[0], pass.destinationChannels);
}

void NNReshapeGradient::dispatch(const mps::BinaryPass& pass) const {
    reshape(*pass.encoder, pass.primary, pass.primaryView, pass.destination, pass.destinationView);
}

} // namespace mpsvk::MPS
