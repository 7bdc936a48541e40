// MPSNNPadding: how large a kernel's result is, and where in the source it starts to read.
#pragma once

#include <mpsvk/MPS/SecureCoding.hpp>
#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// Alignment (bits 0-1), side of the odd pixel (2-3), size (4-10), and flags.
enum class NNPaddingMethod : uint64_t {
    AlignCentered = 0,
    AlignTopLeft = 1,
    AlignBottomRight = 2,
    AlignMask = 3,
    AddRemainderToTopLeft = 0,
    AddRemainderToTopRight = 4,
    AddRemainderToBottomLeft = 8,
    AddRemainderToBottomRight = 12,
    AddRemainderToMask = 12,
    SizeValidOnly = 0,
    SizeSame = 0x10,
    SizeFull = 0x20,
    SizeMask = 0x7f0,
    CustomAllowForNodeFusion = 0x2000,
    Custom = 0x4000,
    ExcludeEdges = 0x8000,
};
constexpr NNPaddingMethod operator|(NNPaddingMethod a, NNPaddingMethod b) {
    return NNPaddingMethod(uint64_t(a) | uint64_t(b));
}
constexpr NNPaddingMethod operator&(NNPaddingMethod a, NNPaddingMethod b) {
    return NNPaddingMethod(uint64_t(a) & uint64_t(b));
}
constexpr NNPaddingMethod operator~(NNPaddingMethod a) { return NNPaddingMethod(~uint64_t(a)); }

class NNPadding {
public:
    virtual ~NNPadding() = default;
    virtual NNPaddingMethod paddingMethod() const = 0;
    virtual std::string label() const { return {}; }
    /// Called when the method has the Custom bit: may change the descriptor, and must set the
    /// kernel's offset (absolutely: other properties it sets persist).
    virtual ImageDescriptor destinationImageDescriptor(ImageBatch sourceImages,
                                                       StateBatch sourceStates, Kernel& kernel,
                                                       ImageDescriptor suggested) const;
    /// The policy for the gradient pass, or null.
    virtual std::shared_ptr<NNPadding> inverse() const { return nullptr; }
};

class NNDefaultPadding : public NNPadding, public SecureCoding {
public:
    explicit NNDefaultPadding(NNPaddingMethod method) : method_(method) {}
    static std::shared_ptr<NNDefaultPadding> padding(NNPaddingMethod method);
    /// Same size, centered, remainder to the bottom right, and edge mode Clamp on the kernel.
    static std::shared_ptr<NNDefaultPadding> paddingForTensorflowAveragePooling();
    static std::shared_ptr<NNDefaultPadding> paddingForTensorflowAveragePoolingValidOnly();

    NNPaddingMethod paddingMethod() const override { return method_; }
    std::string label() const override;
    ImageDescriptor destinationImageDescriptor(ImageBatch, StateBatch, Kernel& kernel,
                                               ImageDescriptor suggested) const override;
    /// Valid becomes Full and Full becomes Valid.
    std::shared_ptr<NNPadding> inverse() const override;
    std::string className() const override { return "NNDefaultPadding"; }
    void encode(KeyedArchiver& coder) const override;

private:
    NNPaddingMethod method_;
};

} // namespace mpsvk::MPS
