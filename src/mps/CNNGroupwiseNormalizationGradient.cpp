#include "mps/CNNGroupwiseNormalization.hpp"
#include "mps/PassChecks.hpp"
#include "mps/WholeGroup.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

using StateImpl = CNNGroupwiseNormalizationGradientState::Impl;

namespace {

StateImpl& own(const State& state) { return static_cast<StateImpl&>(state.impl()); }

std::string pixelText(int64_t x, int64_t y) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ")";
}

/// Adds the sums of each image of an array to the state's.
void addTotal(mps::Encoder& encoder, const vk::BufferSlice& perImage, const vk::BufferSlice& total,
              uint32_t slices, const mps::BinaryPass& pass) {
    const glsl::CNNGroupNormalizationTotalParameters p{
        .slices = slices,
        .images = uint32_t(pass.imageCount),
        .accumulate = pass.firstImage > 0,
    };
    encoder.dispatch("CNNGroupNormalizationTotal", p, mps::Grid::of(slices),
                     {{1, perImage}, {2, total}});
}

/// Every pixel of the result is that of the source and of the incoming gradient.
bool isWhole(const glsl::CNNGroupNormalizationGradientParameters& p) {
    const bool offsets = (p.clipX | p.clipY | p.gradientOffsetX | p.gradientOffsetY |
                          p.sourceOffsetX | p.sourceOffsetY | p.regionX | p.regionY) != 0;
    return !offsets && p.clipWidth == p.source.width && p.clipHeight == p.source.height &&
           p.regionWidth == p.source.width && p.regionHeight == p.source.height;
}

} // namespace

CNNGroupwiseNormalizationGradientState::CNNGroupwiseNormalizationGradientState(
    std::shared_ptr<Impl> impl)
    : NNGradientState(std::move(impl)) {}

StateImpl& CNNGroupwiseNormalizationGradientState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool CNNGroupwiseNormalizationGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

MTL::Buffer CNNGroupwiseNormalizationGradientState::gamma() const {
    return impl().parameters->gammaBuffer();
}
MTL::Buffer CNNGroupwiseNormalizationGradientState::beta() const {
    return impl().parameters->betaBuffer();
}
MTL::Buffer CNNGroupwiseNormalizationGradientState::gradientForGamma() const {
    return resource(Impl::GradientForGamma, true).as<MTL::Buffer>();
}
MTL::Buffer CNNGroupwiseNormalizationGradientState::gradientForBeta() const {
    return resource(Impl::GradientForBeta, true).as<MTL::Buffer>();
}

void CNNGroupwiseNormalizationGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x - r.offset.x, r.clip.y - r.offset.y, primaryOffset().z});
    setSecondaryOffset({0, 0, r.offset.z});
}

void CNNGroupwiseNormalizationGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.sourceStates.empty())
        throw InvalidArgument(who + "The gradient needs the gradient state of the forward pass.");
    CNNGradientKernel::validate(pass);
    mps::checkGradientChannels(who, pass);
    const Image &gradient = pass.primaries[0], &source = pass.secondaries[0];
    const StateImpl& first = own(pass.sourceStates[0]);
    const mps::ForwardRecord& r = first.record;
    if (r.sourceWidth != source.width() || r.sourceHeight != source.height() ||
        r.sourceChannels != pass.secondaryChannels)
        throw InvalidArgument(
            who + "sourceImage is " + mps::sizeText(source.width(), source.height()) +
            " and gives " + std::to_string(pass.secondaryChannels) +
            " feature channels but the forward source of the gradient state was " +
            mps::sizeText(r.sourceWidth, r.sourceHeight) + " and gave " +
            std::to_string(r.sourceChannels) + ".");
    if (uint64_t(r.clip.x) + r.clip.width > gradient.width() ||
        uint64_t(r.clip.y) + r.clip.height > gradient.height())
        throw InvalidArgument(
            who + "sourceGradient is " + mps::sizeText(gradient.width(), gradient.height()) +
            " but the forward pass wrote " + mps::sizeText(r.clip.width, r.clip.height) +
            " pixels from " + pixelText(r.clip.x, r.clip.y) + " on.");
    const int64_t x = r.clip.x - primaryOffset().x + secondaryOffset().x;
    const int64_t y = r.clip.y - primaryOffset().y + secondaryOffset().y;
    if (secondaryEdgeMode() == ImageEdgeMode::Clamp &&
        (x < 0 || y < 0 || x + int64_t(r.clip.width) > int64_t(source.width()) ||
         y + int64_t(r.clip.height) > int64_t(source.height())))
        throw InvalidArgument(who + "secondaryEdgeMode is Clamp and the forward pass read " +
                              mps::sizeText(r.clip.width, r.clip.height) + " pixels from " +
                              pixelText(x, y) + " on, beyond its source of " +
                              mps::sizeText(source.width(), source.height()) +
                              ": there is no gradient for repeated pixels.");
    const uint64_t images = pass.primaries.size() > 1 ? 1 : pass.batchCount;
    for (const State& each : pass.sourceStates) {
        const StateImpl& state = own(each);
        if (state.images != images)
            throw InvalidArgument(who + "gradientState was made for " +
                                  std::to_string(state.images) + " images but this encode has " +
                                  std::to_string(images) + " for each state.");
        const mps::Clip& clip = state.record.clip;
        if (state.parameters != first.parameters || state.epsilon != first.epsilon ||
            clip.x != r.clip.x || clip.y != r.clip.y || clip.width != r.clip.width ||
            clip.height != r.clip.height)
            throw InvalidArgument(who + "The gradient states of a batch must come from one forward "
                                        "kernel, with one epsilon and one clip rectangle, but "
                                        "these do not.");
    }
}

void CNNGroupwiseNormalizationGradient::dispatch(const mps::BinaryPass& pass) const {
    mps::Encoder& encoder = *pass.encoder;
    const StateImpl& state = own(pass.sourceStates[0]);
    const mps::ForwardRecord& r = state.record;
    const uint64_t channels = pass.secondaryChannels, groupChannels = channels / state.groups;
    const mps::NormalizationPlan plan(encoder.limits(), pass.secondaries[0], channels,
                                      groupChannels);
    const auto statistics =
        mps::NormalizationStatistics::of(pass.stateBuffers[StateImpl::Statistics]);
    if (!std::ranges::all_of(pass.sourceStates,
                             [](const State& each) { return own(each).hasStatistics; }))
        mps::encodeStatistics(encoder, plan,
                              mps::statisticsParameters(plan, pass.secondaryView, pass.imageCount,
                                                        groupChannels, state.epsilon, statistics),
                              pass.secondary, statistics);

    const uint64_t texels = uint64_t(plan.slices) * pass.imageCount;
    const bool isArray = state.images > 1;
    std::shared_ptr<const vk::BufferSlice> perImage[2];
    vk::BufferSlice gamma, beta;
    if (isArray) {
        for (auto& scratch : perImage) scratch = encoder.scratch(texels * 16);
        gamma = *perImage[0];
        beta = *perImage[1];
    } else {
        gamma = pass.stateBuffers[StateImpl::GradientForGamma].all;
        beta = pass.stateBuffers[StateImpl::GradientForBeta].all;
    }
    const auto stride = [&](size_t buffer) {
        return isArray ? plan.slices : uint32_t(pass.stateBuffers[buffer].strideBytes / 16);
    };
    // The forward result may be larger than its source.
    const uint64_t regionPixels = std::max<uint64_t>(1, r.clip.width * r.clip.height);
    const uint64_t partPixels = plan.whole ? regionPixels : plan.partPixels;
    const uint64_t parts = vk::divideUp(regionPixels, partPixels);
    glsl::CNNGroupNormalizationGradientParameters p{
        .gradient = pass.primaryView,
        .source = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .gradientOffsetX = int(primaryOffset().x),
        .gradientOffsetY = int(primaryOffset().y),
        .sourceOffsetX = int(secondaryOffset().x),
        .sourceOffsetY = int(secondaryOffset().y),
        .regionX = int(r.clip.x),
        .regionY = int(r.clip.y),
        .regionWidth = uint32_t(std::max<uint64_t>(1, r.clip.width)),
        .regionHeight = uint32_t(r.clip.width ? r.clip.height : 0),
        .clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp,
        .images = uint32_t(pass.imageCount),
        .groupChannels = uint32_t(groupChannels),
        .blockSlices = plan.blockSlices,
        .blockLanes = plan.blockLanes,
        .blocks = plan.blocks,
        .parts = uint32_t(parts),
        .partPixels = uint32_t(partPixels),
        .statisticsStride = statistics.stride,
        .gammaStride = stride(StateImpl::GradientForGamma),
        .betaStride = stride(StateImpl::GradientForBeta),
        .groupElements = float(r.sourceWidth * r.sourceHeight) * float(groupChannels),
    };
    const auto lanes = mps::constant(32, plan.lanes);
    const uint64_t workgroups = uint64_t(plan.blocks) * pass.imageCount;
    const char* sums = "CNNGroupNormalizationGradientSums";
    const vk::BufferSlice& weights = state.parameters->gamma();
    const auto kept = isWhole(p) ? mps::WholeGroup::of(encoder,
                                                       {{pass.secondary, p.source},
                                                        {pass.primary, p.gradient},
                                                        {pass.destination, p.destination}},
                                                       2, groupChannels)
                                 : std::nullopt;
    // A workgroup has whole groups: sums and results together.
    const auto dispatchWhole = [&](const char* shader, const mps::Grid& grid,
                                   std::initializer_list<vk::Constant> constants,
                                   const mps::WholeGroup::Meeting& meeting = {}) {
        encoder.dispatch(shader, p, grid,
                         {{1, pass.primary},
                          {2, pass.secondary},
                          {3, pass.destination},
                          {4, statistics.slice},
                          {5, weights},
                          {8, gamma},
                          {9, beta},
                          {10, meeting.sums},
                          {11, meeting.arrived}},
                         constants);
    };
    if (kept) {
        p.blocks = kept->blocks;
        const auto stagger = kept->stagger(encoder.limits().processor, pass.imageCount);
        dispatchWhole("CNNGroupNormalizationGradientWholeGroup", kept->grid(pass.imageCount),
                      {mps::constant(32, kept->invocations), mps::constant(33, kept->blockUnits),
                       mps::constant(34, kept->kept), stagger[0], stagger[1],
                       mps::constant(38, kept->members)},
                      kept->meeting(encoder, pass.imageCount));
    } else if (plan.whole) {
        dispatchWhole(sums, plan.grid(workgroups), {lanes, mps::constant(33, glsl::sumsResult)});
    } else {
        const auto partials = encoder.scratch(texels * parts * 32);
        const auto terms = encoder.scratch(texels * 32);
        encoder.dispatch(
            sums, p, plan.grid(workgroups * parts),
            {{1, pass.primary}, {2, pass.secondary}, {4, statistics.slice}, {7, *partials}},
            {lanes, mps::constant(33, glsl::sumsPart)});
        encoder.dispatch(sums, p, plan.grid(workgroups),
                         {{4, statistics.slice}, {6, *partials}, {8, gamma}, {9, beta}},
                         {lanes, mps::constant(33, glsl::sumsMerge)});
        encoder.dispatch("CNNGroupNormalizationGradientGroups", p, mps::Grid::of(texels),
                         {{5, weights}, {7, *terms}, {8, gamma}, {9, beta}});
        encoder.dispatch("CNNGroupNormalizationGradient", p, pass.clipGrid(),
                         {{1, pass.primary},
                          {2, pass.secondary},
                          {3, pass.destination},
                          {4, statistics.slice},
                          {5, weights},
                          {7, *terms}});
    }
    if (!isArray) return;
    auto& total = own(pass.sourceStates[0]);
    addTotal(encoder, gamma, total.buffer(StateImpl::GradientForGamma), plan.slices, pass);
    addTotal(encoder, beta, total.buffer(StateImpl::GradientForBeta), plan.slices, pass);
}

} // namespace mpsvk::MPS
