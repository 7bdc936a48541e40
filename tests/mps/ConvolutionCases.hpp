// Convolutions for tests by a line of a table each.
#pragma once

#include "mps/ConvolutionKernels.hpp"

namespace mpsvk::test {

struct Case {
    const char* name;
    size_t n, h, w, ci, co, kh, kw, stride, dilation, groups;
    bool depthwise, clamp;
    MPS::NNPaddingMethod padding;
};

inline reference::Convolution referenceOf(const Case& k, uint64_t seed) {
    reference::Convolution r;
    r.inputChannels = k.ci;
    r.outputChannels = k.co;
    r.kernelWidth = k.kw;
    r.kernelHeight = k.kh;
    r.strideX = r.strideY = k.stride;
    r.dilationX = r.dilationY = k.dilation;
    r.groups = k.depthwise ? k.ci : k.groups;
    r.edge = k.clamp ? reference::EdgeMode::Clamp : reference::EdgeMode::Zero;
    fill(r, seed);
    return r;
}

struct Kernels {
    Kernels(const reference::Convolution& r, MPS::NNPaddingMethod padding = same)
        : Kernels(r, padding, sourceOf(r)) {}
    Kernels(const reference::Convolution& r, MPS::NNPaddingMethod padding,
            const std::shared_ptr<FixedWeights>& source)
        : forward(testDevice(), source), gradient(testDevice(), source) {
        forward.setPadding(MPS::NNDefaultPadding::padding(padding));
        forward.setEdgeMode(r.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp
                                                                 : MPS::ImageEdgeMode::Zero);
    }
    MPS::CNNConvolution forward;
    MPS::CNNConvolutionGradient gradient;
};

inline void place(reference::Convolution& r, const MPS::CNNConvolution& kernel, const Tensor& y) {
    r.offsetX = kernel.offset().x;
    r.offsetY = kernel.offset().y;
    r.outputWidth = y.w;
    r.outputHeight = y.h;
}

} // namespace mpsvk::test
