// MPSCNNArithmetic: element-by-element arithmetic on two images, comparison, and the gradients.
#pragma once

#include <mpsvk/MPS/CNNNeuron.hpp>

#include <cfloat>

namespace mpsvk::MPS {

/// The sizes and strides of both operands, and where the result was clamped the mask of the
/// elements that were not. MPSCNNArithmeticGradientState.
class CNNArithmeticGradientState : public NNBinaryGradientState {
public:
    CNNArithmeticGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit CNNArithmeticGradientState(std::shared_ptr<Impl> impl);
};

/// result = clamp((primaryScale * x) op (secondaryScale * y) + bias, minimumValue, maximumValue),
/// element by element; nothing is clamped while both bounds have their defaults, and NaN is kept.
///
/// Result element d (counted from clipRect.origin) reads offset + stride * d of each operand. A
/// stride is 0 or 1; 0 repeats the operand's element at the offset (its first channel in use) along
/// the axis. Outside an operand its edge mode counts. A returned result has along each axis the
/// size of the operand with stride 1, or 1 if there is none; two with stride 1 must be of one size.
/// MPSCNNArithmetic.
class CNNArithmetic : public CNNBinaryKernel {
public:
    using CNNBinaryKernel::encode;
    using CNNBinaryKernel::encodeBatch;

    float primaryScale() const { return primaryScale_; }
    void setPrimaryScale(float v) { primaryScale_ = v; }
    float secondaryScale() const { return secondaryScale_; }
    void setSecondaryScale(float v) { secondaryScale_ = v; }
    float bias() const { return bias_; }
    void setBias(float v) { bias_ = v; }
    uint64_t primaryStrideInFeatureChannels() const { return primaryStrideInFeatureChannels_; }
    void setPrimaryStrideInFeatureChannels(uint64_t v) { primaryStrideInFeatureChannels_ = v; }
    uint64_t secondaryStrideInFeatureChannels() const { return secondaryStrideInFeatureChannels_; }
    void setSecondaryStrideInFeatureChannels(uint64_t v) { secondaryStrideInFeatureChannels_ = v; }
    float minimumValue() const { return minimumValue_; }
    void setMinimumValue(float v) { minimumValue_ = v; }
    float maximumValue() const { return maximumValue_; }
    void setMaximumValue(float v) { maximumValue_ = v; }

    /// Writes the clamp mask to the state.
    void encode(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                const Image& secondaryImage, const CNNArithmeticGradientState& destinationState,
                const Image& destinationImage);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& primaryImages,
                     const ImageBatch& secondaryImages, const StateBatch& destinationStates,
                     const ImageBatch& destinationImages);

protected:
    /// `operation` is one of glsl/CNNMath.h.
    CNNArithmetic(const MTL::Device& device, const char* className, uint32_t operation)
        : CNNBinaryKernel(device, className), operation_(operation) {}
    /// Of the comparison.
    virtual uint32_t comparison() const { return 0; }
    virtual float comparisonThreshold() const { return 0; }
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void archive(mps::Archive& archive) override;

private:
    uint64_t outputChannels(uint64_t primaryChannels, uint64_t secondaryChannels) const override;
    uint64_t channelsWritten(const mps::BinaryPass& pass) const override;
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
    bool clamps() const;
    uint64_t resultChannels(uint64_t primaryChannels, uint64_t secondaryChannels,
                            const Image& destination) const;

    friend struct mps::NeuronAccess;
    std::shared_ptr<const mps::FusedNeuron> neuron_; ///< of a graph's activation, or null
    uint32_t operation_;
    float primaryScale_ = 1, secondaryScale_ = 1, bias_ = 0;
    uint64_t primaryStrideInFeatureChannels_ = 1, secondaryStrideInFeatureChannels_ = 1;
    float minimumValue_ = -FLT_MAX, maximumValue_ = FLT_MAX;
};

/// primaryScale * x + secondaryScale * y + bias. MPSCNNAdd.
class CNNAdd : public CNNArithmetic {
public:
    explicit CNNAdd(const MTL::Device& device);
    CNNAdd(KeyedUnarchiver& coder, const MTL::Device& device) : CNNAdd(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNAdd"; }
    CNNAdd copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// primaryScale * x - secondaryScale * y + bias. MPSCNNSubtract.
class CNNSubtract : public CNNArithmetic {
public:
    explicit CNNSubtract(const MTL::Device& device);
    CNNSubtract(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSubtract(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSubtract"; }
    CNNSubtract copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// (primaryScale * x) * (secondaryScale * y) + bias. MPSCNNMultiply.
class CNNMultiply : public CNNArithmetic {
public:
    explicit CNNMultiply(const MTL::Device& device);
    CNNMultiply(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNMultiply(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNMultiply"; }
    CNNMultiply copy(const MTL::Device& device) const { return copied(*this, device); }
};

/// (primaryScale * x) / (secondaryScale * y) + bias. Has no gradient kernel. MPSCNNDivide.
class CNNDivide : public CNNArithmetic {
public:
    explicit CNNDivide(const MTL::Device& device);
    CNNDivide(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNDivide(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNDivide"; }
    CNNDivide copy(const MTL::Device& device) const { return copied(*this, device); }
};

enum class NNComparisonType : uint64_t {
    Equal = 0,    ///< |x - y| <= threshold
    NotEqual = 1, ///< not Equal: true for NaN, as nothing else is
    Less = 2,
    LessOrEqual = 3,
    Greater = 4,
    GreaterOrEqual = 5,
};

/// 1 where the comparison holds, else 0. Scales, bias and clamp are unused, the strides count.
/// Makes no state. MPSNNCompare.
class NNCompare : public CNNArithmetic {
public:
    explicit NNCompare(const MTL::Device& device);
    NNCompare(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNCompare(deviceFor(coder, device)) {
        unarchive(coder);
    }
    /// Equal at first.
    NNComparisonType comparisonType() const { return comparisonType_; }
    void setComparisonType(NNComparisonType v) { comparisonType_ = v; }
    /// 0 at first; of Equal and NotEqual.
    float threshold() const { return threshold_; }
    void setThreshold(float v) { threshold_ = v; }
    std::string className() const override { return "NNCompare"; }
    NNCompare copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    uint32_t comparison() const override { return uint32_t(comparisonType_); }
    float comparisonThreshold() const override { return threshold_; }
    StateBatch makeResultStates(const mps::StateRequest& request) const override;

    NNComparisonType comparisonType_ = NNComparisonType::Equal;
    float threshold_ = 0;
};

/// The gradient with respect to one operand of the forward kernel: the primary one, or with
/// isSecondarySourceFilter the secondary one.
///
///     Add, Subtract  V = primaryScale * G
///     Multiply       V = primaryScale * G * secondaryScale * S
///
/// summed over every axis along which the forward kernel repeated the operand. G is the gradient of
/// the forward result; S, the second source, is the other operand of a product, else the operand
/// itself, which counts by its size only. The scales are this kernel's: set them to the forward
/// kernel's, and primaryScale of a difference's secondary operand to the negative secondaryScale.
/// secondaryStride... are the forward strides of S. bias is unused. Where minimumValue or
/// maximumValue differ from their defaults and the state has a clamp mask, elements that were
/// clamped have no gradient.
///
/// Which axes to sum over is known from the state; without one, an axis along which the destination
/// has size 1 and G more. The encodes that return the result take strides, offsets, edge modes,
/// channel ranges and sizes from the state: the result has the size of the whole operand, and is 0
/// where the forward pass did not read it. MPSCNNArithmeticGradient.
class CNNArithmeticGradient : public CNNGradientKernel {
public:
    bool isSecondarySourceFilter() const { return isSecondarySourceFilter_; }
    float primaryScale() const { return primaryScale_; }
    void setPrimaryScale(float v) { primaryScale_ = v; }
    float secondaryScale() const { return secondaryScale_; }
    void setSecondaryScale(float v) { secondaryScale_ = v; }
    float bias() const { return bias_; }
    void setBias(float v) { bias_ = v; }
    uint64_t secondaryStrideInFeatureChannels() const { return secondaryStrideInFeatureChannels_; }
    void setSecondaryStrideInFeatureChannels(uint64_t v) { secondaryStrideInFeatureChannels_ = v; }
    float minimumValue() const { return minimumValue_; }
    void setMinimumValue(float v) { minimumValue_ = v; }
    float maximumValue() const { return maximumValue_; }
    void setMaximumValue(float v) { maximumValue_ = v; }

protected:
    CNNArithmeticGradient(const MTL::Device& device, const char* className,
                          bool isSecondarySourceFilter)
        : CNNGradientKernel(device, className), isSecondarySourceFilter_(isSecondarySourceFilter) {}
    virtual bool multiplies() const { return false; }
    void archive(mps::Archive& archive) override;

private:
    bool readsSecondary() const override { return multiplies(); }
    uint64_t outputChannels(uint64_t, uint64_t) const override {
        return 1;
    } // a sum's; validate knows
    uint64_t channelsWritten(const mps::BinaryPass& pass) const override;
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
    struct Geometry;
    Geometry geometryOf(const mps::BinaryPass& pass) const;

    bool isSecondarySourceFilter_;
    float primaryScale_ = 1, secondaryScale_ = 1, bias_ = 0;
    uint64_t secondaryStrideInFeatureChannels_ = 1;
    float minimumValue_ = -FLT_MAX, maximumValue_ = FLT_MAX;
};

/// MPSCNNAddGradient.
class CNNAddGradient : public CNNArithmeticGradient {
public:
    CNNAddGradient(const MTL::Device& device, bool isSecondarySourceFilter)
        : CNNArithmeticGradient(device, "CNNAddGradient", isSecondarySourceFilter) {}
    CNNAddGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNAddGradient(deviceFor(coder, device), false) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNAddGradient"; }
    CNNAddGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "CNNAdd"; }
};

/// MPSCNNSubtractGradient.
class CNNSubtractGradient : public CNNArithmeticGradient {
public:
    CNNSubtractGradient(const MTL::Device& device, bool isSecondarySourceFilter)
        : CNNArithmeticGradient(device, "CNNSubtractGradient", isSecondarySourceFilter) {}
    CNNSubtractGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNSubtractGradient(deviceFor(coder, device), false) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNSubtractGradient"; }
    CNNSubtractGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "CNNSubtract"; }
};

/// MPSCNNMultiplyGradient.
class CNNMultiplyGradient : public CNNArithmeticGradient {
public:
    CNNMultiplyGradient(const MTL::Device& device, bool isSecondarySourceFilter)
        : CNNArithmeticGradient(device, "CNNMultiplyGradient", isSecondarySourceFilter) {}
    CNNMultiplyGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : CNNMultiplyGradient(deviceFor(coder, device), false) {
        unarchive(coder);
    }
    std::string className() const override { return "CNNMultiplyGradient"; }
    CNNMultiplyGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "CNNMultiply"; }
    bool multiplies() const override { return true; }
};

} // namespace mpsvk::MPS
