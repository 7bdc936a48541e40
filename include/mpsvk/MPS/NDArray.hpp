// MPSNDArray: numbers in up to 16 dimensions in a buffer, and views of them.
#pragma once

#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MTL/Buffer.hpp>

#include <array>
#include <span>

namespace mpsvk::MPS {

/// MPSAliasingStrategy: what becomes of a view. Default: no copy where none is needed.
enum class AliasingStrategy : uint64_t {
    Default = 0,
    DontCare = 0,
    ShallAlias = 1 << 0,               ///< a view, or an empty handle
    ShallNotAlias = 1 << 1,            ///< a copy
    AliasingReserved = 3,              ///< refused
    PreferTemporaryMemory = 1 << 2,    ///< for a copy
    PreferNonTemporaryMemory = 1 << 3, ///< for a copy
};
constexpr AliasingStrategy operator|(AliasingStrategy a, AliasingStrategy b) {
    return AliasingStrategy(uint64_t(a) | uint64_t(b));
}
constexpr AliasingStrategy operator&(AliasingStrategy a, AliasingStrategy b) {
    return AliasingStrategy(uint64_t(a) & uint64_t(b));
}

/// One number for each dimension, dimension 0 (the fastest) first. MPSNDArrayOffsets.
struct NDArrayOffsets {
    std::array<int64_t, 16> dimensions{};
    friend bool operator==(const NDArrayOffsets&, const NDArrayOffsets&) = default;
};
struct NDArraySizes {
    std::array<uint64_t, 16> dimensions{};
    friend bool operator==(const NDArraySizes&, const NDArraySizes&) = default;
};

/// The shape of an array, and of a view which parts of another one's dimensions in which order: the
/// slices are taken first, the transposition comes after. Dimensions are numbered as they are
/// before it. Lists of dimension sizes begin with dimension 0, the fastest; shapes end with it.
/// MPSNDArrayDescriptor.
class NDArrayDescriptor {
public:
    /// Throws InvalidArgument for more than 16 dimensions or a length of 0.
    NDArrayDescriptor(DataType dataType, uint64_t dimensionCount,
                      std::span<const uint64_t> dimensionSizes);
    NDArrayDescriptor(DataType dataType, const std::vector<uint64_t>& shape);

    DataType dataType() const { return dataType_; }
    void setDataType(DataType v) { dataType_ = v; }
    /// 0 is a single number. Dimensions beyond have length 1.
    uint64_t numberOfDimensions() const { return count_; }
    /// New dimensions are of length 1; what is cut off is forgotten, transpositions too.
    void setNumberOfDimensions(uint64_t v);
    /// Of the whole dimension; 1 beyond the last one.
    uint64_t lengthOfDimension(uint64_t dimensionIndex) const;
    /// The part in use: the whole dimension unless it was sliced.
    DimensionSlice sliceRangeForDimension(uint64_t dimensionIndex) const;
    void sliceDimension(uint64_t dimensionIndex, const DimensionSlice& subRange);
    /// Exchanges what dimensions `dimensionIndex` and `dimensionIndex2` of the array will be.
    void transposeDimension(uint64_t dimensionIndex, uint64_t dimensionIndex2);
    /// Dimension i of the array will be what would be its dimension dimensionOrder[i] without this
    /// call.
    void permute(std::span<const uint64_t> dimensionOrder);
    /// Dimension i of the array is dimension [i] here.
    std::array<uint8_t, 16> dimensionOrder() const { return order_; }
    /// Of the whole dimensions, the slowest first.
    std::vector<uint64_t> getShape() const;
    /// Other dimensions, neither sliced nor transposed.
    void reshape(uint64_t dimensionCount, std::span<const uint64_t> dimensionSizes);
    void reshape(const std::vector<uint64_t>& shape);
    /// True: rows of a new array follow each other without a gap. Else each takes a multiple of 16
    /// bytes.
    bool preferPackedRows() const { return packed_; }
    void setPreferPackedRows(bool v) { packed_ = v; }

private:
    DataType dataType_;
    uint64_t count_ = 0;
    std::array<uint64_t, 16> lengths_{};
    std::array<DimensionSlice, 16> slices_{};
    std::array<uint8_t, 16> order_{};
    bool packed_ = false;
};

class NDArray;

/// Makes the arrays that kernels return. MPSNDArrayAllocator.
class NDArrayAllocator {
public:
    virtual ~NDArrayAllocator() = default;
    virtual NDArray array(MTL::CommandBuffer commandBuffer, NDArrayDescriptor arrayDescriptor,
                          const Kernel& kernel) = 0;
};

/// Elements along dimension 0 lie together in a row; rows of dimension 1, then the higher
/// dimensions, follow each other. A view has any strides. MPSNDArray.
class NDArray : public Object {
public:
    NDArray() = default;
    /// Zeros, in storage that is made at first use. Throws InvalidArgument when the descriptor is
    /// not in order: a data type without a size, a length of 0, a slice beyond its dimension, an
    /// order that names a dimension twice.
    NDArray(const MTL::Device& device, const NDArrayDescriptor& descriptor);
    /// One Float32, without dimensions.
    NDArray(const MTL::Device& device, double scalar);
    /// In a buffer of the user's from byte `offset` (a multiple of the element's size) on, in rows
    /// as the descriptor says. The last row may be unpadded. Throws InvalidArgument when the buffer
    /// is shorter.
    NDArray(const MTL::Buffer& buffer, uint64_t offset, const NDArrayDescriptor& descriptor);
    static std::shared_ptr<NDArrayAllocator> defaultAllocator();

    MTL::Device device() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    DataType dataType() const;
    /// Bytes of an element.
    uint64_t dataTypeSize() const;
    uint64_t numberOfDimensions() const;
    uint64_t lengthOfDimension(uint64_t dimensionIndex) const;
    /// Of the array as it is: a view's is neither sliced nor transposed.
    NDArrayDescriptor descriptor() const;
    /// What this is a view of; empty for an array of its own.
    NDArray parent() const;
    /// Bytes of device memory; 0 for a view and for an array in a buffer of the user's.
    uint64_t resourceSize() const;
    /// The buffer that the array was made in; empty for others.
    MTL::Buffer userBuffer() const;
    bool isTemporary() const;

    /// The array with other dimensions, sliced and transposed. The descriptor has this array's data
    /// type and as many elements (before slicing); when its lengths are others, that is a reshape.
    /// The result shares this array's memory where its strides can say it, else, with a command
    /// buffer and unless ShallAlias, it is a copy: in temporary memory when that is preferred, or
    /// when nothing is and this array is temporary. A temporary array's view is temporary, with a
    /// read count of its own; making a view or a copy counts as a read. An empty handle where a
    /// copy would be needed but is not wanted.
    NDArray arrayView(const MTL::CommandBuffer& commandBuffer, const NDArrayDescriptor& descriptor,
                      AliasingStrategy aliasing) const;
    NDArray arrayView(const NDArrayDescriptor& descriptor) const;
    /// With these strides in elements, in the order of the sizes. An empty shape is the array's
    /// own. Throws InvalidArgument when an element would lie beyond the array's memory.
    NDArray arrayView(const std::vector<uint64_t>& shape,
                      const std::vector<uint64_t>& strides) const;
    NDArray arrayView(uint64_t dimensionCount, std::span<const uint64_t> dimensionSizes,
                      std::span<const uint64_t> strides) const;

    /// Copies all elements from or to `buffer`, from byte `offset` on, on the GPU. rowStrides are
    /// the distances in bytes along dimensions 1, 2 ... there (one fewer than there are
    /// dimensions); none: without gaps. Float32 and Float16 are converted into each other; other
    /// types must be the array's. Throws InvalidArgument when the buffer is too short.
    void exportData(const MTL::CommandBuffer& commandBuffer, const MTL::Buffer& buffer,
                    DataType destinationDataType, uint64_t offset,
                    std::span<const uint64_t> rowStrides = {}) const;
    void importData(const MTL::CommandBuffer& commandBuffer, const MTL::Buffer& buffer,
                    DataType sourceDataType, uint64_t offset,
                    std::span<const uint64_t> rowStrides = {}) const;
    /// The bytes of all elements; strideBytes are the distances in bytes along each dimension in
    /// `bytes`, none: without gaps. Throws InvalidArgument when `bytes` does not fit, for private
    /// or temporary storage, and while a command buffer that writes the array is not completed.
    void readBytes(std::span<std::byte> bytes, std::span<const uint64_t> strideBytes = {}) const;
    void writeBytes(std::span<const std::byte> bytes,
                    std::span<const uint64_t> strideBytes = {}) const;
    /// An extension: all elements without gaps, dimension 0 fastest, converted from and to float.
    /// Integer types round to nearest and saturate.
    void write(std::span<const float> values) const;
    void read(std::span<float> values) const;
    /// Kept for ported code: what the GPU wrote can be read once its command buffer is completed.
    void synchronize(const MTL::CommandBuffer& commandBuffer) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit NDArray(std::shared_ptr<Impl> impl);
};

/// MPSTemporaryNDArray: memory of a command buffer, for the GPU only, given back when the array and
/// its views were read as often as their read counts say. Its contents are undefined until written.
class TemporaryNDArray : public NDArray {
public:
    TemporaryNDArray() = default;
    TemporaryNDArray(const MTL::CommandBuffer& commandBuffer, const NDArrayDescriptor& descriptor);
    static std::shared_ptr<NDArrayAllocator> defaultAllocator();
    /// How many more encodes may read the array; 1 at first.
    uint64_t readCount() const;
    /// 0 releases the array. Throws InvalidArgument once the count is 0.
    void setReadCount(uint64_t count) const;

    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
