// Instance and group normalizations of the library, configured as the reference's.
#pragma once

#include "support/Images.hpp"
#include "support/reference/GroupNormalization.hpp"

#include <type_traits>

namespace mpsvk::test {

using reference::GroupNormalization;
using reference::Tensor;

/// A data source with fixed arrays that counts the calls.
template <class Interface> struct FixedParameters : Interface {
    FixedParameters(uint64_t channels, const GroupNormalization& k)
        : channels(channels), groups(k.groups), gammas(k.gamma.begin(), k.gamma.end()),
          betas(k.beta.begin(), k.beta.end()), eps(float(k.epsilon)) {}
    uint64_t numberOfFeatureChannels() const override { return channels; }
    std::span<const float> gamma() const override { return gammas; }
    std::span<const float> beta() const override { return betas; }
    std::string label() const override { return "test parameters"; }
    float epsilon() const override { return eps; }
    bool load() override {
        ++loads;
        return loadResult;
    }
    void purge() override { ++purges; }

    uint64_t channels, groups;
    std::vector<float> gammas, betas;
    float eps;
    bool loadResult = true;
    int loads = 0, purges = 0;
};

using FixedInstances = FixedParameters<MPS::CNNInstanceNormalizationDataSource>;
struct FixedGroups : FixedParameters<MPS::CNNGroupNormalizationDataSource> {
    using FixedParameters::FixedParameters;
    uint64_t numberOfGroups() const override { return groups; }
    void setNumberOfGroups(uint64_t v) override { groups = v; }
};

/// The four classes of a kind of normalization.
struct InstanceKind {
    using Source = FixedInstances;
    using Forward = MPS::CNNInstanceNormalization;
    using Gradient = MPS::CNNInstanceNormalizationGradient;
    using State = MPS::CNNInstanceNormalizationGradientState;
};
struct GroupKind {
    using Source = FixedGroups;
    using Forward = MPS::CNNGroupNormalization;
    using Gradient = MPS::CNNGroupNormalizationGradient;
    using State = MPS::CNNGroupNormalizationGradientState;
};

template <class Kind>
typename Kind::Forward forwardOf(const GroupNormalization& k, uint64_t channels) {
    typename Kind::Forward made(testDevice(), std::make_shared<typename Kind::Source>(channels, k));
    made.setOffset({k.offsetX, k.offsetY, 0});
    made.setEdgeMode(k.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp
                                                          : MPS::ImageEdgeMode::Zero);
    made.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    return made;
}

inline std::vector<double> floatsIn(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    const auto* first = reinterpret_cast<const float*>(bytes.data());
    return {first, first + bytes.size() / sizeof(float)};
}

/// The gradients of gamma and beta, state after state.
inline std::vector<double> gammaGradients(const MPS::StateBatch& states) {
    std::vector<double> all;
    for (const MPS::State& each : states)
        for (double v :
             floatsIn(each.as<MPS::CNNGroupwiseNormalizationGradientState>().gradientForGamma()))
            all.push_back(v);
    return all;
}
inline std::vector<double> betaGradients(const MPS::StateBatch& states) {
    std::vector<double> all;
    for (const MPS::State& each : states)
        for (double v :
             floatsIn(each.as<MPS::CNNGroupwiseNormalizationGradientState>().gradientForBeta()))
            all.push_back(v);
    return all;
}

struct Normalized {
    Tensor y, dx;
    std::vector<double> gamma, beta;
    bool operator==(const Normalized& other) const {
        return y.v == other.y.v && dx.v == other.dx.v && gamma == other.gamma && beta == other.beta;
    }
};

/// Forward and gradient. With `keepsStatistics` the forward pass leaves them in the state.
template <class Kind>
Normalized both(const GroupNormalization& k, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
                const Tensor& shape, Variant variant = {}, bool keepsStatistics = true) {
    auto forward = forwardOf<Kind>(k, shape.c);
    typename Kind::Gradient gradient(testDevice());
    Guarded y(shape.n, k.height ? k.height : shape.h, k.width ? k.width : shape.w, shape.c,
              variant),
        dx(shape.n, shape.h, shape.w, shape.c, variant);
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        states = forward.resultStateBatch(x, {}, y.images());
        if (keepsStatistics)
            forward.encodeBatch(commands, x, states, y.images());
        else
            forward.encodeBatch(commands, x, y.images());
        gradient.destinationImageDescriptor({g[0], x[0]}, {states[0]});
        gradient.encodeBatch(commands, g, x, states, dx.images());
    });
    return {y.read(), dx.read(), gammaGradients(states), betaGradients(states)};
}

inline GroupNormalization randomNormalization(size_t channels, size_t groups, double epsilon,
                                              uint64_t seed) {
    GroupNormalization k;
    k.groups = groups;
    k.epsilon = epsilon;
    k.gamma = reference::rounded(reference::randomVector(channels, seed, .5, 2),
                                 reference::Storage::Float32);
    k.beta = reference::rounded(reference::randomVector(channels, seed + 1),
                                reference::Storage::Float32);
    return k;
}

} // namespace mpsvk::test
