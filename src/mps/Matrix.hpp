// The objects behind MPS::Matrix and MPS::Vector.
#pragma once

#include "mps/Subject.hpp"
#include "mps/TemporaryHeap.hpp"
#include "mtl/Buffer.hpp"
#include "vk/Device.hpp"

#include <mpsvk/MPS/Matrix.hpp>

#include <atomic>
#include <mutex>

namespace mpsvk::mps {

/// Rows of elements at equal distances: one matrix, or the vectors of a vector object.
struct ArrayView {
    vk::BufferSlice slice; ///< from the first element to the end of the last
    uint64_t rows = 0, columns = 0, rowBytes = 0;
    MPS::DataType dataType = MPS::DataType::Float32;

    explicit operator bool() const { return bool(slice); }
    uint64_t elements() const { return rows * columns; }
};

/// `slice` for a binding: begun earlier, where the device's alignment asks for it; `skipped` bytes
/// lie before its first element.
struct AlignedSlice {
    AlignedSlice() = default;
    AlignedSlice(vk::BufferSlice slice, const vk::Limits& limits);
    vk::BufferSlice slice;
    uint64_t skipped = 0;
};

/// The bytes of a matrix or a vector: in a buffer of the user's, made at first use, or a command
/// buffer's.
class ArrayStorage : public detail::ObjectImpl {
public:
    /// Made at first use, zero-filled.
    ArrayStorage(const char* className, MTL::Device device, uint64_t bytes);
    /// `bytes` of `buffer` from `offset` on. Throws InvalidArgument when they are not there.
    ArrayStorage(const char* className, const MTL::Buffer& buffer, uint64_t offset, uint64_t bytes,
                 MPS::DataType dataType);
    ~ArrayStorage() override;
    ArrayStorage(const ArrayStorage&) = delete;

    const MTL::Device& device() const { return device_; }
    const vk::BufferSlice& slice();
    MTL::Buffer data();
    uint64_t bytes() const { return bytes_; }
    uint64_t offset() const { return offset_; }
    uint64_t resourceSize() const { return wrapped_ ? 0 : bytes_; }
    bool isTemporary() const { return temporary_; }
    uint64_t readCount() const { return readCount_; }

    /// Ties it to a command buffer: its memory comes from there and its read count is 1.
    void makeTemporary(const MTL::CommandBuffer& commandBuffer);
    void checkUsable(const Subject& who, const Role& role,
                     const MTL::CommandBuffer& commandBuffer) const;
    /// An encode has read it.
    void wasRead();
    /// Of the user's: throws InvalidArgument once the count is 0.
    void setReadCount(uint64_t count);
    /// Throws InvalidArgument when the host cannot read or write it now.
    void checkHostAccess(const char* verb, uint64_t given, uint64_t needed);

private:
    void release();

    void makeSlice();

    // What each use reads comes first.
    const MTL::Device device_;
    vk::BufferSlice slice_;
    std::atomic<bool> isMade_ = false; ///< slice_ is there
    bool wrapped_ = false, temporary_ = false;
    uint64_t readCount_ = 0;
    const char* const className_;
    const uint64_t bytes_;
    uint64_t offset_ = 0;
    std::mutex mutex_;
    MTL::Buffer object_;
    std::shared_ptr<TemporaryHeap> heap_;
    TemporaryHeap::Range range_;
    uint64_t owner_ = 0;
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct Matrix::Impl : mps::ArrayStorage {
    Impl(const MTL::Device& device, const MatrixDescriptor& descriptor);
    Impl(const MTL::Buffer& buffer, uint64_t offset, const MatrixDescriptor& descriptor);
    mps::ArrayView view(uint64_t matrix);

    const MatrixDescriptor descriptor;
};

struct Vector::Impl : mps::ArrayStorage {
    Impl(const MTL::Device& device, const VectorDescriptor& descriptor);
    Impl(const MTL::Buffer& buffer, uint64_t offset, const VectorDescriptor& descriptor);
    /// One row for each vector.
    mps::ArrayView view();

    const VectorDescriptor descriptor;
};

} // namespace mpsvk::MPS
