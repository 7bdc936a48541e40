// MPSCNNUpsampling and its subclasses: images made larger (or, with factors below 1, smaller); and
// their gradients.
//
// A source of W pixels gives floor(W * factor). Result pixel x, counted from clipRect.origin, is
// sampled at source position offset + x / factor. Factors that are not finite or not above 0 are
// an InvalidArgument at construction; an encode whose positions cannot be told apart to a
// thousandth of a pixel is one too.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// MPSCNNUpsampling.
class CNNUpsampling : public CNNKernel {
public:
    double scaleFactorX() const { return scaleFactorX_; }
    double scaleFactorY() const { return scaleFactorY_; }
    bool alignCorners() const { return alignCorners_; }

protected:
    CNNUpsampling(const MTL::Device& device, const char* className, double scaleFactorX,
                  double scaleFactorY, bool alignCorners);
    virtual const char* shader() const = 0;
    void archive(mps::Archive& archive) override;

private:
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    double scaleFactorX_, scaleFactorY_;
    bool alignCorners_;
};

/// Y[x] = X[offset + floor(x / factor)]: every pixel repeated. Outside the source are zeros or,
/// with edge mode Clamp, the nearest pixel. MPSCNNUpsamplingNearest.
class CNNUpsamplingNearest : public CNNUpsampling {
public:
    CNNUpsamplingNearest(const MTL::Device& device, uint64_t integerScaleFactorX,
                         uint64_t integerScaleFactorY)
        : CNNUpsampling(device, "CNNUpsamplingNearest", double(integerScaleFactorX),
                        double(integerScaleFactorY), false) {}
    CNNUpsamplingNearest(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNUpsamplingNearest(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNUpsamplingNearest"; }
    CNNUpsamplingNearest copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNUpsamplingNearest"; }
    void archive(mps::Archive& archive) override;
};

/// Y[x] = (1 - f) * X[i] + f * X[i + 1], i and f being the whole and the fractional part of the
/// position offset + u; pixels outside the source are the nearest ones, whatever the edge mode
/// says. u = x / factor, so that the first pixels coincide and the last ones repeat; with
/// alignCorners u = x * (W - 1) / (floor(W * factor) - 1), so that the last ones coincide too (a
/// result of one pixel is the first one). Factors may be fractions. MPSCNNUpsamplingBilinear.
class CNNUpsamplingBilinear : public CNNUpsampling {
public:
    CNNUpsamplingBilinear(const MTL::Device& device, double scaleFactorX, double scaleFactorY,
                          bool alignCorners = false)
        : CNNUpsampling(device, "CNNUpsamplingBilinear", scaleFactorX, scaleFactorY, alignCorners) {
    }
    CNNUpsamplingBilinear(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNUpsamplingBilinear(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNUpsamplingBilinear"; }
    CNNUpsamplingBilinear copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    const char* shader() const override { return "CNNUpsamplingBilinear"; }
};

/// dX = the transpose of the upsampling: each source pixel gets the gradients of the result pixels
/// that were sampled from it, times their weights. Of sourceImage only the size counts.
///
/// Gradient pixel primaryOffset + x is result pixel x of the forward kernel, whose offset is
/// secondaryOffset (nearest: and edge mode secondaryEdgeMode). The first pixel of clipRect is
/// source pixel max(0, secondaryOffset), at most the last one. The encodes that return the result
/// take this from the gradient state, whose factors must be this kernel's. How many result pixels
/// there were and whether corners were aligned comes with the state in every encode; without one
/// all of the gradient counts, and corners are not aligned. MPSCNNUpsamplingGradient.
class CNNUpsamplingGradient : public CNNGradientKernel {
public:
    double scaleFactorX() const { return scaleFactorX_; }
    double scaleFactorY() const { return scaleFactorY_; }

protected:
    CNNUpsamplingGradient(const MTL::Device& device, const char* className, double scaleFactorX,
                          double scaleFactorY);
    virtual const char* shader() const = 0;
    void archive(mps::Archive& archive) override;

private:
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    bool readsSecondary() const override { return false; }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    double scaleFactorX_, scaleFactorY_;
};

/// The sum of each pixel's repetitions. MPSCNNUpsamplingNearestGradient.
class CNNUpsamplingNearestGradient : public CNNUpsamplingGradient {
public:
    CNNUpsamplingNearestGradient(const MTL::Device& device, uint64_t integerScaleFactorX,
                                 uint64_t integerScaleFactorY)
        : CNNUpsamplingGradient(device, "CNNUpsamplingNearestGradient", double(integerScaleFactorX),
                                double(integerScaleFactorY)) {}
    CNNUpsamplingNearestGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNUpsamplingNearestGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNUpsamplingNearestGradient"; }
    CNNUpsamplingNearestGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    const char* shader() const override { return "CNNUpsamplingNearestGradient"; }
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNUpsamplingNearest"; }
};

/// MPSCNNUpsamplingBilinearGradient.
class CNNUpsamplingBilinearGradient : public CNNUpsamplingGradient {
public:
    CNNUpsamplingBilinearGradient(const MTL::Device& device, double scaleFactorX,
                                  double scaleFactorY)
        : CNNUpsamplingGradient(device, "CNNUpsamplingBilinearGradient", scaleFactorX,
                                scaleFactorY) {}
    CNNUpsamplingBilinearGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNUpsamplingBilinearGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNUpsamplingBilinearGradient"; }
    CNNUpsamplingBilinearGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    const char* shader() const override { return "CNNUpsamplingBilinearGradient"; }
    std::string forwardClassName() const override { return "CNNUpsamplingBilinear"; }
};

} // namespace mpsvk::MPS
