// The data source that stands for values archived with a kernel.
#pragma once

#include "mps/Archive.hpp"
#include "mps/CNNBatchNormalization.hpp"

namespace mpsvk::mps {

/// Updates leave it as it is.
class ConstantNormalization : public MPS::CNNBatchNormalizationDataSource,
                              public MPS::SecureCoding {
public:
    explicit ConstantNormalization(MPS::KeyedUnarchiver& coder);
    explicit ConstantNormalization(const BatchNormalizationParameters& parameters);

    uint64_t numberOfFeatureChannels() const override { return channels_; }
    std::span<const float> gamma() const override {
        return arrays_[BatchNormalizationParameters::Gamma];
    }
    std::span<const float> beta() const override {
        return arrays_[BatchNormalizationParameters::Beta];
    }
    std::span<const float> mean() const override {
        return arrays_[BatchNormalizationParameters::Mean];
    }
    std::span<const float> variance() const override {
        return arrays_[BatchNormalizationParameters::Variance];
    }
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return label_; }
    float epsilon() const override { return epsilon_; }

    std::string className() const override { return "CNNBatchNormalizationValues"; }
    void encode(MPS::KeyedArchiver& coder) const override;

private:
    void archive(Archive& archive);

    uint64_t channels_ = 0;
    std::array<std::vector<float>, BatchNormalizationParameters::ArrayCount> arrays_;
    float epsilon_ = FLT_MIN;
    std::string label_;
};

} // namespace mpsvk::mps
