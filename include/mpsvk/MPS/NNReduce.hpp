// MPSNNReduce: minima, maxima, means and sums over rows, columns or feature channels. Inference
// only: there are no gradients.
//
// A NaN is never the smallest or the largest unless there is nothing else; where there is nothing
// else an argument is 0. Of equal values the first channel is the argument. Sums run in an order
// that only the shape of one image decides.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {
struct Clip;
struct ReduceBinaryParameters;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// Reads clipRectSource, cut to the source, and writes the result at clipRect.origin. The result of
/// a row reduction is 1 wide, that of a column reduction 1 high, that of a reduction over channels
/// has 1 channel; otherwise it has the size of what is read. A clip rectangle that is smaller takes
/// the first part of it, one that is larger is an InvalidArgument, and so is an empty
/// clipRectSource. MPSNNReduceUnary.
class NNReduceUnary : public CNNKernel {
public:
    /// Takes the place of `offset`, which is not used; z and depth choose images of an array.
    MTL::Region clipRectSource() const { return clipRectSource_; }
    void setClipRectSource(const MTL::Region& rect) { clipRectSource_ = rect; }
    std::string className() const override { return className_; }

protected:
    enum class Axis { Row, Column, FeatureChannels, Image };
    enum class Operation { Minimum, Maximum, ArgumentMinimum, ArgumentMaximum, Mean, Sum };

    NNReduceUnary(const MTL::Device& device, const char* className, Axis axis, Operation operation)
        : CNNKernel(device, className), className_(className), axis_(axis), operation_(operation) {}
    /// What is read of the source. Throws InvalidArgument when that is nothing.
    mps::Clip sourceClip(const Image& source) const;
    virtual float factor() const { return 1; }
    void archive(mps::Archive& archive) override;

private:
    uint64_t outputChannels(uint64_t sourceChannels) const override {
        return axis_ == Axis::FeatureChannels ? 1 : sourceChannels;
    }
    ImageRange sourceImages() const override;
    void customizeDestination(const ImageBatch& sources, ImageDescriptor& descriptor) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void dispatchSpatial(const mps::UnaryPass& pass) const;
    void dispatchFeatureChannels(const mps::UnaryPass& pass) const;
    mps::Clip resultClip(const mps::Clip& read) const;

    const char* className_;
    Axis axis_;
    Operation operation_;
    MTL::Region clipRectSource_ = RectNoClip;
};

/// Y[0,y,c] = min over x of X[x,y,c]. MPSNNReduceRowMin.
class NNReduceRowMin : public NNReduceUnary {
public:
    explicit NNReduceRowMin(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceRowMin", Axis::Row, Operation::Minimum) {}
    NNReduceRowMin(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceRowMin(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceRowMin copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[0,y,c] = max over x of X[x,y,c]. MPSNNReduceRowMax.
class NNReduceRowMax : public NNReduceUnary {
public:
    explicit NNReduceRowMax(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceRowMax", Axis::Row, Operation::Maximum) {}
    NNReduceRowMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceRowMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceRowMax copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[0,y,c] = mean over x of X[x,y,c]. MPSNNReduceRowMean.
class NNReduceRowMean : public NNReduceUnary {
public:
    explicit NNReduceRowMean(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceRowMean", Axis::Row, Operation::Mean) {}
    NNReduceRowMean(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceRowMean(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceRowMean copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[0,y,c] = sum over x of X[x,y,c]. MPSNNReduceRowSum.
class NNReduceRowSum : public NNReduceUnary {
public:
    explicit NNReduceRowSum(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceRowSum", Axis::Row, Operation::Sum) {}
    NNReduceRowSum(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceRowSum(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceRowSum copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[x,0,c] = min over y of X[x,y,c]. MPSNNReduceColumnMin.
class NNReduceColumnMin : public NNReduceUnary {
public:
    explicit NNReduceColumnMin(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceColumnMin", Axis::Column, Operation::Minimum) {}
    NNReduceColumnMin(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceColumnMin(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceColumnMin copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[x,0,c] = max over y of X[x,y,c]. MPSNNReduceColumnMax.
class NNReduceColumnMax : public NNReduceUnary {
public:
    explicit NNReduceColumnMax(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceColumnMax", Axis::Column, Operation::Maximum) {}
    NNReduceColumnMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceColumnMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceColumnMax copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[x,0,c] = mean over y of X[x,y,c]. MPSNNReduceColumnMean.
class NNReduceColumnMean : public NNReduceUnary {
public:
    explicit NNReduceColumnMean(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceColumnMean", Axis::Column, Operation::Mean) {}
    NNReduceColumnMean(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceColumnMean(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceColumnMean copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[x,0,c] = sum over y of X[x,y,c]. MPSNNReduceColumnSum.
class NNReduceColumnSum : public NNReduceUnary {
public:
    explicit NNReduceColumnSum(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceColumnSum", Axis::Column, Operation::Sum) {}
    NNReduceColumnSum(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceColumnSum(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceColumnSum copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// Y[x,y,0] = min over c of X[x,y,c]. MPSNNReduceFeatureChannelsMin.
class NNReduceFeatureChannelsMin : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsMin(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsMin", Axis::FeatureChannels,
                        Operation::Minimum) {}
    NNReduceFeatureChannelsMin(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsMin(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceFeatureChannelsMin copy(const MTL::Device& device) const {
        return copied(*this, device);
    }
};

/// Y[x,y,0] = max over c of X[x,y,c]. MPSNNReduceFeatureChannelsMax.
class NNReduceFeatureChannelsMax : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsMax(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsMax", Axis::FeatureChannels,
                        Operation::Maximum) {}
    NNReduceFeatureChannelsMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceFeatureChannelsMax copy(const MTL::Device& device) const {
        return copied(*this, device);
    }
};

/// Y[x,y,0] = mean over c of X[x,y,c]. MPSNNReduceFeatureChannelsMean.
class NNReduceFeatureChannelsMean : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsMean(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsMean", Axis::FeatureChannels,
                        Operation::Mean) {}
    NNReduceFeatureChannelsMean(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsMean(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceFeatureChannelsMean copy(const MTL::Device& device) const {
        return copied(*this, device);
    }
};

/// Y[x,y,0] = weight * (sum over c of X[x,y,c]). MPSNNReduceFeatureChannelsSum.
class NNReduceFeatureChannelsSum : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsSum(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsSum", Axis::FeatureChannels,
                        Operation::Sum) {}
    NNReduceFeatureChannelsSum(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsSum(deviceFor(coder, device)) {
        unarchive(coder);
    }
    float weight() const { return weight_; }
    void setWeight(float v) { weight_ = v; }
    NNReduceFeatureChannelsSum copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    float factor() const override { return weight_; }
    void archive(mps::Archive& archive) override;
    float weight_ = 1;
};

/// Y[x,y,0] = the channel whose value is the smallest, counted from sourceFeatureChannelOffset, as
/// a number: exact up to 2048 in a result stored as Float16. MPSNNReduceFeatureChannelsArgumentMin.
class NNReduceFeatureChannelsArgumentMin : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsArgumentMin(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsArgumentMin", Axis::FeatureChannels,
                        Operation::ArgumentMinimum) {}
    NNReduceFeatureChannelsArgumentMin(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsArgumentMin(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceFeatureChannelsArgumentMin copy(const MTL::Device& device) const {
        return copied(*this, device);
    }
};

/// Y[x,y,0] = the channel whose value is the largest, counted from sourceFeatureChannelOffset, as a
/// number: exact up to 2048 in a result stored as Float16. MPSNNReduceFeatureChannelsArgumentMax.
class NNReduceFeatureChannelsArgumentMax : public NNReduceUnary {
public:
    explicit NNReduceFeatureChannelsArgumentMax(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceFeatureChannelsArgumentMax", Axis::FeatureChannels,
                        Operation::ArgumentMaximum) {}
    NNReduceFeatureChannelsArgumentMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsArgumentMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceFeatureChannelsArgumentMax copy(const MTL::Device& device) const {
        return copied(*this, device);
    }
};

/// Pixel q of the result, counted from clipRect.origin, is computed at pixels
/// primarySourceClipRect.origin + primaryStride * q and secondarySourceClipRect.origin +
/// secondaryStride * q; a stride of 0 reads one pixel for all. Both rectangles are cut to their
/// images and must hold the pixels that the result needs. The secondary image has a channel for
/// each channel in use of the primary one. MPSNNReduceBinary.
class NNReduceBinary : public CNNBinaryKernel {
public:
    /// Take the places of the offsets, which are not used; z and depth choose images of an array.
    MTL::Region primarySourceClipRect() const { return primaryClip_; }
    void setPrimarySourceClipRect(const MTL::Region& rect) { primaryClip_ = rect; }
    MTL::Region secondarySourceClipRect() const { return secondaryClip_; }
    void setSecondarySourceClipRect(const MTL::Region& rect) { secondaryClip_ = rect; }

protected:
    using CNNBinaryKernel::CNNBinaryKernel;
    mps::Clip sourceClip(const Image& image, bool isPrimary) const;
    void archive(mps::Archive& archive) override;
    /// True when the secondary image is read beyond its rectangle.
    virtual bool readsAround() const { return false; }
    uint64_t outputChannels(uint64_t, uint64_t) const override { return 1; }
    void validate(const mps::BinaryPass& pass) const override;
    mps::ReduceBinaryParameters parameters(const mps::BinaryPass& pass) const;
    void dispatchWeighted(const mps::BinaryPass& pass, float divisor,
                          bool overNonZeroWeights) const;

private:
    ImageRange primaryImages() const override;
    ImageRange secondaryImages() const override;
    void customizeDestination(const ImageBatch& sources, const StateBatch& states,
                              ImageDescriptor& descriptor) override;

    MTL::Region primaryClip_ = RectNoClip, secondaryClip_ = RectNoClip;
};

/// Y[x,y,0] = sum over c of X_c * w_c, with X the primary and w the secondary image; divided by the
/// number of w_c that are not 0 if doWeightedSumByNonZeroWeights is set (0 if all are).
/// MPSNNReduceFeatureChannelsAndWeightsSum.
class NNReduceFeatureChannelsAndWeightsSum : public NNReduceBinary {
public:
    explicit NNReduceFeatureChannelsAndWeightsSum(const MTL::Device& device,
                                                  bool doWeightedSumByNonZeroWeights = false)
        : NNReduceBinary(device, "NNReduceFeatureChannelsAndWeightsSum"),
          byNonZeroWeights_(doWeightedSumByNonZeroWeights) {}
    NNReduceFeatureChannelsAndWeightsSum(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsAndWeightsSum(deviceFor(coder, device)) {
        unarchive(coder);
    }
    bool doWeightedSumByNonZeroWeights() const { return byNonZeroWeights_; }
    std::string className() const override { return "NNReduceFeatureChannelsAndWeightsSum"; }
    NNReduceFeatureChannelsAndWeightsSum copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    void dispatch(const mps::BinaryPass& pass) const override;
    bool byNonZeroWeights_;
};

/// Y[x,y,0] = (sum over c of X_c * w_c) / C, with C the channels in use.
/// MPSNNReduceFeatureChannelsAndWeightsMean.
class NNReduceFeatureChannelsAndWeightsMean : public NNReduceBinary {
public:
    explicit NNReduceFeatureChannelsAndWeightsMean(const MTL::Device& device)
        : NNReduceBinary(device, "NNReduceFeatureChannelsAndWeightsMean") {}
    NNReduceFeatureChannelsAndWeightsMean(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceFeatureChannelsAndWeightsMean(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNReduceFeatureChannelsAndWeightsMean"; }
    NNReduceFeatureChannelsAndWeightsMean copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void dispatch(const mps::BinaryPass& pass) const override;
};

/// Y[x,y,f] = sum over c of A[x,y,c] * B[x + (m-wx)*sx, y + (n-wy)*sy, c] for m = 0 ... 2 wx and
/// n = 0 ... 2 wy, f = n*(2 wx + 1) + m, with A the primary image, B the secondary, w the windows
/// and s the strides. Pixels outside B are zeros or, with secondaryEdgeMode Clamp, the nearest
/// ones; the rectangle of B only says which pixel belongs to A's first. MPSNNLocalCorrelation.
class NNLocalCorrelation : public NNReduceBinary {
public:
    /// Throws InvalidArgument for a stride of 0.
    explicit NNLocalCorrelation(const MTL::Device& device, uint64_t windowInX = 0,
                                uint64_t windowInY = 0, uint64_t strideInX = 1,
                                uint64_t strideInY = 1);
    NNLocalCorrelation(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNLocalCorrelation(deviceFor(coder, device)) {
        unarchive(coder);
    }
    uint64_t windowInX() const { return windowInX_; }
    void setWindowInX(uint64_t v) { windowInX_ = v; }
    uint64_t windowInY() const { return windowInY_; }
    void setWindowInY(uint64_t v) { windowInY_ = v; }
    uint64_t strideInX() const { return strideInX_; }
    void setStrideInX(uint64_t v) { strideInX_ = v; }
    uint64_t strideInY() const { return strideInY_; }
    void setStrideInY(uint64_t v) { strideInY_ = v; }
    std::string className() const override { return "NNLocalCorrelation"; }
    NNLocalCorrelation copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    bool readsAround() const override { return true; }
    uint64_t outputChannels(uint64_t, uint64_t) const override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
    void checkStrides() const;

    uint64_t windowInX_, windowInY_, strideInX_, strideInY_;
};

} // namespace mpsvk::MPS
