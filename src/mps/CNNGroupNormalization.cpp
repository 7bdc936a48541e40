#include <mpsvk/MPS/CNNGroupNormalization.hpp>

#include "mps/CNNGroupwiseNormalizationArchive.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

namespace {
uint64_t groupsOf(const CNNGroupNormalizationDataSource* source) {
    return source ? source->numberOfGroups() : 0;
}
} // namespace

void CNNGroupNormalizationDataSource::setNumberOfGroups(uint64_t numberOfGroups) {
    throw InvalidArgument("[CNNGroupNormalizationDataSource] numberOfGroups was set to " +
                          std::to_string(numberOfGroups) + " but this data source's is fixed to " +
                          std::to_string(this->numberOfGroups()) + ".");
}

std::shared_ptr<CNNGroupNormalizationDataSource>
CNNGroupNormalizationDataSource::copy(MTL::Device) const {
    return nullptr;
}

CNNGroupNormalization::CNNGroupNormalization(
    const MTL::Device& device, std::shared_ptr<CNNGroupNormalizationDataSource> dataSource)
    : CNNGroupwiseNormalization(device, "CNNGroupNormalization", dataSource,
                                groupsOf(dataSource.get())) {}

CNNGroupNormalization::CNNGroupNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNGroupNormalization(deviceFor(coder, device),
                            coder.decodeObject<CNNGroupNormalizationDataSource>("dataSource")) {
    unarchive(coder);
}

void CNNGroupNormalization::archive(mps::Archive& archive) {
    CNNGroupwiseNormalization::archive(archive);
    mps::archiveDataSource<mps::ConstantGroups>(archive, dataSource(), [this] { return values(); });
}

std::shared_ptr<CNNGroupNormalizationDataSource> CNNGroupNormalization::dataSource() const {
    return std::static_pointer_cast<CNNGroupNormalizationDataSource>(source());
}

CNNGroupNormalization CNNGroupNormalization::copy(const MTL::Device& device) const {
    const MTL::Device target = device ? device : this->device();
    const auto copied = dataSource()->copy(target);
    return CNNGroupNormalization(*this, target, copied ? copied : dataSource());
}

std::shared_ptr<const CNNGroupwiseNormalization> CNNGroupNormalization::sharingCopy() const {
    return std::shared_ptr<const CNNGroupNormalization>(
        new CNNGroupNormalization(*this, Sharing{}));
}

std::shared_ptr<const CNNGroupNormalization>
CNNGroupNormalizationGradientState::groupNormalization() const {
    return std::static_pointer_cast<const CNNGroupNormalization>(impl().kernel);
}

bool CNNGroupNormalizationGradientState::isKindOf(const detail::ObjectImpl& object) {
    const auto* own = dynamic_cast<const Impl*>(&object);
    return own && own->record.className == "CNNGroupNormalization";
}

} // namespace mpsvk::MPS
