#include "mps/CNNGroupwiseNormalization.hpp"

#include "mps/Archive.hpp"
#include "mps/CNNNormalizationWeights.hpp"
#include "mps/ConvolutionWeights.hpp"
#include "mps/WholeGroup.hpp"

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

void NormalizationValues::archive(Archive& archive) {
    archive("numberOfFeatureChannels", channels);
    archive("numberOfGroups", groups);
    archive("gamma", gamma);
    archive("beta", beta);
    archive("label", label);
    archive("epsilon", epsilon);
}

GammaAndBeta::GammaAndBeta(const MTL::Device& device, uint64_t channels)
    : device_(device), channels_(channels) {
    const auto options = MTL::ResourceOptions::StorageModeShared;
    for (int i = 0; i < 2; ++i) {
        slices_[i] = device.newBuffer(slicesFor(channels) * 16, options).impl().slice;
        buffers_[i] = MTL::Buffer(std::make_shared<MTL::Buffer::Impl>(
            device, options,
            vk::BufferSlice{slices_[i].buffer, slices_[i].offset, channels * sizeof(float)}));
    }
}

GammaAndBeta::GammaAndBeta(const GammaAndBeta& other, const MTL::Device& device)
    : GammaAndBeta(device, other.channels_) {
    if (device != other.device_) {
        const auto [gamma, beta] = other.values();
        set(gamma, beta);
        return;
    }
    runNow(device_, [&](Encoder& encoder) {
        for (int i = 0; i < 2; ++i) encoder.list().copy(other.slices_[i], slices_[i]);
    });
}

std::array<std::vector<float>, 2> GammaAndBeta::values() const {
    const GammaAndBeta settled(*this); // behind everything that was committed
    std::array<std::vector<float>, 2> all;
    for (int i = 0; i < 2; ++i) {
        all[i].resize(channels_);
        std::ranges::copy(settled.buffers_[i].contents(),
                          std::as_writable_bytes(std::span(all[i])).begin());
    }
    return all;
}

void GammaAndBeta::set(std::span<const float> gamma, std::span<const float> beta) {
    const auto write = [&](const MTL::Buffer& buffer, std::span<const float> values,
                           float missing) {
        const std::span<float> all(reinterpret_cast<float*>(buffer.contents().data()), channels_);
        if (values.empty())
            std::ranges::fill(all, missing);
        else
            std::ranges::copy(values, all.begin());
    };
    write(buffers_[0], gamma, 1);
    write(buffers_[1], beta, 0);
}

void GammaAndBeta::load(Encoder& encoder, const vk::BufferSlice& gamma,
                        const vk::BufferSlice& beta) {
    copyChannels(encoder, {gamma, beta}, {slices_[0], slices_[1]});
}

NormalizationPlan::NormalizationPlan(const vk::Limits& limits, const MPS::Image& source,
                                     uint64_t channels, uint64_t groupChannels) {
    const uint64_t pixels = source.width() * source.height();
    const auto format = source.featureChannelFormat();
    const uint64_t bytesPerTexel = format == MPS::ImageFeatureChannelFormat::Float32  ? 16
                                   : format == MPS::ImageFeatureChannelFormat::Unorm8 ? 4
                                                                                      : 8;
    slices = uint32_t(slicesFor(channels));
    const uint32_t most = std::min(256u, std::bit_floor(limits.workGroupInvocations));

    // Blocks of whole groups, wide enough that neighbours read whole sectors of memory and that
    // there is work for all invocations.
    uint64_t block = groupChannels % 4 == 0   ? groupChannels / 4
                     : 4 % groupChannels == 0 ? 1
                                              : slices;
    while (2 * block <= slices && (block * bytesPerTexel < 32 || block * pixels < 256)) block *= 2;
    // So little is still in the caches when a workgroup reads it again; more is faster in parts.
    whole = block * pixels <= 2048 && 2 * std::bit_ceil(block) <= most;
    if (whole) {
        blockLanes = uint32_t(std::bit_ceil(block));
        const bool few = 2 * blockLanes <= 64 && blockLanes * pixels < 512;
        lanes = std::min(few ? 64u : 256u, most);
        partPixels = uint32_t(pixels);
    } else {
        lanes = most;
        block = std::min<uint64_t>(slices, 64);
        blockLanes = uint32_t(std::bit_ceil(block));
        // Enough workgroups for a single image, each with enough to do.
        const uint64_t partsAtMost = std::max<uint64_t>(1, 1024 / vk::divideUp(slices, block));
        const uint64_t atOnce = lanes / blockLanes;
        const uint64_t each =
            std::max(vk::divideUp(pixels, partsAtMost), vk::divideUp(4096, block));
        partPixels = uint32_t(vk::divideUp(each, atOnce) * atOnce);
        parts = uint32_t(vk::divideUp(pixels, partPixels));
    }
    blockSlices = uint32_t(block);
    blocks = uint32_t(vk::divideUp(slices, block));
}

NormalizationStatistics NormalizationStatistics::inScratch(Encoder& encoder, uint64_t channels,
                                                           uint64_t images) {
    auto scratch = encoder.scratch(bytes(channels) * images);
    return {*scratch, uint32_t(bytes(channels) / 16), scratch};
}

NormalizationStatistics NormalizationStatistics::of(const BufferRun& run) {
    return {run.all, uint32_t(run.strideBytes / 16), {}};
}

glsl::CNNGroupNormalizationParameters
statisticsParameters(const NormalizationPlan& plan, const glsl::ImageView& source, uint64_t images,
                     uint64_t groupChannels, float epsilon,
                     const NormalizationStatistics& statistics) {
    glsl::CNNGroupNormalizationParameters p{};
    p.source = source;
    p.images = uint32_t(images);
    p.groupChannels = uint32_t(groupChannels);
    p.blockSlices = plan.blockSlices;
    p.blockLanes = plan.blockLanes;
    p.blocks = plan.blocks;
    p.parts = plan.parts;
    p.partPixels = plan.partPixels;
    p.statisticsStride = statistics.stride;
    p.epsilon = epsilon;
    return p;
}

void encodeStatistics(Encoder& encoder, const NormalizationPlan& plan,
                      const glsl::CNNGroupNormalizationParameters& p, const ImageRun& source,
                      const NormalizationStatistics& statistics) {
    if (const auto kept = WholeGroup::of(encoder, {{source, p.source}}, 1, p.groupChannels)) {
        auto whole = p;
        whole.blocks = kept->blocks;
        const auto meeting = kept->meeting(encoder, p.images);
        encoder.dispatch(
            "CNNGroupNormalizationWholeGroup", whole, kept->grid(p.images),
            {{1, source}, {5, statistics.slice}, {10, meeting.sums}, {11, meeting.arrived}},
            {constant(32, kept->invocations), constant(33, kept->blockUnits),
             constant(34, kept->kept), constant(35, glsl::sumsWhole), constant(38, kept->members)});
        return;
    }
    const auto lanes = constant(32, plan.lanes);
    const uint64_t workgroups = uint64_t(plan.blocks) * p.images;
    const char* shader = "CNNGroupNormalizationStatistics";
    if (plan.whole) {
        encoder.dispatch(shader, p, plan.grid(workgroups), {{1, source}, {5, statistics.slice}},
                         {lanes, constant(33, glsl::sumsWhole)});
        return;
    }
    const uint64_t texels = uint64_t(plan.slices) * p.images * 2;
    const auto partials = encoder.scratch(texels * plan.parts * 16);
    const auto sums = encoder.scratch(texels * 16);
    encoder.dispatch(shader, p, plan.grid(workgroups * plan.parts), {{1, source}, {4, *partials}},
                     {lanes, constant(33, glsl::sumsPart)});
    encoder.dispatch(shader, p, plan.grid(workgroups), {{3, *partials}, {4, *sums}},
                     {lanes, constant(33, glsl::sumsMerge)});
    encoder.dispatch("CNNGroupNormalizationStatisticsGroups", p,
                     Grid::of(uint64_t(plan.slices) * p.images),
                     {{4, *sums}, {5, statistics.slice}});
}

} // namespace mpsvk::mps
