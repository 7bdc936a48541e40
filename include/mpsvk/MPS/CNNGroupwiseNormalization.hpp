// What instance and group normalization have in common: data source, kernel, gradient state and
// gradient kernel. These classes are not Apple's; use those derived from them.
//
// The C channels that are read fall into G groups of K = C/G consecutive ones. For each image and
// group, over the m = width*height*K elements of the whole source image,
//
//     mu = (1/m) sum of x     v = (1/m) sum of (x - mu)^2     x^ = (x - mu) / sqrt(v + epsilon)
//     y  = gamma[c] * x^ + beta[c]
//
// offset, clipRect and edgeMode (Zero, Clamp) place the result; they do not change the statistics.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>
#include <mpsvk/MPS/CNNNormalizationWeights.hpp>

#include <cfloat>

namespace mpsvk::mps {
class GammaAndBeta;
struct NormalizationAccess;
struct NormalizationValues;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// Where gamma and beta come from, and how training changes them. Implemented by the user; may be
/// called from any thread. The order of calls is load, then gamma and beta, then purge; what these
/// return is used only in between. `load` may submit GPU work and wait for it.
class CNNGroupwiseNormalizationDataSource {
public:
    virtual ~CNNGroupwiseNormalizationDataSource() = default;

    virtual uint64_t numberOfFeatureChannels() const = 0;
    /// One per feature channel, or empty for ones.
    virtual std::span<const float> gamma() const = 0;
    /// One per feature channel, or empty for zeros.
    virtual std::span<const float> beta() const = 0;
    virtual std::string label() const { return {}; }
    virtual float epsilon() const { return FLT_MIN; }
    /// False makes the kernel's constructor (or the reload) throw.
    virtual bool load() { return true; }
    virtual void purge() {}

    /// Encodes an update of gamma and beta and returns the state that holds them, or an empty one
    /// for no change. There is a gradient state for each image of the batch, with the gradients of
    /// that image alone: the update combines them.
    virtual CNNNormalizationGammaAndBetaState updateGammaAndBeta(MTL::CommandBuffer commandBuffer,
                                                                 StateBatch gradientStates);
    /// Updates on the host; true makes the kernels reload from this source.
    virtual bool updateGammaAndBeta(StateBatch gradientStates);
};

/// The kernel of the formulas above. What derives from it says how many groups there are.
class CNNGroupwiseNormalization : public CNNKernel {
public:
    ~CNNGroupwiseNormalization() override;
    CNNGroupwiseNormalization(CNNGroupwiseNormalization&&) noexcept;
    CNNGroupwiseNormalization& operator=(CNNGroupwiseNormalization&&) noexcept;

    /// The data source's at first.
    float epsilon() const { return epsilon_; }
    void setEpsilon(float epsilon) { epsilon_ = epsilon; }
    /// At once; no encoded work with the old values may be in flight. Throws InvalidArgument when
    /// the source does not load or its arrays have another size than numberOfFeatureChannels was.
    void reloadGammaAndBetaFromDataSource();
    /// In the order of the command buffer: earlier encodes use the old values, later ones the new.
    /// Lowers the read count of a temporary state by 1.
    void reloadGammaAndBeta(const MTL::CommandBuffer& commandBuffer,
                            const CNNNormalizationGammaAndBetaState& gammaAndBetaState);

protected:
    using Source = std::shared_ptr<CNNGroupwiseNormalizationDataSource>;
    /// Marks the copy that shares gamma and beta with its original.
    struct Sharing {};

    CNNGroupwiseNormalization(const MTL::Device& device, const char* className, Source source,
                              uint64_t groups);
    /// Copies have a gamma and a beta of their own.
    CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other);
    CNNGroupwiseNormalization& operator=(const CNNGroupwiseNormalization& other);
    CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other, Sharing);
    CNNGroupwiseNormalization(const CNNGroupwiseNormalization& other, const MTL::Device& device,
                              Source source);
    /// Throws InvalidArgument for null; returns the channels of `source`.
    static uint64_t channelsOf(const char* className,
                               const CNNGroupwiseNormalizationDataSource* source);

    const Source& source() const { return source_; }
    uint64_t featureChannels() const { return channels_; }
    uint64_t groups() const { return groups_; }
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    virtual std::shared_ptr<const CNNGroupwiseNormalization> sharingCopy() const = 0;
    void archive(mps::Archive& archive) override;
    /// The data source's, with gamma and beta as they are in use.
    mps::NormalizationValues values() const;

private:
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void takeParameters(const CNNGroupwiseNormalization& other);

    friend struct mps::NormalizationAccess;
    Source source_;
    uint64_t channels_, groups_;
    float epsilon_;
    std::shared_ptr<mps::GammaAndBeta> parameters_;
};

/// Belongs to one image of a batch (of an array of images, to all of them). Keeps the statistics of
/// the forward pass; if no forward pass was encoded with it, the gradient computes them.
class CNNGroupwiseNormalizationGradientState : public NNGradientState {
public:
    CNNGroupwiseNormalizationGradientState() = default;
    /// The kernel's parameters in use, not a copy: a reload shows here too. fp32, at least one per
    /// feature channel.
    MTL::Buffer gamma() const;
    MTL::Buffer beta() const;
    /// Sums over the image's pixels: E * x^ and E. Each gradient encode overwrites them. fp32, at
    /// least one per feature channel.
    MTL::Buffer gradientForGamma() const;
    MTL::Buffer gradientForBeta() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNGroupwiseNormalizationGradientState(std::shared_ptr<Impl> impl);
};

/// With E the gradient of the result (0 where the forward pass wrote no result), h = gamma[c] * E
/// and sums over the elements of a group,
///
///     dx = (h - (1/m) sum of h - x^ * (1/m) sum of h*x^) / sqrt(v + epsilon)
///
/// and the gradients of gamma and beta go to the gradient state, which is needed. Pixel j of
/// clipRect belongs to the source's pixel secondaryOffset + j and the gradient's primaryOffset + j;
/// where there is no source pixel the result is 0. Epsilon is that of the forward pass, gamma the
/// one in use when the gradient runs.
///
/// The encodes that return the result set the offsets such that it is the whole source's. A result
/// pixel that a Clamp edge made has no place here: such a forward pass is refused.
class CNNGroupwiseNormalizationGradient : public CNNGradientKernel {
public:
    bool isStateModified() const override { return true; }

protected:
    CNNGroupwiseNormalizationGradient(const MTL::Device& device, const char* className)
        : CNNGradientKernel(device, className) {}

private:
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
};

} // namespace mpsvk::MPS
