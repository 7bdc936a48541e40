#include "mps/CNNGroupwiseNormalization.hpp"

#include "mps/Archive.hpp"
#include "mps/ConvolutionWeights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

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
        slices_[i] = device.newBuffer((channels + 3) / 4 * 16, options).impl().slice;
        buffers_[i] = MTL::Buffer(std::make_shared<MTL::Buffer::Impl>(
            device, options,
            vk::BufferSlice{slices_[i].buffer, slices_[i].offset, channels * sizeof(float)}));
    }
}

GammaAndBeta::GammaAndBeta(const GammaAndBeta& other)
    : GammaAndBeta(other.device_, other.channels_) {
    runNow(device_, [&](Encoder& encoder) {
        for (int i = 0; i < 2; ++i) encoder.list().copy(other.slices_[i], slices_[i]);
    });
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
    encoder.list().copy(gamma, {slices_[0].buffer, slices_[0].offset, gamma.size});
    encoder.list().copy(beta, {slices_[1].buffer, slices_[1].offset, beta.size});
}

namespace {
uint64_t ceil(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
} // namespace

NormalizationPlan::NormalizationPlan(const vk::Limits& limits, const MPS::Image& source,
                                     uint64_t channels, uint64_t groupChannels,
                                     uint32_t texelsEach) {
    const uint64_t pixels = source.width() * source.height();
    const auto format = source.featureChannelFormat();
    const uint64_t bytesPerTexel = format == MPS::ImageFeatureChannelFormat::Float32  ? 16
                                   : format == MPS::ImageFeatureChannelFormat::Unorm8 ? 4
                                                                                      : 8;
    slices = uint32_t(ceil(channels, 4));
    wholeTexels = channels % 4 == 0;
    imageBytes = pixels * slices * bytesPerTexel;
    const uint32_t most = std::min(256u, std::bit_floor(limits.workGroupInvocations));

    // Blocks of whole groups, wide enough that neighbours read whole sectors of memory and that
    // there is work for all invocations.
    uint64_t block = groupChannels % 4 == 0   ? groupChannels / 4
                     : 4 % groupChannels == 0 ? 1
                                              : slices;
    while (2 * block <= slices && (block * bytesPerTexel < 32 || block * pixels < 256)) block *= 2;
    const auto lanesOf = [&] {
        this->texelsEach = block % 2 == 0 ? texelsEach : 1;
        return uint32_t(std::bit_ceil(block / this->texelsEach));
    };
    // So little is still in the caches when a workgroup reads it again; more is faster in parts.
    whole = block * pixels <= 2048 && 2 * lanesOf() <= most;
    wholeGroups = whole;
    if (whole) {
        blockLanes = lanesOf();
        const bool few = 2 * blockLanes <= 64 && blockLanes * pixels < 512;
        lanes = std::min(few ? 64u : 256u, most);
        partPixels = uint32_t(pixels);
    } else {
        lanes = most;
        while (2 * block <= slices && block * bytesPerTexel < 128) block *= 2;
        wholeGroups = 2 * lanesOf() <= most;
        if (!wholeGroups) block = std::min<uint64_t>(slices, 64);
        blockLanes = lanesOf();
        // Each workgroup has enough to do, and each part of a result so much that the sums of all
        // parts are little next to it.
        const uint64_t atOnce = lanes / blockLanes;
        const uint64_t each = std::max(8 * atOnce, uint64_t(3 * std::sqrt(double(pixels))));
        partPixels = uint32_t(ceil(each, atOnce) * atOnce);
        parts = uint32_t(ceil(pixels, partPixels));
    }
    blockSlices = uint32_t(block);
    blocks = uint32_t(ceil(slices, block));
}

Grid NormalizationPlan::grid(uint64_t workgroups) const {
    Grid grid = Grid::of(workgroups * lanes);
    grid.texelsEach = texelsEach;
    grid.wholeTexels = wholeTexels;
    return grid;
}

Grid NormalizationPlan::gridOf(const glsl::ImageChunks& chunks) const {
    return grid(uint64_t(blocks) * parts * (chunks.sumsCount + chunks.resultsCount));
}

uint32_t NormalizationPlan::resultPixels(const Clip& clip) const {
    return uint32_t(std::max<uint64_t>(1, ceil(clip.width * clip.height, parts)));
}

std::vector<glsl::ImageChunks> chunksOf(uint64_t images, uint64_t bytesOfImage) {
    // What is read and written between two reads of a pixel must fit into the cache of a large GPU,
    // and a dispatch must take much longer than it takes to begin.
    constexpr uint64_t bytes = 14 << 20;
    const uint64_t count = ceil(images, std::max<uint64_t>(1, bytes / bytesOfImage));
    const auto first = [&](uint64_t chunk) {
        return uint32_t(std::min(chunk * ceil(images, count), images));
    };
    std::vector<glsl::ImageChunks> chunks{{.sumsFirst = 0, .sumsCount = first(1)}};
    while (chunks.back().sumsCount > 0) {
        const auto& last = chunks.back();
        const uint32_t next = last.sumsFirst + last.sumsCount;
        chunks.push_back({.sumsFirst = next,
                          .sumsCount = first(chunks.size() + 1) - next,
                          .resultsFirst = last.sumsFirst,
                          .resultsCount = last.sumsCount});
    }
    return chunks;
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
    p.chunks.sumsCount = uint32_t(images);
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
    if (plan.wholeGroups) {
        auto each = p;
        for (const glsl::ImageChunks& chunks : chunksOf(p.images, 1)) {
            each.chunks = chunks;
            encoder.dispatch(shader, each, plan.gridOf(chunks),
                             {{1, source}, {3, *partials}, {4, *partials}, {5, statistics.slice}},
                             {lanes, constant(33, glsl::sumsChunks)});
        }
        return;
    }
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
