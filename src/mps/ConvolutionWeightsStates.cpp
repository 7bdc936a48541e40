#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

using MPS::CNNConvolutionDescriptor;
using MPS::CNNConvolutionWeightsAndBiasesState;

namespace {

void checkState(const Subject& who, const CNNConvolutionDescriptor& d,
                const CNNConvolutionWeightsAndBiasesState& state,
                const MTL::CommandBuffer& commands) {
    if (!state) throw InvalidArgument(who + "The weights state is an empty handle.");
    auto& impl = state.impl();
    impl.checkUsable(who, "The weights state", commands);
    const auto fits = [&](uint64_t bytes, uint64_t count) {
        return impl.isWhole ? bytes >= count * sizeof(float) : bytes == count * sizeof(float);
    };
    if (!fits(impl.weightsBytes, d.weightCount()) ||
        (impl.hasBiases && !fits(impl.biasesBytes, d.outputFeatureChannels())))
        throw InvalidArgument(who + "The weights state holds " + std::to_string(impl.weightsBytes) +
                              " bytes of weights and " + std::to_string(impl.biasesBytes) +
                              " of biases but the kernel has " +
                              std::to_string(d.weightCount() * sizeof(float)) + " and " +
                              std::to_string(d.outputFeatureChannels() * sizeof(float)) + ".");
}

} // namespace

void reloadWeights(const Subject& who, const CNNConvolutionDescriptor& d,
                   ConvolutionWeights& weights, const MTL::CommandBuffer& commands,
                   const CNNConvolutionWeightsAndBiasesState& state) {
    checkState(who, d, state, commands);
    checkDevice(who, weights.device(), commands);
    Encoder encoder(commands, who);
    auto& impl = state.impl();
    weights.load(encoder, impl.weightsSlice(), impl.biasesSlice());
    impl.wasRead();
}

CNNConvolutionWeightsAndBiasesState exportWeights(const std::string& who,
                                                  const CNNConvolutionDescriptor& d,
                                                  const ConvolutionWeights& weights,
                                                  const MTL::CommandBuffer& commands,
                                                  bool temporary) {
    using State = CNNConvolutionWeightsAndBiasesState;
    if (commands) { // else the encoder refuses
        checkDevice(who, weights.device(), commands);
        commands.impl().list(who);
    }
    const State state = temporary ? State::temporaryCNNConvolutionWeightsAndBiasesState(commands, d)
                                  : State(weights.device(), d);
    Encoder encoder(commands, who);
    weights.unpack(encoder, state.impl().weightsSlice(), state.impl().biasesSlice());
    return state;
}

CNNConvolutionWeightsAndBiasesState
exportWeightsOnDemand(const std::string& who, const CNNConvolutionDescriptor& d,
                      std::shared_ptr<const ConvolutionWeights> weights,
                      const MTL::CommandBuffer& commands) {
    const auto state =
        CNNConvolutionWeightsAndBiasesState::temporaryCNNConvolutionWeightsAndBiasesState(commands,
                                                                                          d);
    state.impl().fillBeforeUse = [who, weights = std::move(weights), commands,
                                  impl = &state.impl()] {
        Encoder encoder(commands, who);
        weights->unpack(encoder, impl->weightsSlice(), impl->biasesSlice());
    };
    return state;
}

} // namespace mpsvk::mps
