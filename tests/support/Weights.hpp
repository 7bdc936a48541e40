// A convolution's data source with fixed arrays, for tests.
#pragma once

#include <mpsvk/MPS/CNNConvolution.hpp>

#include <cstring>
#include <stdexcept>
#include <vector>

namespace mpsvk::test {

class FixedWeights : public MPS::CNNConvolutionDataSource {
public:
    FixedWeights(MPS::CNNConvolutionDescriptor descriptor, const std::vector<double>& weights,
                 const std::vector<double>& biases,
                 MPS::DataType kernelType = MPS::DataType::Float32)
        : biases(biases.begin(), biases.end()), weightValues(weights.begin(), weights.end()),
          kernelType(kernelType), descriptor_(std::move(descriptor)) {}

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return descriptor_; }
    std::span<const std::byte> weights() const override {
        return std::as_bytes(std::span(weightValues));
    }
    std::span<const float> biasTerms() const override { return biases; }
    bool load() override {
        ++loads;
        return loadResult;
    }
    void purge() override { ++purges; }
    std::string label() const override { return "test weights"; }
    MPS::DataType kernelWeightsDataType() const override { return kernelType; }

    std::vector<float> biases, weightValues;
    MPS::DataType kernelType;
    bool loadResult = true;
    int loads = 0, purges = 0;

private:
    MPS::CNNConvolutionDescriptor descriptor_;
};

/// A data source whose purge fails, but for the first `quiet` ones.
class FailingPurge : public FixedWeights {
public:
    using FixedWeights::FixedWeights;
    void purge() override {
        if (++purges > quiet) throw std::runtime_error("purge failed");
    }
    int quiet = 0;
};

} // namespace mpsvk::test
