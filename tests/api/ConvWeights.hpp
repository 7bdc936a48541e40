// A trainable data source as a user writes one: fp32 weights, Adam, the update that the graph calls
// and the one for programs without a graph.
#pragma once

#include <mpsvk/mpsvk.hpp>

#include <cmath>
#include <cstring>

namespace user {

using namespace mpsvk;

class ConvWeights : public MPS::CNNConvolutionDataSource {
public:
    ConvWeights(const MTL::Device& device, MPS::CNNConvolutionDescriptor descriptor)
        : descriptor_(descriptor), state_(device, descriptor), adam_(device, 0.01f),
          momentum_(vectors(device)), velocity_(vectors(device)) {
        auto* weights = reinterpret_cast<float*>(state_.weights().contents().data());
        for (uint64_t i = 0; i < descriptor_.weightCount(); ++i)
            weights[i] = 0.2f * std::sin(float(i) * 12.9898f);
    }

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return descriptor_; }
    std::span<const std::byte> weights() const override { return state_.weights().contents(); }
    std::span<const float> biasTerms() const override {
        const auto bytes = state_.biases().contents();
        return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
    }
    bool load() override { return true; }
    void purge() override {}
    MPS::DataType kernelWeightsDataType() const override { return MPS::DataType::Float32; }

    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
           MPS::CNNConvolutionWeightsAndBiasesState source) override {
        adam_.encode(commands, gradient, source, momentum_, velocity_, state_);
        return state_;
    }

    void step(const MTL::CommandBuffer& commands,
              const MPS::CNNConvolutionGradientState& gradient) {
        adam_.encode(commands, gradient, state_, momentum_, velocity_, state_);
    }

    const MPS::CNNConvolutionWeightsAndBiasesState& state() const { return state_; }

private:
    std::vector<MPS::Vector> vectors(const MTL::Device& device) const {
        return {MPS::Vector(device, MPS::VectorDescriptor(descriptor_.weightCount(),
                                                          MPS::DataType::Float32)),
                MPS::Vector(device, MPS::VectorDescriptor(descriptor_.outputFeatureChannels(),
                                                          MPS::DataType::Float32))};
    }

    MPS::CNNConvolutionDescriptor descriptor_;
    MPS::CNNConvolutionWeightsAndBiasesState state_;
    MPS::NNOptimizerAdam adam_;
    std::vector<MPS::Vector> momentum_, velocity_;
};

/// Images of two classes: bright and dark, both with some texture.
struct Batch {
    MPS::ImageBatch images;
    MPS::StateBatch labels;
};

inline Batch makeBatch(const MTL::Device& device, uint64_t labelWidth) {
    Batch batch;
    batch.images = MPS::Image::batch(
        device, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 8, 8, 1), 16);
    for (size_t i = 0; i < batch.images.size(); ++i) {
        std::vector<float> pixels(64);
        for (size_t p = 0; p < 64; ++p)
            pixels[p] = (i % 2 == 0 ? 1.f : 0.f) + 0.2f * float((p * 7 + i * 13) % 10) / 10;
        batch.images[i].write(pixels);
        std::vector<float> oneHot(labelWidth * labelWidth * 4);
        for (size_t p = 0; p < labelWidth * labelWidth; ++p) oneHot[p * 4 + i % 2] = 1;
        batch.labels.push_back(MPS::CNNLossLabels(
            device,
            MPS::CNNLossDataDescriptor(oneHot, MPS::DataLayout::HeightxWidthxFeatureChannels,
                                       MTL::SizeMake(labelWidth, labelWidth, 4))));
    }
    return batch;
}

inline float meanLoss(const Batch& batch) {
    float sum = 0;
    for (const MPS::State& labels : batch.labels) {
        std::vector<float> loss(1);
        labels.as<MPS::CNNLossLabels>().lossImage().read(loss);
        sum += loss[0];
    }
    return sum / float(batch.labels.size());
}

} // namespace user
