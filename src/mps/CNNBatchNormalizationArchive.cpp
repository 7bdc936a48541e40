// How batch normalizations are archived: with a data source that is SecureCoding, or else with the
// values that they compute with.
#include "mps/CNNBatchNormalizationArchive.hpp"

#include "mps/CNNNeuron.hpp"

namespace mpsvk::mps {

ConstantNormalization::ConstantNormalization(MPS::KeyedUnarchiver& coder) {
    Archive archive(coder);
    this->archive(archive);
}

ConstantNormalization::ConstantNormalization(const BatchNormalizationParameters& parameters)
    : channels_(parameters.channels), arrays_(parameters.values()),
      epsilon_(parameters.source->epsilon()), label_(parameters.source->label()) {}

void ConstantNormalization::encode(MPS::KeyedArchiver& coder) const {
    Archive archive(coder);
    ConstantNormalization(*this).archive(archive);
}

void ConstantNormalization::archive(Archive& archive) {
    archive("numberOfFeatureChannels", channels_);
    archive("gamma", arrays_[BatchNormalizationParameters::Gamma]);
    archive("beta", arrays_[BatchNormalizationParameters::Beta]);
    archive("mean", arrays_[BatchNormalizationParameters::Mean]);
    archive("variance", arrays_[BatchNormalizationParameters::Variance]);
    archive("epsilon", epsilon_);
    archive("label", label_);
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

CNNBatchNormalization::CNNBatchNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNBatchNormalization(deviceFor(coder, device),
                            coder.decodeObject<CNNBatchNormalizationDataSource>("dataSource")) {
    unarchive(coder);
}

void CNNBatchNormalization::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("epsilon", epsilon_);
    archive("fusedNeuronDescriptor", neuron_);
    if (archive.isReading()) {
        slopes_ = mps::slopesOf(subject(), device(), neuron_);
        mps::checkSlopes(subject(), neuron_, parameters_->channels);
    }
    if (!archive.isWriting()) return;
    auto source = dataSource();
    if (!std::dynamic_pointer_cast<SecureCoding>(source))
        source = std::make_shared<mps::ConstantNormalization>(*parameters_);
    archive.object("dataSource", source, "The data source");
}

CNNBatchNormalizationStatistics::CNNBatchNormalizationStatistics(KeyedUnarchiver& coder,
                                                                 const MTL::Device& device)
    : CNNBatchNormalizationStatistics(deviceFor(coder, device)) {
    unarchive(coder);
}

} // namespace mpsvk::MPS
