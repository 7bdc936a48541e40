#include "mps/Archive.hpp"
#include "mps/NNPadding.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "mps/Undo.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <utility>

namespace mpsvk::MPS {

namespace {

std::string indexed(const char* name, uint64_t index) {
    return std::string(name) + "[" + std::to_string(index) + "]";
}

/// Of an encode of single images, as the batch forms give them.
std::vector<ImageBatch> batchesOf(const ImageBatch& sources) {
    std::vector<ImageBatch> batches;
    for (const Image& source : sources) batches.push_back({source});
    return batches;
}

void checkTaps(const std::string& who, uint64_t index, const KernelWindow& w) {
    if (w.width && w.height && w.dilationX && w.dilationY) return;
    throw InvalidArgument(who + "The window of source " + std::to_string(index) + " is " +
                          mps::sizeText(w.width, w.height) + " and its dilation " +
                          mps::sizeText(w.dilationX, w.dilationY) +
                          ", but each must be at least 1.");
}

ImageBatch firstsOf(const std::vector<ImageBatch>& sources) {
    ImageBatch firsts;
    for (const ImageBatch& batch : sources) firsts.push_back(batch[0]);
    return firsts;
}

} // namespace

CNNMultiaryKernel::CNNMultiaryKernel(const MTL::Device& device, const char* className,
                                     uint64_t sourceCount)
    : Kernel(device) {
    if (sourceCount == 0)
        throw InvalidArgument("[" + std::string(className) +
                              "] sourceCount is 0 but a kernel has at least 1 source.");
    sources_.resize(sourceCount);
    setPadding(nullptr);
    setDestinationImageAllocator(nullptr);
}

void CNNMultiaryKernel::Source::archive(mps::Archive& archive) {
    archive("offset", offset);
    archive("featureChannelOffset", channelOffset);
    archive("featureChannelMaxCount", channelMaxCount);
    archive("edgeMode", edgeMode);
    archive("window", window);
}

void CNNMultiaryKernel::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    uint64_t count = sources_.size();
    archive("sourceCount", count);
    if (count != sources_.size())
        throw FormatError("[KeyedUnarchiver] The archived " + className() + " has " +
                          std::to_string(count) + " sources but this one has " +
                          std::to_string(sources_.size()) + ".");
    for (size_t i = 0; i < sources_.size(); ++i)
        archive(("source" + std::to_string(i)).c_str(), sources_[i]);
    archive("clipRect", clipRect_);
    archive("destinationFeatureChannelOffset", destinationFeatureChannelOffset_);
    archive.object("padding", padding_, "The padding policy");
    archive.object("destinationImageAllocator", allocator_, "The destination image allocator");
    if (!archive.isReading()) return;
    setPadding(padding_);
    setDestinationImageAllocator(allocator_);
}

const CNNMultiaryKernel::Source& CNNMultiaryKernel::source(uint64_t index) const {
    if (index >= sources_.size())
        throw InvalidArgument(subject() + "Source " + std::to_string(index) +
                              " was named but sourceCount is " + std::to_string(sources_.size()) +
                              ".");
    return sources_[index];
}

CNNMultiaryKernel::Source& CNNMultiaryKernel::source(uint64_t index) {
    return const_cast<Source&>(std::as_const(*this).source(index));
}

void CNNMultiaryKernel::setPadding(std::shared_ptr<NNPadding> padding) {
    padding_ = padding ? std::move(padding) : NNDefaultPadding::padding(NNPaddingMethod::SizeSame);
}

void CNNMultiaryKernel::setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator) {
    allocator_ = allocator ? std::move(allocator) : TemporaryImage::defaultAllocator();
}

uint64_t CNNMultiaryKernel::outputChannels(std::span<const uint64_t> sourceChannels) const {
    return *std::ranges::max_element(sourceChannels);
}
void CNNMultiaryKernel::customizeDestination(const ImageBatch&, const StateBatch&,
                                             ImageDescriptor&) {}
StateBatch CNNMultiaryKernel::makeResultStates(const mps::MultiaryStateRequest&) const {
    return {};
}
void CNNMultiaryKernel::validate(const mps::MultiaryPass&) const {}
uint64_t CNNMultiaryKernel::encodingStorageSize(const ImageBatch&, const StateBatch&,
                                                const Image&) const {
    return 0;
}
uint64_t CNNMultiaryKernel::batchEncodingStorageSize(const std::vector<ImageBatch>&,
                                                     const std::vector<StateBatch>&,
                                                     const ImageBatch&) const {
    return 0;
}

uint64_t CNNMultiaryKernel::channelsOf(uint64_t index, const Image& image) const {
    return mps::channelsInUse(image, sources_[index].channelOffset,
                              sources_[index].channelMaxCount);
}

ImageDescriptor CNNMultiaryKernel::destinationImageDescriptor(const ImageBatch& sources,
                                                              const StateBatch& states) {
    const std::string who = subject();
    if (sources.size() != sources_.size() ||
        !std::ranges::all_of(sources, [](const Image& image) { return bool(image); }))
        throw InvalidArgument(who + "destinationImageDescriptor takes " +
                              std::to_string(sources_.size()) + " source images but was given " +
                              std::to_string(sources.size()) + ", or an empty handle.");
    const NNPaddingMethod method = padding_->paddingMethod();
    uint64_t width = 0, height = 0;
    std::vector<uint64_t> channels;
    for (size_t i = 0; i < sources.size(); ++i) {
        const KernelWindow& w = sources_[i].window;
        checkTaps(who, i, w);
        mps::checkWindowFits(who, w);
        const auto x = mps::padAxis(method, false, sources[i].width(), w.width,
                                    std::max<uint64_t>(w.strideX, 1), w.dilationX, isBackwards());
        const auto y = mps::padAxis(method, true, sources[i].height(), w.height,
                                    std::max<uint64_t>(w.strideY, 1), w.dilationY, isBackwards());
        if (i == 0) {
            width = x.size;
            height = y.size;
        }
        sources_[i].offset.x = x.offset;
        sources_[i].offset.y = y.offset;
        channels.push_back(channelsOf(i, sources[i]));
    }
    const Image& first = sources[0];
    ImageDescriptor d(first.featureChannelFormat(), width, height,
                      destinationFeatureChannelOffset_ + outputChannels(channels),
                      first.numberOfImages());
    d.setStorage(first.storage());
    customizeDestination(sources, states, d);
    for (const State& state : states)
        if (state) d = state.destinationImageDescriptor(sources, states, *this, d);
    if (uint64_t(method & NNPaddingMethod::Custom))
        d = padding_->destinationImageDescriptor(sources, states, *this, d);
    if (d.width() == 0 || d.height() == 0)
        throw InvalidArgument(who + "sourceImages[0] is " +
                              mps::sizeText(first.width(), first.height()) +
                              ": the padding policy leaves no pixel of a result.");
    return d;
}

StateBatch CNNMultiaryKernel::states(const MTL::CommandBuffer* temporary,
                                     const std::vector<ImageBatch>& sources,
                                     const ImageBatch& destinations) const {
    if (sources.size() != sources_.size() || destinations.empty())
        throw InvalidArgument(
            subject() + "A result state was asked for " + std::to_string(sources.size()) +
            " sources and " + std::to_string(destinations.size()) +
            " destination images but sourceCount is " + std::to_string(sources_.size()) + ".");
    mps::MultiaryStateRequest request;
    for (size_t i = 0; i < sources.size(); ++i) {
        mps::checkBatchLengths(subject(), indexed("sourceImages", i).c_str(), sources[i].size(),
                               "destinationImages", destinations.size());
        const Source& source = sources_[i];
        mps::ForwardRecord r;
        r.className = className();
        r.offset = source.offset;
        r.window = source.window;
        r.edgeMode = source.edgeMode;
        r.sourceChannelOffset = source.channelOffset;
        r.sourceChannels = channelsOf(i, sources[i][0]);
        r.destinationChannelOffset = destinationFeatureChannelOffset_;
        mps::recordSizes(r, clipRect_, {source.offset.z}, sources[i][0], destinations[0]);
        request.records.push_back(std::move(r));
    }
    request.temporary = temporary;
    request.device = temporary ? temporary->device() : sources[0][0].device();
    request.sources = sources;
    request.destinations = destinations;
    StateBatch made = makeResultStates(request);
    if (temporary)
        for (const State& state : made)
            if (!state.impl().temporary && !state.impl().resources.empty())
                state.impl().makeTemporary(*temporary);
    return made;
}

State CNNMultiaryKernel::resultState(const ImageBatch& sources, const StateBatch& sourceStates,
                                     const Image& destination) const {
    const StateBatch made = resultStateBatch(batchesOf(sources), {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNMultiaryKernel::resultStateBatch(const std::vector<ImageBatch>& sources,
                                               const std::vector<StateBatch>& sourceStates,
                                               const ImageBatch& destinations) const {
    mps::checkSourceStates(subject(), destinations.size(), sourceStates.size());
    return states(nullptr, sources, destinations);
}

State CNNMultiaryKernel::temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                                              const ImageBatch& sources,
                                              const StateBatch& sourceStates,
                                              const Image& destination) const {
    const StateBatch made =
        temporaryResultStateBatch(commandBuffer, batchesOf(sources), {sourceStates}, {destination});
    return made.empty() ? State() : made[0];
}

StateBatch CNNMultiaryKernel::temporaryResultStateBatch(const MTL::CommandBuffer& commandBuffer,
                                                        const std::vector<ImageBatch>& sources,
                                                        const std::vector<StateBatch>& sourceStates,
                                                        const ImageBatch& destinations) const {
    commandBuffer.impl().list(subject());
    mps::checkSourceStates(subject(), destinations.size(), sourceStates.size());
    return states(&commandBuffer, sources, destinations);
}

void CNNMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                               const Image& destination) {
    run(commandBuffer, batchesOf(sources), {}, {destination}, false, false);
}

Image CNNMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                const ImageBatch& sources) {
    return encode(commandBuffer, sources, nullptr, false);
}

Image CNNMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                                State* state, bool isTemporary) {
    StateBatch made;
    const Image destination = encodeNew(commandBuffer, batchesOf(sources), state ? &made : nullptr,
                                        isTemporary, false)[0];
    if (state) *state = made.empty() ? State() : made[0];
    return destination;
}

void CNNMultiaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                    const std::vector<ImageBatch>& sources,
                                    const ImageBatch& destinations) {
    run(commandBuffer, sources, {}, destinations, true, false);
}

ImageBatch CNNMultiaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                          const std::vector<ImageBatch>& sources) {
    return encodeBatch(commandBuffer, sources, nullptr, false);
}

ImageBatch CNNMultiaryKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                          const std::vector<ImageBatch>& sources,
                                          StateBatch* states, bool isTemporary) {
    return encodeNew(commandBuffer, sources, states, isTemporary, true);
}

ImageBatch CNNMultiaryKernel::encodeNew(const MTL::CommandBuffer& commandBuffer,
                                        const std::vector<ImageBatch>& sources,
                                        StateBatch* outStates, bool isTemporary, bool isBatch) {
    checkSourceBatches(commandBuffer, sources, isBatch);
    const auto encode = [&] {
        const ImageDescriptor d = destinationImageDescriptor(firstsOf(sources));
        const ImageBatch destinations =
            isBatch ? allocator_->imageBatch(commandBuffer, d, *this, sources[0].size())
                    : ImageBatch{allocator_->image(commandBuffer, d, *this)};
        StateBatch made;
        if (outStates) made = states(isTemporary ? &commandBuffer : nullptr, sources, destinations);
        run(commandBuffer, sources, made, destinations, isBatch, true);
        if (outStates) *outStates = std::move(made);
        return destinations;
    };
    return mps::orUndo(encode, sources_);
}

void CNNMultiaryKernel::checkSourceBatches(const MTL::CommandBuffer& commandBuffer,
                                           const std::vector<ImageBatch>& sources,
                                           bool isBatch) const {
    const std::string who = subject();
    if (sources.size() != sources_.size())
        throw InvalidArgument(who + "sourceImages has " + std::to_string(sources.size()) +
                              " sources but sourceCount is " + std::to_string(sources_.size()) +
                              ".");
    for (size_t i = 0; i < sources.size(); ++i) {
        const std::string name = indexed("sourceImages", i);
        mps::checkSources(who, name.c_str(), sources[i], commandBuffer, isBatch);
        mps::checkBatchLengths(who, "sourceImages[0]", sources[0].size(), name.c_str(),
                               sources[i].size());
        mps::checkSameShapes(who, name.c_str(), sources[i]);
    }
}

void CNNMultiaryKernel::run(const MTL::CommandBuffer& commandBuffer,
                            const std::vector<ImageBatch>& sources, const StateBatch& states,
                            const ImageBatch& destinations, bool isBatch, bool fresh) {
    const std::string who = subject();
    checkSourceBatches(commandBuffer, sources, isBatch);
    mps::checkSources(who, isBatch ? "destinationImages" : "destinationImage", destinations,
                      commandBuffer, isBatch);
    mps::checkBatchLengths(who, "sourceImages[0]", sources[0].size(), "destinationImages",
                           destinations.size());
    mps::checkSameShapes(who, "destinationImages", destinations);
    if (!states.empty())
        mps::checkStates(who, "destinationStates", states, destinations.size(), commandBuffer);
    mps::checkChannelOffset(who, "destinationFeatureChannelOffset",
                            destinationFeatureChannelOffset_);
    mps::checkDevice(who, device(), commandBuffer);
    const Image& destination = destinations[0];

    mps::MultiaryPass pass;
    pass.clip = mps::clipOf(clipRect_, destination);
    uint64_t images = destinations.size();
    std::vector<uint64_t> channels;
    for (size_t i = 0; i < sources.size(); ++i) {
        const Source& s = sources_[i];
        checkTaps(who, i, s.window);
        mps::checkChannelOffset(who, indexed("sourceFeatureChannelOffset", i).c_str(),
                                s.channelOffset);
        mps::checkNotAliased(who, sources[i], destinations);
        channels.push_back(channelsOf(i, sources[i][0]));
        mps::checkChannels(who, indexed("sourceImages", i).c_str(), sources[i][0], s.channelOffset,
                           channels[i]);
        if (!isBatch) {
            const uint64_t offered =
                mps::imagesOf(who, clipRect_, {s.offset.z}, sources[i][0], destination);
            images = i == 0 ? offered : std::min(images, offered);
        }
        pass.sources.push_back({.offset = s.offset,
                                .edgeMode = s.edgeMode,
                                .window = s.window,
                                .channels = channels[i]});
    }
    pass.destinationChannels = outputChannels(channels);
    mps::checkChannels(who, "destinationImage", destination, destinationFeatureChannelOffset_,
                       pass.destinationChannels);
    pass.sourceBatches = sources;
    pass.destinations = destinations;
    pass.states = states;
    pass.imageCount = images;
    validate(pass);
    for (size_t i = 0; i < sources_.size(); ++i)
        mps::checkOffsetReach(who, indexed("offset", i).c_str(), sources_[i].offset);

    mps::Encoder encoder(commandBuffer, *this);
    pass.encoder = &encoder;
    if (fresh)
        mps::fillUncovered(encoder, destinations, pass.clip, destinationFeatureChannelOffset_,
                           pass.destinationChannels, isBatch ? 1 : images);
    std::vector<mps::RunOperand> operands(sources.size() + 1);
    const auto add = [&](mps::RunOperand& operand, const ImageBatch& batch, uint64_t first) {
        for (uint64_t i = 0; i < images; ++i)
            operand.elements.push_back(isBatch ? mps::RunOperand::Element{batch[i], 0}
                                               : mps::RunOperand::Element{batch[0], first + i});
    };
    for (size_t i = 0; i < sources.size(); ++i)
        add(operands[i], sources[i], uint64_t(sources_[i].offset.z));
    add(operands.back(), destinations, clipRect_.origin.z);
    mps::appendStateBuffers(operands, states, images, isBatch);
    if (pass.clip.width > 0 && pass.clip.height > 0)
        mps::forEachRun(
            encoder.limits(), operands, [&](size_t first, size_t count, auto runs, auto buffers) {
                for (size_t i = 0; i < pass.sources.size(); ++i) {
                    pass.sources[i].run = runs[i];
                    pass.sources[i].view =
                        runs[i].view(sources_[i].channelOffset, pass.sources[i].channels);
                }
                const size_t last = pass.sources.size();
                pass.destination = runs[last];
                pass.destinationView =
                    runs[last].view(destinationFeatureChannelOffset_, pass.destinationChannels);
                pass.firstImage = first;
                pass.imageCount = count;
                pass.states = mps::part(states, first, count);
                pass.stateBuffers = buffers.subspan(last + 1);
                dispatch(pass);
            });
    ImageBatch read;
    for (const ImageBatch& batch : sources) read.insert(read.end(), batch.begin(), batch.end());
    markRead(read);
}

} // namespace mpsvk::MPS
