#include "mps/ConvolutionWeights.hpp"

#include "mps/GraphPlan.hpp"
#include "mps/Matrix.hpp"
#include "mps/WinogradProduct.hpp"
#include "vk/Submission.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

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

/// Each one can be packed when those before it are.
constexpr Layout::Copy Layout::*copies[] = {&Layout::floats, &Layout::halves, &Layout::grouped,
                                            &Layout::winograd};

/// Of the copy in halves.
void setHalves(glsl::CNNConvolutionPackParameters& parameters, const Layout& layout) {
    parameters.inHalves = 1;
    parameters.tileSlices = layout.halfSlices;
    parameters.mergedTaps = layout.mergesTaps;
}

} // namespace

void runNow(const MTL::Device& device, const std::function<void(Encoder&)>& encode) {
    const MTL::CommandBuffer recording = recordingCommandBuffer(device);
    Encoder encoder(recording, "");
    encode(encoder);
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
    makeConstants();
    loadFromSource(who);
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
      roundToHalf_(other.roundToHalf_), hasPending_(other.hasPending_), layouts_(other.layouts_),
      scale_(other.scale_), shift_(other.shift_), slopes_(other.slopes_) {
    runNow(device_, [&](Encoder& encoder) {
        for (Layout& layout : layouts_)
            for (vk::BufferSlice* slice :
                 {&layout.floats.memory, &layout.halves.memory, &layout.grouped.memory,
                  &layout.winograd.memory, &layout.channels}) {
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
    makeConstants();
    packValues(kept);
}

void ConvolutionWeights::take(const ConvolutionWeights& other) {
    hasBias_ = other.hasBias_;
    packValues(other.values());
}

void ConvolutionWeights::packValues(const Values& values) {
    const auto weights = uploaded(device_, values.weights),
               biases = uploaded(device_, values.biases);
    runNow(device_, [&](Encoder& encoder) {
        for (Layout& layout : layouts_) pack(encoder, layout, weights, biases, false);
    });
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
    if (copy == &Layout::grouped) {
        encoder.dispatch("CNNConvolutionGroupedWeights", parameters,
                         Grid::of(layout.grouped.memory.size / sizeof(float) / 4),
                         {{1, layout.floats.memory}, {2, layout.grouped.memory}});
        return;
    }
    const AlignedSlice from(weights, encoder.limits());
    parameters.sourceOffset = uint32_t(from.skipped / sizeof(float));
    parameters.roundToHalf = roundToHalf_ && raw;
    parameters.hasScale = bool(scale_) && raw;
    if (copy == &Layout::halves) setHalves(parameters, layout);
    if (copy == &Layout::winograd) {
        packWinograd(encoder, parameters, from.slice, scale_, layout.winograd.memory);
        return;
    }
    const bool isPlain = parameters.groups == 1 && parameters.tileTexels != 0 &&
                         parameters.subPixelBlocks == 1 && !parameters.hasScale;
    const bool wholeTexels = isPlain && !parameters.mergedTaps &&
                             parameters.inputChannels % 4 == 0 && parameters.sourceOffset % 4 == 0;
    encoder.dispatch("CNNConvolutionPack", parameters, Grid::of(packedBlockCount(parameters)),
                     {{1, from.slice}, {2, (layout.*copy).memory}, {3, scale_}},
                     {constant(40, uint32_t(isPlain)), constant(41, uint32_t(wholeTexels))});
}

void ConvolutionWeights::pack(Encoder& encoder, Layout& layout, const vk::BufferSlice& weights,
                              const vk::BufferSlice& biases, bool raw) const {
    const bool isNew = std::ranges::none_of(copies, [&](auto copy) { return (layout.*copy).used; });
    const bool readsHalves = layout.halves.used && roundToHalf_;
    layout.floats.current = layout.floats.used || !readsHalves;
    layout.halves.current = layout.halves && roundToHalf_ && (isNew || readsHalves);
    layout.grouped.current = layout.grouped && (isNew || layout.grouped.used);
    layout.winograd.current = layout.winograd.used;
    for (const auto copy : copies) {
        (layout.*copy).derived = false;
        if ((layout.*copy).current) packCopy(encoder, layout, copy, weights, raw);
    }
    if (isDataGradient() || (!biases && layout.hasNoBiases)) return;
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

void ConvolutionWeights::packLoaded(Encoder& encoder, const vk::BufferSlice& weights,
                                    const vk::BufferSlice& biases) {
    hasBias_ = bool(biases) || bool(shift_);
    for (Layout& layout : layouts_) pack(encoder, layout, weights, biases, true);
}

void ConvolutionWeights::load(Encoder& encoder, const vk::BufferSlice& weights,
                              const vk::BufferSlice& biases) {
    hasPending_ = true;
    packLoaded(encoder, weights, biases);
}

ConvolutionWeights::Layout& ConvolutionWeights::layout(Encoder& encoder, bool flat) {
    if (!flat_ || flat) return layouts_[0];
    if (layouts_.size() == 1) {
        Layout taps = makeLayout(false);
        const auto floats = encoder.scratch(descriptor_.weightCount() * sizeof(float));
        unpackLayout(encoder, layouts_[0], *floats);
        pack(encoder, taps, *floats, {}, false);
        encoder.list().copy({layouts_[0].channels.buffer, layouts_[0].channels.offset,
                             std::min(layouts_[0].channels.size, taps.channels.size)},
                            {taps.channels.buffer, taps.channels.offset,
                             std::min(layouts_[0].channels.size, taps.channels.size)});
        layouts_.push_back(std::move(taps));
    }
    return layouts_[1];
}

const vk::BufferSlice& ConvolutionWeights::use(Encoder& encoder, Layout& layout,
                                               Layout::Copy Layout::*which) const {
    Layout::Copy& copy = layout.*which;
    if (which == &Layout::grouped) use(encoder, layout, &Layout::floats); // what it is packed from
    if (!copy.used && which == &Layout::winograd) {
        copy.memory = vk::whole(device_.impl().vk->memory().allocate(
            winogradBytes(layout.parameters), vk::MemoryKind::Device));
        copy.current = false;
    }
    copy.used = true;
    if (!copy.current) {
        // What is in place already is packed once, not with each replay of the commands.
        if (hasPending_ || &layout != layouts_.data()) {
            derive(encoder, layout, which);
            copy.derived = true;
        } else {
            runNow(device_, [&](Encoder& now) { derive(now, layout, which); });
        }
        copy.current = true;
    }
    return copy.memory;
}

void ConvolutionWeights::derive(Encoder& encoder, const Layout& layout,
                                Layout::Copy Layout::*which) const {
    const auto floats = encoder.scratch(descriptor_.weightCount() * sizeof(float));
    unpackLayout(encoder, layout, *floats);
    packCopy(encoder, layout, which, *floats, false);
}

void ConvolutionWeights::forgetDerived() {
    layouts_.erase(layouts_.begin() + 1, layouts_.end());
    for (const auto which : copies) {
        Layout::Copy& copy = layouts_[0].*which;
        if (copy.derived) copy.current = copy.derived = false;
    }
}

void ConvolutionWeights::unpackLayout(Encoder& encoder, const Layout& layout,
                                      const vk::BufferSlice& weights) const {
    const bool isInHalves = !layout.floats.current;
    auto parameters = layout.parameters;
    if (isInHalves) setHalves(parameters, layout);
    encoder.dispatch("CNNConvolutionUnpack", parameters, Grid::of(packedBlockCount(parameters)),
                     {{1, isInHalves ? layout.halves.memory : layout.floats.memory}, {2, weights}});
}

void ConvolutionWeights::unpack(Encoder& encoder, const vk::BufferSlice& weights,
                                const vk::BufferSlice& biases) const {
    const Layout& layout = layouts_[0];
    unpackLayout(encoder, layout, weights);
    if (!biases) return;
    // A sub-pixel convolution pads the channels of each block to whole texels.
    const uint32_t blocks = layout.parameters.subPixelBlocks;
    const uint64_t block = layout.shape.outputs / blocks, padded = vk::roundUp(block, 4);
    for (uint64_t b = 0; b < blocks; ++b)
        encoder.list().copy(
            {layout.channels.buffer, layout.channels.offset + b * padded * 4, block * 4},
            {biases.buffer, biases.offset + b * block * 4, block * 4});
}

void ConvolutionWeights::loadFromSource(const std::string& who) {
    if (!source_->load()) throw InvalidArgument(who + "The data source's load returned false.");
    std::vector<float> weights, biases;
    try {
        const MPS::DataType kernelType = source_->kernelWeightsDataType();
        if (kernelType != MPS::DataType::Float16 && kernelType != MPS::DataType::Float32)
            throw InvalidArgument(
                who + "The data source's kernelWeightsDataType is neither Float16 nor Float32.");
        if (kernelType == MPS::DataType::Float32 && source_->dataType() != MPS::DataType::Float32)
            throw InvalidArgument(
                who +
                "The data source's kernelWeightsDataType is Float32 but its weights are not.");
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
    } catch (...) {
        source_->purge();
        throw;
    }
    source_->purge();
    const auto weightsSlice = uploaded(device_, weights), biasesSlice = uploaded(device_, biases);
    runNow(device_, [&](Encoder& encoder) { packLoaded(encoder, weightsSlice, biasesSlice); });
    for (Layout& layout : layouts_) layout.hasNoBiases = !hasBias_ && !hasPending_;
}

} // namespace mpsvk::mps
