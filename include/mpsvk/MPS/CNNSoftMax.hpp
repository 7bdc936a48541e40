// MPSCNNSoftMax, MPSCNNLogSoftMax and their gradients: over the feature channels of each pixel.
//
// The sums run over the channels in use, min(C - sourceFeatureChannelOffset,
// sourceFeatureChannelMaxCount). The result has the source's size.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// Y_k = e^X_k / sum_j e^X_j. MPSCNNSoftMax.
class CNNSoftMax : public CNNKernel {
public:
    explicit CNNSoftMax(const MTL::Device& device) : CNNKernel(device, "CNNSoftMax") {}
    CNNSoftMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSoftMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSoftMax"; }
    CNNSoftMax copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void dispatch(const mps::UnaryPass& pass) const override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
};

/// Y_k = X_k - ln(sum_j e^X_j). MPSCNNLogSoftMax.
class CNNLogSoftMax : public CNNKernel {
public:
    explicit CNNLogSoftMax(const MTL::Device& device) : CNNKernel(device, "CNNLogSoftMax") {}
    CNNLogSoftMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNLogSoftMax(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNLogSoftMax"; }
    CNNLogSoftMax copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void dispatch(const mps::UnaryPass& pass) const override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
};

/// dX_k = Y_k * (G_k - sum_j G_j*Y_j). `sourceImage` is the forward RESULT Y, not the forward
/// source. The encodes that return the result take from the state which part of Y and of the
/// forward source belong together. MPSCNNSoftMaxGradient.
class CNNSoftMaxGradient : public CNNGradientKernel {
public:
    explicit CNNSoftMaxGradient(const MTL::Device& device)
        : CNNGradientKernel(device, "CNNSoftMaxGradient") {}
    CNNSoftMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSoftMaxGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSoftMaxGradient"; }
    CNNSoftMaxGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "CNNSoftMax"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

/// dX_k = G_k - e^Y_k * sum_j G_j. `sourceImage` is the forward RESULT Y. MPSCNNLogSoftMaxGradient.
class CNNLogSoftMaxGradient : public CNNGradientKernel {
public:
    explicit CNNLogSoftMaxGradient(const MTL::Device& device)
        : CNNGradientKernel(device, "CNNLogSoftMaxGradient") {}
    CNNLogSoftMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNLogSoftMaxGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNLogSoftMaxGradient"; }
    CNNLogSoftMaxGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "CNNLogSoftMax"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

} // namespace mpsvk::MPS
