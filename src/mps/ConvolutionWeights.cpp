#include "mps/ConvolutionWeights.hpp"

#include "mps/GraphPlan.hpp"
#include "mps/Matrix.hpp"
#include "mps/Names.hpp"
#include "mps/WinogradProduct.hpp"
#include "mps/WinogradRows.hpp"
#include "vk/Submission.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>

namespace mpsvk::mps {

namespace {

vk::BufferSlice uploaded(const MTL::Device& device, std::span<const float> values) {
    if (values.empty()) return {};
    auto& vk = *device.impl().vk;
    auto slice = vk::whole(vk.memory().allocate(values.size_bytes(), vk::MemoryKind::Device));
    vk.upload(slice, values.data());
    return slice;
}

using Layout = ConvolutionWeights::Layout;

constexpr Layout::Copy Layout::*copies[] = {&Layout::floats, &Layout::halves, &Layout::grouped,
                                            &Layout::winograd, &Layout::winogradRows};

/// Of the copy in halves.
void setHalves(glsl::CNNConvolutionPackParameters& parameters, const Layout& layout) {
    parameters.inHalves = 1;
    parameters.tileSlices = layout.halfSlices;
    parameters.mergedTaps = layout.mergesTaps;
}

} // namespace

LoadedSource::LoadedSource(const std::string& who, MPS::CNNConvolutionDataSource& source)
    : source_(source) {
    if (!source.load()) throw InvalidArgument(who + "The data source's load returned false.");
}

LoadedSource::~LoadedSource() noexcept(false) {
    if (std::uncaught_exceptions() == exceptions_) {
        source_.purge();
        return;
    }
    try {
        source_.purge();
    } catch (...) { // what made the loading fail is on its way already
    }
}

void runNow(const MTL::Device& device, const std::function<void(Encoder&)>& encode) {
    const MTL::CommandBuffer recording = recordingCommandBuffer(device);
    Encoder encoder(recording, "");
    encode(encoder);
    device.impl().waitForSubmissions();
    vk::Pace pace;
    vk::Submission submission(*device.impl().vk, pace);
    submission.submit(encoder.list());
    vk::GpuTimes times;
    vk::check(submission.wait(times), "Waiting for the GPU");
}

ConvolutionWeights::ConvolutionWeights(const MTL::Device& device, ConvolutionSource source,
                                       const MPS::CNNConvolutionDescriptor& descriptor, Use use,
                                       bool flat, const std::string& who)
    : device_(device), source_(std::move(source)), descriptor_(descriptor), use_(use), flat_(flat) {
    loadFromSource(who);
}

std::shared_ptr<ConvolutionWeights> ConvolutionWeights::loadedAnew(const std::string& who) const {
    return std::make_shared<ConvolutionWeights>(device_, source_, descriptor_, use_, flat_, who);
}

void ConvolutionWeights::makeConstants() {
    layouts_ = {makeLayout(flat_)};
    slopes_ = uploaded(device_, descriptor_.fusedNeuronDescriptor().data());
    if (const auto& bn = descriptor_.batchNormalizationForInference()) {
        std::vector<float> scale, shift;
        for (size_t o = 0; o < bn->mean.size(); ++o) {
            scale.push_back(bn->gamma[o] / std::sqrt(bn->variance[o] + bn->epsilon));
            shift.push_back(bn->beta[o] - scale.back() * bn->mean[o]);
        }
        scale_ = uploaded(device_, scale);
        shift_ = uploaded(device_, shift);
    }
}

ConvolutionWeights::ConvolutionWeights(const ConvolutionWeights& other)
    : device_(other.device_), source_(other.source_), descriptor_(other.descriptor_),
      use_(other.use_), flat_(other.flat_), hasBias_(other.hasBias_),
      roundToHalf_(other.roundToHalf_), layouts_(other.layouts_), scale_(other.scale_),
      shift_(other.shift_), slopes_(other.slopes_) {
    forgetDerived();
    runNow(device_, [&](Encoder& encoder) {
        for (Layout& layout : layouts_)
            for (vk::BufferSlice* slice :
                 {&layout.floats.memory, &layout.halves.memory, &layout.grouped.memory,
                  &layout.winograd.memory, &layout.winogradRows.memory, &layout.channels}) {
                const vk::BufferSlice from = *slice;
                if (!from) continue;
                *slice = vk::whole(
                    device_.impl().vk->memory().allocate(from.size, vk::MemoryKind::Device));
                encoder.list().copy(from, *slice);
            }
    });
}

void ConvolutionWeights::moveTo(const MTL::Device& device) {
    if (auto copy = source_->copy(device)) source_ = std::move(copy);
    if (device == device_) return;
    const Values kept = values();
    device_ = device;
    loading_.clear();
    makeConstants();
    packValues(kept);
}

void ConvolutionWeights::take(const ConvolutionWeights& other) { packValues(other.values()); }

void ConvolutionWeights::packValues(const Values& values) {
    packAtOnce(uploaded(device_, values.weights), uploaded(device_, values.biases), false);
}

ConvolutionWeights::Values ConvolutionWeights::values() const {
    const MPS::CNNConvolutionWeightsAndBiasesState state(device_, descriptor_);
    runNow(device_, [&](Encoder& encoder) {
        unpack(encoder, state.impl().weightsSlice(),
               isDataGradient() ? vk::BufferSlice() : state.impl().biasesSlice());
    });
    const auto floats = [](const MTL::Buffer& buffer) {
        const auto bytes = buffer.contents();
        std::vector<float> values(bytes.size() / sizeof(float));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    };
    Values made{floats(state.weights()), {}};
    if (hasBias_ && !isDataGradient()) made.biases = floats(state.biases());
    return made;
}

void ConvolutionWeights::packCopy(Encoder& encoder, const Layout& layout,
                                  Layout::Copy Layout::*copy, const vk::BufferSlice& weights,
                                  bool raw) const {
    auto parameters = layout.parameters;
    const AlignedSlice from(weights, encoder.limits());
    parameters.sourceOffset = uint32_t(from.skipped / sizeof(float));
    parameters.roundToHalf = roundToHalf_ && raw;
    parameters.hasScale = bool(scale_) && raw;
    if (copy == &Layout::halves) setHalves(parameters, layout);
    if (copy == &Layout::winograd)
        return packWinograd(encoder, parameters, from.slice, scale_, layout.winograd.memory);
    if (copy == &Layout::winogradRows)
        return packWinogradRows(encoder, parameters, from.slice, scale_,
                                layout.winogradRows.memory);
    const bool isPlain = parameters.groups == 1 && parameters.tileTexels != 0 &&
                         parameters.subPixelBlocks == 1 && !parameters.hasScale;
    const bool wholeTexels = isPlain && !parameters.mergedTaps &&
                             parameters.inputChannels % 4 == 0 && parameters.sourceOffset % 4 == 0;
    encoder.dispatch("CNNConvolutionPack", parameters, Grid::of(packedBlockCount(parameters)),
                     {{1, from.slice}, {2, (layout.*copy).memory}, {3, scale_}},
                     {constant(40, uint32_t(isPlain)), constant(41, uint32_t(wholeTexels)),
                      constant(42, uint32_t(copy == &Layout::grouped))});
}

void ConvolutionWeights::pack(Encoder& encoder, Layout& layout, const vk::BufferSlice& weights,
                              const vk::BufferSlice& biases, bool raw) const {
    for (const auto copy : copies) {
        (layout.*copy).madeIn = 0;
        if ((layout.*copy).current) packCopy(encoder, layout, copy, weights, raw);
    }
    layout.channelsMade.madeIn = 0;
    if (!layout.channelsMade.current || isDataGradient() || (!biases && layout.hasNoBiases)) return;
    if (layout.hasNoBiases) loadVersion_ = newVersion();
    layout.hasNoBiases = false;
    auto parameters = layout.parameters;
    parameters.hasBias = bool(biases);
    AlignedSlice bias{};
    if (biases) bias = AlignedSlice(biases, encoder.limits());
    parameters.sourceOffset = uint32_t(bias.skipped / sizeof(float));
    parameters.hasScale = bool(scale_) && raw;
    parameters.hasShift = bool(shift_) && raw;
    parameters.hasSlopes = bool(slopes_);
    encoder.dispatch(
        "CNNConvolutionPackBias", parameters, Grid::of(layout.channels.size / sizeof(float) / 2),
        {{1, bias.slice}, {2, layout.channels}, {3, scale_}, {4, shift_}, {5, slopes_}});
}

void ConvolutionWeights::packAtOnce(const vk::BufferSlice& weights, const vk::BufferSlice& biases,
                                    bool raw) {
    // Kernels that have read biases once go on reading them: then they are zeros.
    hasBias_ = hasBias_ || bool(biases) || bool(shift_);
    const bool all = !isLoading();
    loadVersion_ = newVersion();
    runNow(device_, [&](Encoder& encoder) {
        for (Layout& layout : layouts_) {
            choose(layout, all);
            pack(encoder, layout, weights, biases, raw);
        }
    });
}

void ConvolutionWeights::choose(Layout& layout, bool all) const {
    const bool isNew = std::ranges::none_of(copies, [&](auto copy) { return (layout.*copy).used; });
    const auto may = [&](const Layout::Copy& copy) { return copy && (all || copy.current); };
    const bool readsHalves = layout.halves.used && roundToHalf_ && may(layout.halves);
    layout.floats.current = may(layout.floats) && (layout.floats.used || !readsHalves);
    layout.halves.current = may(layout.halves) && roundToHalf_ && (isNew || readsHalves);
    if (&layout == layouts_.data() && !layout.halves.current) layout.floats.current = true;
    layout.grouped.current = may(layout.grouped) && (isNew || layout.grouped.used);
    for (const auto copy : {&Layout::winograd, &Layout::winogradRows})
        (layout.*copy).current = may(layout.*copy) && (layout.*copy).used;
    layout.channelsMade.current = layout.channelsMade.current || all;
}

void ConvolutionWeights::load(Encoder& encoder, const vk::BufferSlice& weights,
                              const vk::BufferSlice& biases) {
    loadedAgain(encoder.commandBuffer());
    hasBias_ = hasBias_ || bool(biases);
    for (Layout& layout : layouts_) {
        choose(layout, false); // what is not current would not be so in other command buffers
        pack(encoder, layout, weights, biases, true);
    }
}

void ConvolutionWeights::loadedAgain(const MTL::CommandBuffer& commands) {
    isLoading(); // forgets those that have run
    loading_.push_back(commands.impl().weak_from_this());
}

bool ConvolutionWeights::isLoading() const {
    std::erase_if(loading_, [](const auto& weak) {
        const auto commands = weak.lock();
        return !commands || commands->handle().status() >= MTL::CommandBufferStatus::Completed;
    });
    return !loading_.empty();
}

void ConvolutionWeights::derive(Encoder& encoder, Derived& derived,
                                const std::function<void(Encoder&)>& make) const {
    if (derived.current) return;
    loadVersion_ = newVersion();
    const uint64_t serial = encoder.commandBuffer().impl().serial;
    // What is in place already is packed once, not with each replay of the commands. Weights that
    // commands are still to load are in place for this command buffer only, if it is committed.
    if (!isLoading()) {
        runNow(device_, make);
        derived.current = true;
    } else if (derived.madeIn != serial) {
        make(encoder);
        derived.madeIn = serial;
    }
}

ConvolutionWeights::Layout& ConvolutionWeights::layout(Encoder& encoder, bool flat) {
    if (!flat_ || flat) return layouts_[0];
    if (layouts_.size() == 1) {
        layouts_.push_back(makeLayout(false));
        loadVersion_ = newVersion();
    }
    Layout& taps = layouts_[1];
    if (isDataGradient()) return taps;
    derive(encoder, taps.channelsMade, [&](Encoder& on) {
        const uint64_t bytes = std::min(layouts_[0].channels.size, taps.channels.size);
        on.list().copy({layouts_[0].channels.buffer, layouts_[0].channels.offset, bytes},
                       {taps.channels.buffer, taps.channels.offset, bytes});
    });
    return taps;
}

const vk::BufferSlice& ConvolutionWeights::use(Encoder& encoder, Layout& layout,
                                               Layout::Copy Layout::*which) const {
    Layout::Copy& copy = layout.*which;
    if (!copy.used) loadVersion_ = newVersion();
    const uint64_t missing = copy.used                        ? 0
                             : which == &Layout::winograd     ? winogradBytes(layout.parameters)
                             : which == &Layout::winogradRows ? winogradRowsBytes(layout.parameters)
                                                              : 0;
    if (missing > 0)
        copy.memory =
            vk::whole(device_.impl().vk->memory().allocate(missing, vk::MemoryKind::Device));
    copy.used = true;
    derive(encoder, copy, [&](Encoder& on) {
        const auto floats = on.scratch(descriptor_.weightCount() * sizeof(float));
        unpackWeights(on, *floats);
        packCopy(on, layout, which, *floats, false);
    });
    return copy.memory;
}

void ConvolutionWeights::forgetDerived() {
    for (Layout& layout : layouts_) {
        for (const auto which : copies) (layout.*which).madeIn = 0;
        layout.channelsMade.madeIn = 0;
    }
}

void ConvolutionWeights::unpackWeights(Encoder& encoder, const vk::BufferSlice& weights) const {
    const Layout& layout = layouts_[0];
    const bool isInHalves = !layout.floats.current;
    auto parameters = layout.parameters;
    if (isInHalves) setHalves(parameters, layout);
    encoder.dispatch("CNNConvolutionUnpack", parameters, Grid::of(packedBlockCount(parameters)),
                     {{1, isInHalves ? layout.halves.memory : layout.floats.memory}, {2, weights}});
}

void ConvolutionWeights::unpack(Encoder& encoder, const vk::BufferSlice& weights,
                                const vk::BufferSlice& biases) const {
    unpackWeights(encoder, weights);
    if (!biases) return;
    const Layout& layout = layouts_[0];
    // A sub-pixel convolution pads the channels of each block to whole texels.
    const uint32_t blocks = layout.parameters.subPixelBlocks;
    const uint64_t block = layout.shape.outputs / blocks, padded = vk::roundUp(block, 4);
    for (uint64_t b = 0; b < blocks; ++b)
        encoder.list().copy(
            {layout.channels.buffer, layout.channels.offset + b * padded * 4, block * 4},
            {biases.buffer, biases.offset + b * block * 4, block * 4});
}

void ConvolutionWeights::loadFromSource(const std::string& who) {
    std::vector<float> weights, biases;
    {
        const LoadedSource loaded(who, *source_);
        const MPS::DataType kernelType = source_->kernelWeightsDataType();
        if (kernelType != MPS::DataType::Float16 && kernelType != MPS::DataType::Float32)
            throw InvalidArgument(who + "The data source's kernelWeightsDataType is " +
                                  nameOf(kernelType) + " but must be Float16 or Float32.");
        if (kernelType == MPS::DataType::Float32 && source_->dataType() != MPS::DataType::Float32)
            throw InvalidArgument(
                who + "The data source's kernelWeightsDataType is Float32 but its weights are " +
                nameOf(source_->dataType()) + ".");
        roundToHalf_ = kernelType == MPS::DataType::Float16;
        if (isTranspose() && source_->dataType() == MPS::DataType::UInt8)
            throw InvalidArgument(who + "The data source's dataType is UInt8 but a transposed "
                                        "convolution takes Float32 or Float16.");
        weights = decodedWeights(*source_, descriptor_, who);
        const auto terms = source_->biasTerms();
        if (!terms.empty() && terms.size() != descriptor_.outputFeatureChannels())
            throw InvalidArgument(
                who + "The data source has " + std::to_string(terms.size()) + " bias terms but " +
                std::to_string(descriptor_.outputFeatureChannels()) + " output feature channels.");
        biases.assign(terms.begin(), terms.end());
    }
    if (layouts_.empty()) makeConstants(); // of sizes that the source's weights have confirmed
    packAtOnce(uploaded(device_, weights), uploaded(device_, biases), true);
    for (Layout& layout : layouts_) layout.hasNoBiases = !hasBias_;
}

} // namespace mpsvk::mps
