// The object behind MPS::NDArray.
#pragma once

#include "mps/Matrix.hpp"

#include <mpsvk/MPS/NDArray.hpp>

namespace mpsvk::mps {

constexpr uint64_t mostDimensions = 16;

/// Where the elements of an array lie, counted in elements from the start of its memory.
struct NDLayout {
    uint64_t count = 0; ///< dimensions; those beyond have length 1
    std::array<uint64_t, mostDimensions> lengths{};
    std::array<int64_t, mostDimensions> strides{};
    int64_t offset = 0; ///< of the first element
    MPS::DataType dataType = MPS::DataType::Float32;

    NDLayout() { lengths.fill(1); }
    uint64_t elementBytes() const { return MPS::bytesPerElement(dataType); }
    uint64_t elements() const;
    /// The first element and one beyond the last.
    int64_t lowest() const;
    int64_t highest() const;
    bool hasShapeOf(const NDLayout& other) const {
        return count == other.count && lengths == other.lengths;
    }
};

/// "3x4x5", the slowest dimension first.
std::string shapeText(const NDLayout& layout);
/// The layout of a new array. Throws InvalidArgument when the descriptor is not in order.
NDLayout newLayout(const MPS::NDArrayDescriptor& descriptor);
/// Rows of elements without gaps, or each a multiple of 16 bytes.
void setStrides(NDLayout& layout, bool packed);
/// The same elements in another shape; false where no strides say it.
bool reshape(NDLayout& layout, uint64_t count, std::span<const uint64_t> lengths);
/// Reshaped, sliced and transposed as the descriptor says, which is checked; false where no strides
/// say it.
bool view(const std::string& who, const MPS::NDArrayDescriptor& descriptor, NDLayout& layout);
MPS::NDArrayDescriptor descriptorOf(const NDLayout& layout);

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct NDArray::Impl : detail::ObjectImpl {
    Impl(std::shared_ptr<mps::ArrayStorage> storage, mps::NDLayout layout)
        : storage(std::move(storage)), layout(layout) {}
    ~Impl() override;

    std::string who() const;
    bool isTemporary() const { return storage->isTemporary(); }
    void checkUsable(const std::string& who, const char* role,
                     const MTL::CommandBuffer& commandBuffer) const;
    /// An encode has read it.
    void wasRead();
    void setReadCount(uint64_t count);
    /// A view of `self`, which is this object's handle.
    NDArray view(const NDArray& self, const mps::NDLayout& layout);
    /// The same elements for one encode, which may read them once; this object's count stays.
    NDArray forOneEncode(const mps::NDLayout& layout) const;

    const std::shared_ptr<mps::ArrayStorage> storage; ///< shared with views; counts all their reads
    const mps::NDLayout layout;
    NDArray parent;
    MTL::Buffer userBuffer;
    std::string label;
    uint64_t readCount = 0;
};

} // namespace mpsvk::MPS
