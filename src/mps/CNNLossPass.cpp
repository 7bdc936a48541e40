#include "mps/CNNLossPass.hpp"

#include "CNNLoss.h"
#include "mps/CNNLossLabels.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>
#include <set>

namespace mpsvk::mps {

using MPS::CNNLossDescriptor;
using MPS::CNNLossType;
using MPS::CNNReductionType;
using MPS::Image;
using MPS::ImageBatch;

namespace {

constexpr uint64_t threads = 128; // lossThreads of glsl/lossGroup.glsl
constexpr uint64_t pixelsPerTeam = 16, mostGroups = 256;

struct Stretch {
    size_t first, count;
};

/// Cuts a batch where images with weights begin or end, and before a loss image that is written
/// already: dispatches keep their order, invocations of one do not.
std::vector<Stretch> stretchesOf(size_t count, const ImageBatch& weights,
                                 const ImageBatch& losses) {
    std::vector<Stretch> all;
    std::set<const detail::ObjectImpl*> written;
    for (size_t i = 0; i < count; ++i) {
        const bool cut = i == 0 || (!weights.empty() && bool(weights[i]) != bool(weights[i - 1])) ||
                         (!losses.empty() && written.contains(losses[i].shared().get()));
        if (cut) {
            all.push_back({i, 0});
            written.clear();
        }
        if (!losses.empty()) written.insert(losses[i].shared().get());
        ++all.back().count;
    }
    return all;
}

RunOperand operandOf(const ImageBatch& images, const Stretch& stretch) {
    RunOperand operand;
    if (images.empty() || !images[stretch.first]) return operand;
    operand.elements.reserve(stretch.count);
    for (size_t i = 0; i < stretch.count; ++i)
        operand.elements.push_back({images[stretch.first + i], 0});
    return operand;
}

/// One encode of a loss kernel.
class LossEncoder {
public:
    LossEncoder(Encoder& encoder, const CNNLossDescriptor& descriptor, const LossImages& images,
                const AnchorLosses* anchors = nullptr)
        : encoder_(encoder), d_(descriptor), images_(images), anchors_(anchors),
          count_(images.sources.size()), smoothing_(descriptor) {
        const Image& source = images.sources[0];
        pixels_ = source.width() * source.height();
        whole_ = d_.reductionType() == CNNReductionType::None;
        across_ = d_.reduceAcrossBatch() && !whole_;
        countsWeights_ =
            d_.reductionType() == CNNReductionType::SumByNonZeroWeights &&
            std::ranges::any_of(images.weights, [](const Image& w) { return bool(w); });
        if (anchors)
            groups_ = std::clamp<uint64_t>((pixels_ + anchors->parameters.pixels - 1) /
                                               anchors->parameters.pixels,
                                           1, mostGroups);
        else
            share(slicesFor(images.channels));
    }

    void losses(const LossChannels& losses, const LossChannels& gradients) {
        if (whole_) return elements(losses, gradients, glsl::lossOutputElements);
        if (groups_ == 1 && !across_) return elements(losses, gradients, glsl::lossOutputImage);
        partials_ = encoder_.scratch(count_ * groups_ * 2 * sizeof(float));
        elements(losses, gradients, glsl::lossOutputPartials);
        ImageBatch targets = losses.images;
        if (across_) { // image 0 has the sum: whoever shares its loss image does not set it to 0
            std::set<const detail::ObjectImpl*> seen;
            std::erase_if(targets,
                          [&](const Image& i) { return !seen.insert(i.shared().get()).second; });
        }
        for (const Stretch& stretch : stretchesOf(targets.size(), {}, targets)) {
            const RunOperand operand = operandOf(targets, stretch);
            forEachRun(
                encoder_.limits(), {&operand, 1}, [&](size_t first, size_t count, auto runs, auto) {
                    auto p = reduction(stretch.first + first, count);
                    p.loss = runs[0].view(losses.offset, 1);
                    encoder_.dispatch("CNNLossReduce", p, Grid::of(count * threads),
                                      {{1, *partials_}, {2, runs[0]}, {3, vk::BufferSlice{}}});
                });
        }
    }

    void gradients(const LossChannels& gradients, const LossChannels& destinations,
                   bool labelGradients) {
        std::shared_ptr<const vk::BufferSlice> factors;
        if (countsWeights_) {
            partials_ = encoder_.scratch(count_ * groups_ * 2 * sizeof(float));
            elements({{}}, {{}}, glsl::lossOutputPartials);
            factors = encoder_.scratch(count_ * sizeof(float));
            auto p = reduction(0, count_);
            p.writesFactor = 1;
            encoder_.dispatch("CNNLossReduce", p, Grid::of(count_ * threads),
                              {{1, *partials_}, {2, ImageRun{}}, {3, *factors}});
        }
        share(slicesFor(destinations.channels));
        const ImageBatch shared(across_ ? count_ : 0, gradients.images[0]);
        const ImageBatch& incoming = across_ ? shared : gradients.images;
        for (const Stretch& stretch : stretchesOf(count_, images_.weights, {})) {
            const RunOperand operands[] = {
                operandOf(incoming, stretch), operandOf(images_.sources, stretch),
                operandOf(images_.labels, stretch), operandOf(images_.weights, stretch),
                operandOf(destinations.images, stretch)};
            forEachRun(
                encoder_.limits(), operands, [&](size_t first, size_t count, auto runs, auto) {
                    const glsl::NNLossGradientParameters p{
                        .gradient = runs[0].view(gradients.offset, gradients.channels),
                        .source = runs[1].view(images_.channelOffset, images_.channels),
                        .labels = runs[2].view(0, images_.channels),
                        .weights = runs[3].view(0, images_.channels),
                        .destination = runs[4].view(destinations.offset, destinations.channels),
                        .images = uint32_t(count),
                        .firstImage = uint32_t(stretch.first + first),
                        .groups = uint32_t(groups_),
                        .lanes = uint32_t(lanes_),
                        .hasWeights = bool(runs[3]),
                        .perElement = whole_,
                        .labelGradients = labelGradients,
                        .readsFactors = countsWeights_,
                        .factor = d_.weight() * (countsWeights_ ? 1 : factor()),
                        .labelScale = smoothing_.scale,
                        .labelShift = smoothing_.shift,
                        .epsilon = d_.epsilon(),
                        .delta = d_.delta(),
                    };
                    encoder_.dispatch("NNLossGradient", p, Grid::of(count * groups_ * threads),
                                      {{1, runs[0]},
                                       {2, runs[1]},
                                       {3, runs[2]},
                                       {4, runs[3]},
                                       {5, runs[4]},
                                       {6, factors ? *factors : vk::BufferSlice{}}},
                                      {constant(32, uint32_t(d_.lossType()))});
                });
        }
    }

private:
    /// How many invocations share a pixel, how many workgroups an image.
    void share(uint64_t slices) {
        lanes_ = std::min(std::bit_ceil(slices), threads);
        const uint64_t perGroup = threads / lanes_ * pixelsPerTeam;
        groups_ = std::clamp<uint64_t>(vk::divideUp(pixels_, perGroup), 1, mostGroups);
    }

    /// By which the sum becomes the loss, where that is known beforehand.
    float factor() const {
        const bool perPixel = d_.lossType() == CNNLossType::SoftMaxCrossEntropy;
        const double images = across_ ? double(count_) : 1, channels = double(images_.channels);
        switch (d_.reductionType()) {
        case CNNReductionType::Mean:
            return float(1 / (images * double(pixels_) * (perPixel ? 1 : channels)));
        case CNNReductionType::SumByNonZeroWeights:
            return float(1 / (images * double(pixels_) * channels));
        default: return 1;
        }
    }

    float shift() const {
        if (d_.lossType() != CNNLossType::CosineDistance) return 0;
        return d_.weight() * (across_ ? float(count_) : 1);
    }

    glsl::CNNLossReduceParameters reduction(size_t first, size_t count) const {
        return {
            .images = uint32_t(count),
            .firstImage = uint32_t(first),
            .groups = uint32_t(groups_),
            .batch = uint32_t(count_),
            .acrossBatch = across_,
            .lossShift = shift(),
            .lossFactor = factor(),
            .countsWeights = countsWeights_,
        };
    }

    void elements(const LossChannels& losses, const LossChannels& gradients, uint32_t outputs) {
        for (const Stretch& stretch : stretchesOf(count_, images_.weights, losses.images)) {
            const bool writesLoss = outputs != glsl::lossOutputPartials;
            const RunOperand operands[] = {
                operandOf(images_.sources, stretch), operandOf(images_.labels, stretch),
                operandOf(images_.weights, stretch), operandOf(gradients.images, stretch),
                writesLoss ? operandOf(losses.images, stretch) : RunOperand{}};
            forEachRun(encoder_.limits(), operands,
                       [&](size_t first, size_t count, auto runs, auto) {
                           const glsl::CNNLossParameters p{
                               .source = runs[0].view(images_.channelOffset, images_.channels),
                               .labels = runs[1].view(0, images_.channels),
                               .weights = runs[2].view(0, images_.channels),
                               .gradient = runs[3].view(gradients.offset, images_.channels),
                               .loss = runs[4].view(losses.offset, whole_ ? images_.channels : 1),
                               .images = uint32_t(count),
                               .firstImage = uint32_t(stretch.first + first),
                               .groups = uint32_t(groups_),
                               .lanes = uint32_t(lanes_),
                               .hasWeights = bool(runs[2]),
                               .writesGradient = bool(runs[3]),
                               .outputs = outputs,
                               .weight = d_.weight(),
                               .labelScale = smoothing_.scale,
                               .labelShift = smoothing_.shift,
                               .epsilon = d_.epsilon(),
                               .delta = d_.delta(),
                               .lossShift = shift(),
                               .lossFactor = factor(),
                               .countsWeights = countsWeights_,
                           };
                           const Grid grid = Grid::of(count * groups_ * threads);
                           const Operand sums{6, partials_ ? *partials_ : vk::BufferSlice{}};
                           if (!anchors_)
                               return encoder_.dispatch("CNNLoss", p, grid,
                                                        {{1, runs[0]},
                                                         {2, runs[1]},
                                                         {3, runs[2]},
                                                         {4, runs[3]},
                                                         {5, runs[4]},
                                                         sums},
                                                        {constant(32, uint32_t(d_.lossType()))});
                           glsl::CNNYOLOLossParameters q = anchors_->parameters;
                           q.loss = p;
                           q.anchorChannels = uint32_t(images_.channels / q.anchors);
                           encoder_.dispatch("CNNYOLOLoss", q, grid,
                                             {{1, runs[0]},
                                              {2, runs[1]},
                                              {3, runs[2]},
                                              {4, runs[3]},
                                              {5, runs[4]},
                                              sums,
                                              {7, anchors_->anchorBoxes}});
                       });
        }
    }

    Encoder& encoder_;
    const CNNLossDescriptor& d_;
    const LossImages& images_;
    const AnchorLosses* const anchors_;
    const size_t count_;
    uint64_t pixels_ = 0, lanes_ = 1, groups_ = 1;
    bool whole_ = false, across_ = false, countsWeights_ = false;
    const LabelSmoothing smoothing_;
    std::shared_ptr<const vk::BufferSlice> partials_;
};

} // namespace

LabelSmoothing::LabelSmoothing(const CNNLossDescriptor& d) {
    const float s = d.labelSmoothing();
    const bool softMax = d.lossType() == CNNLossType::SoftMaxCrossEntropy;
    if (!(s > 0) || (!softMax && d.lossType() != CNNLossType::SigmoidCrossEntropy)) return;
    scale = 1 - s;
    shift = s / (softMax ? float(d.numberOfClasses()) : 2);
}

void encodeLosses(Encoder& encoder, const LossFunction& function, const LossImages& images,
                  const LossChannels& losses, const LossChannels& gradients) {
    LossEncoder(encoder, function.descriptor, images, function.anchors).losses(losses, gradients);
}

void encodeLossGradients(Encoder& encoder, const CNNLossDescriptor& descriptor,
                         const LossImages& images, const LossChannels& gradients,
                         const LossChannels& destinations, bool labelGradients) {
    LossEncoder(encoder, descriptor, images).gradients(gradients, destinations, labelGradients);
}

void markLossRead(const LossImages& images) {
    ImageBatch all = images.sources;
    all.insert(all.end(), images.labels.begin(), images.labels.end());
    all.insert(all.end(), images.weights.begin(), images.weights.end());
    MPS::markRead(all);
}

void clearIfPartial(Encoder& encoder, const ImageBatch& destinations, uint64_t offset,
                    uint64_t channels) {
    if (offset == 0 && destinations[0].featureChannels() <= channels) return;
    for (const Image& image : destinations) fillWithZeros(encoder, image);
}

void encodeLabelledLosses(const std::string& who, const MPS::CNNKernel& kernel,
                          const LossFunction& function, const MTL::CommandBuffer& commandBuffer,
                          const ImageBatch& sources, const MPS::StateBatch& labels,
                          const ImageBatch& destinations, bool isBatch, bool fresh) {
    LossImages images;
    images.channelOffset = kernel.sourceFeatureChannelOffset();
    const uint64_t destinationOffset = kernel.destinationFeatureChannelOffset();
    images.channels = checkLossPair(who, "sourceImages", sources, images.channelOffset,
                                    kernel.sourceFeatureChannelMaxCount(), destinations,
                                    destinationOffset, commandBuffer);
    checkDevice(who, kernel.device(), commandBuffer);
    if (function.anchors)
        checkAnchorChannels(who, function.anchors->parameters.anchors, images.channels);
    checkChannels(who, "destinationImages[0]", destinations[0], destinationOffset, images.channels);
    if (destinations[0].width() != sources[0].width() ||
        destinations[0].height() != sources[0].height())
        throw InvalidArgument(who + "destinationImages[0] is " +
                              sizeText(destinations[0].width(), destinations[0].height()) +
                              " but the gradient has the size of the source, " +
                              sizeText(sources[0].width(), sources[0].height()) + ".");
    checkEdgeMode(who, "edgeMode", kernel.edgeMode());
    checkWholeImages(who, "offset", kernel.offset(), kernel.clipRect(), destinations[0]);
    checkStates(who, "labels", labels, sources.size(), commandBuffer);
    images.sources = sources;
    ImageBatch losses;
    for (size_t i = 0; i < labels.size(); ++i) {
        const auto label = labels[i].as<MPS::CNNLossLabels>();
        const std::string name = isBatch ? "labels[" + std::to_string(i) + "]" : "labels";
        if (!label)
            throw InvalidArgument(who + name + " is a state of another class than CNNLossLabels.");
        images.labels.push_back(label.labelsImage());
        images.weights.push_back(label.weightsImage());
        losses.push_back(label.lossImage());
        checkLossSize(who, name + "'s lossImage", function.descriptor, images, losses.back(), 0,
                      true);
    }
    checkLossImages(who, function.descriptor, images, commandBuffer);
    checkLossNotAliased(who, images, destinations);
    checkLossNotAliased(who, images, losses);
    checkNotAliased(who, destinations, losses);

    Encoder encoder(commandBuffer, kernel);
    if (fresh) clearIfPartial(encoder, destinations, destinationOffset, images.channels);
    encodeLosses(encoder, function, images, {losses},
                 {destinations, destinationOffset, images.channels});
    markLossRead(images);
}

ImageBatch encodeLabelledLosses(const std::string& who, MPS::CNNKernel& kernel,
                                const LossFunction& function,
                                const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                                const MPS::StateBatch& labels, bool isBatch) {
    checkSources(who, "sourceImages", sources, commandBuffer, true);
    const auto d = kernel.destinationImageDescriptor({sources[0]});
    const auto allocator = kernel.destinationImageAllocator();
    const ImageBatch destinations =
        isBatch ? allocator->imageBatch(commandBuffer, d, kernel, sources.size())
                : ImageBatch{allocator->image(commandBuffer, d, kernel)};
    encodeLabelledLosses(who, kernel, function, commandBuffer, sources, labels, destinations,
                         isBatch, true);
    return destinations;
}

} // namespace mpsvk::mps
