// Copies, transposed copies and reshapes of arrays.
#pragma once

#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::MPS {

/// The result is the source, element by element, of any data type; with a view as the source, or as
/// the destination, a slice or a transposition of it. MPSNDArrayIdentity.
class NDArrayIdentity : public NDArrayUnaryKernel {
public:
    explicit NDArrayIdentity(const MTL::Device& device) : NDArrayUnaryKernel(device) {}
    NDArrayIdentity(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayIdentity(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// The source's elements, in their order, in another shape (its last number is dimension 0's
    /// length). Without a destination the result is a view where its strides can say it, else a
    /// copy from the allocator; an empty handle when there is no command buffer to copy with. With
    /// a destination of that shape, a copy into it, which is returned. Counts as a read of a
    /// temporary source, unless the result is empty. Throws InvalidArgument when the numbers of
    /// elements differ, and for a destination without a command buffer.
    NDArray reshape(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                    const std::vector<uint64_t>& shape, const NDArray& destinationArray);
    /// The sizes begin with dimension 0's.
    NDArray reshape(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                    uint64_t dimensionCount, std::span<const uint64_t> dimensionSizes,
                    const NDArray& destinationArray);
    /// With an encoder that is open on the command buffer, or an empty one.
    NDArray reshape(const MTL::ComputeCommandEncoder& encoder,
                    const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                    const std::vector<uint64_t>& shape, const NDArray& destinationArray);
    NDArray reshape(const MTL::ComputeCommandEncoder& encoder,
                    const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                    uint64_t dimensionCount, std::span<const uint64_t> dimensionSizes,
                    const NDArray& destinationArray);
    /// A view, or an empty handle.
    NDArray reshape(const NDArray& sourceArray, const std::vector<uint64_t>& shape);
    NDArray reshape(const NDArray& sourceArray, uint64_t dimensionCount,
                    std::span<const uint64_t> dimensionSizes);

    std::string className() const override { return "NDArrayIdentity"; }
    NDArrayIdentity copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const override;
    void dispatch(const mps::NDPass& pass) const override;
};

} // namespace mpsvk::MPS
