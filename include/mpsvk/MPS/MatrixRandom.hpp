// Matrices and vectors of random numbers.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>

#include <array>
#include <limits>

namespace mpsvk::mps {
struct RandomFill;
}

namespace mpsvk::MPS {

enum class MatrixRandomDistribution : uint64_t {
    Default = 1, ///< UInt32: the generator's words themselves; Float32: uniform in [0, 1)
    Uniform = 2, ///< [minimum, maximum); of UInt32 the whole numbers n with minimum <= n < maximum
    Normal = 3,  ///< Float32 only; truncated to [minimum, maximum] where one of them is finite
};

/// MPSMatrixRandomDistributionDescriptor. A word w of the generator becomes, in fp32 arithmetic,
/// minimum + (maximum - minimum) * floor(w / 2^8) / 2^24 (Uniform, kept below the maximum) or, of
/// UInt32, the whole number in the range at floor(w * numbers / 2^32). Words 2k and 2k+1 of four
/// make two normal ones by the method of Box and Muller; with finite bounds each word makes one
/// through the inverse of the distribution function between them.
class MatrixRandomDistributionDescriptor {
public:
    /// Default.
    MatrixRandomDistributionDescriptor() = default;
    static MatrixRandomDistributionDescriptor uniformDistributionDescriptor(float minimum,
                                                                            float maximum);
    static MatrixRandomDistributionDescriptor normalDistributionDescriptor(float mean,
                                                                           float standardDeviation);
    static MatrixRandomDistributionDescriptor
    normalDistributionDescriptor(float mean, float standardDeviation, float minimum, float maximum);
    static MatrixRandomDistributionDescriptor defaultDistributionDescriptor() { return {}; }

    MatrixRandomDistribution distributionType() const { return distributionType_; }
    void setDistributionType(MatrixRandomDistribution v) { distributionType_ = v; }
    /// Of Uniform and Normal.
    float minimum() const { return minimum_; }
    void setMinimum(float v) { minimum_ = v; }
    float maximum() const { return maximum_; }
    void setMaximum(float v) { maximum_ = v; }
    /// Of Normal, before it is truncated.
    float mean() const { return mean_; }
    void setMean(float v) { mean_ = v; }
    float standardDeviation() const { return standardDeviation_; }
    void setStandardDeviation(float v) { standardDeviation_ = v; }

    void archive(mps::Archive& archive);

private:
    MatrixRandomDistribution distributionType_ = MatrixRandomDistribution::Default;
    float minimum_ = 0, maximum_ = 0, mean_ = 0, standardDeviation_ = 0;
};

/// Fills matrices and vectors with random numbers, row after row over the batch range. The state of
/// the generator advances with every encode, in the order of the encodes: two of them give
/// different numbers. Copies and archives go on from the state of the original. MPSMatrixRandom.
class MatrixRandom : public Kernel {
public:
    using Kernel::encode;

    /// UInt32 or Float32.
    DataType destinationDataType() const { return destinationDataType_; }
    MatrixRandomDistribution distributionType() const { return distribution_.distributionType(); }
    uint64_t batchStart() const { return batchStart_; }
    void setBatchStart(uint64_t v) { batchStart_ = v; }
    uint64_t batchSize() const { return batchSize_; }
    void setBatchSize(uint64_t v) { batchSize_ = v; }

    /// Throws InvalidArgument for a destination of another type than destinationDataType.
    void encode(const MTL::CommandBuffer& commandBuffer, const Vector& destinationVector);
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& destinationMatrix);

protected:
    /// Throws InvalidArgument for another type than UInt32 and Float32, and for a distribution that
    /// is empty, not finite or not of that type.
    MatrixRandom(const MTL::Device& device, const char* className, DataType destinationDataType,
                 uint64_t seed, const MatrixRandomDistributionDescriptor& distributionDescriptor);
    void archive(mps::Archive& archive) override;
    uint64_t seed() const { return seed_; }

private:
    template <class Array>
    void fillArray(const MTL::CommandBuffer& commandBuffer, const char* role, const Array& array);
    /// One dispatch; advances the state.
    virtual void fill(mps::RandomFill& fill) = 0;

    DataType destinationDataType_;
    uint64_t seed_;
    MatrixRandomDistributionDescriptor distribution_;
    uint64_t batchStart_ = 0, batchSize_ = UINT64_MAX;
};

/// Philox-4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011). The key is
/// the seed, low word first. The 128-bit counter begins at 0; four elements take one value of it
/// each, and an encode of n elements ceil(n / 4). MPSMatrixRandomPhilox.
class MatrixRandomPhilox : public MatrixRandom {
public:
    /// UInt32, seed 0.
    explicit MatrixRandomPhilox(const MTL::Device& device)
        : MatrixRandomPhilox(device, DataType::UInt32, 0) {}
    MatrixRandomPhilox(const MTL::Device& device, DataType destinationDataType, uint64_t seed,
                       const MatrixRandomDistributionDescriptor& distributionDescriptor = {})
        : MatrixRandom(device, "MatrixRandomPhilox", destinationDataType, seed,
                       distributionDescriptor) {}
    MatrixRandomPhilox(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixRandomPhilox(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// An extension: the counter of the next encode's first elements, low word first.
    std::array<uint32_t, 4> counter() const;
    void setCounter(const std::array<uint32_t, 4>& counter);

    std::string className() const override { return "MatrixRandomPhilox"; }
    MatrixRandomPhilox copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    void fill(mps::RandomFill& fill) override;

    uint64_t counterLow_ = 0, counterHigh_ = 0;
};

/// The Mersenne Twister for graphic processors (Saito and Matsumoto, Variants of Mersenne Twister
/// suitable for graphic processors, 2013) with 32-bit words, the period 2^11213 - 1 and the first
/// parameter set that its authors published. 256 such generators, whose states are made from the
/// seed, take turns in blocks of 1024 elements, the first block of each encode being the first
/// generator's; what is left of a block is skipped. The numbers are not those of Apple's.
/// MPSMatrixRandomMTGP32.
///
/// The states are in device memory. A copy, an archive or an assignment of the kernel throws
/// InvalidArgument while a command buffer that advances them is not completed.
class MatrixRandomMTGP32 : public MatrixRandom {
public:
    /// UInt32, seed 0.
    explicit MatrixRandomMTGP32(const MTL::Device& device)
        : MatrixRandomMTGP32(device, DataType::UInt32, 0) {}
    MatrixRandomMTGP32(const MTL::Device& device, DataType destinationDataType, uint64_t seed,
                       const MatrixRandomDistributionDescriptor& distributionDescriptor = {});
    MatrixRandomMTGP32(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixRandomMTGP32(deviceFor(coder, device)) {
        unarchive(coder);
    }
    MatrixRandomMTGP32(const MatrixRandomMTGP32& other);
    MatrixRandomMTGP32(MatrixRandomMTGP32&&) = default;
    MatrixRandomMTGP32& operator=(const MatrixRandomMTGP32& other);
    MatrixRandomMTGP32& operator=(MatrixRandomMTGP32&&) = default;

    /// Kept for ported code: once the command buffer is completed, the state can be copied and
    /// archived.
    void synchronizeState(const MTL::CommandBuffer& commandBuffer) const;

    std::string className() const override { return "MatrixRandomMTGP32"; }
    MatrixRandomMTGP32 copy(const MTL::Device& device) const;

private:
    void archive(mps::Archive& archive) override;
    void fill(mps::RandomFill& fill) override;
    /// The states on the host's side.
    std::span<const std::byte> stateBytes() const;

    MTL::Buffer states_;
};

} // namespace mpsvk::MPS
