// How instance and group normalizations are archived: with a data source that is SecureCoding, or
// else with the gamma and beta that they compute with.
#pragma once

#include "mps/Archive.hpp"
#include "mps/CNNGroupwiseNormalization.hpp"

#include <mpsvk/MPS/CNNGroupNormalization.hpp>
#include <mpsvk/MPS/CNNInstanceNormalization.hpp>

namespace mpsvk::mps {

/// The data source that stands for values archived without theirs; updates leave it as it is.
template <class Interface> class ConstantParameters : public Interface, public MPS::SecureCoding {
public:
    explicit ConstantParameters(NormalizationValues values) : values_(std::move(values)) {}
    explicit ConstantParameters(MPS::KeyedUnarchiver& coder) {
        Archive archive(coder);
        values_.archive(archive);
    }
    uint64_t numberOfFeatureChannels() const override { return values_.channels; }
    std::span<const float> gamma() const override { return values_.gamma; }
    std::span<const float> beta() const override { return values_.beta; }
    std::string label() const override { return values_.label; }
    float epsilon() const override { return values_.epsilon; }
    void encode(MPS::KeyedArchiver& coder) const override {
        Archive archive(coder);
        NormalizationValues(values_).archive(archive);
    }

protected:
    NormalizationValues values_;
};

struct ConstantInstances : ConstantParameters<MPS::CNNInstanceNormalizationDataSource> {
    using ConstantParameters::ConstantParameters;
    std::string className() const override { return "CNNInstanceNormalizationWeights"; }
};

struct ConstantGroups : ConstantParameters<MPS::CNNGroupNormalizationDataSource> {
    using ConstantParameters::ConstantParameters;
    uint64_t numberOfGroups() const override { return values_.groups; }
    std::string className() const override { return "CNNGroupNormalizationWeights"; }
};

/// Writes the data source, or a `Constant` with `values()`.
template <class Constant, class Interface, class Values>
void archiveDataSource(Archive& archive, std::shared_ptr<Interface> source, Values values) {
    if (!archive.isWriting()) return;
    if (!std::dynamic_pointer_cast<MPS::SecureCoding>(source))
        source = std::make_shared<Constant>(values());
    archive.object("dataSource", source, "The data source");
}

} // namespace mpsvk::mps
