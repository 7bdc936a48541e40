// MPSCNNLoss: loss functions, with the gradient fused in or as a kernel of its own.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {
struct LossImages;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// The loss l of a prediction y and a label t, and dl/dy. Below, t stands for the smoothed label
/// where CNNLossDescriptor::labelSmoothing applies.
enum class CNNLossType : uint32_t {
    MeanAbsoluteError = 0,   ///< |y - t|; sign(y - t), 0 at y = t
    MeanSquaredError = 1,    ///< (y - t)^2; 2 (y - t)
    SoftMaxCrossEntropy = 2, ///< -t log(softmax(y)) over the channels of a pixel; softmax(y) - t,
                             ///< the derivative for labels that sum to 1. y are logits
    SigmoidCrossEntropy = 3, ///< max(y, 0) - y t + ln(1 + e^-|y|); sigmoid(y) - t. y are logits
    CategoricalCrossEntropy = 4, ///< -t ln(y); -t / y; both 0 for t = 0
    Hinge = 5,                   ///< max(1 - (2t - 1) y, 0); 1 - 2t while the loss is above 0
    Huber = 6,          ///< |y - t| <= delta ? (y - t)^2 / 2 : delta |y - t| - delta^2 / 2;
                        ///< y - t, between -delta and delta
    CosineDistance = 7, ///< 1 - sum(y t) over the image, reduction Sum only; -t
    Log = 8,            ///< -t ln(y + epsilon) - (1 - t) ln(1 - y + epsilon);
                        ///< (1 - t) / (1 - y + epsilon) - t / (y + epsilon)
    KullbackLeiblerDivergence = 9, ///< t (ln(t) - y); -t; both 0 for t = 0. y are log-probabilities
    Count = 10,
};

/// How the weighted losses of an image's elements become the loss image.
enum class CNNReductionType : int32_t {
    None = 0, ///< not at all: the loss image has the source's size
    Sum = 1,  ///< their sum
    Mean = 2, ///< sum / (width * height * channels); SoftMaxCrossEntropy: / (width * height)
    SumByNonZeroWeights =
        3, ///< sum / number of weights that are not 0 (of elements without weights)
    Count = 4,
};

/// MPSCNNLossDescriptor.
class CNNLossDescriptor {
public:
    CNNLossDescriptor(CNNLossType lossType, CNNReductionType reductionType)
        : lossType_(lossType), reductionType_(reductionType) {}

    CNNLossType lossType() const { return lossType_; }
    void setLossType(CNNLossType v) { lossType_ = v; }
    CNNReductionType reductionType() const { return reductionType_; }
    void setReductionType(CNNReductionType v) { reductionType_ = v; }
    /// The whole batch becomes one loss, in the first image's loss image; the others are set to 0.
    /// Mean then divides by the number of images too. Without effect on reduction None.
    bool reduceAcrossBatch() const { return reduceAcrossBatch_; }
    void setReduceAcrossBatch(bool v) { reduceAcrossBatch_ = v; }
    /// Multiplies loss and gradient, besides the weights image.
    float weight() const { return weight_; }
    void setWeight(float v) { weight_ = v; }
    /// s: SoftMaxCrossEntropy takes t (1 - s) + s / numberOfClasses for t, SigmoidCrossEntropy
    /// t (1 - s) + s / 2.
    float labelSmoothing() const { return labelSmoothing_; }
    void setLabelSmoothing(float v) { labelSmoothing_ = v; }
    /// 1 at first, which is wrong for a smoothed SoftMaxCrossEntropy: set it to the channel count.
    uint64_t numberOfClasses() const { return numberOfClasses_; }
    void setNumberOfClasses(uint64_t v) { numberOfClasses_ = v; }
    float epsilon() const { return epsilon_; }
    void setEpsilon(float v) { epsilon_ = v; }
    float delta() const { return delta_; }
    void setDelta(float v) { delta_ = v; }
    void archive(mps::Archive& archive);

private:
    CNNLossType lossType_;
    CNNReductionType reductionType_;
    bool reduceAcrossBatch_ = false;
    float weight_ = 1, labelSmoothing_ = 0, epsilon_ = 1e-7f, delta_ = 1;
    uint64_t numberOfClasses_ = 1;
};

/// MPSCNNLossDataDescriptor: floats in host memory that labels or weights are made from. Holds a
/// copy of the data.
class CNNLossDataDescriptor {
public:
    /// `size` is {width, height, feature channels}. Throws InvalidArgument when the data is shorter
    /// than that.
    CNNLossDataDescriptor(std::span<const float> data, DataLayout layout, const MTL::Size& size);
    CNNLossDataDescriptor(std::span<const std::byte> data, DataLayout layout,
                          const MTL::Size& size);

    DataLayout layout() const { return layout_; }
    MTL::Size size() const { return size_; }
    /// From one row to the next; dense at first.
    uint64_t bytesPerRow() const { return bytesPerRow_; }
    void setBytesPerRow(uint64_t v) { bytesPerRow_ = v; }
    /// FeatureChannelsxHeightxWidth: from one channel's plane to the next; dense at first.
    uint64_t bytesPerImage() const { return bytesPerImage_; }
    void setBytesPerImage(uint64_t v) { bytesPerImage_ = v; }
    const std::vector<std::byte>& data() const { return data_; }

private:
    std::vector<std::byte> data_;
    DataLayout layout_;
    MTL::Size size_;
    uint64_t bytesPerRow_ = 0, bytesPerImage_ = 0;
};

/// What one image of a batch is compared with, and where its loss goes. The images of label objects
/// that are made one after the other lie at equal distances: a batch of them is one dispatch.
/// MPSCNNLossLabels.
class CNNLossLabels : public State {
public:
    CNNLossLabels() = default;
    /// Copies the data; the loss is one float.
    CNNLossLabels(const MTL::Device& device, const CNNLossDataDescriptor& labelsDescriptor);
    /// `lossImageSize` {width, height, feature channels} is {1, 1, 1}, or with reduction None the
    /// size of the predictions.
    CNNLossLabels(const MTL::Device& device, const MTL::Size& lossImageSize,
                  const CNNLossDataDescriptor& labelsDescriptor,
                  const std::optional<CNNLossDataDescriptor>& weightsDescriptor);
    /// Keeps the images, whose contents are read when the loss runs; an empty `weightsImage` means
    /// no weights.
    CNNLossLabels(const MTL::Device& device, const MTL::Size& lossImageSize,
                  const Image& labelsImage, const Image& weightsImage);

    /// Float32; undefined before an encode has completed.
    Image lossImage() const;
    Image labelsImage() const;
    /// Empty without weights.
    Image weightsImage() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
};

/// Writes the gradient weight * weights[x, y, c] * dl/dy to the destination, which has the source's
/// size, and the loss to the labels' lossImage. The reduction does not scale the gradient. Labels
/// and weights have the source's width and height and at least the channels read from it; channel 0
/// of them belongs to channel sourceFeatureChannelOffset of the source. offset and clipRect must
/// keep their defaults. MPSCNNLoss.
class CNNLoss : public CNNKernel {
public:
    using CNNKernel::encode;
    using CNNKernel::encodeBatch;

    /// Throws InvalidArgument for an unknown type or reduction, and for a CosineDistance that is
    /// not reduced by Sum.
    CNNLoss(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor);
    CNNLoss(KeyedUnarchiver& coder, const MTL::Device& device);

    CNNLossType lossType() const { return descriptor_.lossType(); }
    CNNReductionType reductionType() const { return descriptor_.reductionType(); }
    bool reduceAcrossBatch() const { return descriptor_.reduceAcrossBatch(); }
    float weight() const { return descriptor_.weight(); }
    float labelSmoothing() const { return descriptor_.labelSmoothing(); }
    uint64_t numberOfClasses() const { return descriptor_.numberOfClasses(); }
    float epsilon() const { return descriptor_.epsilon(); }
    float delta() const { return descriptor_.delta(); }

    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const CNNLossLabels& labels, const Image& destinationImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 const CNNLossLabels& labels);
    /// `labels` are CNNLossLabels, one per image.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const StateBatch& labels, const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           const StateBatch& labels);

    std::string className() const override { return "CNNLoss"; }
    CNNLoss copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    CNNLossDescriptor descriptor_;
};

/// Writes the loss alone: 1x1 with one channel, or the source's size with reduction None. Labels
/// and weights are plain images. The state carries weight, labelSmoothing, epsilon and delta to the
/// gradient. MPSNNForwardLoss.
class NNForwardLoss : public CNNKernel {
public:
    using CNNKernel::encodeBatch;

    NNForwardLoss(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor);
    NNForwardLoss(KeyedUnarchiver& coder, const MTL::Device& device);

    CNNLossType lossType() const { return descriptor_.lossType(); }
    CNNReductionType reductionType() const { return descriptor_.reductionType(); }
    bool reduceAcrossBatch() const { return descriptor_.reduceAcrossBatch(); }
    uint64_t numberOfClasses() const { return descriptor_.numberOfClasses(); }
    float weight() const { return descriptor_.weight(); }
    void setWeight(float v) { descriptor_.setWeight(v); }
    float labelSmoothing() const { return descriptor_.labelSmoothing(); }
    void setLabelSmoothing(float v) { descriptor_.setLabelSmoothing(v); }
    float epsilon() const { return descriptor_.epsilon(); }
    void setEpsilon(float v) { descriptor_.setEpsilon(v); }
    float delta() const { return descriptor_.delta(); }
    void setDelta(float v) { descriptor_.setDelta(v); }

    /// `weights` and `destinationStates` may be empty.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const ImageBatch& labels, const ImageBatch& weights,
                     const StateBatch& destinationStates, const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           const ImageBatch& labels, const ImageBatch& weights,
                           StateBatch* destinationStates, bool destinationStateIsTemporary);

    std::string className() const override { return "NNForwardLoss"; }
    NNForwardLoss copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
             const ImageBatch& labels, const ImageBatch& weights, const StateBatch& states,
             const ImageBatch& destinations, bool fresh);
    uint64_t outputChannels(uint64_t sourceChannels) const override;
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    CNNLossDescriptor descriptor_;
};

/// The gradient of NNForwardLoss: g * rho * weight * weights[x, y, c] * dl/dy with the incoming
/// gradient g (of the same element for reduction None, else of the image's loss, and of image 0's
/// when the reduction is across the batch) and rho the reduction's own factor: 1 for None and Sum,
/// the reciprocal of the divisor for the others. With computeLabelGradients it is dl/dt, and the
/// destination has the labels' size. MPSNNLossGradient.
class NNLossGradient : public CNNBinaryKernel {
public:
    using CNNBinaryKernel::encodeBatch;

    NNLossGradient(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor);
    NNLossGradient(KeyedUnarchiver& coder, const MTL::Device& device);

    CNNLossType lossType() const { return descriptor_.lossType(); }
    CNNReductionType reductionType() const { return descriptor_.reductionType(); }
    bool reduceAcrossBatch() const { return descriptor_.reduceAcrossBatch(); }
    uint64_t numberOfClasses() const { return descriptor_.numberOfClasses(); }
    float weight() const { return descriptor_.weight(); }
    void setWeight(float v) { descriptor_.setWeight(v); }
    float labelSmoothing() const { return descriptor_.labelSmoothing(); }
    void setLabelSmoothing(float v) { descriptor_.setLabelSmoothing(v); }
    float epsilon() const { return descriptor_.epsilon(); }
    void setEpsilon(float v) { descriptor_.setEpsilon(v); }
    float delta() const { return descriptor_.delta(); }
    void setDelta(float v) { descriptor_.setDelta(v); }
    bool computeLabelGradients() const { return computeLabelGradients_; }
    void setComputeLabelGradients(bool v) { computeLabelGradients_ = v; }

    /// `weights` and `sourceStates` may be empty. A state's weight, labelSmoothing, epsilon and
    /// delta count instead of this kernel's; the states of a batch come from one encode.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceGradients,
                     const ImageBatch& sourceImages, const ImageBatch& labels,
                     const ImageBatch& weights, const StateBatch& sourceStates,
                     const ImageBatch& destinationGradients);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const ImageBatch& sourceGradients, const ImageBatch& sourceImages,
                           const ImageBatch& labels, const ImageBatch& weights,
                           const StateBatch& sourceStates);

    std::string className() const override { return "NNLossGradient"; }
    NNLossGradient copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void run(const MTL::CommandBuffer& commandBuffer, const mps::LossImages& images,
             const ImageBatch& gradients, const StateBatch& states, const ImageBatch& destinations,
             bool fresh);
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    CNNLossDescriptor descriptor_;
    bool computeLabelGradients_ = false;
};

/// Writes 1 to every element: the gradient of an image with respect to itself, which a backward
/// pass starts from. The source counts only by its size. MPSNNInitialGradient.
class NNInitialGradient : public CNNKernel {
public:
    explicit NNInitialGradient(const MTL::Device& device);
    NNInitialGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNInitialGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    std::string className() const override { return "NNInitialGradient"; }
    NNInitialGradient copy(const MTL::Device& device) const;

private:
    void dispatch(const mps::UnaryPass& pass) const override;
};

} // namespace mpsvk::MPS
