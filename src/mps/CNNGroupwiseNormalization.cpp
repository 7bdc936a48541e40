#include "mps/CNNGroupwiseNormalization.hpp"

#include "mps/Archive.hpp"
#include "mps/CNNNormalizationWeights.hpp"
#include "mps/ConvolutionWeights.hpp"
#include "mps/PassChecks.hpp"
#include "mps/WholeGroup.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

using GradientState = CNNGroupwiseNormalizationGradientState;

const GradientState::Impl* own(const State& state) {
    return dynamic_cast<const GradientState::Impl*>(state.shared().get());
}

void loadParameters(const std::string& who, CNNGroupwiseNormalizationDataSource& source,
                    uint64_t channels, mps::GammaAndBeta& parameters) {
    if (!source.load()) throw InvalidArgument(who + "The data source's load returned false.");
    try {
        const auto checked = [&](const char* name, std::span<const float> values) {
            if (!values.empty() && values.size() != channels)
                throw InvalidArgument(who + "The data source's " + name + " has " +
                                      std::to_string(values.size()) + " elements but there are " +
                                      std::to_string(channels) + " feature channels.");
            return values;
        };
        parameters.set(checked("gamma", source.gamma()), checked("beta", source.beta()));
    } catch (...) {
        source.purge();
        throw;
    }
    source.purge();
}

/// Every pixel of the result is that of the source.
bool isWhole(const mps::UnaryPass& pass) {
    const mps::Clip& clip = pass.clip;
    return clip.x == 0 && clip.y == 0 && pass.offset.x == 0 && pass.offset.y == 0 &&
           clip.width == pass.sourceView.width && clip.height == pass.sourceView.height;
}

} // namespace

CNNNormalizationGammaAndBetaState
CNNGroupwiseNormalizationDataSource::updateGammaAndBeta(MTL::CommandBuffer, StateBatch) {
    return {};
}

bool CNNGroupwiseNormalizationDataSource::updateGammaAndBeta(StateBatch) { return false; }

uint64_t CNNGroupwiseNormalization::channelsOf(const char* className,
                                               const CNNGroupwiseNormalizationDataSource* source) {
    if (!source) throw InvalidArgument("[" + std::string(className) + "] The data source is null.");
    return source->numberOfFeatureChannels();
}

CNNGroupwiseNormalization::CNNGroupwiseNormalization(const MTL::Device& device,
                                                     const char* className, Source source,
                                                     uint64_t groups)
    : CNNKernel(device, className), source_(std::move(source)),
      channels_(channelsOf(className, source_.get())), groups_(groups),
      epsilon_(source_->epsilon()) {
    setLabel(source_->label());
    const std::string who = MTL::subject(className, label());
    if (channels_ == 0)
        throw InvalidArgument(who + "The data source's numberOfFeatureChannels is 0 but must be at "
                                    "least 1.");
    if (groups_ == 0 || channels_ % groups_ != 0)
        throw InvalidArgument(who + "The data source's numberOfGroups is " +
                              std::to_string(groups_) + " but must divide its " +
                              std::to_string(channels_) + " feature channels.");
    parameters_ = std::make_shared<mps::GammaAndBeta>(device, channels_);
    loadParameters(who, *source_, channels_, *parameters_);
}

CNNGroupwiseNormalization::~CNNGroupwiseNormalization() = default;
CNNGroupwiseNormalization::CNNGroupwiseNormalization(CNNGroupwiseNormalization&&) noexcept =
    default;
CNNGroupwiseNormalization&
CNNGroupwiseNormalization::operator=(CNNGroupwiseNormalization&&) noexcept = default;

CNNGroupwiseNormalization::CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other)
    : CNNGroupwiseNormalization(other, Sharing{}) {
    parameters_ = std::make_shared<mps::GammaAndBeta>(*other.parameters_);
}

CNNGroupwiseNormalization&
CNNGroupwiseNormalization::operator=(const CNNGroupwiseNormalization& other) {
    if (this == &other) return *this;
    auto parameters = std::make_shared<mps::GammaAndBeta>(*other.parameters_);
    CNNKernel::operator=(other);
    source_ = other.source_;
    channels_ = other.channels_;
    groups_ = other.groups_;
    epsilon_ = other.epsilon_;
    parameters_ = std::move(parameters);
    return *this;
}

CNNGroupwiseNormalization::CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other,
                                                     Sharing)
    : CNNKernel(other), source_(other.source_), channels_(other.channels_), groups_(other.groups_),
      epsilon_(other.epsilon_), parameters_(other.parameters_) {}

CNNGroupwiseNormalization::CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other,
                                                     const MTL::Device& device, Source source)
    : CNNGroupwiseNormalization(other, Sharing{}) {
    setDevice(device);
    source_ = std::move(source);
    takeParameters(other);
}

void CNNGroupwiseNormalization::takeParameters(const CNNGroupwiseNormalization& other) {
    parameters_ = std::make_shared<mps::GammaAndBeta>(*other.parameters_, device());
    channels_ = other.channels_;
    groups_ = other.groups_;
    epsilon_ = other.epsilon_;
}

void CNNGroupwiseNormalization::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("epsilon", epsilon_);
}

mps::NormalizationValues CNNGroupwiseNormalization::values() const {
    auto [gamma, beta] = parameters_->values();
    return {channels_, groups_, std::move(gamma), std::move(beta), source_->label(), epsilon_};
}

void CNNGroupwiseNormalization::reloadGammaAndBetaFromDataSource() {
    loadParameters(subject(), *source_, channels_, *parameters_);
}

void CNNGroupwiseNormalization::reloadGammaAndBeta(const MTL::CommandBuffer& commandBuffer,
                                                   const CNNNormalizationGammaAndBetaState& state) {
    using Values = CNNNormalizationGammaAndBetaState::Impl;
    const std::string who = subject();
    if (!state) throw InvalidArgument(who + "gammaAndBetaState is an empty state handle.");
    state.impl().checkUsable(who, "gammaAndBetaState", commandBuffer);
    state.impl().checkHolds(who, "gammaAndBetaState", channels_);
    mps::Encoder encoder(commandBuffer, *this);
    parameters_->load(encoder, state.impl().channels(Values::First, channels_),
                      state.impl().channels(Values::Second, channels_));
    state.impl().wasRead();
}

StateBatch CNNGroupwiseNormalization::makeResultStates(const mps::StateRequest& request) const {
    const auto kernel = sharingCopy();
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i) {
        auto state = std::make_shared<GradientState::Impl>(request.device, request.record);
        state->kernel = kernel;
        state->parameters = parameters_;
        state->groups = groups_;
        state->epsilon = epsilon_;
        if (request.count() == 1)
            state->images = mps::imagesOf(subject(), clipRect(), sourceImages(), request.sources[0],
                                          request.destinations[0]);
        made.push_back(GradientState(std::move(state)));
    }
    const uint64_t images = own(made[0])->images;
    const uint64_t texels = vk::Memory::taken(mps::slicesFor(channels_) * 16);
    addBatchBuffer(made, images * vk::Memory::taken(mps::NormalizationStatistics::bytes(channels_)),
                   MTL::ResourceOptions::StorageModePrivate, request.temporary);
    for (const size_t index :
         {GradientState::Impl::GradientForGamma, GradientState::Impl::GradientForBeta}) {
        addBatchBuffer(made, texels, MTL::ResourceOptions::StorageModeShared, request.temporary);
        for (const State& each : made) { // the host sees the channels only
            auto& resource = each.impl().resources[index];
            resource.bufferBytes = channels_ * sizeof(float);
            if (!resource.object) continue;
            resource.object = MTL::Buffer(std::make_shared<MTL::Buffer::Impl>(
                each.impl().device, MTL::ResourceOptions::StorageModeShared,
                vk::BufferSlice{resource.slice.buffer, resource.slice.offset,
                                resource.bufferBytes}));
        }
    }
    return made;
}

void CNNGroupwiseNormalization::validate(const mps::UnaryPass& pass) const {
    const std::string who = subject();
    if (pass.sourceChannels != channels_)
        throw InvalidArgument(who + "sourceImage gives " + std::to_string(pass.sourceChannels) +
                              " feature channels but the data source has gamma and beta for " +
                              std::to_string(channels_) + ".");
    const uint64_t images = pass.sources.size() > 1 ? 1 : pass.imageCount;
    for (const State& given : pass.states) {
        const auto* state = own(given);
        if (!state || state->record.className != className()) continue; // the base refuses it
        const mps::ForwardRecord& r = state->record;
        if (state->groups != groups_ || r.sourceChannels != channels_ || state->images != images)
            throw InvalidArgument(
                who + "The destination state was made for " + std::to_string(state->images) +
                " images with " + std::to_string(r.sourceChannels) + " feature channels in " +
                std::to_string(state->groups) + " groups but this encode has, for each state, " +
                std::to_string(images) + " with " + std::to_string(channels_) + " in " +
                std::to_string(groups_) + ".");
        const Image& source = pass.sources[0];
        const mps::Clip& clip = pass.clip;
        if (r.sourceWidth == source.width() && r.sourceHeight == source.height() &&
            r.clip.x == clip.x && r.clip.y == clip.y && r.clip.width == clip.width &&
            r.clip.height == clip.height && r.offset.x == pass.offset.x &&
            r.offset.y == pass.offset.y)
            continue;
        const auto text = [](uint64_t width, uint64_t height, const mps::Clip& c, const Offset& o) {
            return mps::sizeText(width, height) + " and a result of " +
                   mps::sizeText(c.width, c.height) + " pixels from (" + std::to_string(c.x) +
                   ", " + std::to_string(c.y) + ") on with the offset (" + std::to_string(o.x) +
                   ", " + std::to_string(o.y) + ")";
        };
        throw InvalidArgument(who + "The destination state was made for a source of " +
                              text(r.sourceWidth, r.sourceHeight, r.clip, r.offset) +
                              " but this encode has " +
                              text(source.width(), source.height(), clip, pass.offset) + ".");
    }
}

void CNNGroupwiseNormalization::dispatch(const mps::UnaryPass& pass) const {
    mps::Encoder& encoder = *pass.encoder;
    const mps::NormalizationPlan plan(encoder.limits(), pass.sources[0], channels_,
                                      channels_ / groups_);
    const auto statistics =
        pass.stateBuffers.empty()
            ? mps::NormalizationStatistics::inScratch(encoder, channels_, pass.imageCount)
            : mps::NormalizationStatistics::of(pass.stateBuffers[GradientState::Impl::Statistics]);
    auto p = mps::statisticsParameters(plan, pass.sourceView, pass.imageCount, channels_ / groups_,
                                       epsilon_, statistics);
    p.destination = pass.destinationView;
    p.clipX = int(pass.clip.x);
    p.clipY = int(pass.clip.y);
    p.clipWidth = uint32_t(pass.clip.width);
    p.clipHeight = uint32_t(pass.clip.height);
    p.offsetX = int(pass.offset.x);
    p.offsetY = int(pass.offset.y);
    p.clampEdges = pass.edgeMode == ImageEdgeMode::Clamp;
    const auto dispatchResult = [&](const char* shader, const mps::Grid& grid,
                                    std::initializer_list<vk::Constant> constants,
                                    const mps::WholeGroup::Meeting& meeting = {}) {
        encoder.dispatch(shader, p, grid,
                         {{1, pass.source},
                          {2, pass.destination},
                          {5, statistics.slice},
                          {6, parameters_->gamma()},
                          {7, parameters_->beta()},
                          {10, meeting.sums},
                          {11, meeting.arrived}},
                         constants);
    };
    // By the source alone: the statistics must not depend on where the result goes.
    const auto kept = mps::WholeGroup::of(encoder, {{pass.source, p.source}}, 1, p.groupChannels);
    if (kept && isWhole(pass) &&
        mps::WholeGroup::of(encoder, {{pass.source, p.source}, {pass.destination, p.destination}},
                            1, p.groupChannels)) {
        p.blocks = kept->blocks;
        dispatchResult("CNNGroupNormalizationWholeGroup", kept->grid(pass.imageCount),
                       {mps::constant(32, kept->invocations), mps::constant(33, kept->blockUnits),
                        mps::constant(34, kept->kept), mps::constant(35, glsl::sumsResult),
                        mps::constant(38, kept->members)},
                       kept->meeting(encoder, pass.imageCount));
    } else if (plan.whole && !kept) {
        dispatchResult("CNNGroupNormalizationStatistics",
                       plan.grid(uint64_t(plan.blocks) * pass.imageCount),
                       {mps::constant(32, plan.lanes), mps::constant(33, glsl::sumsResult)});
    } else {
        mps::encodeStatistics(encoder, plan, p, pass.source, statistics);
        dispatchResult("CNNGroupNormalization", pass.clipGrid(), {});
    }
    for (const State& each : pass.states) {
        auto& state = static_cast<GradientState::Impl&>(each.impl());
        state.hasStatistics = true;
        state.epsilon = epsilon_;
    }
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

DeferredReload NormalizationAccess::deferredReload(MPS::CNNGroupwiseNormalization& kernel) {
    return [&kernel, source = kernel.source_, channels = kernel.channels_, device = kernel.device(),
            who = Subject(kernel).text()] {
        const auto loaded = std::make_shared<GammaAndBeta>(device, channels);
        MPS::loadParameters(who, *source, channels, *loaded);
        return [&kernel, loaded] { kernel.parameters_ = loaded; };
    };
}

} // namespace mpsvk::mps
