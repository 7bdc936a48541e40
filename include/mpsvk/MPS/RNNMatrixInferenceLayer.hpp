// MPSRNNMatrixInferenceLayer: a stack of recurrent layers on matrices, with weights of its own.
#pragma once

#include <mpsvk/MPS/RNNDescriptor.hpp>
#include <mpsvk/MPS/RNNState.hpp>

namespace mpsvk::MPS {

/// What becomes of the results of both directions.
enum class RNNBidirectionalCombineMode : uint64_t {
    None = 0,        ///< each has its destinations
    Add = 1,         ///< their sum goes to the forward destinations
    Concatenate = 2, ///< there, first the channels of the forward direction, then the others
};

/// The result of each layer is the source of the next one. Rows, columns, offsets and types of
/// matrices, and what the encodes refuse, are those of RNNMatrixTrainingLayer.
/// MPSRNNMatrixInferenceLayer.
class RNNMatrixInferenceLayer : public Kernel {
public:
    using Kernel::encode;

    /// Throws InvalidArgument when a source does not load or does not fit its descriptor.
    RNNMatrixInferenceLayer(const MTL::Device& device, const RNNDescriptor& rnnDescriptor)
        : RNNMatrixInferenceLayer(device, std::vector{rnnDescriptor}) {}
    /// The first layer first.
    RNNMatrixInferenceLayer(const MTL::Device& device,
                            const std::vector<RNNDescriptor>& rnnDescriptors);
    RNNMatrixInferenceLayer(KeyedUnarchiver& coder, const MTL::Device& device);

    uint64_t inputFeatureChannels() const;  ///< of the first layer
    uint64_t outputFeatureChannels() const; ///< of the last layer
    uint64_t numberOfLayers() const { return layers_.size(); }
    bool recurrentOutputIsTemporary() const { return recurrentOutputIsTemporary_; }
    void setRecurrentOutputIsTemporary(bool v) { recurrentOutputIsTemporary_ = v; }
    /// A state after every time step instead of the last one alone.
    bool storeAllIntermediateStates() const { return storeAllIntermediateStates_; }
    void setStoreAllIntermediateStates(bool v) { storeAllIntermediateStates_ = v; }
    RNNBidirectionalCombineMode bidirectionalCombineMode() const {
        return bidirectionalCombineMode_;
    }
    void setBidirectionalCombineMode(RNNBidirectionalCombineMode v) {
        bidirectionalCombineMode_ = v;
    }

    /// All layers forward in time, whatever their direction. An empty recurrentInputState is zeros,
    /// `recurrentOutputStates` may be null.
    void encodeSequence(const MTL::CommandBuffer& commandBuffer,
                        const std::vector<Matrix>& sourceMatrices,
                        std::span<const uint64_t> sourceOffsets,
                        const std::vector<Matrix>& destinationMatrices,
                        std::span<const uint64_t> destinationOffsets,
                        const RNNRecurrentMatrixState& recurrentInputState,
                        std::vector<RNNRecurrentMatrixState>* recurrentOutputStates);
    void encodeSequence(const MTL::CommandBuffer& commandBuffer,
                        const std::vector<Matrix>& sourceMatrices,
                        const std::vector<Matrix>& destinationMatrices,
                        const RNNRecurrentMatrixState& recurrentInputState,
                        std::vector<RNNRecurrentMatrixState>* recurrentOutputStates) {
        encodeSequence(commandBuffer, sourceMatrices, {}, destinationMatrices, {},
                       recurrentInputState, recurrentOutputStates);
    }
    /// The layers with the direction Forward are a stack that goes from the first time step to the
    /// last, the others one that goes from the last to the first; both begin with zeros and read
    /// the same sources. Going back, a sequence begins at its own last step.
    /// `destinationBackwardMatrices` is empty unless the combine mode is None.
    void encodeBidirectionalSequence(const MTL::CommandBuffer& commandBuffer,
                                     const std::vector<Matrix>& sourceSequence,
                                     const std::vector<Matrix>& destinationForwardMatrices,
                                     const std::vector<Matrix>& destinationBackwardMatrices);

    std::string className() const override { return "RNNMatrixInferenceLayer"; }
    RNNMatrixInferenceLayer copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;

    std::vector<std::shared_ptr<const mps::RNNShape>> layers_;
    std::vector<std::vector<Matrix>> weights_; ///< of each layer
    bool recurrentOutputIsTemporary_ = false, storeAllIntermediateStates_ = false;
    RNNBidirectionalCombineMode bidirectionalCombineMode_ = RNNBidirectionalCombineMode::None;
};

} // namespace mpsvk::MPS
