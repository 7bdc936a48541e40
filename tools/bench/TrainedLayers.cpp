#include "TrainedLayers.hpp"

#include "train/LayerOptimizer.hpp"

#include <cmath>

namespace mpsvk::bench {

AdamWeights::AdamWeights(const MTL::CommandQueue& queue, const MPS::CNNConvolutionDescriptor& shape,
                         MPS::DataType kernelType, uint64_t seed)
    : RandomWeights(shape, kernelType, seed), optimizer_(queue.device(), 1e-3f) {
    biases_.assign(shape.outputFeatureChannels(), 0);
    trained_ = MPS::CNNConvolutionWeightsAndBiasesState(privateBuffer(queue, weights_),
                                                        privateBuffer(queue, biases_));
    for (auto* moments : {&momentum_, &velocity_}) {
        for (const size_t length : {weights_.size(), biases_.size()})
            moments->push_back(zeros(queue.device(), length));
    }
}

MPS::CNNConvolutionWeightsAndBiasesState
AdamWeights::update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
                    MPS::CNNConvolutionWeightsAndBiasesState) {
    optimizer_.encode(commands, gradient, trained_, momentum_, velocity_, trained_);
    return trained_;
}

MPS::NNOptimizerStochasticGradientDescent Descent::on(const MTL::Device& device) const {
    return {device, momentum, false,
            MPS::NNOptimizerDescriptor(learningRate, 1 / gradientScale,
                                       MPS::NNRegularizationType::None, 0)};
}

MomentumWeights::MomentumWeights(const MTL::CommandQueue& queue,
                                 const MPS::CNNConvolutionDescriptor& shape,
                                 MPS::DataType kernelType, uint64_t seed, const Descent& descent)
    : RandomWeights(shape, kernelType, seed),
      optimizer_(descent.on(queue.device())), momentum_{zeros(queue.device(), weights_.size())} {
    // From numbers of variance 1/3 for each input: the rectifier takes half of what is left.
    for (float& weight : weights_) weight *= std::sqrt(6.0f);
    trained_ = MPS::CNNConvolutionWeightsAndBiasesState(privateBuffer(queue, weights_), {});
}

MPS::CNNConvolutionWeightsAndBiasesState
MomentumWeights::update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
                        MPS::CNNConvolutionWeightsAndBiasesState) {
    optimizer_.encode(commands, gradient, trained_, momentum_, trained_);
    return trained_;
}

MomentumNormalization::MomentumNormalization(const MTL::CommandQueue& queue, uint64_t channels,
                                             const Descent& descent)
    : channels_(channels), optimizer_(descent.on(queue.device())),
      average_(train::adder(queue.device(), 0.1f, 1)),
      trained_(privateBuffer(queue, std::vector<float>(channels, 1)),
               zeros(queue.device(), channels).data()) {
    for (auto* pair : {&momentum_, &running_}) {
        for (int i = 0; i < 2; ++i) pair->push_back(zeros(queue.device(), channels));
    }
}

MPS::CNNNormalizationGammaAndBetaState
MomentumNormalization::updateGammaAndBeta(MTL::CommandBuffer commands,
                                          MPS::CNNBatchNormalizationState state) {
    optimizer_.encode(commands, state, momentum_, trained_);
    return trained_;
}

MPS::CNNNormalizationMeanAndVarianceState
MomentumNormalization::updateMeanAndVariance(MTL::CommandBuffer commands,
                                             MPS::CNNBatchNormalizationState state) {
    const auto average = [&](const MTL::Buffer& ofBatch, size_t which) {
        auto& [buffer, latest] = latest_[which];
        if (buffer != ofBatch) {
            buffer = ofBatch;
            latest = MPS::Vector(ofBatch, MPS::VectorDescriptor(channels_, MPS::DataType::Float32));
        }
        average_.encode(commands, latest, running_[which], {}, running_[which]);
    };
    average(state.mean(), 0);
    average(state.variance(), 1);
    train::countRead(state);
    // A kernel in training takes each batch's own.
    return {};
}

} // namespace mpsvk::bench
