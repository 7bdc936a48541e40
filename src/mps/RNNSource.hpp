// What recurrent layers read from a gate's data source.
#pragma once

#include "mps/RNNShape.hpp"

namespace mpsvk::mps {

struct RNNSource {
    MPS::CNNConvolutionDescriptor descriptor{1, 1, 1, 1};
    std::vector<float> weights, biases; ///< no biases: empty
    bool isFloat32 = false;             ///< by kernelWeightsDataType
};

/// Loads, reads and purges the source. `name` is the descriptor's property. Throws InvalidArgument
/// when the source does not load, its arrays have other sizes than its descriptor says, or its
/// convolution is none that a gate can have (stride, dilation, groups, batch normalization).
RNNSource loadedSource(const std::string& who, const std::string& name,
                       MPS::CNNConvolutionDataSource& source);
/// The name of a source in the descriptor: "inputGateRecurrentWeights".
std::string sourceName(const RNNShape& shape, uint32_t gate, RNNShape::Part part);
void checkSourceChannels(const std::string& who, const std::string& name, const RNNSource& source,
                         uint64_t inputs, uint64_t outputs);

} // namespace mpsvk::mps
