// The objects behind the states with two numbers per feature channel.
#pragma once

#include "mps/DeferredReload.hpp"
#include "mps/Encoder.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNNormalizationWeights.hpp>

#include <array>

namespace mpsvk::MPS {
class CNNBatchNormalization;
class CNNGroupwiseNormalization;
} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// Two fp32 arrays with an element per feature channel.
struct ChannelPair : MPS::State::Impl {
    explicit ChannelPair(MTL::Device device) : MPS::State::Impl(std::move(device)) {}
    enum Buffers : size_t { First = 0, Second = 1 };

    /// Throws InvalidArgument unless both arrays have `channels` elements; their names are
    /// `role`.gamma and so on.
    void checkHolds(const Subject& who, const char* role, uint64_t channels) const;
    /// The first `channels` elements of an array, as kernels bind them.
    vk::BufferSlice channels(Buffers which, uint64_t channels);
    virtual const char* name(Buffers which) const = 0;
};

/// Copies two such arrays, all of them as long as the first source.
void copyChannels(Encoder& encoder, const std::array<vk::BufferSlice, 2>& from,
                  const std::array<vk::BufferSlice, 2>& to);

/// For graphs.
struct NormalizationAccess {
    /// Copies the parameters that another kernel has in use.
    template <class Kernel> static void takeParameters(Kernel& kernel, const Kernel& other) {
        kernel.takeParameters(other);
    }
    /// Of what is loaded into.
    static uint64_t loadVersion(const MPS::CNNBatchNormalization& kernel);
    /// Of the kernel as it is now, which must be there when the second part is called.
    static DeferredReload deferredReload(MPS::CNNBatchNormalization& kernel);
    static DeferredReload deferredReload(MPS::CNNGroupwiseNormalization& kernel);
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct CNNNormalizationGammaAndBetaState::Impl : mps::ChannelPair {
    using ChannelPair::ChannelPair;
    enum Buffers : size_t { Gamma = First, Beta = Second };
    static constexpr const char *className = "CNNNormalizationGammaAndBetaState",
                                *names[] = {"gamma", "beta"};
    const char* name(ChannelPair::Buffers which) const override { return names[which]; }
};

struct CNNNormalizationMeanAndVarianceState::Impl : mps::ChannelPair {
    using ChannelPair::ChannelPair;
    enum Buffers : size_t { Mean = First, Variance = Second };
    static constexpr const char *className = "CNNNormalizationMeanAndVarianceState",
                                *names[] = {"mean", "variance"};
    const char* name(ChannelPair::Buffers which) const override { return names[which]; }
};

} // namespace mpsvk::MPS
