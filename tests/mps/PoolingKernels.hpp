// Poolings of the library, configured as the reference's.
#pragma once

#include "support/Images.hpp"
#include "support/reference/Pooling.hpp"

#include <algorithm>
#include <memory>

namespace mpsvk::test {

using reference::Pooling;
using reference::PoolingType;
using reference::Tensor;

inline MPS::ImageEdgeMode edgeOf(const Pooling& k) {
    return k.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp
                                                : MPS::ImageEdgeMode::Zero;
}

inline bool dilated(const Pooling& k) { return k.dilationX > 1 || k.dilationY > 1; }

inline std::unique_ptr<MPS::CNNPooling> forwardOf(const Pooling& k) {
    const MTL::Device device = testDevice();
    std::unique_ptr<MPS::CNNPooling> made;
    if (k.type == PoolingType::L2Norm) {
        made = std::make_unique<MPS::CNNPoolingL2Norm>(device, k.kernelWidth, k.kernelHeight,
                                                       k.strideX, k.strideY);
    } else if (k.type == PoolingType::Average) {
        auto average = std::make_unique<MPS::CNNPoolingAverage>(
            device, k.kernelWidth, k.kernelHeight, k.strideX, k.strideY);
        average->setZeroPadSizeX(k.zeroPadX);
        average->setZeroPadSizeY(k.zeroPadY);
        made = std::move(average);
    } else if (dilated(k)) {
        made = std::make_unique<MPS::CNNDilatedPoolingMax>(
            device, k.kernelWidth, k.kernelHeight, k.dilationX, k.dilationY, k.strideX, k.strideY);
    } else {
        made = std::make_unique<MPS::CNNPoolingMax>(device, k.kernelWidth, k.kernelHeight,
                                                    k.strideX, k.strideY);
    }
    made->setOffset({k.offsetX, k.offsetY, 0});
    made->setEdgeMode(edgeOf(k));
    return made;
}

inline std::unique_ptr<MPS::CNNPoolingGradient> gradientOf(const Pooling& k) {
    const MTL::Device device = testDevice();
    const auto w = k.kernelWidth, h = k.kernelHeight, sx = k.strideX, sy = k.strideY;
    if (k.type == PoolingType::L2Norm)
        return std::make_unique<MPS::CNNPoolingL2NormGradient>(device, w, h, sx, sy);
    if (k.type == PoolingType::Average)
        return std::make_unique<MPS::CNNPoolingAverageGradient>(device, w, h, sx, sy);
    if (dilated(k))
        return std::make_unique<MPS::CNNDilatedPoolingMaxGradient>(device, w, h, k.dilationX,
                                                                   k.dilationY, sx, sy);
    return std::make_unique<MPS::CNNPoolingMaxGradient>(device, w, h, sx, sy);
}

/// Everything that a state would have carried over.
inline void configure(MPS::CNNPoolingGradient& gradient, const Pooling& k, const Tensor& shape) {
    gradient.setSecondaryOffset({k.offsetX, k.offsetY, 0});
    gradient.setSecondaryEdgeMode(edgeOf(k));
    if (auto* average = dynamic_cast<MPS::CNNPoolingAverageGradient*>(&gradient)) {
        average->setZeroPadSizeX(k.zeroPadX);
        average->setZeroPadSizeY(k.zeroPadY);
    }
    const auto first = [](int64_t offset, uint64_t taps, uint64_t dilation, size_t size) {
        return uint64_t(std::clamp<int64_t>(offset - int64_t(((taps - 1) * dilation + 1) / 2), 0,
                                            int64_t(size) - 1));
    };
    const uint64_t x = first(k.offsetX, k.kernelWidth, k.dilationX, shape.w),
                   y = first(k.offsetY, k.kernelHeight, k.dilationY, shape.h);
    gradient.setClipRect({{x, y, 0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}});
}

inline Tensor row(const std::vector<double>& values) {
    return Tensor(1, 1, values.size(), 1, values);
}

/// Lets a pooling that returns its result keep its offset, and write to images of the test's.
class Destination : public MPS::NNPadding, public MPS::ImageAllocator {
public:
    Destination(const MPS::Offset& offset, MPS::ImageBatch images)
        : offset_(offset), images_(std::move(images)) {}
    MPS::NNPaddingMethod paddingMethod() const override { return MPS::NNPaddingMethod::Custom; }
    std::string label() const override { return "destination"; }
    MPS::ImageDescriptor destinationImageDescriptor(MPS::ImageBatch, MPS::StateBatch,
                                                    MPS::Kernel& kernel,
                                                    MPS::ImageDescriptor suggested) const override {
        dynamic_cast<MPS::CNNKernel&>(kernel).setOffset(offset_);
        MPS::ImageDescriptor d = suggested;
        d.setWidth(images_[0].width());
        d.setHeight(images_[0].height());
        return d;
    }
    MPS::Image image(MTL::CommandBuffer, MPS::ImageDescriptor, const MPS::Kernel&) override {
        return images_[0];
    }
    MPS::ImageBatch imageBatch(MTL::CommandBuffer, MPS::ImageDescriptor, const MPS::Kernel&,
                               uint64_t) override {
        return images_;
    }

private:
    MPS::Offset offset_;
    MPS::ImageBatch images_;
};

/// How the forward encode gets a state: it is given one, or returns it (and may keep in it where
/// the maxima were).
enum class StateIs { Given, Returned };

/// Encodes with the kernel's properties as they stand.
inline MPS::StateBatch encodeWithState(const MTL::CommandBuffer& commands, MPS::CNNPooling& kernel,
                                       const MPS::ImageBatch& x, const MPS::ImageBatch& y,
                                       StateIs how) {
    MPS::StateBatch states;
    if (how == StateIs::Given) {
        states = kernel.resultStateBatch(x, {}, y);
        kernel.encodeBatch(commands, x, states, y);
    } else {
        const auto destination = std::make_shared<Destination>(kernel.offset(), y);
        kernel.setPadding(destination);
        kernel.setDestinationImageAllocator(destination);
        kernel.encodeBatch(commands, x, &states, false);
    }
    return states;
}

struct Result {
    Tensor y, dx;
};

enum class From { Properties, GivenState, ReturnedState };

/// With the gradient given its destination and no state, or taking all from the state.
inline Result both(const Pooling& k, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
                   const Tensor& shape, Variant variant, From from) {
    const auto forward = forwardOf(k);
    const auto gradient = gradientOf(k);
    Guarded y(shape.n, k.outputHeight, k.outputWidth, shape.c, variant);
    Result result;
    if (from != From::Properties) {
        gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch dx;
        run([&](const MTL::CommandBuffer& commands) {
            const auto states =
                encodeWithState(commands, *forward, x, y.images(),
                                from == From::GivenState ? StateIs::Given : StateIs::Returned);
            dx = gradient->encodeBatch(commands, g, x, states);
        });
        result.dx = download(dx);
    } else {
        configure(*gradient, k, shape);
        // Outside the clip rectangle nothing is written; no window reads there.
        const auto dx = upload(Tensor(shape.n, shape.h, shape.w, shape.c, 0.0), variant);
        run([&](const MTL::CommandBuffer& commands) {
            forward->encodeBatch(commands, x, y.images());
            gradient->encodeBatch(commands, g, x, dx);
        });
        result.dx = download(dx);
    }
    result.y = y.read();
    return result;
}

} // namespace mpsvk::test
