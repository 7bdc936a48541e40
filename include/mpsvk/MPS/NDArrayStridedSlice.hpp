// Every n-th element of an array, and the gradient.
#pragma once

#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::MPS {

/// Along each dimension R[i] = S[i * stride]; with a negative stride R[i] = S[n - 1 - i * |stride|]
/// of a source of length n, so that -1 turns a dimension around. R has ceil(n / |stride|) elements.
/// For an offset give it a view. Of any data type. MPSNDArrayStridedSlice.
class NDArrayStridedSlice : public NDArrayUnaryKernel {
public:
    explicit NDArrayStridedSlice(const MTL::Device& device);
    NDArrayStridedSlice(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayStridedSlice(deviceFor(coder, device)) {
        unarchive(coder);
    }

    using NDArrayUnaryKernel::strides;
    NDArrayOffsets strides() const { return strides_; }
    /// An encode throws InvalidArgument when one of a dimension of the source is 0.
    void setStrides(const NDArrayOffsets& v) { strides_ = v; }

    std::string className() const override { return "NDArrayStridedSlice"; }
    NDArrayStridedSlice copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    NDArrayOffsets sourceStrides() const override { return strides_; }
    NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const override;
    NDArrayGradientState makeState(const MTL::Device& device) const override;
    void record(mps::NDRecord& record) const override;
    void dispatch(const mps::NDPass& pass) const override;

    NDArrayOffsets strides_;
};

/// The gradient goes where the slice took its elements; the others get 0. Of any data type.
/// MPSNDArrayStridedSliceGradient.
class NDArrayStridedSliceGradient : public NDArrayUnaryGradientKernel {
public:
    explicit NDArrayStridedSliceGradient(const MTL::Device& device)
        : NDArrayUnaryGradientKernel(device) {}
    NDArrayStridedSliceGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayStridedSliceGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    std::string className() const override { return "NDArrayStridedSliceGradient"; }
    NDArrayStridedSliceGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    std::string forwardClassName() const override { return "NDArrayStridedSlice"; }
    void dispatch(const mps::NDPass& pass) const override;
};

} // namespace mpsvk::MPS
