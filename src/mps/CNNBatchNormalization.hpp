// What the batch normalization kernels share: the parameters, the state, the checks.
#pragma once

#include "CNNBatchNormalization.h"
#include "mps/CNNNormalizationWeights.hpp"
#include "mps/KnownUpdates.hpp"
#include "mps/Pass.hpp"
#include "mps/Walk.hpp"

#include <mpsvk/MPS/CNNBatchNormalization.hpp>

#include <array>

namespace mpsvk::mps {

/// A kernel's gamma, beta, mean and variance: its states refer to them.
struct BatchNormalizationParameters {
    using Source = std::shared_ptr<MPS::CNNBatchNormalizationDataSource>;
    enum Array : size_t { Gamma, Beta, Mean, Variance, ArrayCount };

    /// Loads the source; throws InvalidArgument, beginning with `who`.
    BatchNormalizationParameters(const MTL::Device& device, Source source, const std::string& who);
    /// The same values in buffers of their own.
    BatchNormalizationParameters(const BatchNormalizationParameters& other)
        : BatchNormalizationParameters(other, other.device, other.source) {}
    BatchNormalizationParameters(const BatchNormalizationParameters& other,
                                 const MTL::Device& device, Source source);

    /// Loads two arrays, from `first` on.
    void loadFromSource(const std::string& who, Array first);
    /// Copies the two arrays of a state to those from `first` on; reads the state once.
    void load(const Subject& who, const char* role, const MTL::CommandBuffer& commandBuffer,
              ChannelPair& state, Array first);
    const vk::BufferSlice& slice(Array array) const { return arrays[array].impl().slice; }

    /// The values as the GPU has them.
    std::array<std::vector<float>, ArrayCount> values() const;

    const MTL::Device device;
    const Source source;
    const uint64_t channels;
    const uint64_t version = newVersion(); ///< of the arrays, which stay the same
    std::array<MTL::Buffer, ArrayCount> arrays;
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct CNNBatchNormalizationState::Impl : NNGradientState::Impl {
    Impl(MTL::Device device, mps::ForwardRecord record,
         std::shared_ptr<const CNNBatchNormalization> kernel,
         std::shared_ptr<mps::BatchNormalizationParameters> parameters);

    enum Buffers : size_t { Mean, Variance, GradientForGamma, GradientForBeta };
    const std::shared_ptr<const CNNBatchNormalization> kernel;
    const std::shared_ptr<mps::BatchNormalizationParameters> parameters;

    /// What was encoded: sums over `pixels`, and whether something has used them, so that the next
    /// ones start anew.
    struct Sums {
        uint64_t pixels = 0;
        bool closed = false;
        void begin() {
            if (closed) *this = {};
        }
    };
    Sums statistics, gradients;
    /// The gradients' buffers hold something, be it of a batch before.
    bool hasGradients = false;

    vk::BufferSlice mean();
    vk::BufferSlice variance();
};

} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// Throws InvalidArgument for a state that is empty, of another device, or spent.
void checkUsableState(const std::string& who, const MPS::CNNBatchNormalizationState& state,
                      const MTL::CommandBuffer& commandBuffer);
/// One state of a batch normalization, perhaps several times. Throws InvalidArgument for others.
void checkOneState(const std::string& who, const MPS::StateBatch& states);
MPS::CNNBatchNormalizationState::Impl& stateOf(const MPS::StateBatch& states);
/// The source gives as many channels as the parameters have.
void checkParameterChannels(const std::string& who, uint64_t given, uint64_t channels);

/// What a walk leaves: two sums for each channel of each chunk.
uint64_t partialBytes(const glsl::WalkParameters& walk, uint64_t channels);
/// Brings them together in `first` and `second`, with what these hold, and counts the pixels.
void reduceSums(Encoder& encoder, const char* shader, const glsl::WalkParameters& walk,
                uint64_t channels, MPS::CNNBatchNormalizationState::Impl::Sums& sums,
                const vk::BufferSlice& partials, const vk::BufferSlice& first,
                const vk::BufferSlice& second);

} // namespace mpsvk::mps
