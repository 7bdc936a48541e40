// A data source of bits, and binary convolutions as the references describe them.
#pragma once

#include "support/Images.hpp"
#include "support/reference/BinaryConvolution.hpp"

#include <mpsvk/MPS/CNNBinaryConvolution.hpp>

#include <memory>

namespace mpsvk::test {

using reference::BinaryConvolution;
using reference::BinaryType;
using reference::EdgeMode;
using reference::Tensor;

class Bits : public MPS::CNNConvolutionDataSource {
public:
    explicit Bits(const BinaryConvolution& k)
        : words(k.weights), descriptor_(k.kernelWidth, k.kernelHeight, k.inputs, k.outputs) {
        descriptor_.setStrideInPixelsX(uint64_t(k.strideX));
        descriptor_.setStrideInPixelsY(uint64_t(k.strideY));
        descriptor_.setDilationRateX(uint64_t(k.dilationX));
        descriptor_.setDilationRateY(uint64_t(k.dilationY));
    }
    MPS::DataType dataType() const override { return type; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return descriptor_; }
    std::span<const std::byte> weights() const override { return std::as_bytes(std::span(words)); }
    std::span<const float> biasTerms() const override { return biases; }
    bool load() override { return ++loads, loadResult; }
    void purge() override { --loads; }
    std::string label() const override { return "bits"; }
    MPS::CNNConvolutionDescriptor& changed() { return descriptor_; }

    std::vector<uint32_t> words;
    std::vector<float> biases;
    MPS::DataType type = MPS::DataType::UInt32;
    bool loadResult = true;
    int loads = 0;

private:
    MPS::CNNConvolutionDescriptor descriptor_;
};

inline std::vector<float> floats(const std::vector<double>& values) {
    return {values.begin(), values.end()};
}

template <class Kernel = MPS::CNNBinaryConvolution>
Kernel kernelOf(const BinaryConvolution& k, std::shared_ptr<Bits> source = nullptr) {
    Kernel kernel(testDevice(), source ? source : std::make_shared<Bits>(k), floats(k.outputBias),
                  floats(k.outputScale), floats(k.inputBias), floats(k.inputScale),
                  MPS::CNNBinaryConvolutionType(int(k.type)),
                  k.beta ? MPS::CNNBinaryConvolutionFlags::UseBetaScaling
                         : MPS::CNNBinaryConvolutionFlags::None);
    kernel.setOffset({k.offsetX, k.offsetY, 0});
    if (k.edge == EdgeMode::Clamp) kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
    return kernel;
}

/// 5x4 windows on 7x6 pixels, with every term.
inline BinaryConvolution rich(BinaryType type, size_t inputs, size_t outputs) {
    BinaryConvolution k;
    k.type = type;
    k.kernelWidth = 3, k.kernelHeight = 2, k.inputs = inputs, k.outputs = outputs;
    k.strideY = 2, k.dilationX = 2, k.offsetX = 1, k.offsetY = 1;
    k.outputWidth = 7, k.outputHeight = 3;
    k.weights = reference::randomBits(outputs * 6 * ((inputs + 31) / 32), inputs);
    k.outputBias =
        reference::rounded(reference::randomVector(outputs, 1), reference::Storage::Float32);
    k.outputScale =
        reference::rounded(reference::randomVector(outputs, 2), reference::Storage::Float32);
    k.inputBias = reference::rounded(reference::randomVector(inputs, 3, -0.5, 0.5),
                                     reference::Storage::Float32);
    k.inputScale =
        reference::rounded(reference::randomVector(inputs, 4, -2, 2), reference::Storage::Float32);
    return k;
}

} // namespace mpsvk::test
