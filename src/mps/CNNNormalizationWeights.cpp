#include "mps/CNNNormalizationWeights.hpp"

#include "ChannelPairCopy.h"
#include "mps/Matrix.hpp"
#include "mtl/Object.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

void ChannelPair::checkHolds(const Subject& who, const char* role, uint64_t channels) const {
    for (const Buffers which : {First, Second}) {
        const uint64_t bytes = resources.at(which).bufferBytes;
        if (bytes < channels * sizeof(float))
            throw InvalidArgument(who + role + "." + name(which) + " has " + std::to_string(bytes) +
                                  " bytes but " + std::to_string(channels) +
                                  " feature channels need " +
                                  std::to_string(channels * sizeof(float)) + ".");
    }
}

vk::BufferSlice ChannelPair::channels(Buffers which, uint64_t channels) {
    const vk::BufferSlice& all = buffer(which);
    return {all.buffer, all.offset, channels * sizeof(float)};
}

void copyChannels(Encoder& encoder, const std::array<vk::BufferSlice, 2>& from,
                  const std::array<vk::BufferSlice, 2>& to) {
    const auto aligned = [&](const vk::BufferSlice& slice) {
        return AlignedSlice(slice, encoder.limits());
    };
    AlignedSlice source0 = aligned(from[0]), source1 = aligned(from[1]);
    AlignedSlice destination0 = aligned(to[0]), destination1 = aligned(to[1]);
    const auto offset = [](const AlignedSlice& slice) {
        return uint32_t(slice.skipped / sizeof(float));
    };
    const glsl::ChannelPairCopyParameters parameters{uint32_t(from[0].size / sizeof(float)),
                                                     offset(source0), offset(source1),
                                                     offset(destination0), offset(destination1)};
    encoder.dispatch("ChannelPairCopy", parameters, Grid::of(parameters.channels),
                     {{1, std::move(source0.slice)},
                      {2, std::move(source1.slice)},
                      {3, std::move(destination0.slice)},
                      {4, std::move(destination1.slice)}});
}

namespace {

template <class Impl>
std::shared_ptr<Impl> wrapping(const MTL::Buffer& first, const MTL::Buffer& second) {
    const std::string who = std::string("[") + Impl::className + "] ";
    const MTL::Buffer* const buffers[] = {&first, &second};
    for (size_t i = 0; i < 2; ++i) {
        if (!*buffers[i])
            throw InvalidArgument(who + Impl::names[i] + " is an empty buffer handle.");
        if (buffers[i]->length() < sizeof(float))
            throw InvalidArgument(who + Impl::names[i] + " has " +
                                  std::to_string(buffers[i]->length()) +
                                  " bytes but a feature channel needs 4.");
    }
    if (!(first.device() == second.device()))
        throw InvalidArgument(who + Impl::names[0] + " belongs to the device \"" +
                              first.device().name() + "\" but " + Impl::names[1] +
                              " to another one, \"" + second.device().name() + "\".");
    auto made = std::make_shared<Impl>(first.device());
    made->wrapped = true;
    made->addBuffer(first);
    made->addBuffer(second);
    return made;
}

template <class Impl>
std::shared_ptr<Impl> temporary(const MTL::CommandBuffer& commandBuffer, uint64_t channels) {
    const std::string who = std::string("[") + Impl::className + "] ";
    commandBuffer.impl().list(who);
    if (channels == 0)
        throw InvalidArgument(who + "numberOfFeatureChannels is 0 but must be at least 1.");
    auto made = std::make_shared<Impl>(commandBuffer.device());
    made->addBuffer(channels * sizeof(float));
    made->addBuffer(channels * sizeof(float));
    made->makeTemporary(commandBuffer);
    return made;
}

} // namespace

} // namespace mpsvk::mps

namespace mpsvk::MPS {

using GammaAndBeta = CNNNormalizationGammaAndBetaState;
using MeanAndVariance = CNNNormalizationMeanAndVarianceState;

GammaAndBeta::CNNNormalizationGammaAndBetaState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

GammaAndBeta::CNNNormalizationGammaAndBetaState(const MTL::Buffer& gamma, const MTL::Buffer& beta)
    : State(mps::wrapping<Impl>(gamma, beta)) {}

GammaAndBeta GammaAndBeta::temporaryState(const MTL::CommandBuffer& commandBuffer,
                                          uint64_t numberOfFeatureChannels) {
    return GammaAndBeta(mps::temporary<Impl>(commandBuffer, numberOfFeatureChannels));
}

GammaAndBeta::Impl& GammaAndBeta::impl() const { return static_cast<Impl&>(State::impl()); }
bool GammaAndBeta::isKindOf(const detail::ObjectImpl& object) { return MTL::isA<Impl>(object); }
MTL::Buffer GammaAndBeta::gamma() const { return resource(Impl::Gamma, true).as<MTL::Buffer>(); }
MTL::Buffer GammaAndBeta::beta() const { return resource(Impl::Beta, true).as<MTL::Buffer>(); }

MeanAndVariance::CNNNormalizationMeanAndVarianceState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

MeanAndVariance::CNNNormalizationMeanAndVarianceState(const MTL::Buffer& mean,
                                                      const MTL::Buffer& variance)
    : State(mps::wrapping<Impl>(mean, variance)) {}

MeanAndVariance MeanAndVariance::temporaryState(const MTL::CommandBuffer& commandBuffer,
                                                uint64_t numberOfFeatureChannels) {
    return MeanAndVariance(mps::temporary<Impl>(commandBuffer, numberOfFeatureChannels));
}

MeanAndVariance::Impl& MeanAndVariance::impl() const { return static_cast<Impl&>(State::impl()); }
bool MeanAndVariance::isKindOf(const detail::ObjectImpl& object) { return MTL::isA<Impl>(object); }
MTL::Buffer MeanAndVariance::mean() const { return resource(Impl::Mean, true).as<MTL::Buffer>(); }
MTL::Buffer MeanAndVariance::variance() const {
    return resource(Impl::Variance, true).as<MTL::Buffer>();
}

} // namespace mpsvk::MPS
