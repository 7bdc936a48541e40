// A batch normalization's data source with fixed arrays, and the kernels of a layer with it.
#pragma once

#include "support/Images.hpp"
#include "support/Kernels.hpp"
#include "support/reference/BatchNormalization.hpp"

#include <mpsvk/MPS/CNNBatchNormalization.hpp>

namespace mpsvk::test {

class FixedNormalization : public MPS::CNNBatchNormalizationDataSource {
public:
    explicit FixedNormalization(size_t channels) : channels(channels) {}
    FixedNormalization(const std::vector<double>& gammas, const std::vector<double>& betas,
                       double epsilon)
        : channels(gammas.size()), gammas(gammas.begin(), gammas.end()),
          betas(betas.begin(), betas.end()), ownEpsilon(float(epsilon)) {}

    uint64_t numberOfFeatureChannels() const override { return channels; }
    std::span<const float> gamma() const override { return gammas; }
    std::span<const float> beta() const override { return betas; }
    std::span<const float> mean() const override { return means; }
    std::span<const float> variance() const override { return variances; }
    bool load() override {
        ++loads;
        return loadResult;
    }
    void purge() override { ++purges; }
    std::string label() const override { return "norm"; }
    float epsilon() const override { return ownEpsilon; }

    uint64_t channels;
    std::vector<float> gammas, betas, means, variances;
    float ownEpsilon = FLT_MIN;
    bool loadResult = true;
    int loads = 0, purges = 0;
};

inline std::vector<double> values(const MTL::Buffer& buffer) {
    const auto all = floats(buffer);
    return {all.begin(), all.end()};
}

inline MPS::NNNeuronDescriptor descriptorOf(const reference::Neuron& neuron) {
    if (neuron.type == reference::NeuronType::PReLU) {
        const std::vector<float> slopes(neuron.slopes.begin(), neuron.slopes.end());
        return MPS::NNNeuronDescriptor::cnnNeuronPReLUDescriptor(slopes);
    }
    return MPS::NNNeuronDescriptor(MPS::CNNNeuronType(int(neuron.type)), float(neuron.a),
                                   float(neuron.b), float(neuron.c));
}

/// A layer: the four kernels, configured as the reference.
struct NormalizationLayer {
    explicit NormalizationLayer(const reference::BatchNormalization& b)
        : source(std::make_shared<FixedNormalization>(b.gamma, b.beta, b.epsilon)),
          forward(testDevice(), source, descriptorOf(b.neuron)), statistics(testDevice()),
          statisticsGradient(testDevice(), descriptorOf(b.neuron)),
          gradient(testDevice(), descriptorOf(b.neuron)) {
        gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    }
    /// A state for a batch like this one.
    MPS::CNNBatchNormalizationState state(const MPS::ImageBatch& x) const {
        return forward.resultState(x[0], {}, x[0]);
    }
    void encodeForward(const MTL::CommandBuffer& commands, const MPS::ImageBatch& x,
                       const MPS::CNNBatchNormalizationState& state, const MPS::ImageBatch& y) {
        statistics.encodeBatch(commands, x, state);
        forward.encodeBatch(commands, x, state, y);
    }
    MPS::ImageBatch encodeGradient(const MTL::CommandBuffer& commands, const MPS::ImageBatch& g,
                                   const MPS::ImageBatch& x,
                                   const MPS::CNNBatchNormalizationState& state) {
        statisticsGradient.encodeBatch(commands, g, x, state);
        return gradient.encodeBatch(commands, g, x, state);
    }

    std::shared_ptr<FixedNormalization> source;
    MPS::CNNBatchNormalization forward;
    MPS::CNNBatchNormalizationStatistics statistics;
    MPS::CNNBatchNormalizationStatisticsGradient statisticsGradient;
    MPS::CNNBatchNormalizationGradient gradient;
};

inline reference::BatchNormalization
normalization(size_t channels, const reference::Neuron& neuron = {}, double epsilon = 1e-3) {
    using reference::Storage;
    const auto exact = [](std::vector<double> v) {
        return reference::rounded(std::move(v), Storage::Float32);
    };
    return {exact(reference::randomVector(channels, 31, .5, 2)),
            exact(reference::randomVector(channels, 32)), double(float(epsilon)), neuron};
}

} // namespace mpsvk::test
