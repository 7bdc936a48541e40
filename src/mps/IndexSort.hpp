// A stable sort of a list of indices, on the GPU.
#pragma once

#include "mps/NDArrayCopy.hpp"

namespace mpsvk::mps {

/// Where in the list each index occurs, index after index and in the list's order.
struct SortedIndices {
    std::shared_ptr<const vk::BufferSlice> keys;   ///< the indices; those outside as `keyCount`
    std::shared_ptr<const vk::BufferSlice> order;  ///< their places in the list
    std::shared_ptr<const vk::BufferSlice> ranges; ///< of each key below keyCount: begin and end
};

/// Sorts indices below `keyCount`: three dispatches for each eight bits of it, then one.
SortedIndices sortIndices(Encoder& encoder, const NDOperand& indices, uint64_t keyCount);

} // namespace mpsvk::mps
