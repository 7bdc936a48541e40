// MPSCNNSpatialNormalization, MPSCNNLocalContrastNormalization, MPSCNNCrossChannelNormalization:
// each value over a power of how large its neighbourhood is; and their gradients.
//
// Result pixel x of the clip rectangle is centred on source pixel i = offset + x. A window of K
// pixels reaches from i - floor(K/2) to i + floor((K-1)/2); outside the source are zeros or, with
// edge mode Clamp, the nearest pixels. N is the window's full size everywhere. A power of 0 is the
// caller's to avoid: delta and alpha belong above 0.
//
// Sizes of 0 are an InvalidArgument at construction; edge modes other than Zero and Clamp, and
// alpha below 0 where it must not be, at encode.
//
// The gradients: result pixel d of the clip rectangle is the gradient of source pixel
// secondaryOffset + d - clipRect.origin, and gradient pixel primaryOffset + q belongs to the
// forward result centred on source pixel secondaryOffset + q. All gradient pixels count or, when
// there is a gradient state, those of the forward clip rectangle. secondaryEdgeMode is the forward
// edge mode; with Clamp, what was read beyond an edge is added to the edge pixel. The encodes that
// return the result take geometry and parameters from the state, whose kernel size must be this
// kernel's; the others use the properties.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {

struct LocalNormalizationValues {
    float alpha = 1, beta = 5, delta = 1;
    float p0 = 0, pm = 0, ps = 1; ///< of the local contrast
};

/// The properties that every normalization and its gradient have.
class LocalNormalizationProperties {
public:
    float alpha() const { return values_.alpha; }
    void setAlpha(float v) { values_.alpha = v; }
    float beta() const { return values_.beta; }
    void setBeta(float v) { values_.beta = v; }
    float delta() const { return values_.delta; }
    void setDelta(float v) { values_.delta = v; }

protected:
    LocalNormalizationProperties() = default;
    explicit LocalNormalizationProperties(const LocalNormalizationValues& values)
        : values_(values) {}
    void archiveProperties(Archive& archive);
    LocalNormalizationValues values_;
};

class LocalContrastProperties : public LocalNormalizationProperties {
public:
    float p0() const { return values_.p0; }
    void setP0(float v) { values_.p0 = v; }
    float pm() const { return values_.pm; }
    void setPm(float v) { values_.pm = v; }
    float ps() const { return values_.ps; }
    void setPs(float v) { values_.ps = v; }

protected:
    void archiveProperties(Archive& archive);
    LocalContrastProperties() : LocalNormalizationProperties({0, 0.5f, 1.0f / 1024, 1, 0, 1}) {}
};

/// What the gradients of the normalizations do alike.
class LocalNormalizationGradient : public MPS::CNNGradientKernel {
protected:
    using CNNGradientKernel::CNNGradientKernel;
    virtual LocalNormalizationValues& values() = 0;
    void validate(const BinaryPass& pass) const override;

private:
    void takeForwardRecord(const ForwardRecord& record) override;
    void customizeDestination(const MPS::ImageBatch& sourceImages,
                              const MPS::StateBatch& sourceStates,
                              MPS::ImageDescriptor& descriptor) override;
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// Y_i = X_i * T_i^-beta, T_i = delta + alpha/N * the sum of X^2 over the window of i; channel by
/// channel. alpha must not be negative. MPSCNNSpatialNormalization.
class CNNSpatialNormalization : public CNNKernel, public mps::LocalNormalizationProperties {
public:
    CNNSpatialNormalization(const MTL::Device& device, uint64_t kernelWidth, uint64_t kernelHeight)
        : CNNKernel(device, "CNNSpatialNormalization", {kernelWidth, kernelHeight}) {}
    CNNSpatialNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSpatialNormalization(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSpatialNormalization"; }
    CNNSpatialNormalization copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
};

/// dX_j = G_j * T_j^-beta - 2*alpha*beta/N * X_j * the sum of G_i * X_i * T_i^(-beta-1) over all i
/// whose window has j. Reads the forward source. MPSCNNSpatialNormalizationGradient.
class CNNSpatialNormalizationGradient : public mps::LocalNormalizationGradient,
                                        public mps::LocalNormalizationProperties {
public:
    CNNSpatialNormalizationGradient(const MTL::Device& device, uint64_t kernelWidth,
                                    uint64_t kernelHeight)
        : LocalNormalizationGradient(device, "CNNSpatialNormalizationGradient",
                                     {kernelWidth, kernelHeight}, {kernelWidth, kernelHeight}) {}
    CNNSpatialNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSpatialNormalizationGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSpatialNormalizationGradient"; }
    CNNSpatialNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNSpatialNormalization"; }
    mps::LocalNormalizationValues& values() override { return values_; }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

/// Y_i = pm + ps * (X_i - p0*M_i) * T_i^-beta, T_i = delta + alpha*V_i, with M_i and V_i the mean
/// and the variance (over N) of the window of i; channel by channel. alpha is 0 at first: then only
/// the mean is subtracted. MPSCNNLocalContrastNormalization.
class CNNLocalContrastNormalization : public CNNKernel, public mps::LocalContrastProperties {
public:
    CNNLocalContrastNormalization(const MTL::Device& device, uint64_t kernelWidth,
                                  uint64_t kernelHeight)
        : CNNKernel(device, "CNNLocalContrastNormalization", {kernelWidth, kernelHeight}) {}
    CNNLocalContrastNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNLocalContrastNormalization(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNLocalContrastNormalization"; }
    CNNLocalContrastNormalization copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
};

/// dX_j = ps * (G_j * T_j^-beta - the sum over all i whose window has j of
///              G_i * T_i^-beta * (p0/N + 2*alpha*beta/N * (X_j - M_i) * (X_i - p0*M_i) / T_i)).
/// Reads the forward source. MPSCNNLocalContrastNormalizationGradient.
class CNNLocalContrastNormalizationGradient : public mps::LocalNormalizationGradient,
                                              public mps::LocalContrastProperties {
public:
    CNNLocalContrastNormalizationGradient(const MTL::Device& device, uint64_t kernelWidth,
                                          uint64_t kernelHeight)
        : LocalNormalizationGradient(device, "CNNLocalContrastNormalizationGradient",
                                     {kernelWidth, kernelHeight}, {kernelWidth, kernelHeight}) {}
    CNNLocalContrastNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNLocalContrastNormalizationGradient(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNLocalContrastNormalizationGradient"; }
    CNNLocalContrastNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNLocalContrastNormalization"; }
    mps::LocalNormalizationValues& values() override { return values_; }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

/// Y_k = X_k * L_k^-beta, L_k = delta + alpha/N * the sum of X_q^2 over the channels q from
/// k - floor(N/2) to k + floor((N-1)/2) that exist, N = kernelSize. alpha must not be negative.
/// MPSCNNCrossChannelNormalization.
class CNNCrossChannelNormalization : public CNNKernel, public mps::LocalNormalizationProperties {
public:
    explicit CNNCrossChannelNormalization(const MTL::Device& device, uint64_t kernelSize = 5);
    CNNCrossChannelNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNCrossChannelNormalization(deviceFor(coder, device), 1) {
        unarchive(coder);
    }
    uint64_t kernelSize() const { return kernelSize_; }
    std::string className() const override { return "CNNCrossChannelNormalization"; }
    CNNCrossChannelNormalization copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    uint64_t kernelSize_;
};

/// dX_k = G_k * L_k^-beta - 2*alpha*beta/N * X_k * the sum of G_r * X_r * L_r^(-beta-1) over the
/// channels r from k - floor((N-1)/2) to k + floor(N/2) that exist. Reads the forward source.
/// MPSCNNCrossChannelNormalizationGradient.
class CNNCrossChannelNormalizationGradient : public mps::LocalNormalizationGradient,
                                             public mps::LocalNormalizationProperties {
public:
    explicit CNNCrossChannelNormalizationGradient(const MTL::Device& device,
                                                  uint64_t kernelSize = 5);
    CNNCrossChannelNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNCrossChannelNormalizationGradient(deviceFor(coder, device), 1) {
        unarchive(coder);
    }
    uint64_t kernelSize() const { return kernelSize_; }
    std::string className() const override { return "CNNCrossChannelNormalizationGradient"; }
    CNNCrossChannelNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNCrossChannelNormalization"; }
    mps::LocalNormalizationValues& values() override { return values_; }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    uint64_t kernelSize_;
};

} // namespace mpsvk::MPS
