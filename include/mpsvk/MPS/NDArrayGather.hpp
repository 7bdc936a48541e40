// Slices of an array by a list of indices (an embedding), and the gradient.
#pragma once

#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::MPS {

/// What a gather gives to its gradient: the axis. MPSNDArrayGatherGradientState.
class NDArrayGatherGradientState : public NDArrayGradientState {
public:
    NDArrayGatherGradientState() = default;
    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit NDArrayGatherGradientState(std::shared_ptr<Impl> impl);
};

/// Along the axis R[i] = S[indices[i]], along the other dimensions R[i] = S[i]. The primary source
/// is S, of any data type; the secondary one is a list of indices of any integer type: only its
/// dimension 0 is longer than 1. Where an index lies outside of S, R is 0. MPSNDArrayGather.
class NDArrayGather : public NDArrayBinaryKernel {
public:
    explicit NDArrayGather(const MTL::Device& device) : NDArrayBinaryKernel(device) {}
    NDArrayGather(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayGather(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// The dimension that is looked up, 0 at first. An encode throws InvalidArgument when the
    /// source does not have it.
    uint64_t axis() const { return axis_; }
    void setAxis(uint64_t v) { axis_ = v; }

    std::string className() const override { return "NDArrayGather"; }
    NDArrayGather copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const override;
    NDArrayGradientState makeState(const MTL::Device& device) const override;
    void record(mps::NDRecord& record) const override;
    void dispatch(const mps::NDPass& pass) const override;

    uint64_t axis_ = 0;
};

/// dS[j] = sum over all i with indices[i] = j of dR[i], along the state's axis. Indices outside of
/// S take no part. Float32 or Float16; sums are formed in fp32, in an order that depends on the
/// indices alone. Of the primary source only the shape counts. MPSNDArrayGatherGradient.
class NDArrayGatherGradient : public NDArrayBinaryPrimaryGradientKernel {
public:
    explicit NDArrayGatherGradient(const MTL::Device& device)
        : NDArrayBinaryPrimaryGradientKernel(device) {}
    NDArrayGatherGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayGatherGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    std::string className() const override { return "NDArrayGatherGradient"; }
    NDArrayGatherGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    std::string forwardClassName() const override { return "NDArrayGather"; }
    void validate(const mps::NDPass& pass) const override;
    void dispatch(const mps::NDPass& pass) const override;
};

} // namespace mpsvk::MPS
