#include "mps/NDArrayPass.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NDArrayIdentity.hpp>

namespace mpsvk::MPS {

NDArrayDescriptor NDArrayIdentity::resultDescriptor(const std::vector<NDArray>& sources) const {
    return sources[0].descriptor();
}

void NDArrayIdentity::dispatch(const mps::NDPass& pass) const {
    mps::copyElements(*pass.encoder, pass.operands[0], pass.destinationOperand());
}

namespace {
NDArrayDescriptor reshaped(const std::string& who, const NDArray& source, uint64_t count,
                           std::span<const uint64_t> sizes) {
    if (!source) throw InvalidArgument(who + "sourceArray is empty.");
    NDArrayDescriptor made(source.dataType(), count, sizes);
    const mps::NDLayout wanted = mps::newLayout(made), &given = source.impl().layout;
    if (wanted.elements() != given.elements())
        throw InvalidArgument(who + "sourceArray is " + mps::shapeText(given) + " but " +
                              mps::shapeText(wanted) + " was asked for, which has " +
                              std::to_string(wanted.elements()) + " elements instead of " +
                              std::to_string(given.elements()) + ".");
    return made;
}
} // namespace

NDArray NDArrayIdentity::reshape(const NDArray& source, uint64_t count,
                                 std::span<const uint64_t> sizes) {
    return source.arrayView(reshaped(subject(), source, count, sizes));
}

NDArray NDArrayIdentity::reshape(const MTL::CommandBuffer& commandBuffer, const NDArray& source,
                                 uint64_t count, std::span<const uint64_t> sizes,
                                 const NDArray& destination) {
    const NDArrayDescriptor shape = reshaped(subject(), source, count, sizes);
    if (commandBuffer) {
        commandBuffer.impl().list(subject());
        source.impl().checkUsable(subject(), "sourceArray", commandBuffer);
        if (destination)
            destination.impl().checkUsable(subject(), "destinationArray", commandBuffer);
    } else if (destination) {
        throw InvalidArgument(subject() + "A reshape into a destination needs a command buffer.");
    }
    if (!destination) {
        const NDArray view = source.arrayView(shape);
        if (view || !commandBuffer) return view;
    }
    const NDArray result = destination ? destination : allocate(commandBuffer, shape);
    const mps::NDLayout wanted = mps::newLayout(shape);
    const mps::NDLayout &to = result.impl().layout, &from = source.impl().layout;
    if (!to.hasShapeOf(wanted) || to.dataType != wanted.dataType)
        throw InvalidArgument(subject() + "destinationArray is " + mps::shapeText(to) +
                              " of the dataType " + std::to_string(uint32_t(to.dataType)) +
                              " but " + mps::shapeText(wanted) + " of the dataType " +
                              std::to_string(uint32_t(wanted.dataType)) + " was asked for.");
    // One side is seen in the other's shape, or else the elements go through memory in order.
    mps::NDLayout seen = to;
    if (mps::reshape(seen, from.count, from.lengths)) {
        encode(commandBuffer, source, result.impl().forOneEncode(seen));
        return result;
    }
    seen = from;
    if (mps::reshape(seen, to.count, to.lengths)) {
        const NDArray view = source.impl().forOneEncode(seen);
        encode(commandBuffer, view, result);
        source.impl().wasRead();
        return result;
    }
    NDArrayDescriptor packed = source.descriptor();
    packed.setPreferPackedRows(true);
    const TemporaryNDArray inOrder(commandBuffer, packed);
    encode(commandBuffer, source, inOrder);
    encode(commandBuffer, inOrder.arrayView(shape), result);
    return result;
}

NDArray NDArrayIdentity::reshape(const MTL::ComputeCommandEncoder& encoder,
                                 const MTL::CommandBuffer& commandBuffer, const NDArray& source,
                                 uint64_t count, std::span<const uint64_t> sizes,
                                 const NDArray& destination) {
    NDArray made;
    within(encoder, commandBuffer,
           [&] { made = reshape(commandBuffer, source, count, sizes, destination); });
    return made;
}

NDArray NDArrayIdentity::reshape(const NDArray& source, const std::vector<uint64_t>& shape) {
    const std::vector<uint64_t> sizes(shape.rbegin(), shape.rend());
    return reshape(source, sizes.size(), sizes);
}

NDArray NDArrayIdentity::reshape(const MTL::CommandBuffer& commandBuffer, const NDArray& source,
                                 const std::vector<uint64_t>& shape, const NDArray& destination) {
    const std::vector<uint64_t> sizes(shape.rbegin(), shape.rend());
    return reshape(commandBuffer, source, sizes.size(), sizes, destination);
}

NDArray NDArrayIdentity::reshape(const MTL::ComputeCommandEncoder& encoder,
                                 const MTL::CommandBuffer& commandBuffer, const NDArray& source,
                                 const std::vector<uint64_t>& shape, const NDArray& destination) {
    const std::vector<uint64_t> sizes(shape.rbegin(), shape.rend());
    return reshape(encoder, commandBuffer, source, sizes.size(), sizes, destination);
}

} // namespace mpsvk::MPS
