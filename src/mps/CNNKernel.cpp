#include "mps/Archive.hpp"
#include "mps/NNPadding.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "mps/Undo.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {
const auto& samePadding() {
    static const auto padding = NNDefaultPadding::padding(NNPaddingMethod::SizeSame);
    return padding;
}
} // namespace

CNNKernel::CNNKernel(const MTL::Device& device, const char* className, const KernelWindow& window)
    : Kernel(device), window_(window), padding_(samePadding()),
      allocator_(TemporaryImage::defaultAllocator()) {
    mps::checkWindow(className, window);
}

void CNNKernel::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("offset", offset_);
    archive("clipRect", clipRect_);
    archive("destinationFeatureChannelOffset", destinationFeatureChannelOffset_);
    archive("sourceFeatureChannelOffset", sourceFeatureChannelOffset_);
    archive("sourceFeatureChannelMaxCount", sourceFeatureChannelMaxCount_);
    archive("edgeMode", edgeMode_);
    archive("window", window_);
    archive.object("padding", padding_, "The padding policy");
    archive.object("destinationImageAllocator", allocator_, "The destination image allocator");
    if (!archive.isReading()) return;
    mps::checkWindow(className().c_str(), window_);
    setPadding(padding_);
    setDestinationImageAllocator(allocator_);
}

void CNNKernel::setPadding(std::shared_ptr<NNPadding> padding) {
    padding_ = padding ? std::move(padding) : samePadding();
}

void CNNKernel::setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator) {
    allocator_ = allocator ? std::move(allocator) : TemporaryImage::defaultAllocator();
}

void CNNKernel::customizeDestination(const ImageBatch&, ImageDescriptor&) {}
StateBatch CNNKernel::makeResultStates(const mps::StateRequest&) const { return {}; }
void CNNKernel::validate(const mps::UnaryPass&) const {}
StateBatch CNNKernel::statesRead(const StateBatch&) const { return {}; }
uint64_t CNNKernel::encodingStorageSize(const Image&, const StateBatch&, const Image&) const {
    return 0;
}
uint64_t CNNKernel::batchEncodingStorageSize(const ImageBatch&, const std::vector<StateBatch>&,
                                             const ImageBatch&) const {
    return 0;
}

ImageDescriptor CNNKernel::destinationImageDescriptor(const ImageBatch& sources,
                                                      const StateBatch& states) {
    const std::string who = subject();
    if (sources.size() != 1 || !sources[0])
        throw InvalidArgument(who +
                              "destinationImageDescriptor takes 1 source image but was given " +
                              std::to_string(sources.size()) + ".");
    mps::checkWindowFits(who, window_);
    const Image& source = sources[0];
    const NNPaddingMethod method = padding_->paddingMethod();
    const auto x = mps::padAxis(method, false, source.width(), window_.width, window_.strideX,
                                window_.dilationX, isBackwards());
    const auto y = mps::padAxis(method, true, source.height(), window_.height, window_.strideY,
                                window_.dilationY, isBackwards());
    const uint64_t read =
        mps::channelsInUse(source, sourceFeatureChannelOffset_, sourceFeatureChannelMaxCount_);
    ImageDescriptor d(source.featureChannelFormat(), x.size, y.size,
                      destinationFeatureChannelOffset_ + outputChannels(read),
                      source.numberOfImages());
    d.setStorage(source.storage());
    if (!keepsOffset()) {
        offset_.x = x.offset;
        offset_.y = y.offset;
    }
    customizeDestination(sources, d);
    for (const State& state : states)
        if (state) d = state.destinationImageDescriptor(sources, states, *this, d);
    if (uint64_t(method & NNPaddingMethod::Custom))
        d = padding_->destinationImageDescriptor(sources, states, *this, d);
    if (d.width() == 0 || d.height() == 0)
        throw InvalidArgument(who + "sourceImage is " +
                              mps::sizeText(source.width(), source.height()) +
                              " but the window covers " +
                              mps::sizeText((window_.width - 1) * window_.dilationX + 1,
                                            (window_.height - 1) * window_.dilationY + 1) +
                              " pixels: the padding policy leaves no pixel of a result.");
    return d;
}

StateBatch CNNKernel::states(const MTL::CommandBuffer* temporary, const ImageBatch& sources,
                             const std::vector<StateBatch>& sourceStates,
                             const ImageBatch& destinations, bool isReturned) const {
    if (sources.size() != destinations.size() || sources.empty())
        throw InvalidArgument(subject() + "A result state was asked for " +
                              std::to_string(sources.size()) + " source and " +
                              std::to_string(destinations.size()) + " destination images.");
    mps::checkSourceStates(subject(), sources.size(), sourceStates.size());
    mps::StateRequest request;
    request.temporary = temporary;
    request.device = temporary ? temporary->device() : sources[0].device();
    request.sources = sources;
    request.sourceStates = sourceStates;
    request.destinations = destinations;
    request.isReturned = isReturned;
    auto& r = request.record;
    r.className = className();
    r.offset = offset_;
    r.window = window_;
    r.edgeMode = edgeMode_;
    r.sourceChannelOffset = sourceFeatureChannelOffset_;
    r.sourceChannels =
        mps::channelsInUse(sources[0], sourceFeatureChannelOffset_, sourceFeatureChannelMaxCount_);
    r.destinationChannelOffset = destinationFeatureChannelOffset_;
    mps::recordSizes(r, clipRect_, sourceImages(), sources[0], destinations[0]);
    StateBatch made = makeResultStates(request);
    if (temporary)
        for (const State& state : made)
            if (!state.impl().temporary && !state.impl().resources.empty())
                state.impl().makeTemporary(*temporary);
    return made;
}

State CNNKernel::resultState(const Image& source, const StateBatch& sourceStates,
                             const Image& destination) const {
    const StateBatch made = resultStateBatch({source}, {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNKernel::resultStateBatch(const ImageBatch& sources,
                                       const std::vector<StateBatch>& sourceStates,
                                       const ImageBatch& destinations) const {
    return states(nullptr, sources, sourceStates, destinations);
}

State CNNKernel::temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& source,
                                      const StateBatch& sourceStates,
                                      const Image& destination) const {
    const StateBatch made =
        temporaryResultStateBatch(commandBuffer, {source}, {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNKernel::temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                                const ImageBatch& sources,
                                                const std::vector<StateBatch>& sourceStates,
                                                const ImageBatch& destinations) const {
    commandBuffer.impl().list(subject());
    return states(&commandBuffer, sources, sourceStates, destinations);
}

void CNNKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                       const Image& destination) {
    run(commandBuffer, {source}, {}, {destination}, false);
}

void CNNKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                       const State& state, const Image& destination) {
    run(commandBuffer, {source}, state ? StateBatch{state} : StateBatch{}, {destination}, false);
}

Image CNNKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& source) {
    return encode(commandBuffer, source, nullptr, false);
}

Image CNNKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& source, State* state,
                        bool isTemporary) {
    StateBatch made;
    const ImageBatch destinations =
        encodeReturning(commandBuffer, {source}, {}, state ? &made : nullptr, isTemporary, false);
    if (state) *state = made.empty() ? State() : made[0];
    return destinations[0];
}

void CNNKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                            const ImageBatch& destinations) {
    run(commandBuffer, sources, {}, destinations, true);
}

void CNNKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                            const StateBatch& states, const ImageBatch& destinations) {
    run(commandBuffer, sources, states, destinations, true);
}

ImageBatch CNNKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                  const ImageBatch& sources) {
    return encodeBatch(commandBuffer, sources, nullptr, false);
}

ImageBatch CNNKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                  const ImageBatch& sources, StateBatch* outStates,
                                  bool isTemporary) {
    return encodeReturning(commandBuffer, sources, {}, outStates, isTemporary, true);
}

ImageBatch CNNKernel::encodeReturning(const MTL::CommandBuffer& commandBuffer,
                                      const ImageBatch& sources, const StateBatch& sourceStates,
                                      StateBatch* outStates, bool isTemporary, bool isBatch) {
    mps::checkSources(subject(), isBatch ? "sourceImages" : "sourceImage", sources, commandBuffer,
                      isBatch);
    std::vector<StateBatch> perImage;
    if (!sourceStates.empty())
        mps::checkStates(subject(), "sourceStates", sourceStates, sources.size(), commandBuffer);
    for (const State& state : sourceStates) perImage.push_back({state});
    const auto encode = [&] {
        const ImageDescriptor d =
            destinationImageDescriptor({sources[0]}, perImage.empty() ? StateBatch{} : perImage[0]);
        const ImageBatch destinations =
            isBatch ? allocator_->imageBatch(commandBuffer, d, *this, sources.size())
                    : ImageBatch{allocator_->image(commandBuffer, d, *this)};
        StateBatch used = outStates ? states(isTemporary ? &commandBuffer : nullptr, sources,
                                             perImage, destinations, true)
                                    : sourceStates;
        run(commandBuffer, sources, used, destinations, isBatch, true, outStates != nullptr);
        if (outStates) *outStates = std::move(used);
        return destinations;
    };
    return mps::orUndo(encode, offset_, clipRect_);
}

void CNNKernel::run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                    const StateBatch& states, const ImageBatch& destinations, bool isBatch,
                    bool fresh, bool returnsStates) {
    const std::string who = subject();
    const bool writes = writesDestination();
    mps::checkSources(who, isBatch ? "sourceImages" : "sourceImage", sources, commandBuffer,
                      isBatch);
    const uint64_t each = imagesPerSource();
    if (writes) {
        mps::checkSources(who, isBatch ? "destinationImages" : "destinationImage", destinations,
                          commandBuffer, isBatch, each);
        mps::checkBatchLengths(who, "sourceImages", sources.size(), "destinationImages",
                               destinations.size());
    }
    if (!states.empty())
        mps::checkStates(who, "destinationStates", states, sources.size(), commandBuffer);
    if (!takesAnySourceChannelOffset())
        mps::checkChannelOffset(who, "sourceFeatureChannelOffset", sourceFeatureChannelOffset_);
    mps::checkChannelOffset(who, "destinationFeatureChannelOffset",
                            destinationFeatureChannelOffset_);
    mps::checkDevice(who, device(), commandBuffer);
    mps::checkNotAliased(who, sources, destinations);
    mps::checkSameShapes(who, "sourceImages", sources);
    if (writes) mps::checkSameShapes(who, "destinationImages", destinations);
    const Image& source = sources[0];
    const Image& destination = writes ? destinations[0] : source;

    mps::UnaryPass pass;
    MTL::Region rectangle = clipRect_;
    if (!writes) rectangle.origin = {}; // a place in a destination, and there is none
    pass.clip = mps::clipOf(rectangle, destination);
    pass.offset = offset_;
    pass.edgeMode = edgeMode_;
    pass.window = window_;
    pass.sourceChannels =
        mps::channelsInUse(source, sourceFeatureChannelOffset_, sourceFeatureChannelMaxCount_);
    pass.destinationChannels = channelsWritten(pass.sourceChannels, destination);
    mps::checkChannels(who, "sourceImage", source, sourceFeatureChannelOffset_,
                       pass.sourceChannels);
    if (writes)
        mps::checkChannels(who, "destinationImage", destination, destinationFeatureChannelOffset_,
                           pass.destinationChannels);
    const ImageRange range = sourceImages();
    const uint64_t images =
        isBatch ? sources.size() : mps::imagesOf(who, clipRect_, range, source, destination, each);
    pass.sources = sources;
    pass.destinations = destinations;
    pass.states = states;
    pass.returnsStates = returnsStates;
    pass.imageCount = images;
    if (!takesAnyEdgeMode()) mps::checkEdgeMode(who, "edgeMode", edgeMode_);
    validate(pass);
    mps::checkOffsetReach(who, "offset", offset_);
    const StateBatch read = statesRead(states);
    for (const State& state : read)
        state.impl().checkUsable(who, "The source state", commandBuffer);
    if (writes) mps::checkOwnStates(who, "destinationStates", states, read, className());

    mps::Encoder encoder(commandBuffer, *this);
    pass.encoder = &encoder;
    if (fresh && writes)
        mps::fillUncovered(encoder, destinations, pass.clip, destinationFeatureChannelOffset_,
                           pass.destinationChannels, each * (isBatch ? 1 : images));
    std::vector<mps::RunOperand> operands(2);
    for (uint64_t i = 0; i < images; ++i) {
        operands[0].elements.push_back(
            isBatch ? mps::RunOperand::Element{sources[i], 0}
                    : mps::RunOperand::Element{source, uint64_t(range.first) + i});
        if (writes)
            operands[1].elements.push_back(
                isBatch
                    ? mps::RunOperand::Element{destinations[i], 0, each}
                    : mps::RunOperand::Element{destination, clipRect_.origin.z + i * each, each});
    }
    mps::appendStateBuffers(operands, states, images, isBatch);
    if (pass.clip.width > 0 && pass.clip.height > 0)
        mps::forEachRun(
            encoder.limits(), operands, [&](size_t first, size_t count, auto runs, auto buffers) {
                pass.source = runs[0];
                pass.destination = runs[1];
                pass.sourceView = runs[0].view(sourceFeatureChannelOffset_, pass.sourceChannels);
                if (writes)
                    pass.destinationView =
                        runs[1].view(destinationFeatureChannelOffset_, pass.destinationChannels);
                pass.firstImage = first;
                pass.imageCount = count;
                pass.states = mps::part(states, first, count);
                pass.stateBuffers = buffers.subspan(2);
                dispatch(pass);
            });
    markRead(sources);
    markRead(read);
}

} // namespace mpsvk::MPS
