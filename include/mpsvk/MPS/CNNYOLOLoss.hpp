// MPSCNNYOLOLoss: the loss of a detection grid, whose pixels each predict a box per anchor.
#pragma once

#include <mpsvk/MPS/CNNLoss.hpp>

namespace mpsvk::MPS {

/// MPSCNNYOLOLossDescriptor.
class CNNYOLOLossDescriptor {
public:
    /// `anchorBoxes` are {width, height} of each anchor as floats, in pixels of the grid; copied.
    CNNYOLOLossDescriptor(CNNLossType XYLossType, CNNLossType WHLossType,
                          CNNLossType confidenceLossType, CNNLossType classesLossType,
                          CNNReductionType reductionType, std::span<const std::byte> anchorBoxes,
                          uint64_t numberOfAnchorBoxes);
    CNNYOLOLossDescriptor(CNNLossType XYLossType, CNNLossType WHLossType,
                          CNNLossType confidenceLossType, CNNLossType classesLossType,
                          CNNReductionType reductionType, std::span<const float> anchorBoxes,
                          uint64_t numberOfAnchorBoxes);

    /// The losses of the parts. Their weights multiply the scales below; reductionType and
    /// reduceAcrossBatch must be this descriptor's. CosineDistance is refused.
    const CNNLossDescriptor& XYLossDescriptor() const { return xy_; }
    void setXYLossDescriptor(const CNNLossDescriptor& v) { xy_ = v; }
    const CNNLossDescriptor& WHLossDescriptor() const { return wh_; }
    void setWHLossDescriptor(const CNNLossDescriptor& v) { wh_ = v; }
    const CNNLossDescriptor& confidenceLossDescriptor() const { return confidence_; }
    void setConfidenceLossDescriptor(const CNNLossDescriptor& v) { confidence_ = v; }
    const CNNLossDescriptor& classesLossDescriptor() const { return classes_; }
    void setClassesLossDescriptor(const CNNLossDescriptor& v) { classes_ = v; }

    /// Sets it in the descriptors of the parts too; reduceAcrossBatch likewise.
    CNNReductionType reductionType() const { return reductionType_; }
    void setReductionType(CNNReductionType v);
    bool reduceAcrossBatch() const { return reduceAcrossBatch_; }
    void setReduceAcrossBatch(bool v);
    /// The confidence's target is the overlap of the predicted with the true box instead of 1.
    bool rescore() const { return rescore_; }
    void setRescore(bool v) { rescore_ = v; }
    float scaleXY() const { return scaleXY_; }
    void setScaleXY(float v) { scaleXY_ = v; }
    float scaleWH() const { return scaleWH_; }
    void setScaleWH(float v) { scaleWH_ = v; }
    float scaleNoObject() const { return scaleNoObject_; }
    void setScaleNoObject(float v) { scaleNoObject_ = v; }
    float scaleObject() const { return scaleObject_; }
    void setScaleObject(float v) { scaleObject_ = v; }
    float scaleClass() const { return scaleClass_; }
    void setScaleClass(float v) { scaleClass_ = v; }
    float minIOUForObjectPresence() const { return minIOUForObjectPresence_; }
    void setMinIOUForObjectPresence(float v) { minIOUForObjectPresence_ = v; }
    float maxIOUForObjectAbsence() const { return maxIOUForObjectAbsence_; }
    void setMaxIOUForObjectAbsence(float v) { maxIOUForObjectAbsence_ = v; }
    uint64_t numberOfAnchorBoxes() const { return numberOfAnchorBoxes_; }
    void setNumberOfAnchorBoxes(uint64_t v) { numberOfAnchorBoxes_ = v; }
    const std::vector<std::byte>& anchorBoxes() const { return anchorBoxes_; }
    void setAnchorBoxes(std::span<const std::byte> v) { anchorBoxes_.assign(v.begin(), v.end()); }
    void setAnchorBoxes(std::span<const float> v) { setAnchorBoxes(std::as_bytes(v)); }
    void archive(mps::Archive& archive);

private:
    CNNLossDescriptor xy_, wh_, confidence_, classes_;
    CNNReductionType reductionType_;
    bool reduceAcrossBatch_ = false, rescore_ = true;
    float scaleXY_ = 10, scaleWH_ = 10, scaleNoObject_ = 5, scaleObject_ = 100, scaleClass_ = 2;
    float minIOUForObjectPresence_ = 0.7f, maxIOUForObjectAbsence_ = 0.3f;
    uint64_t numberOfAnchorBoxes_;
    std::vector<std::byte> anchorBoxes_;
};

/// The n anchors of a pixel (a grid cell) have 5 + K channels each, one after the other: X, Y, W,
/// H, confidence C, and K class scores; predictions and labels alike.
///
/// Labels: X, Y are the box's centre within the cell (0 to 1), W, H its size in cells, C is 1 where
/// there is a box, the classes are one-hot. A cell without a box is all 0. Usually all anchors of a
/// cell have the same label.
///
/// The predicted box is sigmoid(X), sigmoid(Y) and anchor * e^W, anchor * e^H. With o the
/// intersection over union of an anchor and its label's box laid on one centre, an anchor is
/// - an object, if C is 1 and o is the largest of the cell or above minIOUForObjectPresence,
/// - no object, if it is none and o is below maxIOUForObjectAbsence,
/// - else left out.
///
/// Losses l(prediction; target), each times weights[x, y, c], its descriptor's weight and a scale:
///   XY   of objects: sigmoid(X); X                                        times scaleXY
///   WH   of objects: W; ln(W / anchor + 1e-5)                             times scaleWH
///   C    of objects: C; 1, or with rescore the intersection over union of the predicted and the
///        true box                                                         times scaleObject
///        of no object: C; 0                                               times scaleNoObject
///   classes of objects: the scores; the label's                           times scaleClass
/// SoftMaxCrossEntropy goes over the channels of one part of one anchor. The loss is the sum of
/// all, reduced as a CNNLoss is (Mean: by width * height * channels whatever the types). The
/// gradient, as CNNLoss writes it, is that of the sum with assignment and rescored targets held
/// constant. offset and clipRect must keep their defaults. MPSCNNYOLOLoss.
class CNNYOLOLoss : public CNNKernel {
public:
    using CNNKernel::encode;
    using CNNKernel::encodeBatch;

    /// Throws InvalidArgument for what CNNLoss refuses in a part, CosineDistance, reductions that
    /// differ, no or more than 256 anchors, too few data for them, and an anchor size that is not
    /// above 0.
    CNNYOLOLoss(const MTL::Device& device, const CNNYOLOLossDescriptor& lossDescriptor);
    CNNYOLOLoss(KeyedUnarchiver& coder, const MTL::Device& device);

    const CNNLoss& lossXY() const { return lossXY_; }
    const CNNLoss& lossWH() const { return lossWH_; }
    const CNNLoss& lossConfidence() const { return lossConfidence_; }
    const CNNLoss& lossClasses() const { return lossClasses_; }
    float scaleXY() const { return descriptor_.scaleXY(); }
    float scaleWH() const { return descriptor_.scaleWH(); }
    float scaleNoObject() const { return descriptor_.scaleNoObject(); }
    float scaleObject() const { return descriptor_.scaleObject(); }
    float scaleClass() const { return descriptor_.scaleClass(); }
    bool rescore() const { return descriptor_.rescore(); }
    float minIOUForObjectPresence() const { return descriptor_.minIOUForObjectPresence(); }
    float maxIOUForObjectAbsence() const { return descriptor_.maxIOUForObjectAbsence(); }
    CNNReductionType reductionType() const { return descriptor_.reductionType(); }
    bool reduceAcrossBatch() const { return descriptor_.reduceAcrossBatch(); }
    uint64_t numberOfAnchorBoxes() const { return descriptor_.numberOfAnchorBoxes(); }
    const std::vector<std::byte>& anchorBoxes() const { return descriptor_.anchorBoxes(); }

    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const CNNLossLabels& labels, const Image& destinationImage);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 const CNNLossLabels& labels);
    /// `labels` are CNNLossLabels, one per image.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const StateBatch& labels, const ImageBatch& destinationImages);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           const StateBatch& labels);

    std::string className() const override { return "CNNYOLOLoss"; }
    CNNYOLOLoss copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void setDescriptor(const CNNYOLOLossDescriptor& descriptor);

    CNNYOLOLossDescriptor descriptor_;
    CNNLoss lossXY_, lossWH_, lossConfidence_, lossClasses_;
    MTL::Buffer anchors_;
};

} // namespace mpsvk::MPS
