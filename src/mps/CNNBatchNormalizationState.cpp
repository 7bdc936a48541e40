#include "mps/CNNBatchNormalization.hpp"
#include "mps/ConvolutionWeights.hpp"
#include "mtl/Object.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

using Parameters = BatchNormalizationParameters;

namespace {

constexpr const char* arrayNames[] = {"gamma", "beta", "mean", "variance"};
constexpr float arrayDefaults[] = {1, 0, 0, 1};

MTL::Buffer arrayOf(const MTL::Device& device, uint64_t channels) {
    return device.newBuffer(channels * sizeof(float));
}

uint64_t channelsOf(const std::string& who, const Parameters::Source& source) {
    if (!source) throw InvalidArgument(who + "The data source is null.");
    const uint64_t channels = source->numberOfFeatureChannels();
    if (channels == 0)
        throw InvalidArgument(
            who + "The data source's numberOfFeatureChannels is 0 but must be at least 1.");
    return channels;
}

std::span<const float> arrayOf(const MPS::CNNBatchNormalizationDataSource& source,
                               Parameters::Array array) {
    switch (array) {
    case Parameters::Gamma: return source.gamma();
    case Parameters::Beta: return source.beta();
    case Parameters::Mean: return source.mean();
    default: return source.variance();
    }
}

} // namespace

Parameters::BatchNormalizationParameters(const MTL::Device& owner, Source given,
                                         const std::string& who)
    : device(owner), source(std::move(given)), channels(channelsOf(who, source)) {
    for (MTL::Buffer& array : arrays) array = arrayOf(device, channels);
    loadFromSource(who, Gamma);
    loadFromSource(who, Mean);
}

Parameters::BatchNormalizationParameters(const Parameters& other, const MTL::Device& owner,
                                         Source given)
    : device(owner), source(std::move(given)), channels(other.channels) {
    for (MTL::Buffer& array : arrays) array = arrayOf(device, channels);
    if (device != other.device) {
        const auto values = other.values();
        for (size_t k = 0; k < ArrayCount; ++k)
            std::ranges::copy(std::as_bytes(std::span(values[k])), arrays[k].contents().begin());
        return;
    }
    runNow(device, [&](Encoder& encoder) {
        for (const Array array : {Gamma, Beta, Mean, Variance})
            encoder.list().copy(other.slice(array), slice(array));
    });
}

void Parameters::loadFromSource(const std::string& who, Array first) {
    if (!source->load()) throw InvalidArgument(who + "The data source's load returned false.");
    std::array<std::vector<float>, 2> loaded;
    try {
        for (size_t k = 0; k < 2; ++k) {
            const Array array = Array(first + k);
            const auto given = arrayOf(*source, array);
            if (!given.empty() && given.size() != channels)
                throw InvalidArgument(who + "The data source's " + arrayNames[array] + " has " +
                                      std::to_string(given.size()) + " elements but there are " +
                                      std::to_string(channels) + " feature channels.");
            loaded[k].assign(given.begin(), given.end());
            if (given.empty()) loaded[k].assign(channels, arrayDefaults[array]);
        }
    } catch (...) {
        source->purge();
        throw;
    }
    source->purge();
    for (size_t k = 0; k < 2; ++k)
        std::ranges::copy(std::as_bytes(std::span(loaded[k])),
                          arrays[first + k].contents().begin());
}

std::array<std::vector<float>, Parameters::ArrayCount> Parameters::values() const {
    Parameters settled(*this); // behind everything that was committed
    std::array<std::vector<float>, ArrayCount> all;
    for (size_t k = 0; k < ArrayCount; ++k) {
        all[k].resize(channels);
        std::ranges::copy(settled.arrays[k].contents(),
                          std::as_writable_bytes(std::span(all[k])).begin());
    }
    return all;
}

void Parameters::load(const Subject& who, const char* role, const MTL::CommandBuffer& commands,
                      ChannelPair& state, Array first) {
    state.checkUsable(who, role, commands);
    state.checkHolds(who, role, channels);
    Encoder encoder(commands, who);
    copyChannels(encoder,
                 {state.channels(ChannelPair::First, channels),
                  state.channels(ChannelPair::Second, channels)},
                 {slice(first), slice(Array(first + 1))});
    state.wasRead();
}

void checkUsableState(const std::string& who, const MPS::CNNBatchNormalizationState& state,
                      const MTL::CommandBuffer& commandBuffer) {
    if (!commandBuffer) throw InvalidArgument(who + "The command buffer handle is empty.");
    if (!state) throw InvalidArgument(who + "batchNormalizationState is an empty handle.");
    state.impl().checkUsable(who, "batchNormalizationState", commandBuffer);
}

void checkOneState(const std::string& who, const MPS::StateBatch& states) {
    if (states.empty() || !states[0].as<MPS::CNNBatchNormalizationState>())
        throw InvalidArgument(who +
                              "batchNormalizationState is no state of a CNNBatchNormalization.");
    for (const MPS::State& state : states)
        if (!(state == states[0]))
            throw InvalidArgument(who + "There are several states but a batch has one, given once "
                                        "or once per image.");
}

MPS::CNNBatchNormalizationState::Impl& stateOf(const MPS::StateBatch& states) {
    return states.at(0).as<MPS::CNNBatchNormalizationState>().impl();
}

void checkParameterChannels(const std::string& who, uint64_t given, uint64_t channels) {
    if (given != channels)
        throw InvalidArgument(who + "sourceImage gives " + std::to_string(given) +
                              " feature channels but the parameters are for " +
                              std::to_string(channels) + ".");
}

uint64_t partialBytes(const glsl::WalkParameters& walk, uint64_t channels) {
    return slicesFor(channels) * walk.chunks * 2 * 4 * sizeof(float);
}

void reduceSums(Encoder& encoder, const char* shader, const glsl::WalkParameters& walk,
                uint64_t channels, MPS::CNNBatchNormalizationState::Impl::Sums& sums,
                const vk::BufferSlice& partials, const vk::BufferSlice& first,
                const vk::BufferSlice& second) {
    const glsl::CNNBatchNormalizationReduceParameters p{
        .channels = uint32_t(channels),
        .chunks = walk.chunks,
        .rows = walk.chunkPixels,
        .pixels = walk.pixels,
        .previousPixels = float(sums.pixels),
    };
    encoder.dispatch(shader, p, Grid::of(slicesFor(channels) * 256),
                     {{1, partials}, {2, first}, {3, second}});
    sums.pixels += walk.pixels;
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

CNNNormalizationGammaAndBetaState
CNNBatchNormalizationDataSource::updateGammaAndBeta(MTL::CommandBuffer,
                                                    CNNBatchNormalizationState) {
    return {};
}
CNNNormalizationMeanAndVarianceState
CNNBatchNormalizationDataSource::updateMeanAndVariance(MTL::CommandBuffer,
                                                       CNNBatchNormalizationState) {
    return {};
}
bool CNNBatchNormalizationDataSource::updateGammaAndBeta(CNNBatchNormalizationState) {
    return false;
}
bool CNNBatchNormalizationDataSource::updateMeanAndVariance(CNNBatchNormalizationState) {
    return false;
}
std::shared_ptr<CNNBatchNormalizationDataSource>
CNNBatchNormalizationDataSource::copy(MTL::Device) const {
    return nullptr;
}

using BatchState = CNNBatchNormalizationState;

BatchState::Impl::Impl(MTL::Device device, mps::ForwardRecord record,
                       std::shared_ptr<const CNNBatchNormalization> made,
                       std::shared_ptr<mps::BatchNormalizationParameters> shared)
    : NNGradientState::Impl(std::move(device), std::move(record)), kernel(std::move(made)),
      parameters(std::move(shared)) {
    for (size_t k = 0; k < 4; ++k) addBuffer(parameters->channels * sizeof(float));
}

vk::BufferSlice BatchState::Impl::mean() {
    return statistics.pixels ? buffer(Mean) : parameters->slice(mps::Parameters::Mean);
}
vk::BufferSlice BatchState::Impl::variance() {
    return statistics.pixels ? buffer(Variance) : parameters->slice(mps::Parameters::Variance);
}

BatchState::CNNBatchNormalizationState(std::shared_ptr<Impl> impl)
    : NNGradientState(std::move(impl)) {}
BatchState::Impl& BatchState::impl() const { return static_cast<Impl&>(State::impl()); }
bool BatchState::isKindOf(const detail::ObjectImpl& object) { return MTL::isA<Impl>(object); }

std::shared_ptr<const CNNBatchNormalization> BatchState::batchNormalization() const {
    return impl().kernel;
}

void BatchState::reset() const {
    impl().statistics = impl().gradients = {};
    impl().hasGradients = false;
}

MTL::Buffer BatchState::gamma() const { return impl().parameters->arrays[mps::Parameters::Gamma]; }
MTL::Buffer BatchState::beta() const { return impl().parameters->arrays[mps::Parameters::Beta]; }
MTL::Buffer BatchState::mean() const {
    return impl().statistics.pixels ? resource(Impl::Mean, true).as<MTL::Buffer>()
                                    : impl().parameters->arrays[mps::Parameters::Mean];
}
MTL::Buffer BatchState::variance() const {
    return impl().statistics.pixels ? resource(Impl::Variance, true).as<MTL::Buffer>()
                                    : impl().parameters->arrays[mps::Parameters::Variance];
}
MTL::Buffer BatchState::gradientForGamma() const {
    return impl().hasGradients ? resource(Impl::GradientForGamma, true).as<MTL::Buffer>()
                               : MTL::Buffer();
}
MTL::Buffer BatchState::gradientForBeta() const {
    return impl().hasGradients ? resource(Impl::GradientForBeta, true).as<MTL::Buffer>()
                               : MTL::Buffer();
}

} // namespace mpsvk::MPS
