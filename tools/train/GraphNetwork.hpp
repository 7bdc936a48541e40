// The network itself: two convolutions with pooling, two fully connected layers with dropout
// between them, trained and used through MPS::NNGraph.
#pragma once

#include <array>
#include <deque>
#include <memory>

#include <mpsvk/MPS/CNNLoss.hpp>
#include <mpsvk/MPS/NNGraph.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>

#include "ConvolutionWeights.hpp"
#include "IdxDataset.hpp"
#include "Network.hpp"

namespace mpsvk::train {

class GraphNetwork : public Network {
public:
    /// Weights from the setup's seed.
    GraphNetwork(const MTL::Device& device, const Setup& setup, const IdxDataset& data);

    /// Goes on from `archive`. Throws FormatError when it does not hold such a network.
    void restore(std::span<const std::byte> archive);

    void submit(std::span<const std::byte> pixels, std::span<const uint8_t> labels,
                float learningRate) override;
    size_t inFlight() const override { return running_.size(); }
    StepResult finish() override;
    void prepareToClassify() override;
    std::vector<float> classify(std::span<const uint8_t> pixels) override;
    std::vector<std::byte> archive() override;

private:
    enum Layer { firstConvolution, secondConvolution, hidden, output, layerCount };

    /// What one step reads and writes; two take turns, so that no step makes anything new.
    struct Operands {
        MPS::ImageBatch images;
        MPS::StateBatch labels;
    };
    struct Step {
        MTL::CommandBuffer commands;
        std::vector<uint8_t> truth;
        const Operands* operands;
        MPS::ImageBatch logits;
    };

    bool poolsTwice() const;
    std::array<LayerShape, layerCount> layerShapes() const;
    Operands makeOperands() const;
    MPS::NNImageNode logitsNode(const MPS::NNImageNode& input, bool training) const;
    MPS::NNGraph trainingGraph() const;
    MPS::NNGraph inferenceGraph() const;
    void writeImages(const MPS::ImageBatch& images, std::span<const std::byte> pixels) const;
    void writeLabels(const MPS::StateBatch& states, std::span<const uint8_t> labels) const;

    MTL::Device device_;
    MTL::CommandQueue queue_;
    Setup setup_;
    uint32_t rows_, columns_, classes_;
    std::array<std::shared_ptr<ConvolutionWeights>, layerCount> layers_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
    size_t next_ = 0; ///< of operands_
    std::deque<Step> running_;
};

} // namespace mpsvk::train
