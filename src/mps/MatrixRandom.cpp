#include "mps/MatrixRandom.hpp"

#include "mps/Archive.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/MatrixRandom.hpp>

#include <cfloat>
#include <cmath>

namespace mpsvk::MPS {

namespace {

using Distribution = MatrixRandomDistribution;

std::string text(double number) { return std::to_string(number); }

/// The probability that a standard normal number is below x.
double below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// Bounds as standard deviations from the mean. Returns false when nothing lies between them.
bool setTruncation(glsl::MatrixRandomParameters& p, double low, double high) {
    const bool crosses = low < 0 && high > 0, mirrored = low >= 0;
    double unit = 1, lower = below(low), upper = below(-high);
    if (!crosses) {
        unit = mirrored ? below(-low) : below(high);
        lower = (mirrored ? upper : lower) / unit;
        upper = 0;
    }
    p.logUnit = float(std::log(unit));
    p.low = float(lower);
    p.high = float(upper);
    p.extent = float(1 - lower - upper);
    p.middle = crosses ? 0.5f : FLT_MAX;
    p.sign = mirrored ? -1 : 1;
    return unit > 0 && lower + upper < 1;
}

bool isTruncated(const MatrixRandomDistributionDescriptor& d) {
    return d.minimum() > -INFINITY || d.maximum() < INFINITY;
}

void setNormal(const std::string& who, const MatrixRandomDistributionDescriptor& d,
               glsl::MatrixRandomParameters& p) {
    p.mean = d.mean();
    p.standardDeviation = d.standardDeviation();
    if (!std::isfinite(d.mean()) ||
        !(d.standardDeviation() > 0 && std::isfinite(d.standardDeviation())))
        throw InvalidArgument(who + "The normal distribution has the mean " + text(d.mean()) +
                              " and the standardDeviation " + text(d.standardDeviation()) +
                              " but both must be finite and the latter above 0.");
    if (!(d.minimum() < d.maximum()))
        throw InvalidArgument(who + "The minimum is " + text(d.minimum()) +
                              " but must be below the maximum, " + text(d.maximum()) + ".");
    const double deviation = d.standardDeviation();
    if (isTruncated(d) && !setTruncation(p, (d.minimum() - double(d.mean())) / deviation,
                                         (d.maximum() - double(d.mean())) / deviation))
        throw InvalidArgument(who + "The normal distribution with the mean " + text(d.mean()) +
                              " and the standardDeviation " + text(deviation) +
                              " has nothing between the minimum, " + text(d.minimum()) +
                              ", and the maximum, " + text(d.maximum()) + ".");
}

void setUniform(const std::string& who, const MatrixRandomDistributionDescriptor& d, bool whole,
                glsl::MatrixRandomParameters& p) {
    if (!(d.minimum() < d.maximum() && std::isfinite(d.maximum() - d.minimum())))
        throw InvalidArgument(who + "The uniform distribution runs from " + text(d.minimum()) +
                              " to " + text(d.maximum()) +
                              " but must have a positive and finite length.");
    p.range = d.maximum() - d.minimum();
    p.maximum = std::nextafter(d.maximum(), d.minimum());
    if (!whole) return;
    const double first = std::ceil(double(d.minimum())), end = std::ceil(double(d.maximum()));
    if (!(first >= 0 && end > first && end <= 0x1p32))
        throw InvalidArgument(who + "The uniform distribution from " + text(d.minimum()) + " to " +
                              text(d.maximum()) + " must have a number that a UInt32 can hold, " +
                              "and no other ones.");
    p.least = uint32_t(first);
    p.numbers = uint32_t(uint64_t(end - first));
}

/// The parameters that the distribution decides, and the shader's constant for it.
uint32_t setDistribution(const std::string& who, const MatrixRandomDistributionDescriptor& d,
                         DataType type, glsl::MatrixRandomParameters& p) {
    if (type != DataType::UInt32 && type != DataType::Float32)
        throw InvalidArgument(who + "destinationDataType is " + std::to_string(uint32_t(type)) +
                              " but must be UInt32 or Float32.");
    const bool whole = type == DataType::UInt32;
    p.minimum = d.minimum();
    p.maximum = d.maximum();
    switch (d.distributionType()) {
    case Distribution::Default:
        if (!whole)
            setUniform(who, MatrixRandomDistributionDescriptor::uniformDistributionDescriptor(0, 1),
                       false, p);
        p.minimum = 0;
        return whole ? glsl::randomBits : glsl::randomUniform;
    case Distribution::Uniform:
        setUniform(who, d, whole, p);
        return whole ? glsl::randomWhole : glsl::randomUniform;
    case Distribution::Normal:
        if (whole)
            throw InvalidArgument(who + "The normal distribution needs the destinationDataType "
                                        "Float32 but it is UInt32.");
        setNormal(who, d, p);
        return isTruncated(d) ? glsl::randomTruncated : glsl::randomNormal;
    }
    throw InvalidArgument(who + "The distributionType is " +
                          std::to_string(uint64_t(d.distributionType())) +
                          " but must be Default, Uniform or Normal.");
}

} // namespace

MatrixRandomDistributionDescriptor
MatrixRandomDistributionDescriptor::uniformDistributionDescriptor(float minimum, float maximum) {
    MatrixRandomDistributionDescriptor made;
    made.distributionType_ = Distribution::Uniform;
    made.minimum_ = minimum;
    made.maximum_ = maximum;
    return made;
}

MatrixRandomDistributionDescriptor
MatrixRandomDistributionDescriptor::normalDistributionDescriptor(float mean,
                                                                 float standardDeviation) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    return normalDistributionDescriptor(mean, standardDeviation, -infinity, infinity);
}

MatrixRandomDistributionDescriptor MatrixRandomDistributionDescriptor::normalDistributionDescriptor(
    float mean, float standardDeviation, float minimum, float maximum) {
    MatrixRandomDistributionDescriptor made = uniformDistributionDescriptor(minimum, maximum);
    made.distributionType_ = Distribution::Normal;
    made.mean_ = mean;
    made.standardDeviation_ = standardDeviation;
    return made;
}

void MatrixRandomDistributionDescriptor::archive(mps::Archive& archive) {
    archive("distributionType", distributionType_);
    archive("minimum", minimum_);
    archive("maximum", maximum_);
    archive("mean", mean_);
    archive("standardDeviation", standardDeviation_);
}

MatrixRandom::MatrixRandom(const MTL::Device& device, const char* className,
                           DataType destinationDataType, uint64_t seed,
                           const MatrixRandomDistributionDescriptor& distributionDescriptor)
    : Kernel(device), destinationDataType_(destinationDataType), seed_(seed),
      distribution_(distributionDescriptor) {
    glsl::MatrixRandomParameters unused{};
    setDistribution("[" + std::string(className) + "] ", distribution_, destinationDataType_,
                    unused);
}

void MatrixRandom::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("destinationDataType", destinationDataType_);
    archive("seed", seed_);
    archive("distribution", distribution_);
    archive("batchStart", batchStart_);
    archive("batchSize", batchSize_);
    glsl::MatrixRandomParameters unused{};
    setDistribution(subject(), distribution_, destinationDataType_, unused);
}

template <class Array>
void MatrixRandom::fillArray(const MTL::CommandBuffer& commandBuffer, const char* role,
                             const Array& array) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart_, batchSize_);
    const auto destination = operands.take(role, array, {}, {&destinationDataType_, 1});
    mps::RandomFill made{operands, destination.slice, {}, 0};
    auto& p = made.parameters;
    p.destination = destination.view;
    p.matrices = uint32_t(operands.batch());
    if (made.elements() == 0) return;
    // Rows without padding are one long row, which needs no remainders.
    auto& v = p.destination;
    if (v.rowStride == v.columns && (p.matrices == 1 || v.matrixStride == v.rows * v.columns)) {
        v.columns = uint32_t(made.elements());
        v.rows = p.matrices = 1;
        v.isAligned = v.offset % 4 == 0;
    }
    made.distribution = setDistribution(subject(), distribution_, destinationDataType_, p);
    fill(made);
}

void MatrixRandom::encode(const MTL::CommandBuffer& commandBuffer,
                          const Vector& destinationVector) {
    fillArray(commandBuffer, "destinationVector", destinationVector);
}

void MatrixRandom::encode(const MTL::CommandBuffer& commandBuffer,
                          const Matrix& destinationMatrix) {
    fillArray(commandBuffer, "destinationMatrix", destinationMatrix);
}

std::array<uint32_t, 4> MatrixRandomPhilox::counter() const {
    return {uint32_t(counterLow_), uint32_t(counterLow_ >> 32), uint32_t(counterHigh_),
            uint32_t(counterHigh_ >> 32)};
}

void MatrixRandomPhilox::setCounter(const std::array<uint32_t, 4>& c) {
    counterLow_ = c[0] | uint64_t(c[1]) << 32;
    counterHigh_ = c[2] | uint64_t(c[3]) << 32;
}

void MatrixRandomPhilox::archive(mps::Archive& archive) {
    MatrixRandom::archive(archive);
    archive("counterLow", counterLow_);
    archive("counterHigh", counterHigh_);
}

void MatrixRandomPhilox::fill(mps::RandomFill& fill) {
    auto& p = fill.parameters;
    p.keyLow = uint32_t(seed());
    p.keyHigh = uint32_t(seed() >> 32);
    const auto c = counter();
    p.counter0 = c[0];
    p.counter1 = c[1];
    p.counter2 = c[2];
    p.counter3 = c[3];
    const uint64_t used = vk::divideUp(fill.elements(), 4);
    fill.operands.encoder().dispatch("MatrixRandomPhilox", p, mps::Grid::of(used),
                                     {{1, fill.destination}},
                                     {mps::constant(32, fill.distribution)});
    counterLow_ += used;
    if (counterLow_ < used) ++counterHigh_;
}

} // namespace mpsvk::MPS
