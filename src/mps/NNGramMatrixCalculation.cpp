#include "NNGramMatrixCalculation.h"
#include "mps/Archive.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNGramMatrixCalculation.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

constexpr uint64_t tileSize = glsl::gramTile, groupSize = 64;
constexpr uint64_t tileBytes = tileSize * tileSize * sizeof(float);

uint64_t divideUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/// How the work on one image is divided. Only its size decides, so that a batch gives the same bits
/// however it is cut.
struct ForwardPlan {
    ForwardPlan(uint64_t channels, uint64_t pixels)
        : tiles(divideUp(channels, tileSize)), tilePairs(tiles * (tiles + 1) / 2) {
        constexpr uint64_t wantedGroups = 16, fewestPixels = 256;
        splits = std::min(divideUp(wantedGroups, tilePairs), divideUp(pixels, fewestPixels));
        splitPixels = divideUp(pixels, splits);
        splits = divideUp(pixels, splitPixels);
    }
    uint64_t scratchBytes() const { return tilePairs * splits * tileBytes; }

    uint64_t tiles, tilePairs, splits, splitPixels;
};

uint64_t factorBytes(uint64_t channels) {
    const uint64_t slices = divideUp(channels, 4);
    return slices * 4 * slices * 4 * sizeof(float);
}

/// Images of one dispatch, so that the scratch memory stays within what a shader can bind.
uint64_t imagesAtOnce(const vk::Limits& limits, uint64_t bytesPerImage, uint64_t images) {
    constexpr uint64_t most = 256 << 20;
    const uint64_t fitting = std::min<uint64_t>(most, limits.storageBufferRange) / bytesPerImage;
    return std::clamp<uint64_t>(fitting, 1, images);
}

const vk::Limits& limitsOf(const MTL::Device& device) { return device.impl().vk->limits(); }

/// One long row where the pixels lie one after the other.
glsl::ImageView oneRow(const mps::ImageRun& run, glsl::ImageView view) {
    if (run.isTexture()) return view;
    view.width *= view.height;
    view.height = 1;
    return view;
}

glsl::ImageView from(glsl::ImageView view, uint64_t image) {
    view.offset += uint32_t(image) * view.imageStride;
    return view;
}

struct GramState : NNGradientState::Impl {
    GramState(MTL::Device device, mps::ForwardRecord record, float alpha)
        : Impl(std::move(device), std::move(record)), alpha(alpha) {}
    const float alpha;
};

const GramState* gramState(const State& state) {
    return dynamic_cast<const GramState*>(state.shared().get());
}

/// The first state's alpha, or without states the kernel's own.
float alphaOf(const StateBatch& states, float own) {
    const auto* state = states.empty() ? nullptr : gramState(states[0]);
    return state ? state->alpha : own;
}

void checkGramSize(const std::string& who, const char* role, const Image& image,
                   uint64_t channels) {
    if (image.width() == channels && image.height() == 1) return;
    throw InvalidArgument(who + role + " is " + mps::sizeText(image.width(), image.height()) +
                          " but the Gram matrix of " + std::to_string(channels) +
                          " feature channels is " + mps::sizeText(channels, 1) + ".");
}

} // namespace

void NNGramMatrixCalculation::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("alpha", alpha_);
}

uint64_t NNGramMatrixCalculation::encodingStorageSize(const Image& source, const StateBatch& states,
                                                      const Image& destination) const {
    return batchEncodingStorageSize(ImageBatch(source.numberOfImages(), source), {states},
                                    {destination});
}

uint64_t NNGramMatrixCalculation::batchEncodingStorageSize(const ImageBatch& sources,
                                                           const std::vector<StateBatch>&,
                                                           const ImageBatch&) const {
    const Image& source = sources.at(0);
    const uint64_t channels =
        mps::channelsInUse(source, sourceFeatureChannelOffset(), sourceFeatureChannelMaxCount());
    if (channels == 0) return 0;
    const ForwardPlan plan(channels, source.width() * source.height());
    return plan.scratchBytes() *
           imagesAtOnce(limitsOf(device()), plan.scratchBytes(), sources.size());
}

void NNGramMatrixCalculation::customizeDestination(const ImageBatch&, ImageDescriptor& d) {
    d.setWidth(d.featureChannels() - destinationFeatureChannelOffset());
    d.setHeight(1);
}

StateBatch NNGramMatrixCalculation::makeResultStates(const mps::StateRequest& request) const {
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i)
        made.push_back(
            NNGradientState(std::make_shared<GramState>(request.device, request.record, alpha_)));
    return made;
}

void NNGramMatrixCalculation::validate(const mps::UnaryPass& pass) const {
    const std::string who = subject();
    checkGramSize(who, "The destination", pass.destinations[0], pass.sourceChannels);
    mps::checkWholeImages(who, pass.clip, pass.destinations[0], {{"offset", pass.offset}});
    for (const State& state : pass.states) {
        const auto* own = gramState(state);
        if (own && own->alpha != alpha_)
            throw InvalidArgument(who + "The destination state was made with alpha " +
                                  std::to_string(own->alpha) + " but this encode has " +
                                  std::to_string(alpha_) + ".");
    }
}

void NNGramMatrixCalculation::dispatch(const mps::UnaryPass& pass) const {
    const Image& source = pass.sources[0];
    const ForwardPlan plan(pass.sourceChannels, source.width() * source.height());
    const uint64_t atOnce =
        imagesAtOnce(pass.encoder->limits(), plan.scratchBytes(), pass.imageCount);
    const auto partials = pass.encoder->scratch(plan.scratchBytes() * atOnce);
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        const uint64_t images = std::min<uint64_t>(atOnce, pass.imageCount - first);
        const glsl::NNGramMatrixParameters parameters{
            .source = from(oneRow(pass.source, pass.sourceView), first),
            .destination = from(pass.destinationView, first),
            .tiles = uint32_t(plan.tiles),
            .tilePairs = uint32_t(plan.tilePairs),
            .splits = uint32_t(plan.splits),
            .splitPixels = uint32_t(plan.splitPixels),
            .pixels = uint32_t(source.width() * source.height()),
            .images = uint32_t(images),
            .alpha = alpha_,
        };
        pass.encoder->dispatch("NNGramMatrixCalculation", parameters,
                               mps::Grid::of(plan.tilePairs * plan.splits * images * groupSize),
                               {{1, pass.source}, {3, *partials}});
        constexpr uint64_t perTile = tileSize * tileSize / 4;
        pass.encoder->dispatch("NNGramMatrixCalculationReduce", parameters,
                               mps::Grid::of(plan.tilePairs * images * perTile),
                               {{2, pass.destination}, {3, *partials}});
    }
}

void NNGramMatrixCalculationGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("alpha", alpha_);
}

uint64_t NNGramMatrixCalculationGradient::encodingStorageSize(const Image& gradient,
                                                              const Image& source,
                                                              const StateBatch& states,
                                                              const Image& destination) const {
    return batchEncodingStorageSize({gradient}, ImageBatch(source.numberOfImages(), source),
                                    {states}, {destination});
}

uint64_t NNGramMatrixCalculationGradient::batchEncodingStorageSize(const ImageBatch&,
                                                                   const ImageBatch& sources,
                                                                   const std::vector<StateBatch>&,
                                                                   const ImageBatch&) const {
    const uint64_t channels =
        mps::channelsInUse(sources.at(0), secondary().channelOffset, secondary().channelMaxCount);
    if (channels == 0) return 0;
    return factorBytes(channels) *
           imagesAtOnce(limitsOf(device()), factorBytes(channels), sources.size());
}

void NNGramMatrixCalculationGradient::customizeDestination(const ImageBatch& sources,
                                                           const StateBatch& states,
                                                           ImageDescriptor& d) {
    CNNGradientKernel::customizeDestination(sources, states, d);
    alpha_ = alphaOf(states, alpha_);
}

void NNGramMatrixCalculationGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    CNNGradientKernel::validate(pass);
    mps::checkWholeImages(
        who, pass.clip, pass.destinations[0],
        {{"primaryOffset", primaryOffset()}, {"secondaryOffset", secondaryOffset()}});
    checkGramSize(who, "sourceGradient", pass.primaries[0], pass.secondaryChannels);
    mps::checkGradientChannels(who, pass);
    const Image& source = pass.secondaries[0];
    const auto checkSize = [&](const char* what, uint64_t width, uint64_t height) {
        if (width != source.width() || height != source.height())
            throw InvalidArgument(who + what + mps::sizeText(width, height) +
                                  " but sourceImage is " +
                                  mps::sizeText(source.width(), source.height()) + ".");
    };
    checkSize("The destination is ", pass.destinations[0].width(), pass.destinations[0].height());
    for (const State& state : pass.sourceStates) {
        const auto* own = gramState(state);
        if (!own)
            throw InvalidArgument(who + "gradientState is none of an NNGramMatrixCalculation.");
        checkSize("The gradient state is of a source of ", own->record.sourceWidth,
                  own->record.sourceHeight);
        const float first = alphaOf(pass.sourceStates, alpha_);
        if (own->alpha != first)
            throw InvalidArgument(who + "One gradient state has alpha " + std::to_string(first) +
                                  " and another " + std::to_string(own->alpha) + ".");
    }
}

void NNGramMatrixCalculationGradient::dispatch(const mps::BinaryPass& pass) const {
    const Image& source = pass.secondaries[0];
    const uint64_t channels = pass.secondaryChannels, pixels = source.width() * source.height();
    const uint64_t blocks = divideUp(channels, glsl::gramBlock);
    const uint64_t tiles = divideUp(channels, tileSize), pixelTiles = divideUp(pixels, tileSize);
    const uint64_t atOnce =
        imagesAtOnce(pass.encoder->limits(), factorBytes(channels), pass.imageCount);
    const auto factors = pass.encoder->scratch(factorBytes(channels) * atOnce);
    glsl::ImageView gradient = pass.primaryView;
    gradient.channels = uint32_t(channels); // of those that it has
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        const uint64_t images = std::min<uint64_t>(atOnce, pass.imageCount - first);
        const glsl::NNGramMatrixGradientParameters parameters{
            .gradient = from(gradient, first),
            .source = from(oneRow(pass.secondary, pass.secondaryView), first),
            .destination = from(oneRow(pass.destination, pass.destinationView), first),
            .slices = uint32_t(divideUp(channels, 4)),
            .tiles = uint32_t(tiles),
            .pixelTiles = uint32_t(pixelTiles),
            .pixels = uint32_t(pixels),
            .images = uint32_t(images),
            .alpha = alphaOf(pass.sourceStates, alpha_),
        };
        constexpr uint64_t perBlock = glsl::gramBlock * glsl::gramBlock / 4;
        pass.encoder->dispatch("NNGramMatrixCalculationGradientPack", parameters,
                               mps::Grid::of(blocks * blocks * images * perBlock),
                               {{1, pass.primary}, {4, *factors}});
        pass.encoder->dispatch("NNGramMatrixCalculationGradient", parameters,
                               mps::Grid::of(tiles * pixelTiles * images * groupSize),
                               {{2, pass.secondary}, {3, pass.destination}, {4, *factors}});
    }
}

} // namespace mpsvk::MPS
