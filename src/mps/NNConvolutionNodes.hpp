// What lies behind the nodes of convolutions.
#pragma once

#include "mps/NNGraphNodes.hpp"

#include <mpsvk/MPS/NNConvolutionNodes.hpp>

namespace mpsvk::MPS {

struct ConvolutionNode : NNFilterNode::Impl {
    using Source = std::shared_ptr<CNNConvolutionDataSource>;
    enum class Kind { Convolution, FullyConnected, Transpose, Binary };

    ConvolutionNode(const char* name, Kind kind, const NNImageNode& source, Source weights,
                    const NNStateNode& undone = {});
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override;
    bool takesNeuron() const override { return kind != Kind::Binary; }
    bool hasNeuron() const override;
    std::unique_ptr<mps::Stage>
    makeStageWithNeuron(const MTL::Device& device, const NNNeuronDescriptor& neuron) const override;
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override;
    void archive(mps::Archive& archive) override;

    Source weights;
    const Kind kind;
    NNConvolutionAccumulatorPrecisionOption precision =
        NNConvolutionAccumulatorPrecisionOption::Float;
};

} // namespace mpsvk::MPS
