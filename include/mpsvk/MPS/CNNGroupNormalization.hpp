// MPSCNNGroupNormalization, its gradient, and the state between them.
#pragma once

#include <mpsvk/MPS/CNNGroupwiseNormalization.hpp>

namespace mpsvk::MPS {

/// MPSCNNGroupNormalizationDataSource.
class CNNGroupNormalizationDataSource : public CNNGroupwiseNormalizationDataSource {
public:
    /// Must divide numberOfFeatureChannels; kernels read it once, when they are made.
    virtual uint64_t numberOfGroups() const = 0;
    /// Throws InvalidArgument unless overridden: not every source can be regrouped.
    virtual void setNumberOfGroups(uint64_t numberOfGroups);
    /// The source for a copy of a kernel; null shares this one.
    virtual std::shared_ptr<CNNGroupNormalizationDataSource> copy(MTL::Device device) const;
};

/// G = numberOfGroups: with G = C this is instance normalization, with G = 1 every image is
/// normalized as a whole. MPSCNNGroupNormalization.
class CNNGroupNormalization : public CNNGroupwiseNormalization {
public:
    /// Loads gamma and beta. Throws InvalidArgument when the source is null, does not load, has no
    /// feature channels, arrays of another size, or groups that do not divide the channels.
    CNNGroupNormalization(const MTL::Device& device,
                          std::shared_ptr<CNNGroupNormalizationDataSource> dataSource);
    /// A data source that is SecureCoding was archived itself; of another one, what it gives and
    /// the gamma and beta that the kernel had then.
    CNNGroupNormalization(KeyedUnarchiver& coder, const MTL::Device& device);
    /// Copies have a gamma and a beta of their own.
    CNNGroupNormalization(const CNNGroupNormalization&) = default;
    CNNGroupNormalization& operator=(const CNNGroupNormalization&) = default;
    CNNGroupNormalization(CNNGroupNormalization&&) noexcept = default;
    CNNGroupNormalization& operator=(CNNGroupNormalization&&) noexcept = default;
    /// For another device: gamma, beta and the number of groups in use, and a copy of the data
    /// source where it makes one.
    CNNGroupNormalization copy(const MTL::Device& device) const;

    std::shared_ptr<CNNGroupNormalizationDataSource> dataSource() const;
    std::string className() const override { return "CNNGroupNormalization"; }

private:
    CNNGroupNormalization(const CNNGroupNormalization& other, Sharing sharing)
        : CNNGroupwiseNormalization(other, sharing) {}
    CNNGroupNormalization(const CNNGroupNormalization& other, const MTL::Device& device,
                          Source source)
        : CNNGroupwiseNormalization(other, device, std::move(source)) {}
    std::shared_ptr<const CNNGroupwiseNormalization> sharingCopy() const override;
    void archive(mps::Archive& archive) override;
};

/// MPSCNNGroupNormalizationGradientState.
class CNNGroupNormalizationGradientState : public CNNGroupwiseNormalizationGradientState {
public:
    CNNGroupNormalizationGradientState() = default;
    /// The forward kernel, as it was when the state was made.
    std::shared_ptr<const CNNGroupNormalization> groupNormalization() const;
    static bool isKindOf(const detail::ObjectImpl&);
    explicit CNNGroupNormalizationGradientState(std::shared_ptr<Impl> impl)
        : CNNGroupwiseNormalizationGradientState(std::move(impl)) {}
};

/// MPSCNNGroupNormalizationGradient.
class CNNGroupNormalizationGradient : public CNNGroupwiseNormalizationGradient {
public:
    explicit CNNGroupNormalizationGradient(const MTL::Device& device)
        : CNNGroupwiseNormalizationGradient(device, "CNNGroupNormalizationGradient") {}
    CNNGroupNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNGroupNormalizationGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNGroupNormalizationGradient"; }
    CNNGroupNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    std::string forwardClassName() const override { return "CNNGroupNormalization"; }
};

} // namespace mpsvk::MPS
