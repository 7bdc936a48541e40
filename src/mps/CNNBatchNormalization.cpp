#include "mps/CNNBatchNormalization.hpp"

#include "mps/CNNNeuron.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

using mps::BatchNormalizationParameters;

namespace {
void checkAddends(const std::string& who, const ImageBatch& addends, const mps::UnaryPass& pass) {
    const Image &addend = addends[0], &result = pass.destinations[0];
    const uint64_t count = addends.size() > 1 ? addends.size() : addend.numberOfImages();
    if (addend.width() == result.width() && addend.height() == result.height() &&
        addend.featureChannels() == result.featureChannels() && count >= pass.imageCount)
        return;
    const auto text = [](const Image& image, uint64_t images) {
        return std::to_string(images) + " of " + mps::sizeText(image.width(), image.height()) +
               " with " + std::to_string(image.featureChannels()) + " feature channels";
    };
    throw InvalidArgument(who + "The images to be added are " + text(addend, count) +
                          " but those normalized are " + text(result, pass.imageCount) +
                          ": they must be equal.");
}
} // namespace

CNNBatchNormalization::CNNBatchNormalization(
    const MTL::Device& device, std::shared_ptr<CNNBatchNormalizationDataSource> source)
    : CNNBatchNormalization(device, std::move(source), std::nullopt) {}

CNNBatchNormalization::CNNBatchNormalization(
    const MTL::Device& device, std::shared_ptr<CNNBatchNormalizationDataSource> source,
    const std::optional<NNNeuronDescriptor>& neuron)
    : CNNKernel(device, "CNNBatchNormalization"),
      neuron_(neuron.value_or(NNNeuronDescriptor(CNNNeuronType::None))) {
    if (source) setLabel(source->label());
    parameters_ = std::make_shared<BatchNormalizationParameters>(device, source, subject());
    epsilon_ = source->epsilon();
    slopes_ = mps::slopesOf(subject(), device, neuron_);
    mps::checkSlopes(subject(), neuron_, parameters_->channels);
}

CNNBatchNormalization::~CNNBatchNormalization() = default;
CNNBatchNormalization::CNNBatchNormalization(CNNBatchNormalization&&) noexcept = default;
CNNBatchNormalization& CNNBatchNormalization::operator=(CNNBatchNormalization&&) noexcept = default;

CNNBatchNormalization::CNNBatchNormalization(const CNNBatchNormalization& other)
    : CNNBatchNormalization(other,
                            std::make_shared<BatchNormalizationParameters>(*other.parameters_)) {}

CNNBatchNormalization& CNNBatchNormalization::operator=(const CNNBatchNormalization& other) {
    return *this = CNNBatchNormalization(other);
}

CNNBatchNormalization::CNNBatchNormalization(const CNNBatchNormalization& other,
                                             std::shared_ptr<BatchNormalizationParameters> shared)
    : CNNKernel(other), parameters_(std::move(shared)), epsilon_(other.epsilon_),
      neuron_(other.neuron_), slopes_(other.slopes_) {}

CNNBatchNormalization CNNBatchNormalization::copy(const MTL::Device& device) const {
    const MTL::Device target = device ? device : this->device();
    const auto source = dataSource()->copy(target);
    CNNBatchNormalization made(*this, std::make_shared<BatchNormalizationParameters>(
                                          *parameters_, target, source ? source : dataSource()));
    made.setDevice(target);
    made.slopes_ = mps::slopesOf(subject(), target, neuron_);
    return made;
}

void CNNBatchNormalization::takeParameters(const CNNBatchNormalization& other) {
    parameters_ =
        std::make_shared<BatchNormalizationParameters>(*other.parameters_, device(), dataSource());
    epsilon_ = other.epsilon_;
}

uint64_t CNNBatchNormalization::numberOfFeatureChannels() const { return parameters_->channels; }
std::shared_ptr<CNNBatchNormalizationDataSource> CNNBatchNormalization::dataSource() const {
    return parameters_->source;
}

void CNNBatchNormalization::reloadGammaAndBetaFromDataSource() {
    parameters_->loadFromSource(subject(), BatchNormalizationParameters::Gamma);
}

void CNNBatchNormalization::reloadMeanAndVarianceFromDataSource() {
    parameters_->loadFromSource(subject(), BatchNormalizationParameters::Mean);
}

void CNNBatchNormalization::reloadGammaAndBeta(const MTL::CommandBuffer& commandBuffer,
                                               const CNNNormalizationGammaAndBetaState& state) {
    if (!state) throw InvalidArgument(subject() + "gammaAndBetaState is an empty handle.");
    parameters_->load(*this, "gammaAndBetaState", commandBuffer, state.impl(),
                      BatchNormalizationParameters::Gamma);
}

void CNNBatchNormalization::reloadMeanAndVariance(
    const MTL::CommandBuffer& commandBuffer, const CNNNormalizationMeanAndVarianceState& state) {
    if (!state) throw InvalidArgument(subject() + "meanAndVarianceState is an empty handle.");
    parameters_->load(*this, "meanAndVarianceState", commandBuffer, state.impl(),
                      BatchNormalizationParameters::Mean);
}

StateBatch CNNBatchNormalization::makeResultStates(const mps::StateRequest& request) const {
    auto forward =
        std::shared_ptr<CNNBatchNormalization>(new CNNBatchNormalization(*this, parameters_));
    // The neuron is then that of a sum: a gradient of the normalization knows nothing of it.
    if (!addends_.empty()) forward->neuron_ = NNNeuronDescriptor(CNNNeuronType::None);
    const CNNBatchNormalizationState state(std::make_shared<CNNBatchNormalizationState::Impl>(
        request.device, request.record, std::move(forward), parameters_));
    return StateBatch(request.count(), state);
}

CNNBatchNormalizationState CNNBatchNormalization::resultState(const Image& source,
                                                              const StateBatch& sourceStates,
                                                              const Image& destination) const {
    return CNNKernel::resultState(source, sourceStates, destination)
        .as<CNNBatchNormalizationState>();
}

CNNBatchNormalizationState
CNNBatchNormalization::temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                                            const Image& source, const StateBatch& sourceStates,
                                            const Image& destination) const {
    return CNNKernel::temporaryResultState(commandBuffer, source, sourceStates, destination)
        .as<CNNBatchNormalizationState>();
}

void CNNBatchNormalization::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                                   const CNNBatchNormalizationState& state,
                                   const Image& destination) {
    mps::checkUsableState(subject(), state, commandBuffer);
    run(commandBuffer, {source}, {state}, {destination}, false);
}

void CNNBatchNormalization::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                        const ImageBatch& sources,
                                        const CNNBatchNormalizationState& state,
                                        const ImageBatch& destinations) {
    mps::checkUsableState(subject(), state, commandBuffer);
    run(commandBuffer, sources, StateBatch(sources.size(), state), destinations, true);
}

StateBatch CNNBatchNormalization::statesRead(const StateBatch& states) const { return states; }

void CNNBatchNormalization::validate(const mps::UnaryPass& pass) const {
    mps::checkParameterChannels(subject(), pass.sourceChannels, parameters_->channels);
    if (!addends_.empty()) checkAddends(subject(), addends_, pass);
    if (pass.states.empty()) return;
    mps::checkOneState(subject(), pass.states);
    mps::checkParameterChannels(subject(), pass.sourceChannels,
                                mps::stateOf(pass.states).parameters->channels);
}

void CNNBatchNormalization::dispatch(const mps::UnaryPass& pass) const {
    auto* state = pass.states.empty() ? nullptr : &mps::stateOf(pass.states);
    if (state) state->statistics.closed = true;
    const auto& parameters = state ? *state->parameters : *parameters_;
    const auto encode = [&](size_t first, size_t count, const mps::ImageRun& addends) {
        glsl::CNNBatchNormalizationParameters p{
            .source = mps::imagesFrom(pass.sourceView, first),
            .destination = mps::imagesFrom(pass.destinationView, first),
            .addend = addends.view(0, pass.sourceChannels),
            .sourceX = int(pass.offset.x),
            .sourceY = int(pass.offset.y),
            .destinationX = int(pass.clip.x),
            .destinationY = int(pass.clip.y),
            .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
            .epsilon = state ? state->kernel->epsilon() : epsilon_,
            .a = neuron_.a(),
            .b = neuron_.b(),
            .c = neuron_.c(),
        };
        const bool hasPairs = pass.texelsEach() == 2 && (!addends || addends.hasPairs(p.addend));
        mps::WalkShape shape{pass.clip.width, pass.clip.height, count, pass.sourceChannels,
                             hasPairs ? 2u : 1u};
        if (p.sourceX == 0 && p.sourceY == 0 && mps::isFlat(shape, pass.source, p.source) &&
            mps::isFlat(shape, pass.destination, p.destination) &&
            (!addends || mps::isFlat(shape, addends, p.addend)))
            mps::flatten(shape, {&p.source, &p.destination, &p.addend});
        p.walk = mps::walkOver(shape, mps::WalkUse::Pixels);
        using enum BatchNormalizationParameters::Array;
        pass.encoder->dispatch("CNNBatchNormalization", p,
                               mps::walkGrid(p.walk, shape.texelsEach, pass.hasWholeTexels()),
                               {{1, pass.source},
                                {2, addends},
                                {3, pass.destination},
                                {4, parameters.slice(Gamma)},
                                {5, parameters.slice(Beta)},
                                {6, state ? state->mean() : parameters.slice(Mean)},
                                {7, state ? state->variance() : parameters.slice(Variance)},
                                {8, mps::sliceOf(slopes_)}},
                               {mps::constant(32, uint32_t(neuron_.neuronType())),
                                mps::constant(33, uint32_t(bool(addends)))});
    };
    mps::forEachRun(pass.encoder->limits(), addends_, pass.firstImage, pass.imageCount, encode);
}

CNNBatchNormalizationStatistics::CNNBatchNormalizationStatistics(const MTL::Device& device)
    : CNNKernel(device, "CNNBatchNormalizationStatistics") {}

CNNBatchNormalizationStatistics
CNNBatchNormalizationStatistics::copy(const MTL::Device& device) const {
    CNNBatchNormalizationStatistics made(*this);
    made.setDevice(device);
    return made;
}

void CNNBatchNormalizationStatistics::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                                  const ImageBatch& sources,
                                                  const CNNBatchNormalizationState& state) {
    mps::checkUsableState(subject(), state, commandBuffer);
    run(commandBuffer, sources, StateBatch(sources.size(), state), {}, true);
}

void CNNBatchNormalizationStatistics::validate(const mps::UnaryPass& pass) const {
    mps::checkParameterChannels(subject(), pass.sourceChannels,
                                mps::stateOf(pass.states).parameters->channels);
}

void CNNBatchNormalizationStatistics::dispatch(const mps::UnaryPass& pass) const {
    // The part of a rectangle of that size at the offset that lies in the image: where clipRect
    // begins is a place in a destination, and there is none.
    const auto inside = [](int64_t offset, uint64_t length, uint64_t all) {
        const int64_t begin = std::max<int64_t>(offset, 0);
        const int64_t end = offset >= int64_t(all)            ? 0
                            : length < all - uint64_t(offset) ? offset + int64_t(length)
                                                              : int64_t(all);
        return std::pair(begin, end - begin);
    };
    const auto [x, width] = inside(pass.offset.x, clipRect().size.width, pass.source.width());
    const auto [y, height] = inside(pass.offset.y, clipRect().size.height, pass.source.height());
    if (width <= 0 || height <= 0) return;

    auto& state = mps::stateOf(pass.states);
    state.statistics.begin();
    if (state.statistics.pixels == 0) state.gradients = {};
    glsl::CNNBatchNormalizationParameters p{};
    p.source = pass.sourceView;
    mps::WalkShape shape{uint64_t(width), uint64_t(height), pass.imageCount, pass.sourceChannels,
                         pass.source.hasPairs(pass.sourceView) ? 2u : 1u};
    if (mps::isFlat(shape, pass.source, p.source)) mps::flatten(shape, {&p.source});
    p.walk = mps::walkOver(shape, mps::WalkUse::Sums);
    p.sourceX = int(x);
    p.sourceY = int(y);
    const auto partials = pass.encoder->scratch(mps::partialBytes(p.walk, pass.sourceChannels));
    pass.encoder->dispatch("CNNBatchNormalizationStatistics", p,
                           mps::walkGrid(p.walk, shape.texelsEach, pass.hasWholeTexels()),
                           {{1, pass.source}, {2, *partials}});
    using Buffers = CNNBatchNormalizationState::Impl::Buffers;
    mps::reduceSums(*pass.encoder, "CNNBatchNormalizationStatisticsReduce", p.walk,
                    pass.sourceChannels, state.statistics, *partials, state.buffer(Buffers::Mean),
                    state.buffer(Buffers::Variance));
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

uint64_t NormalizationAccess::loadVersion(const MPS::CNNBatchNormalization& kernel) {
    return kernel.parameters_->version;
}

DeferredReload NormalizationAccess::deferredReload(MPS::CNNBatchNormalization& kernel) {
    return [&kernel, old = kernel.parameters_, who = Subject(kernel).text()] {
        const auto loaded =
            std::make_shared<BatchNormalizationParameters>(old->device, old->source, who);
        return [&kernel, loaded] { kernel.parameters_ = loaded; };
    };
}

} // namespace mpsvk::mps
