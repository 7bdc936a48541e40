#include "mps/NNPadding.hpp"

#include "geometry.h"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNKernel.hpp>
#include <mpsvk/MPS/KeyedArchiver.hpp>

namespace mpsvk::MPS {

ImageDescriptor NNPadding::destinationImageDescriptor(ImageBatch, StateBatch, Kernel&,
                                                      ImageDescriptor suggested) const {
    return suggested;
}

std::shared_ptr<NNDefaultPadding> NNDefaultPadding::padding(NNPaddingMethod method) {
    return std::make_shared<NNDefaultPadding>(method);
}

std::shared_ptr<NNDefaultPadding> NNDefaultPadding::paddingForTensorflowAveragePooling() {
    using enum NNPaddingMethod;
    return padding(SizeSame | AlignCentered | AddRemainderToBottomRight | Custom);
}

std::shared_ptr<NNDefaultPadding> NNDefaultPadding::paddingForTensorflowAveragePoolingValidOnly() {
    using enum NNPaddingMethod;
    return padding(SizeValidOnly | AlignCentered | AddRemainderToBottomRight | Custom);
}

std::string NNDefaultPadding::label() const {
    switch (uint64_t(method_ & NNPaddingMethod::SizeMask)) {
    case uint64_t(NNPaddingMethod::SizeSame): return "same";
    case uint64_t(NNPaddingMethod::SizeFull): return "full";
    default: return "valid";
    }
}

ImageDescriptor NNDefaultPadding::destinationImageDescriptor(ImageBatch, StateBatch, Kernel& kernel,
                                                             ImageDescriptor suggested) const {
    // The default computation has set the offset; average pooling counts only the image's pixels.
    if (auto* unary = dynamic_cast<CNNKernel*>(&kernel)) unary->setEdgeMode(ImageEdgeMode::Clamp);
    return suggested;
}

void NNDefaultPadding::encode(KeyedArchiver& coder) const {
    coder.encode(uint64_t(method_), "paddingMethod");
}

std::shared_ptr<NNPadding> NNDefaultPadding::inverse() const {
    const NNPaddingMethod size = method_ & NNPaddingMethod::SizeMask,
                          rest = method_ & ~NNPaddingMethod::SizeMask;
    if (size == NNPaddingMethod::SizeSame) return padding(method_);
    return padding(rest | (size == NNPaddingMethod::SizeFull ? NNPaddingMethod::SizeValidOnly
                                                             : NNPaddingMethod::SizeFull));
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

PaddedAxis padAxis(MPS::NNPaddingMethod method, bool yAxis, uint64_t size, uint64_t taps,
                   uint64_t stride, uint64_t dilation, bool backwards) {
    using MPS::NNPaddingMethod;
    const auto sizeBits = method & NNPaddingMethod::SizeMask;
    const int style = sizeBits == NNPaddingMethod::SizeSame   ? 0
                      : sizeBits == NNPaddingMethod::SizeFull ? 1
                                                              : -1;
    const int alignment = int(method & NNPaddingMethod::AlignMask);
    const uint64_t lastBit = yAxis ? 8 : 4; // the remainder goes to the right, to the bottom
    const int remainderFirst = (uint64_t(method) & lastBit) ? 0 : 1;
    const int extent = glsl::dilatedExtent(int(taps), int(dilation));
    const int n = int(size), s = int(stride);
    if (backwards) {
        const int result = glsl::reversePaddedSize(n, s, extent, style);
        return {uint64_t(result),
                glsl::reversePaddingOffset(n, result, s, extent, alignment, remainderFirst)};
    }
    const int result = glsl::paddedSize(n, s, extent, style);
    return {uint64_t(result), glsl::paddingOffset(n, result, s, extent, alignment, remainderFirst)};
}

} // namespace mpsvk::mps
