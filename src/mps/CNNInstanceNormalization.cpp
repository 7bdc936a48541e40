#include <mpsvk/MPS/CNNInstanceNormalization.hpp>

#include "mps/CNNGroupwiseNormalizationArchive.hpp"

namespace mpsvk::MPS {

std::shared_ptr<CNNInstanceNormalizationDataSource>
CNNInstanceNormalizationDataSource::copy(MTL::Device) const {
    return nullptr;
}

CNNInstanceNormalization::CNNInstanceNormalization(
    const MTL::Device& device, std::shared_ptr<CNNInstanceNormalizationDataSource> dataSource)
    : CNNGroupwiseNormalization(device, "CNNInstanceNormalization", dataSource,
                                channelsOf("CNNInstanceNormalization", dataSource.get())) {}

CNNInstanceNormalization::CNNInstanceNormalization(KeyedUnarchiver& coder,
                                                   const MTL::Device& device)
    : CNNInstanceNormalization(
          deviceFor(coder, device),
          coder.decodeObject<CNNInstanceNormalizationDataSource>("dataSource")) {
    unarchive(coder);
}

void CNNInstanceNormalization::archive(mps::Archive& archive) {
    CNNGroupwiseNormalization::archive(archive);
    mps::archiveDataSource<mps::ConstantInstances>(archive, dataSource(),
                                                   [this] { return values(); });
}

std::shared_ptr<CNNInstanceNormalizationDataSource> CNNInstanceNormalization::dataSource() const {
    return std::static_pointer_cast<CNNInstanceNormalizationDataSource>(source());
}

CNNInstanceNormalization CNNInstanceNormalization::copy(const MTL::Device& device) const {
    const MTL::Device target = device ? device : this->device();
    const auto copied = dataSource()->copy(target);
    return CNNInstanceNormalization(*this, target, copied ? copied : dataSource());
}

std::shared_ptr<const CNNGroupwiseNormalization> CNNInstanceNormalization::sharingCopy() const {
    return std::shared_ptr<const CNNInstanceNormalization>(
        new CNNInstanceNormalization(*this, Sharing{}));
}

std::shared_ptr<const CNNInstanceNormalization>
CNNInstanceNormalizationGradientState::instanceNormalization() const {
    return std::static_pointer_cast<const CNNInstanceNormalization>(impl().kernel);
}

bool CNNInstanceNormalizationGradientState::isKindOf(const detail::ObjectImpl& object) {
    const auto* own = dynamic_cast<const Impl*>(&object);
    return own && own->record.className == "CNNInstanceNormalization";
}

} // namespace mpsvk::MPS
