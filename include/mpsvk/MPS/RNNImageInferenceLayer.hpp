// MPSRNNImageInferenceLayer: a stack of recurrent layers on images, whose gates are convolutions.
#pragma once

#include <mpsvk/MPS/RNNMatrixInferenceLayer.hpp>

namespace mpsvk::MPS {

/// Recurrent output and memory cell after a time step, for each layer of a stack: Float32 images in
/// buffers. Those of a temporary state are temporary images with a read count of their own, 1 at
/// first; an encode that is given the state needs them all. MPSRNNRecurrentImageState.
class RNNRecurrentImageState : public State {
public:
    RNNRecurrentImageState() = default;
    /// Empty for a layer that the stack does not have.
    Image getRecurrentOutputImage(uint64_t layerIndex) const;
    /// Empty for a layer that is no LSTM, too.
    Image getMemoryCellImage(uint64_t layerIndex) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit RNNRecurrentImageState(std::shared_ptr<Impl> impl);
};

/// The formulas of RNNDescriptor with convolutions for products, of any window, centred as
/// CNNConvolution's with offset 0, stride 1 and `edgeMode` at the borders. Diagonals and biases
/// hold for a channel. All images of a sequence have one width, height and numberOfImages; sums and
/// states are fp32. Rounding of weights is up to the data sources.
///
/// edgeMode, sourceFeatureChannelOffset and, of the result, destinationFeatureChannelOffset count;
/// the other properties of CNNKernel and its encodes of single images are refused.
/// MPSRNNImageInferenceLayer.
class RNNImageInferenceLayer : public CNNKernel {
public:
    using CNNKernel::encode;

    /// Throws InvalidArgument when a source does not load or does not fit its descriptor.
    RNNImageInferenceLayer(const MTL::Device& device, const RNNDescriptor& rnnDescriptor)
        : RNNImageInferenceLayer(device, std::vector{rnnDescriptor}) {}
    /// The first layer first.
    RNNImageInferenceLayer(const MTL::Device& device,
                           const std::vector<RNNDescriptor>& rnnDescriptors);
    RNNImageInferenceLayer(KeyedUnarchiver& coder, const MTL::Device& device);
    ~RNNImageInferenceLayer() override;
    /// Copies have weights of their own.
    RNNImageInferenceLayer(const RNNImageInferenceLayer&);
    RNNImageInferenceLayer& operator=(const RNNImageInferenceLayer&);

    uint64_t inputFeatureChannels() const;  ///< of the first layer
    uint64_t outputFeatureChannels() const; ///< of the last layer
    uint64_t numberOfLayers() const;
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
                        const std::vector<Image>& sourceImages,
                        const std::vector<Image>& destinationImages,
                        const RNNRecurrentImageState& recurrentInputState,
                        std::vector<RNNRecurrentImageState>* recurrentOutputStates);
    /// As RNNMatrixInferenceLayer's. Concatenating, the number of the forward direction's channels
    /// must be a multiple of 4.
    void encodeBidirectionalSequence(const MTL::CommandBuffer& commandBuffer,
                                     const std::vector<Image>& sourceSequence,
                                     const std::vector<Image>& destinationForwardImages,
                                     const std::vector<Image>& destinationBackwardImages);

    std::string className() const override { return "RNNImageInferenceLayer"; }
    RNNImageInferenceLayer copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void checkProperties() const;

    struct Layers;
    std::shared_ptr<Layers> layers_;
    bool recurrentOutputIsTemporary_ = false, storeAllIntermediateStates_ = false;
    RNNBidirectionalCombineMode bidirectionalCombineMode_ = RNNBidirectionalCombineMode::None;
};

} // namespace mpsvk::MPS
