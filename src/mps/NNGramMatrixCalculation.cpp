#include "NNGramMatrixCalculation.h"
#include "mps/Archive.hpp"
#include "mps/MatrixProduct.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "mps/PixelMatrix.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNGramMatrixCalculation.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

/// Whose products' parts are within the workgroups of a dispatch, too.
uint64_t imagesAtOnce(const vk::Limits& limits, uint64_t bytesPerImage, uint64_t images) {
    constexpr uint64_t most = 256;
    return std::min({mps::imagesAtOnce(limits, bytesPerImage), images, most});
}

const vk::Device& deviceOf(const MTL::Device& device) { return *device.impl().vk; }

/// As the encoder of an encode does.
bool reducesPrecision(const Kernel& kernel) {
    return (kernel.options() & KernelOptions::AllowReducedPrecision) != KernelOptions::None &&
           deviceOf(kernel.device()).features().bfloat16;
}

/// Pixels that are summed up by themselves. Only the size of one image decides, so that a batch
/// gives the same bits however it is cut. A part costs a large batch the time in which sums are
/// written and read, about that of some hundred pixels in fp32 and of several hundred in fp16, and
/// gives a single image more workgroups.
uint64_t partPixels(mps::ProductKernel kernel, uint64_t channels, uint64_t pixels) {
    constexpr uint64_t wantedGroups = 128, tile = 64, step = 64;
    const uint64_t shortest = kernel == mps::ProductKernel::Cooperative ? 2048 : 768;
    const uint64_t tiles = vk::divideUp(channels, tile), pairs = tiles * (tiles + 1) / 2;
    const uint64_t parts = std::min(vk::divideUp(wantedGroups, pairs), pixels / shortest);
    return vk::roundUp(vk::divideUp(pixels, std::max<uint64_t>(parts, 1)), step);
}

/// Of one image, with operands in no memory yet.
mps::MatrixProduct forwardProduct(const vk::Device& device, bool reduces,
                                  const mps::MatrixOperand& x) {
    mps::MatrixProduct product{
        .left = x, .right = x, .transposeLeft = true, .interior = x.rows(), .symmetric = true};
    product.result.view.rows = product.result.view.columns = x.view.columns;
    product.partInterior =
        partPixels(mps::productKernel(device, reduces, product), x.columns(), x.rows());
    return product;
}

/// The mean of the incoming gradient and its transpose, for a product with these pixels. It is in
/// fp16 where both are, which is exact where the gradient is symmetric.
mps::MatrixOperand meanFor(const mps::MatrixOperand& x, bool isHalf) {
    const uint64_t channels = x.columns();
    const auto rowStride = uint32_t(vk::roundUp(channels, 8));
    mps::MatrixOperand made;
    made.view.rows = uint32_t(channels);
    made.view.columns = uint32_t(vk::roundUp(channels, 4));
    made.view.rowStride = rowStride;
    made.view.matrixStride = made.view.rows * rowStride;
    made.view.isAligned = 1;
    if (isHalf && channels % 8 == 0) made.dataType = x.dataType;
    return made;
}

uint64_t bytesOf(const mps::MatrixOperand& mean) {
    return mean.view.matrixStride * bytesPerElement(mean.dataType);
}

/// What begins a run: the images of a batch may lie in different ways, those of a run do not.
const Image& firstOf(const ImageBatch& images, size_t firstImage) {
    return images[std::min(firstImage, images.size() - 1)]; // an array is one Image
}

bool isHalf(const Image& image) {
    return image.featureChannelFormat() == ImageFeatureChannelFormat::Float16;
}

/// The most that one image of a batch takes; none of it has to be there.
uint64_t copyBytes(const ImageBatch& images, uint64_t channelOffset, uint64_t channels) {
    uint64_t most = 0;
    for (const Image& image : images)
        if (image)
            most = std::max(most, mps::PixelMatrix(image, channelOffset, channels).copyBytes());
    return most;
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
                                                           const ImageBatch& destinations) const {
    const Image& source = sources.at(0);
    const uint64_t channels =
        mps::channelsInUse(source, sourceFeatureChannelOffset(), sourceFeatureChannelMaxCount());
    if (channels == 0) return 0;
    const vk::Device& on = deviceOf(device());
    const mps::PixelMatrix x(source, sourceFeatureChannelOffset(), channels);
    const bool reduces = reducesPrecision(*this);
    const auto product = forwardProduct(on, reduces, x.operand());
    const uint64_t bytes = copyBytes(sources, sourceFeatureChannelOffset(), channels) +
                           copyBytes(destinations, destinationFeatureChannelOffset(), channels) +
                           mps::productScratchBytes(on, reduces, product);
    return bytes * imagesAtOnce(on.limits(), bytes, sources.size());
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
    mps::Encoder& encoder = *pass.encoder;
    mps::PixelMatrix x(firstOf(pass.sources, pass.firstImage), sourceFeatureChannelOffset(),
                       pass.sourceChannels),
        y(firstOf(pass.destinations, pass.firstImage), destinationFeatureChannelOffset(),
          pass.sourceChannels);
    auto product = forwardProduct(encoder.device(), encoder.reducesPrecision(), x.operand());
    product.alpha = alpha_;
    const uint64_t bytes =
        x.copyBytes() + y.copyBytes() +
        mps::productScratchBytes(encoder.device(), encoder.reducesPrecision(), product);
    const uint64_t atOnce = imagesAtOnce(encoder.limits(), bytes, pass.imageCount);
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        product.matrices = std::min<uint64_t>(atOnce, pass.imageCount - first);
        x.bind(encoder, pass.source, mps::imagesFrom(pass.sourceView, first), product.matrices);
        y.bind(encoder, pass.destination, mps::imagesFrom(pass.destinationView, first),
               product.matrices);
        x.copyFromImages(encoder);
        product.left = product.right = x.operand();
        product.result = y.padded();
        mps::encodeProduct(encoder, product);
        y.copyToImages(encoder);
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

uint64_t NNGramMatrixCalculationGradient::batchEncodingStorageSize(
    const ImageBatch& gradients, const ImageBatch& sources, const std::vector<StateBatch>&,
    const ImageBatch& destinations) const {
    const mps::PixelMatrix x(
        sources.at(0), secondary().channelOffset,
        mps::channelsInUse(sources.at(0), secondary().channelOffset, secondary().channelMaxCount));
    const uint64_t channels = x.operand().columns();
    if (channels == 0) return 0;
    const bool isInHalves = !gradients.empty() && gradients[0] && isHalf(gradients[0]);
    const uint64_t bytes = copyBytes(sources, secondary().channelOffset, channels) +
                           copyBytes(destinations, destinationFeatureChannelOffset(), channels) +
                           bytesOf(meanFor(x.operand(), isInHalves));
    return bytes * imagesAtOnce(deviceOf(device()).limits(), bytes, sources.size());
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
    mps::Encoder& encoder = *pass.encoder;
    const uint64_t channels = pass.secondaryChannels;
    mps::PixelMatrix x(firstOf(pass.secondaries, pass.firstImage), secondary().channelOffset,
                       channels),
        dx(firstOf(pass.destinations, pass.firstImage), destinationFeatureChannelOffset(),
           channels);
    mps::MatrixOperand mean =
        meanFor(x.operand(), isHalf(firstOf(pass.primaries, pass.firstImage)));
    const uint64_t bytes = x.copyBytes() + dx.copyBytes() + bytesOf(mean);
    const uint64_t atOnce = imagesAtOnce(encoder.limits(), bytes, pass.imageCount);
    const auto means = encoder.scratch(bytesOf(mean) * atOnce);
    mean.slice = *means;
    glsl::ImageView gradient = pass.primaryView;
    gradient.channels = uint32_t(channels); // of those that it has
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        const uint64_t images = std::min<uint64_t>(atOnce, pass.imageCount - first);
        const glsl::NNGramMatrixMeanParameters parameters{
            .gradient = mps::imagesFrom(gradient, first),
            .mean = mean.view,
            .images = uint32_t(images),
        };
        // Blocks of 32 x 32 elements, an invocation for 4 x 4.
        mps::Grid grid =
            mps::Grid::of(vk::divideUp(channels, 32) * vk::divideUp(channels, 32) * 64 * images);
        grid.wholeTexels = channels % 4 == 0;
        encoder.dispatch("NNGramMatrixCalculationGradientMean", parameters, grid,
                         {{1, pass.primary}, {2, mean.slice}},
                         {mps::constant(2, mean.typeConstant())});
        x.bind(encoder, pass.secondary, mps::imagesFrom(pass.secondaryView, first), images);
        dx.bind(encoder, pass.destination, mps::imagesFrom(pass.destinationView, first), images);
        x.copyFromImages(encoder);
        // All channels are one part, so that a batch gives the same bits however it is cut.
        mps::encodeProduct(encoder, {.left = x.operand(),
                                     .right = mean,
                                     .result = dx.padded(),
                                     .interior = channels,
                                     .alpha = 2.0 * alphaOf(pass.sourceStates, alpha_),
                                     .matrices = images,
                                     .partInterior = vk::roundUp(channels, 64)});
        dx.copyToImages(encoder);
    }
}

} // namespace mpsvk::MPS
