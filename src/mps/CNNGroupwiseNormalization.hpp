// What instance and group normalization and their gradients have in common.
#pragma once

#include "CNNGroupNormalization.h"
#include "mps/Pass.hpp"

#include <mpsvk/MPS/CNNGroupwiseNormalization.hpp>

#include <array>

namespace mpsvk::mps {

class Archive;

/// What a data source gives.
struct NormalizationValues {
    uint64_t channels = 0, groups = 0;
    std::vector<float> gamma, beta;
    std::string label;
    float epsilon = 0;
    void archive(Archive& archive);
};

/// A kernel's gamma and beta, which its gradient states share. Padded to whole texels.
class GammaAndBeta {
public:
    GammaAndBeta(const MTL::Device& device, uint64_t channels);
    /// The same values in buffers of their own.
    GammaAndBeta(const GammaAndBeta& other) : GammaAndBeta(other, other.device_) {}
    GammaAndBeta(const GammaAndBeta& other, const MTL::Device& device);

    void set(std::span<const float> gamma, std::span<const float> beta);
    void load(Encoder& encoder, const vk::BufferSlice& gamma, const vk::BufferSlice& beta);
    const vk::BufferSlice& gamma() const { return slices_[0]; }
    const vk::BufferSlice& beta() const { return slices_[1]; }
    MTL::Buffer gammaBuffer() const { return buffers_[0]; }
    MTL::Buffer betaBuffer() const { return buffers_[1]; }
    /// As the GPU has them.
    std::array<std::vector<float>, 2> values() const;

private:
    const MTL::Device device_;
    const uint64_t channels_;
    vk::BufferSlice slices_[2];
    MTL::Buffer buffers_[2]; ///< without the padding
};

/// How the sums over an image are cut into workgroups: by the image's shape and the device alone,
/// so that an image's results do not depend on what else is encoded with it.
struct NormalizationPlan {
    NormalizationPlan(const vk::Limits& limits, const MPS::Image& source, uint64_t channels,
                      uint64_t groupChannels);
    Grid grid(uint64_t workgroups) const { return Grid::of(workgroups * lanes); }

    uint32_t slices;
    bool whole; ///< one workgroup has all pixels of its groups
    uint32_t lanes = 256;
    uint32_t blockSlices, blockLanes, blocks; ///< slices of a workgroup, blocks of an image
    uint32_t parts = 1, partPixels;           ///< of an image
};

/// Of each image's channels the means, then the inverse deviations.
struct NormalizationStatistics {
    vk::BufferSlice slice;
    uint32_t stride = 0; ///< texels from one image's to the next
    std::shared_ptr<const vk::BufferSlice> scratch;

    static uint64_t bytes(uint64_t channels) { return slicesFor(channels) * 2 * 16; }
    static NormalizationStatistics inScratch(Encoder& encoder, uint64_t channels, uint64_t images);
    static NormalizationStatistics of(const BufferRun& run);
};

/// Fills `statistics` for the parameters' source; of a plan that is not whole in three steps.
void encodeStatistics(Encoder& encoder, const NormalizationPlan& plan,
                      const glsl::CNNGroupNormalizationParameters& parameters,
                      const ImageRun& source, const NormalizationStatistics& statistics);
/// The parameters that depend on the source alone.
glsl::CNNGroupNormalizationParameters
statisticsParameters(const NormalizationPlan& plan, const glsl::ImageView& source, uint64_t images,
                     uint64_t groupChannels, float epsilon,
                     const NormalizationStatistics& statistics);

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct CNNGroupwiseNormalizationGradientState::Impl : NNGradientState::Impl {
    using NNGradientState::Impl::Impl;
    enum Buffers : size_t { Statistics = 0, GradientForGamma = 1, GradientForBeta = 2 };
    /// Of an array of images, the gradients are sums over all.
    std::vector<size_t> perImageBuffers() const override {
        if (images > 1) return {Statistics};
        return {Statistics, GradientForGamma, GradientForBeta};
    }

    std::shared_ptr<const CNNGroupwiseNormalization> kernel;
    std::shared_ptr<mps::GammaAndBeta> parameters;
    uint64_t groups = 1;
    float epsilon = 0;
    uint64_t images = 1; ///< that the state was made for: of an array of images all
    bool hasStatistics = false;
};

} // namespace mpsvk::MPS
