#include "mps/NNReduceSpatialMean.hpp"

#include "NNReduce.h"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

MPS::StateBatch NNReduceSpatialMean::makeResultStates(const StateRequest& request) const {
    MPS::StateBatch made;
    for (const MPS::Image& source : request.sources)
        made.push_back(MPS::NNGradientState(std::make_shared<SpatialMeanState>(
            request.device, request.record, sourceClip(source))));
    return made;
}

void NNReduceSpatialMeanGradient::takeForwardRecord(const ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x, r.clip.y, primaryOffset().z});
    setSecondaryOffset({});
}

void NNReduceSpatialMeanGradient::validate(const BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    checkGradientChannels(subject(), pass);
    const MPS::Image& gradient = pass.primaries[0];
    const MPS::Offset at = primaryOffset();
    if (at.x < 0 || at.y < 0 || uint64_t(at.x) >= gradient.width() ||
        uint64_t(at.y) >= gradient.height())
        throw InvalidArgument(subject() + "The mean's pixel (" + std::to_string(at.x) + ", " +
                              std::to_string(at.y) + ") lies outside the " +
                              sizeText(gradient.width(), gradient.height()) + " sourceGradient.");
}

void NNReduceSpatialMeanGradient::dispatch(const BinaryPass& pass) const {
    Clip mean{0, 0, pass.secondaries[0].width(), pass.secondaries[0].height()};
    if (!pass.sourceStates.empty())
        if (const auto* state =
                dynamic_cast<const SpatialMeanState*>(pass.sourceStates[0].shared().get()))
            mean = state->read;
    const glsl::NNReduceSpatialMeanGradientParameters parameters{
        .gradient = pass.primaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .gradientX = int(primaryOffset().x),
        .gradientY = int(primaryOffset().y),
        .sourceX = int(secondaryOffset().x),
        .sourceY = int(secondaryOffset().y),
        .meanX = int(mean.x),
        .meanY = int(mean.y),
        .meanWidth = int(mean.width),
        .meanHeight = int(mean.height),
        .count = float(mean.width * mean.height),
    };
    pass.encoder->dispatch("NNReduceSpatialMeanGradient", parameters, pass.clipGrid(),
                           {{1, pass.primary}, {3, pass.destination}});
}

} // namespace mpsvk::mps
