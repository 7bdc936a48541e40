#include "mps/Archive.hpp"
#include "mps/NNPadding.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "mps/Undo.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

CNNBinaryKernel::CNNBinaryKernel(const MTL::Device& device, const char* className,
                                 const KernelWindow& primary, const KernelWindow& secondary)
    : Kernel(device), allocator_(TemporaryImage::defaultAllocator()) {
    mps::checkWindow(className, primary);
    mps::checkWindow(className, secondary);
    primary_.window = primary;
    secondary_.window = secondary;
    setPadding(nullptr);
}

void CNNBinaryKernel::Source::archive(mps::Archive& archive) {
    archive("offset", offset);
    archive("featureChannelOffset", channelOffset);
    archive("featureChannelMaxCount", channelMaxCount);
    archive("edgeMode", edgeMode);
    archive("window", window);
}

void CNNBinaryKernel::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("primary", primary_);
    archive("secondary", secondary_);
    archive("clipRect", clipRect_);
    archive("destinationFeatureChannelOffset", destinationFeatureChannelOffset_);
    archive.object("padding", padding_, "The padding policy");
    archive.object("destinationImageAllocator", allocator_, "The destination image allocator");
    if (!archive.isReading()) return;
    setPadding(padding_);
    setDestinationImageAllocator(allocator_);
}

void CNNBinaryKernel::setPadding(std::shared_ptr<NNPadding> padding) {
    padding_ = padding ? std::move(padding) : NNDefaultPadding::padding(NNPaddingMethod::SizeSame);
}

void CNNBinaryKernel::setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator) {
    allocator_ = allocator ? std::move(allocator) : TemporaryImage::defaultAllocator();
}

void CNNBinaryKernel::customizeDestination(const ImageBatch&, const StateBatch&, ImageDescriptor&) {
}
uint64_t CNNBinaryKernel::channelsWritten(const mps::BinaryPass& pass) const {
    return pass.destinationChannels;
}
StateBatch CNNBinaryKernel::makeResultStates(const mps::StateRequest&) const { return {}; }
void CNNBinaryKernel::validate(const mps::BinaryPass&) const {}
void CNNBinaryKernel::dispatch(const mps::BinaryPass&) const {}
void CNNBinaryKernel::dispatchSums(const mps::BinaryPass&) const {}
uint64_t CNNBinaryKernel::encodingStorageSize(const Image&, const Image&, const StateBatch&,
                                              const Image&) const {
    return 0;
}
uint64_t CNNBinaryKernel::batchEncodingStorageSize(const ImageBatch&, const ImageBatch&,
                                                   const std::vector<StateBatch>&,
                                                   const ImageBatch&) const {
    return 0;
}

ImageDescriptor CNNBinaryKernel::destinationImageDescriptor(const ImageBatch& sources,
                                                            const StateBatch& states) {
    const std::string who = subject();
    if (sources.size() != 2 || !sources[0] || !sources[1])
        throw InvalidArgument(who +
                              "destinationImageDescriptor takes 2 source images but was given " +
                              std::to_string(sources.size()) + ".");
    const Image& first = sources[0];
    const NNPaddingMethod method = padding_->paddingMethod();
    // A stride of 0 repeats one pixel: the other source then decides the size.
    const KernelWindow w = primary_.window;
    mps::checkWindowFits(who, w);
    const auto axis = [&](bool y, uint64_t size, uint64_t taps, uint64_t stride,
                          uint64_t dilation) {
        return mps::padAxis(method, y, size, taps, std::max<uint64_t>(stride, 1), dilation,
                            isBackwards());
    };
    const auto x = axis(false, first.width(), w.width, w.strideX, w.dilationX);
    const auto y = axis(true, first.height(), w.height, w.strideY, w.dilationY);
    const uint64_t a = mps::channelsInUse(first, primary_.channelOffset, primary_.channelMaxCount);
    const uint64_t b =
        mps::channelsInUse(sources[1], secondary_.channelOffset, secondary_.channelMaxCount);
    ImageDescriptor d(first.featureChannelFormat(), x.size, y.size,
                      destinationFeatureChannelOffset_ + outputChannels(a, b),
                      first.numberOfImages());
    d.setStorage(first.storage());
    primary_.offset.x = x.offset;
    primary_.offset.y = y.offset;
    customizeDestination(sources, states, d);
    for (const State& state : states)
        if (state) d = state.destinationImageDescriptor(sources, states, *this, d);
    if (uint64_t(method & NNPaddingMethod::Custom) && states.empty())
        d = padding_->destinationImageDescriptor(sources, states, *this, d);
    if (d.width() == 0 || d.height() == 0)
        throw InvalidArgument(who + "The primary image is " +
                              mps::sizeText(first.width(), first.height()) +
                              ": the padding policy leaves no pixel of a result.");
    return d;
}

StateBatch CNNBinaryKernel::states(const MTL::CommandBuffer* temporary, const ImageBatch& primaries,
                                   const ImageBatch& secondaries,
                                   const ImageBatch& destinations) const {
    if (primaries.size() != destinations.size() || primaries.size() != secondaries.size() ||
        primaries.empty())
        throw InvalidArgument(subject() + "A result state was asked for " +
                              std::to_string(primaries.size()) + " primary, " +
                              std::to_string(secondaries.size()) + " secondary and " +
                              std::to_string(destinations.size()) + " destination images.");
    mps::StateRequest request;
    request.temporary = temporary;
    request.device = temporary ? temporary->device() : primaries[0].device();
    request.sources = primaries;
    request.secondaries = secondaries;
    request.destinations = destinations;
    const auto fill = [&](mps::ForwardRecord& r, const Source& source, ImageRange range,
                          const Image& image) {
        r.className = className();
        r.offset = source.offset;
        r.window = source.window;
        r.edgeMode = source.edgeMode;
        r.sourceChannelOffset = source.channelOffset;
        r.sourceChannels = mps::channelsInUse(image, source.channelOffset, source.channelMaxCount);
        r.destinationChannelOffset = destinationFeatureChannelOffset_;
        mps::recordSizes(r, clipRect_, range, image, destinations[0]);
    };
    mps::ForwardRecord &first = request.record, &second = request.secondaryRecord;
    fill(first, primary_, primaryImages(), primaries[0]);
    fill(second, secondary_, secondaryImages(), secondaries[0]);
    first.images = second.images = std::min(first.images, second.images);
    StateBatch made = makeResultStates(request);
    if (temporary)
        for (const State& state : made)
            if (!state.impl().temporary && !state.impl().resources.empty())
                state.impl().makeTemporary(*temporary);
    return made;
}

State CNNBinaryKernel::resultState(const Image& a, const Image& b, const StateBatch& sourceStates,
                                   const Image& destination) const {
    const StateBatch made = resultStateBatch({a}, {b}, {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNBinaryKernel::resultStateBatch(const ImageBatch& a, const ImageBatch& b,
                                             const std::vector<StateBatch>& sourceStates,
                                             const ImageBatch& destinations) const {
    mps::checkSourceStates(subject(), destinations.size(), sourceStates.size());
    return states(nullptr, a, b, destinations);
}

State CNNBinaryKernel::temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& a,
                                            const Image& b, const StateBatch& sourceStates,
                                            const Image& destination) const {
    const StateBatch made =
        temporaryResultStateBatch(commandBuffer, {a}, {b}, {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNBinaryKernel::temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                                      const ImageBatch& a, const ImageBatch& b,
                                                      const std::vector<StateBatch>& sourceStates,
                                                      const ImageBatch& destinations) const {
    commandBuffer.impl().list(subject());
    mps::checkSourceStates(subject(), destinations.size(), sourceStates.size());
    return states(&commandBuffer, a, b, destinations);
}

ImageBatch CNNBinaryKernel::allocateDestinations(const MTL::CommandBuffer& commandBuffer,
                                                 const ImageBatch& primaries,
                                                 const ImageBatch& secondaries,
                                                 const StateBatch& sourceStates) {
    mps::checkBatchLengths(subject(), "The primary batch", primaries.size(), "the secondary batch",
                           secondaries.size());
    const StateBatch first = sourceStates.empty() ? StateBatch{} : StateBatch{sourceStates[0]};
    const ImageDescriptor d = destinationImageDescriptor({primaries[0], secondaries[0]}, first);
    return primaries.size() == 1
               ? ImageBatch{allocator_->image(commandBuffer, d, *this)}
               : allocator_->imageBatch(commandBuffer, d, *this, primaries.size());
}

void CNNBinaryKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& a,
                             const Image& b, const Image& destination) {
    run(commandBuffer, {a}, {b}, {}, {}, {destination}, false);
}

Image CNNBinaryKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& a,
                              const Image& b) {
    return encode(commandBuffer, a, b, nullptr, false);
}

Image CNNBinaryKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& a,
                              const Image& b, State* state, bool isTemporary) {
    mps::checkSources(subject(), "primaryImage", {a}, commandBuffer, false);
    mps::checkSources(subject(), "secondaryImage", {b}, commandBuffer, false);
    const auto encode = [&] {
        const ImageBatch destinations = allocateDestinations(commandBuffer, {a}, {b}, {});
        StateBatch made;
        if (state) made = states(isTemporary ? &commandBuffer : nullptr, {a}, {b}, destinations);
        run(commandBuffer, {a}, {b}, {}, made, destinations, false, true);
        if (state) *state = made.empty() ? State() : made[0];
        return destinations[0];
    };
    return mps::orUndo(encode, primary_, secondary_, clipRect_);
}

void CNNBinaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& a,
                                  const ImageBatch& b, const ImageBatch& destinations) {
    run(commandBuffer, a, b, {}, {}, destinations, true);
}

ImageBatch CNNBinaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                        const ImageBatch& a, const ImageBatch& b) {
    return encodeBatch(commandBuffer, a, b, nullptr, false);
}

ImageBatch CNNBinaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                        const ImageBatch& a, const ImageBatch& b,
                                        StateBatch* outStates, bool isTemporary) {
    mps::checkSources(subject(), "primaryImages", a, commandBuffer, true);
    mps::checkSources(subject(), "secondaryImages", b, commandBuffer, true);
    const auto encode = [&] {
        const ImageBatch destinations = allocateDestinations(commandBuffer, a, b, {});
        StateBatch made;
        if (outStates) made = states(isTemporary ? &commandBuffer : nullptr, a, b, destinations);
        run(commandBuffer, a, b, {}, made, destinations, true, true);
        if (outStates) *outStates = std::move(made);
        return destinations;
    };
    return mps::orUndo(encode, primary_, secondary_, clipRect_);
}

void CNNBinaryKernel::run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaries,
                          const ImageBatch& secondaries, const StateBatch& sourceStates,
                          const StateBatch& destinationStates, const ImageBatch& destinations,
                          bool isBatch, bool fresh) {
    const std::string who = subject();
    const bool writes = writesDestination();
    mps::checkSources(who, isBatch ? "primaryImages" : "primaryImage", primaries, commandBuffer,
                      isBatch);
    mps::checkSources(who, isBatch ? "secondaryImages" : "secondaryImage", secondaries,
                      commandBuffer, isBatch);
    mps::checkBatchLengths(who, "The primary batch", primaries.size(), "the secondary batch",
                           secondaries.size());
    mps::checkSameShapes(who, "primaryImages", primaries);
    mps::checkSameShapes(who, "secondaryImages", secondaries);
    if (writes) {
        mps::checkSources(who, isBatch ? "destinationImages" : "destinationImage", destinations,
                          commandBuffer, isBatch);
        mps::checkBatchLengths(who, "The primary batch", primaries.size(), "destinationImages",
                               destinations.size());
        mps::checkSameShapes(who, "destinationImages", destinations);
        mps::checkNotAliased(who, primaries, destinations);
        mps::checkNotAliased(who, secondaries, destinations);
    }
    mps::checkDevice(who, device(), commandBuffer);
    if (!sourceStates.empty())
        mps::checkStates(who, "gradientStates", sourceStates, primaries.size(), commandBuffer);
    if (!destinationStates.empty())
        mps::checkStates(who, "destinationStates", destinationStates, primaries.size(),
                         commandBuffer);
    mps::checkChannelOffset(who, "primarySourceFeatureChannelOffset", primary_.channelOffset);
    mps::checkChannelOffset(who, "secondarySourceFeatureChannelOffset", secondary_.channelOffset);
    mps::checkChannelOffset(who, "destinationFeatureChannelOffset",
                            destinationFeatureChannelOffset_);

    mps::BinaryPass pass;
    pass.primaryChannels =
        mps::channelsInUse(primaries[0], primary_.channelOffset, primary_.channelMaxCount);
    pass.secondaryChannels =
        mps::channelsInUse(secondaries[0], secondary_.channelOffset, secondary_.channelMaxCount);
    pass.destinationChannels = outputChannels(pass.primaryChannels, pass.secondaryChannels);
    mps::checkChannels(who, "primaryImage", primaries[0], primary_.channelOffset,
                       pass.primaryChannels);
    mps::checkChannels(who, "secondaryImage", secondaries[0], secondary_.channelOffset,
                       pass.secondaryChannels);
    uint64_t images = primaries.size();
    if (writes) {
        mps::checkChannels(who, "destinationImage", destinations[0],
                           destinationFeatureChannelOffset_, pass.destinationChannels);
        pass.clip = mps::clipOf(clipRect_, destinations[0]);
        if (!isBatch) {
            images = mps::imagesOf(who, clipRect_, primaryImages(), primaries[0], destinations[0]);
            images = std::min(images, mps::imagesOf(who, clipRect_, secondaryImages(),
                                                    secondaries[0], destinations[0]));
        }
    } else if (!isBatch) {
        const auto from = [&](ImageRange range, const Image& source) {
            return mps::imagesOf(who, RectNoClip, range, source, source);
        };
        images = std::min({from(primaryImages(), primaries[0]),
                           from(secondaryImages(), secondaries[0]), clipRect_.size.depth});
    }
    pass.primaries = primaries;
    pass.secondaries = secondaries;
    pass.destinations = destinations;
    pass.sourceStates = sourceStates;
    pass.destinationStates = destinationStates;
    pass.imageCount = pass.batchCount = images;
    if (!takesAnyEdgeMode()) {
        mps::checkEdgeMode(who, "primaryEdgeMode", primary_.edgeMode);
        mps::checkEdgeMode(who, "secondaryEdgeMode", secondary_.edgeMode);
    }
    validate(pass);
    mps::checkOffsetReach(who, "primaryOffset", primary_.offset);
    mps::checkOffsetReach(who, "secondaryOffset", secondary_.offset);

    mps::Encoder encoder(commandBuffer, *this);
    pass.encoder = &encoder;
    if (fresh && writes)
        mps::fillUncovered(encoder, destinations, pass.clip, destinationFeatureChannelOffset_,
                           channelsWritten(pass), isBatch ? 1 : images);
    std::vector<mps::RunOperand> operands(3);
    const auto element = [&](const ImageBatch& batch, uint64_t i, uint64_t firstOfArray) {
        return isBatch ? mps::RunOperand::Element{batch[i], 0}
                       : mps::RunOperand::Element{batch[0], firstOfArray + i};
    };
    for (uint64_t i = 0; i < images; ++i) {
        operands[0].elements.push_back(element(primaries, i, uint64_t(primaryImages().first)));
        if (readsSecondary())
            operands[1].elements.push_back(
                element(secondaries, i, uint64_t(secondaryImages().first)));
        if (writes) operands[2].elements.push_back(element(destinations, i, clipRect_.origin.z));
    }
    const auto sources = [&](size_t first, size_t count, std::span<const mps::ImageRun> runs) {
        pass.primary = runs[0];
        pass.secondary = runs[1];
        pass.primaryView = runs[0].view(primary_.channelOffset, pass.primaryChannels);
        pass.secondaryView = runs[1].view(secondary_.channelOffset, pass.secondaryChannels);
        pass.destination = {};
        pass.stateBuffers = {};
        pass.firstImage = first;
        pass.imageCount = count;
        pass.sourceStates = mps::part(sourceStates, first, count);
        pass.destinationStates = mps::part(destinationStates, first, count);
    };
    const auto formSums = [&] {
        if (!sumsOverBatch()) return;
        mps::forEachRun(encoder.limits(), std::span(operands).first(2),
                        [&](size_t first, size_t count, auto runs, auto) {
                            sources(first, count, runs);
                            dispatchSums(pass);
                        });
    };
    if (!sumsFollow()) formSums();
    mps::appendStateBuffers(operands, sourceStates.empty() ? destinationStates : sourceStates,
                            images, isBatch);
    if (writes && pass.clip.width > 0 && pass.clip.height > 0)
        mps::forEachRun(
            encoder.limits(), operands, [&](size_t first, size_t count, auto runs, auto buffers) {
                sources(first, count, runs);
                pass.destination = runs[2];
                pass.destinationView =
                    runs[2].view(destinationFeatureChannelOffset_, pass.destinationChannels);
                pass.stateBuffers = buffers.subspan(3);
                dispatch(pass);
            });
    if (sumsFollow()) formSums();
    ImageBatch read = primaries;
    read.insert(read.end(), secondaries.begin(), secondaries.end());
    markRead(read);
    markRead(sourceStates);
}

} // namespace mpsvk::MPS
