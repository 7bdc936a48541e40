#include "mps/CNNNormalization.hpp"

#include "CNNNormalization.h"
#include "mps/Archive.hpp"
#include "mps/PassChecks.hpp"
#include "mps/WindowNormalization.hpp"
#include "mtl/Device.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cmath>

namespace mpsvk::mps {

const LocalNormalizationState* localNormalizationState(const MPS::State& state) {
    return dynamic_cast<const LocalNormalizationState*>(state.shared().get());
}

MPS::StateBatch localNormalizationStates(const StateRequest& request,
                                         const LocalNormalizationValues& values,
                                         uint64_t kernelSize) {
    MPS::StateBatch made;
    for (size_t i = 0; i < request.count(); ++i)
        made.push_back(MPS::NNGradientState(
            std::make_shared<LocalNormalizationState>(request, values, kernelSize)));
    return made;
}

SplitBeta::SplitBeta(float beta) : quarters(glsl::betaOther), rest(beta) {
    if (!(beta >= 0 && beta <= 16)) return;
    whole = uint32_t(beta);
    rest = beta - float(whole);
    const float fourfold = rest * 4;
    if (fourfold == std::floor(fourfold)) quarters = uint32_t(fourfold);
}

ForwardResults::ForwardResults(const BinaryPass& pass, const MPS::Offset& primary,
                               const MPS::Offset& secondary)
    : startX(secondary.x - primary.x), startY(secondary.y - primary.y),
      width(pass.primaries[0].width()), height(pass.primaries[0].height()) {
    if (pass.sourceStates.empty()) return;
    const auto* state = localNormalizationState(pass.sourceStates[0]);
    if (!state) return;
    const Clip& clip = state->record.clip;
    const auto part = [](int64_t first, uint64_t wanted, uint64_t size) {
        return std::min(wanted, size - std::min<uint64_t>(uint64_t(first), size));
    };
    gradientX = clip.x;
    gradientY = clip.y;
    startX += clip.x;
    startY += clip.y;
    width = part(clip.x, clip.width, width);
    height = part(clip.y, clip.height, height);
}

void checkScratch(const std::string& who, const MTL::Device& device, uint64_t bytesPerImage) {
    const uint64_t most = device.impl().vk->limits().storageBufferRange;
    if (bytesPerImage > most)
        throw InvalidArgument(who + "One image needs " + std::to_string(bytesPerImage) +
                              " bytes of scratch memory but the device binds at most " +
                              std::to_string(most) + ".");
}

void checkAlpha(const std::string& who, float alpha) {
    if (!(alpha >= 0))
        throw InvalidArgument(who + "alpha is " + std::to_string(alpha) +
                              " but must be at least 0.");
}

void LocalNormalizationProperties::archiveProperties(Archive& archive) {
    archive("alpha", values_.alpha);
    archive("beta", values_.beta);
    archive("delta", values_.delta);
}

void LocalContrastProperties::archiveProperties(Archive& archive) {
    LocalNormalizationProperties::archiveProperties(archive);
    archive("p0", values_.p0);
    archive("pm", values_.pm);
    archive("ps", values_.ps);
}

void LocalNormalizationGradient::takeForwardRecord(const ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    // All of the source: windows reach beyond the pixels that results are centred on.
    setPrimaryOffset({r.clip.x - r.offset.x, r.clip.y - r.offset.y, primaryOffset().z});
    setSecondaryOffset({0, 0, r.offset.z});
    MTL::Region clip = clipRect();
    clip.origin.x = clip.origin.y = 0;
    clip.size.width = r.sourceWidth;
    clip.size.height = r.sourceHeight;
    setClipRect(clip);
}

void LocalNormalizationGradient::customizeDestination(const MPS::ImageBatch& sources,
                                                      const MPS::StateBatch& states,
                                                      MPS::ImageDescriptor& d) {
    for (const MPS::State& state : states)
        if (const auto* own = localNormalizationState(state)) {
            checkForwardSizes(subject(), "normalized", own->record, sources[0], sources[1]);
            values() = own->values;
        }
    CNNGradientKernel::customizeDestination(sources, states, d);
}

void LocalNormalizationGradient::validate(const BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    const std::string who = subject();
    checkGradientChannels(who, pass);
    const MPS::KernelWindow& w = secondary().window;
    const ForwardResults results(pass, primaryOffset(), secondaryOffset());
    checkWindowReach(who, {results.startX, results.startY, 0}, w, results.width, results.height);
    checkWindowReach(who, secondaryOffset(), w, pass.clip.width, pass.clip.height);
    for (const MPS::State& state : pass.sourceStates) {
        const auto* own = localNormalizationState(state);
        if (own && (own->record.window.width != w.width || own->record.window.height != w.height))
            throw InvalidArgument(who + "The gradient state's window is " +
                                  sizeText(own->record.window.width, own->record.window.height) +
                                  " but this kernel's is " + sizeText(w.width, w.height) + ".");
    }
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

mps::WindowNormalization contrast(const mps::LocalNormalizationValues& values) {
    return {values, true};
}
mps::WindowNormalization spatial(const mps::LocalNormalizationValues& values) {
    return {values, false};
}

mps::WindowNormalization::Geometry geometryOf(const mps::BinaryPass& pass, const Offset& primary,
                                              const KernelWindow& window, const Offset& secondary,
                                              ImageEdgeMode edgeMode) {
    return {window, {pass, primary, secondary}, secondary, edgeMode};
}

void checkForward(const std::string& who, const mps::UnaryPass& pass,
                  const mps::WindowNormalization& kernel) {
    mps::checkWindowReach(who, pass.offset, pass.window, pass.clip.width, pass.clip.height);
    mps::checkResultSizes(who, pass);
    kernel.checkScratch(who, pass);
}

} // namespace

void CNNSpatialNormalization::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archiveProperties(archive);
}
StateBatch CNNSpatialNormalization::makeResultStates(const mps::StateRequest& request) const {
    return mps::localNormalizationStates(request, values_);
}
void CNNSpatialNormalization::validate(const mps::UnaryPass& pass) const {
    mps::checkAlpha(subject(), alpha());
    checkForward(subject(), pass, spatial(values_));
}
void CNNSpatialNormalization::dispatch(const mps::UnaryPass& pass) const {
    spatial(values_).encode(pass);
}

void CNNSpatialNormalizationGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archiveProperties(archive);
}
void CNNSpatialNormalizationGradient::validate(const mps::BinaryPass& pass) const {
    LocalNormalizationGradient::validate(pass);
    mps::checkAlpha(subject(), alpha());
    spatial(values_).checkScratch(subject(), pass,
                                  geometryOf(pass, primaryOffset(), secondary().window,
                                             secondaryOffset(), secondaryEdgeMode()));
}
void CNNSpatialNormalizationGradient::dispatch(const mps::BinaryPass& pass) const {
    spatial(values_).encodeGradient(pass, geometryOf(pass, primaryOffset(), secondary().window,
                                                     secondaryOffset(), secondaryEdgeMode()));
}

void CNNLocalContrastNormalization::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archiveProperties(archive);
}
StateBatch CNNLocalContrastNormalization::makeResultStates(const mps::StateRequest& request) const {
    return mps::localNormalizationStates(request, values_);
}
void CNNLocalContrastNormalization::validate(const mps::UnaryPass& pass) const {
    checkForward(subject(), pass, contrast(values_));
}
void CNNLocalContrastNormalization::dispatch(const mps::UnaryPass& pass) const {
    contrast(values_).encode(pass);
}

void CNNLocalContrastNormalizationGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archiveProperties(archive);
}
void CNNLocalContrastNormalizationGradient::validate(const mps::BinaryPass& pass) const {
    LocalNormalizationGradient::validate(pass);
    contrast(values_).checkScratch(subject(), pass,
                                   geometryOf(pass, primaryOffset(), secondary().window,
                                              secondaryOffset(), secondaryEdgeMode()));
}
void CNNLocalContrastNormalizationGradient::dispatch(const mps::BinaryPass& pass) const {
    contrast(values_).encodeGradient(pass, geometryOf(pass, primaryOffset(), secondary().window,
                                                      secondaryOffset(), secondaryEdgeMode()));
}

} // namespace mpsvk::MPS
