// MPSCNNInstanceNormalization, its gradient, and the state between them.
#pragma once

#include <mpsvk/MPS/CNNGroupwiseNormalization.hpp>

namespace mpsvk::MPS {

/// MPSCNNInstanceNormalizationDataSource.
class CNNInstanceNormalizationDataSource : public CNNGroupwiseNormalizationDataSource {
public:
    /// The source for a copy of a kernel; null shares this one.
    virtual std::shared_ptr<CNNInstanceNormalizationDataSource> copy(MTL::Device device) const;
};

/// Every channel of every image is normalized by its own mean and variance: G = C.
/// MPSCNNInstanceNormalization.
class CNNInstanceNormalization : public CNNGroupwiseNormalization {
public:
    /// Loads gamma and beta. Throws InvalidArgument when the source is null, does not load, has no
    /// feature channels, or arrays of another size.
    CNNInstanceNormalization(const MTL::Device& device,
                             std::shared_ptr<CNNInstanceNormalizationDataSource> dataSource);
    /// A data source that is SecureCoding was archived itself; of another one, what it gives and
    /// the gamma and beta that the kernel had then.
    CNNInstanceNormalization(KeyedUnarchiver& coder, const MTL::Device& device);
    /// Copies have a gamma and a beta of their own.
    CNNInstanceNormalization(const CNNInstanceNormalization&) = default;
    CNNInstanceNormalization& operator=(const CNNInstanceNormalization&) = default;
    CNNInstanceNormalization(CNNInstanceNormalization&&) noexcept = default;
    CNNInstanceNormalization& operator=(CNNInstanceNormalization&&) noexcept = default;
    /// For another device: gamma and beta in use, and a copy of the data source where it makes one.
    CNNInstanceNormalization copy(const MTL::Device& device) const;

    std::shared_ptr<CNNInstanceNormalizationDataSource> dataSource() const;
    std::string className() const override { return "CNNInstanceNormalization"; }

private:
    CNNInstanceNormalization(const CNNInstanceNormalization& other, Sharing sharing)
        : CNNGroupwiseNormalization(other, sharing) {}
    CNNInstanceNormalization(const CNNInstanceNormalization& other, const MTL::Device& device,
                             Source source)
        : CNNGroupwiseNormalization(other, device, std::move(source)) {}
    std::shared_ptr<const CNNGroupwiseNormalization> sharingCopy() const override;
    void archive(mps::Archive& archive) override;
};

/// MPSCNNInstanceNormalizationGradientState.
class CNNInstanceNormalizationGradientState : public CNNGroupwiseNormalizationGradientState {
public:
    CNNInstanceNormalizationGradientState() = default;
    /// The forward kernel, as it was when the state was made.
    std::shared_ptr<const CNNInstanceNormalization> instanceNormalization() const;
    static bool isKindOf(const detail::ObjectImpl&);
    explicit CNNInstanceNormalizationGradientState(std::shared_ptr<Impl> impl)
        : CNNGroupwiseNormalizationGradientState(std::move(impl)) {}
};

/// MPSCNNInstanceNormalizationGradient.
class CNNInstanceNormalizationGradient : public CNNGroupwiseNormalizationGradient {
public:
    explicit CNNInstanceNormalizationGradient(const MTL::Device& device)
        : CNNGroupwiseNormalizationGradient(device, "CNNInstanceNormalizationGradient") {}
    CNNInstanceNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNInstanceNormalizationGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNInstanceNormalizationGradient"; }
    CNNInstanceNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    std::string forwardClassName() const override { return "CNNInstanceNormalization"; }
};

} // namespace mpsvk::MPS
