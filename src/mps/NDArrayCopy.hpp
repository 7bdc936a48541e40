// Elements of arrays between places, on the GPU.
#pragma once

#include "NDArrayCopy.h"
#include "mps/Encoder.hpp"
#include "mps/NDArray.hpp"

#include <optional>

namespace mpsvk::mps {

/// The part of a buffer that an encode binds for an array.
struct NDOperand {
    /// The bytes that `layout` touches in `memory`, which its offset counts from. Throws
    /// InvalidArgument when they are more than the device binds.
    NDOperand(Encoder& encoder, const std::string& who, const char* role,
              const vk::BufferSlice& memory, const NDLayout& layout);
    /// The whole array.
    NDOperand(Encoder& encoder, const std::string& who, const char* role,
              const MPS::NDArray& array);

    vk::BufferSlice slice;               ///< begins at a multiple of 16 bytes
    NDLayout layout;                     ///< its offset counts from there
    uint64_t firstByte = 0, endByte = 0; ///< of the elements, within the VkBuffer
};

/// Throws InvalidArgument when a kernel that does not work in place would.
void checkApart(const std::string& who, const char* resultRole, const NDOperand& result,
                const char* sourceRole, const NDOperand& source);

/// False where elements may share memory, as those of a view with a stride of 0 do.
bool areApart(const NDLayout& layout);

/// Indices along one dimension of a source.
struct NDLookup {
    uint64_t dimension = 0;
    uint64_t length = 0; ///< of the source there
    const NDOperand* indices = nullptr;
};

/// The value of the constant in glsl/ndIndices.glsl.
std::vector<vk::Constant> indexConstants(MPS::DataType type);

struct NDCopy {
    const NDOperand* source = nullptr;
    const NDOperand* destination = nullptr; ///< its lengths count
    /// Along each dimension of the destination only multiples have a source; the rest is 0.
    std::array<uint64_t, mostDimensions> steps{};
    std::optional<NDLookup> lookup;
};

/// One dispatch. Data types are the same, or Float32 and Float16.
void copyElements(Encoder& encoder, const NDCopy& copy);
void copyElements(Encoder& encoder, const NDOperand& source, const NDOperand& destination);
/// Throws InvalidArgument when `copyElements` does not convert the one into the other.
void checkConvertible(const std::string& who, const char* what, MPS::DataType from,
                      MPS::DataType to);

} // namespace mpsvk::mps
