// The weights and terms of a binary convolution on a device.
#pragma once

#include "mps/ConvolutionPass.hpp"

#include <mpsvk/MPS/CNNBinaryConvolution.hpp>
#include <mpsvk/MTL/Buffer.hpp>

namespace mpsvk::mps {

/// Never changed once it is made, so that kernels share it.
struct BinaryConvolutionData {
    /// What it was asked for. Without terms there is one output scale, and the biases are the data
    /// source's.
    struct Request {
        ConvolutionSource source;
        std::optional<MPS::CNNBinaryConvolutionTerms> terms;
        float scaleValue = 1;
        MPS::CNNBinaryConvolutionType type = MPS::CNNBinaryConvolutionType::BinaryWeights;
        MPS::CNNBinaryConvolutionFlags flags = MPS::CNNBinaryConvolutionFlags::None;
    };
    /// Throws InvalidArgument.
    BinaryConvolutionData(const MTL::Device& device, const std::string& className, Request request);

    bool scalesByBeta() const {
        return request.flags == MPS::CNNBinaryConvolutionFlags::UseBetaScaling;
    }

    Request request;
    MPS::CNNConvolutionDescriptor descriptor;
    std::string label;
    uint64_t words = 0;         ///< of a pixel
    float outsideMagnitude = 0; ///< see glsl/CNNBinaryConvolution.h
    MTL::Buffer weights;
    MTL::Buffer inputs;   ///< biases and scales of the input channels
    MTL::Buffer channels; ///< scales and biases of the output channels, and PReLU's slopes
    MTL::Buffer outside;  ///< the bits of a pixel outside
};

} // namespace mpsvk::mps
