// Convolutions for tests: kernels and references made from one description.
#pragma once

#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Images.hpp"
#include "support/Weights.hpp"
#include "support/reference/Convolution.hpp"

#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

#include <catch2/catch_test_macros.hpp>

namespace mpsvk::test {

using reference::Tensor;

constexpr auto same = MPS::NNPaddingMethod::SizeSame;
constexpr auto valid = MPS::NNPaddingMethod::SizeValidOnly;
constexpr auto full = MPS::NNPaddingMethod::SizeFull;
constexpr auto tensorflow = same | MPS::NNPaddingMethod::AddRemainderToBottomRight;

/// The descriptor of the reference's shape; depthwise when it has a group per input channel, unless
/// it is to name its groups all the same.
inline MPS::CNNConvolutionDescriptor descriptorOf(const reference::Convolution& r,
                                                  bool namesGroups = false) {
    const bool depthwise = r.groups > 1 && r.groups == r.inputChannels && !namesGroups;
    MPS::CNNConvolutionDescriptor d =
        depthwise ? MPS::CNNDepthWiseConvolutionDescriptor(r.kernelWidth, r.kernelHeight,
                                                           r.inputChannels, r.outputChannels)
                  : MPS::CNNConvolutionDescriptor(r.kernelWidth, r.kernelHeight, r.inputChannels,
                                                  r.outputChannels);
    d.setStrideInPixelsX(r.strideX);
    d.setStrideInPixelsY(r.strideY);
    d.setDilationRateX(r.dilationX);
    d.setDilationRateY(r.dilationY);
    if (!depthwise) d.setGroups(r.groups);
    return d;
}

/// Random weights and biases that fp32 holds exactly.
inline void fill(reference::Convolution& r, uint64_t seed) {
    r.weights = reference::rounded(reference::randomVector(r.weightCount(), seed),
                                   reference::Storage::Float32);
    r.bias = reference::rounded(reference::randomVector(r.outputChannels, seed + 1),
                                reference::Storage::Float32);
}

/// A convolution of either kind with square windows, filled.
template <class Kind = reference::Convolution>
Kind squareConvolution(size_t ci, size_t co, size_t taps, size_t stride = 1, size_t groups = 1) {
    Kind r;
    r.inputChannels = ci;
    r.outputChannels = co;
    r.kernelWidth = r.kernelHeight = taps;
    r.strideX = r.strideY = stride;
    r.groups = groups;
    fill(r, 40);
    return r;
}

/// Where a kernel of the default policy puts its result, for an odd window.
inline void placeSame(reference::ConvolutionTranspose& r, const reference::Tensor& x) {
    r.outputWidth = (x.w - 1) * r.strideX + 1;
    r.outputHeight = (x.h - 1) * r.strideY + 1;
}

/// What weights are kept as beside images of the variant; the reference gets them rounded so.
inline MPS::DataType keptWeights(reference::Convolution& r, Variant variant) {
    if (variant.format != MPS::ImageFeatureChannelFormat::Float16) return MPS::DataType::Float32;
    r.weights = reference::rounded(r.weights, reference::Storage::Float16);
    return MPS::DataType::Float16;
}

inline std::shared_ptr<FixedWeights> sourceOf(const reference::Convolution& r,
                                              MPS::DataType type = MPS::DataType::Float32,
                                              bool namesGroups = false) {
    return std::make_shared<FixedWeights>(descriptorOf(r, namesGroups), r.weights, r.bias, type);
}

inline std::vector<double> contents(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return {values.begin(), values.end()};
}

/// fp32 values into a buffer, from a byte on.
inline void write(const MTL::Buffer& buffer, const std::vector<double>& values,
                  uint64_t offset = 0) {
    const std::vector<float> given(values.begin(), values.end());
    std::memcpy(buffer.contents().data() + offset, given.data(), given.size() * sizeof(float));
}

/// All images of the tensor in one MPSImage.
inline MPS::Image arrayOf(const Tensor& tensor) {
    MPS::Image made(testDevice(), MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32,
                                                       tensor.w, tensor.h, tensor.c, tensor.n));
    for (size_t i = 0; i < tensor.n; ++i)
        made.write(reference::image(tensor, i).floats(),
                   MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    return made;
}

inline Tensor imageOf(const MPS::Image& array, size_t index) {
    std::vector<float> values(array.width() * array.height() * array.featureChannels());
    array.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, index);
    return reference::fromFloats(1, array.height(), array.width(), array.featureChannels(), values);
}

struct Passes {
    Tensor y, e, dx;
    std::vector<double> dw, db;
};

/// Forward, then the gradients through the state, into images that the kernels allocate. Without a
/// cotangent the incoming gradient is random.
template <class Forward, class Gradient>
Passes runPasses(Forward& forward, Gradient& gradient, const Tensor& x, Variant variant = {},
                 bool apart = false, const Tensor* cotangent = nullptr) {
    forward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto placed = [&](const Tensor& tensor) {
        return apart ? uploadApart(tensor, variant) : upload(tensor, variant);
    };
    const auto images = placed(x);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = forward.encodeBatch(commands, images, &states, false);
    });
    Passes passes;
    passes.y = download(y);
    passes.e = cotangent
                   ? *cotangent
                   : reference::rounded(reference::randomLike(passes.y, 77), variant.rounding());
    run([&](const MTL::CommandBuffer& commands) {
        dx = gradient.encodeBatch(commands, placed(passes.e), images, states);
    });
    passes.dx = download(dx);
    const auto state = states[0].template as<MPS::CNNConvolutionGradientState>();
    passes.dw = contents(state.gradientForWeights());
    passes.db = contents(state.gradientForBiases());
    return passes;
}

/// Of each product, relative to the sum of its terms' magnitudes.
inline double productTolerance(Variant variant) {
    return variant.format == MPS::ImageFeatureChannelFormat::Float32 ? 1e-5 : 1e-3;
}

/// All passes against the reference, whose offsets and result size are the kernels' already.
template <class Reference>
void checkPasses(const Passes& got, const Reference& r, const Tensor& x, Variant variant = {}) {
    Reference magnitude = r;
    static_cast<reference::Convolution&>(magnitude) = reference::absolute(r);
    const Tensor ay = reference::forward(magnitude, reference::absolute(x));
    CHECK(reference::compare(got.y, reference::forward(r, x), {productTolerance(variant), 0, &ay}));
    const Tensor ax = reference::dataGradient(magnitude, reference::absolute(got.e), x.h, x.w);
    CHECK(reference::compare(got.dx, reference::dataGradient(r, got.e, x.h, x.w),
                             {productTolerance(variant), 1e-7, &ax}));
    // Gradients of parameters are fp32 whatever the images are.
    CHECK(reference::compare(got.dw, reference::weightsGradient(r, got.e, x), {1e-5}));
    CHECK(reference::compare(got.db, reference::biasGradient(got.e), {1e-5}));
}

} // namespace mpsvk::test
