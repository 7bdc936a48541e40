// MPSCNNPooling and its subclasses: maximum, average, L2 norm, dilated maximum; and their
// gradients.
//
// Result pixel x of the clip rectangle has its window's centre at source pixel offset + stride*x;
// tap t lies at centre - floor(Kd/2) + dilation*t, with Kd = (K-1)*dilation + 1 (an even window
// leans to the left and to the top). Channels are pooled one by one. Edge modes other than Zero and
// Clamp are an InvalidArgument at encode; sizes, strides and dilations of 0 are one at
// construction.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {
struct FusedNeuron;
struct NeuronAccess;
struct PoolingEdges;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// MPSCNNPooling.
class CNNPooling : public CNNKernel {
protected:
    CNNPooling(const MTL::Device& device, const char* className, const KernelWindow& window)
        : CNNKernel(device, className, window) {}
    virtual const char* shader() const = 0;
    virtual mps::PoolingEdges edges() const;
    /// True when a gradient state that an encode returns keeps where the windows' maxima were.
    virtual bool savesSelection() const { return false; }

private:
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
};

/// The largest value of each window. With edge mode Zero, taps outside the source are zeros like
/// any other; with Clamp they repeat the nearest pixel. NaN loses against everything else.
/// MPSCNNPoolingMax.
class CNNPoolingMax : public CNNPooling {
public:
    CNNPoolingMax(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                  uint64_t strideInPixelsX = 1, uint64_t strideInPixelsY = 1)
        : CNNPooling(device, "CNNPoolingMax",
                     {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    CNNPoolingMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingMax(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingMax"; }
    CNNPoolingMax copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingMax"; }
    bool savesSelection() const override;
};

/// The mean of each window. With edge mode Zero, taps outside the source count as zeros. With Clamp
/// the window is cut to the source enlarged by zeroPadSize zeros on every side, and the divisor is
/// what is left of it; an empty one gives 0. A padding policy with the bit ExcludeEdges cuts the
/// windows to the source and the policy's own padding, max(0, floor(K/2) - offset) on every side
/// (at least zeroPadSize), as Caffe does. MPSCNNPoolingAverage.
class CNNPoolingAverage : public CNNPooling {
public:
    CNNPoolingAverage(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                      uint64_t strideInPixelsX = 1, uint64_t strideInPixelsY = 1)
        : CNNPooling(device, "CNNPoolingAverage",
                     {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    uint64_t zeroPadSizeX() const { return zeroPadSizeX_; }
    void setZeroPadSizeX(uint64_t v) { zeroPadSizeX_ = v; }
    uint64_t zeroPadSizeY() const { return zeroPadSizeY_; }
    void setZeroPadSizeY(uint64_t v) { zeroPadSizeY_ = v; }
    CNNPoolingAverage(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingAverage(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingAverage"; }
    CNNPoolingAverage copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingAverage"; }
    void archive(mps::Archive& archive) override;
    mps::PoolingEdges edges() const override;

    uint64_t zeroPadSizeX_ = 0, zeroPadSizeY_ = 0;
};

/// The square root of the sum of each window's squares, read through the edge mode.
/// MPSCNNPoolingL2Norm.
class CNNPoolingL2Norm : public CNNPooling {
public:
    CNNPoolingL2Norm(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                     uint64_t strideInPixelsX = 1, uint64_t strideInPixelsY = 1)
        : CNNPooling(device, "CNNPoolingL2Norm",
                     {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    CNNPoolingL2Norm(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingL2Norm(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingL2Norm"; }
    CNNPoolingL2Norm copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingL2Norm"; }
};

/// The largest of taps `dilationRate` pixels apart. As CNNPoolingMax, but with Clamp and a dilation
/// above 1 taps outside the source are left out; a window without taps gives 0.
/// MPSCNNDilatedPoolingMax.
class CNNDilatedPoolingMax : public CNNPooling {
public:
    CNNDilatedPoolingMax(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                         uint64_t dilationRateX, uint64_t dilationRateY, uint64_t strideInPixelsX,
                         uint64_t strideInPixelsY)
        : CNNPooling(device, "CNNDilatedPoolingMax",
                     {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY, dilationRateX,
                      dilationRateY}) {}
    CNNDilatedPoolingMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNDilatedPoolingMax(deviceFor(coder, device), 1, 1, 1, 1, 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNDilatedPoolingMax"; }
    CNNDilatedPoolingMax copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingMax"; }
    bool savesSelection() const override;
};

/// dX(y) = the sum of G(x) * dY(x)/dX(y) over the gradient pixels x of
/// [primaryOffset, primaryOffset + sourceSize). Gradient pixel x belongs to the window whose centre
/// is secondaryOffset + stride*(x - primaryOffset), so secondaryOffset, secondaryEdgeMode, window
/// and primary stride are the forward kernel's. The first pixel of clipRect is the first source
/// pixel of the first window, max(0, secondaryOffset - floor(Kd/2)), but never beyond the last one.
/// Pixels of clipRect that no window reads become 0.
///
/// The encodes that return the result take all of this from the gradient state: primaryOffset and
/// sourceSize become the forward clip rectangle, clipRect the source from the first window's first
/// pixel on, and the rest of the result is 0. MPSCNNPoolingGradient.
class CNNPoolingGradient : public CNNGradientKernel {
public:
    MTL::Size sourceSize() const { return sourceSize_; }
    void setSourceSize(const MTL::Size& size) { sourceSize_ = size; }
    bool isBackwards() const override {
        return primaryStrideInPixelsX() > 1 || primaryStrideInPixelsY() > 1;
    }

protected:
    CNNPoolingGradient(const MTL::Device& device, const char* className, const KernelWindow& window)
        : CNNGradientKernel(device, className, window, window) {}
    virtual const char* shader() const = 0;
    virtual mps::PoolingEdges edges() const;
    virtual void setZeroPad(uint64_t, uint64_t) {}
    void archive(mps::Archive& archive) override;

private:
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    friend struct mps::NeuronAccess;
    MTL::Size sourceSize_{UINT64_MAX, UINT64_MAX, UINT64_MAX};
    /// Of a graph's activation whose result the source is, and whose derivative is a factor; or
    /// null. Of maximum pooling only.
    std::shared_ptr<const mps::FusedNeuron> neuron_;
};

/// The gradient of a window goes to its maximum, of several equal ones to the first in raster
/// order; nowhere if a zero outside the source is larger. Reads the forward source, unless the
/// gradient state has kept the positions: a state that the forward encode returns keeps them for
/// gradients of the same source image in the same command buffer. MPSCNNPoolingMaxGradient.
class CNNPoolingMaxGradient : public CNNPoolingGradient {
public:
    CNNPoolingMaxGradient(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                          uint64_t strideInPixelsX = 1, uint64_t strideInPixelsY = 1)
        : CNNPoolingGradient(device, "CNNPoolingMaxGradient",
                             {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    CNNPoolingMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingMaxGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingMaxGradient"; }
    CNNPoolingMaxGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingMaxGradient"; }
    std::string forwardClassName() const override { return "CNNPoolingMax"; }
};

/// dX(y) = the sum of G(x) / N(x), N(x) being the divisor of the forward window. Of sourceImage
/// only the size counts: it may be a temporary image that was never written. zeroPadSize comes with
/// the state. MPSCNNPoolingAverageGradient.
class CNNPoolingAverageGradient : public CNNPoolingGradient {
public:
    CNNPoolingAverageGradient(const MTL::Device& device, uint64_t kernelWidth,
                              uint64_t kernelHeight, uint64_t strideInPixelsX = 1,
                              uint64_t strideInPixelsY = 1)
        : CNNPoolingGradient(device, "CNNPoolingAverageGradient",
                             {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    uint64_t zeroPadSizeX() const { return zeroPadSizeX_; }
    void setZeroPadSizeX(uint64_t v) { zeroPadSizeX_ = v; }
    uint64_t zeroPadSizeY() const { return zeroPadSizeY_; }
    void setZeroPadSizeY(uint64_t v) { zeroPadSizeY_ = v; }
    CNNPoolingAverageGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingAverageGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingAverageGradient"; }
    CNNPoolingAverageGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    const char* shader() const override { return "CNNPoolingAverageGradient"; }
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNPoolingAverage"; }
    mps::PoolingEdges edges() const override;
    void setZeroPad(uint64_t x, uint64_t y) override;
    bool readsSecondary() const override { return false; }

    uint64_t zeroPadSizeX_ = 0, zeroPadSizeY_ = 0;
};

/// dX(y) = X(y) * the sum of m(x) * G(x)/Y(x), m(x) being how many taps of window x read y (more
/// than one only at a clamped edge); windows with Y = 0 give nothing. MPSCNNPoolingL2NormGradient.
class CNNPoolingL2NormGradient : public CNNPoolingGradient {
public:
    CNNPoolingL2NormGradient(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight,
                             uint64_t strideInPixelsX = 1, uint64_t strideInPixelsY = 1)
        : CNNPoolingGradient(device, "CNNPoolingL2NormGradient",
                             {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY}) {}
    CNNPoolingL2NormGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNPoolingL2NormGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNPoolingL2NormGradient"; }
    CNNPoolingL2NormGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNPoolingL2NormGradient"; }
    std::string forwardClassName() const override { return "CNNPoolingL2Norm"; }
};

/// As CNNPoolingMaxGradient. MPSCNNDilatedPoolingMaxGradient.
class CNNDilatedPoolingMaxGradient : public CNNPoolingGradient {
public:
    CNNDilatedPoolingMaxGradient(const MTL::Device& device, uint64_t kernelWidth,
                                 uint64_t kernelHeight, uint64_t dilationRateX,
                                 uint64_t dilationRateY, uint64_t strideInPixelsX,
                                 uint64_t strideInPixelsY)
        : CNNPoolingGradient(device, "CNNDilatedPoolingMaxGradient",
                             {kernelWidth, kernelHeight, strideInPixelsX, strideInPixelsY,
                              dilationRateX, dilationRateY}) {}
    CNNDilatedPoolingMaxGradient(const MTL::Device& device, uint64_t kernelWidth,
                                 uint64_t kernelHeight, uint64_t strideInPixelsX,
                                 uint64_t strideInPixelsY) = delete;
    CNNDilatedPoolingMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNDilatedPoolingMaxGradient(deviceFor(coder, device), 1, 1, 1, 1, 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNDilatedPoolingMaxGradient"; }
    CNNDilatedPoolingMaxGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    const char* shader() const override { return "CNNPoolingMaxGradient"; }
    std::string forwardClassName() const override { return "CNNDilatedPoolingMax"; }
};

} // namespace mpsvk::MPS
