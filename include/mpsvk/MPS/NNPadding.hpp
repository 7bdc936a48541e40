// MPSNNPadding: how large a kernel's result is, and where in the source it starts to read.
#pragma once

#include <mpsvk/MPS/SecureCoding.hpp>
#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// Alignment (bits 0-1), side of the odd pixel (2-3), size (4-10), and flags. On each axis, with
/// S source pixels, stride s and windows that span Kd = (taps - 1) * dilation + 1 pixels:
///
///     size    ceil((S - (Kd - 1)) / s) ValidOnly, ceil(S / s) Same, ceil((S + Kd - 1) / s) Full
///     missing m = (size - 1) * s + Kd - S, pixels that the windows want beyond the source
///
/// AlignCentered puts m / 2 of them before the source, and an odd one on the side that the
/// remainder names; AlignTopLeft puts all of them there, AlignBottomRight none. The kernel's offset
/// follows: floor(Kd / 2) less the pixels before. Kernels that go backwards (transposed
/// convolution) make (S - 1) * s + 1 pixels, less Kd - 1 for ValidOnly and more by as many for
/// Full. ExcludeEdges is for average pooling: a window counts no pixel beyond the missing ones.
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

/// How an encode that returns its result sizes it. Implemented by the user, or one of
/// NNDefaultPadding. To be archived with a kernel it must be SecureCoding. MPSNNPadding.
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

/// What a method says, and nothing more. MPSNNDefaultPadding.
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
