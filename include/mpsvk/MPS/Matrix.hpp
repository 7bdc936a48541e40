// MPSMatrix and MPSVector: numbers in rows in a buffer; and the bases of the kernels on them.
#pragma once

#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>

#include <span>

namespace mpsvk::MPS {

/// Element (i, j) of matrix k lies `k * matrixBytes + i * rowBytes + j * sizeof(element)` bytes
/// after the matrix's offset. MPSMatrixDescriptor.
class MatrixDescriptor {
public:
    /// One matrix. Throws InvalidArgument when a size is 0, or rowBytes is shorter than a row or no
    /// multiple of the element's size.
    MatrixDescriptor(uint64_t rows, uint64_t columns, uint64_t rowBytes, DataType dataType);
    /// Several. matrixBytes is a multiple of rowBytes and at least rows * rowBytes.
    MatrixDescriptor(uint64_t rows, uint64_t columns, uint64_t matrices, uint64_t rowBytes,
                     uint64_t matrixBytes, DataType dataType);

    uint64_t rows() const { return rows_; }
    void setRows(uint64_t v);
    uint64_t columns() const { return columns_; }
    void setColumns(uint64_t v) { columns_ = v; }
    uint64_t matrices() const { return matrices_; }
    DataType dataType() const { return dataType_; }
    void setDataType(DataType v) { dataType_ = v; }
    uint64_t rowBytes() const { return rowBytes_; }
    void setRowBytes(uint64_t v);
    /// Of a single matrix always rows * rowBytes, whichever of them was set last.
    uint64_t matrixBytes() const { return matrixBytes_; }

    /// A row stride that suits the device: the row's bytes, rounded up to 16. Never mandatory.
    static uint64_t rowBytesForColumns(uint64_t columns, DataType dataType);

private:
    uint64_t rows_, columns_, matrices_, rowBytes_, matrixBytes_;
    DataType dataType_;
};

/// Element j of vector k lies `k * vectorBytes + j * sizeof(element)` bytes after the vector's
/// offset. MPSVectorDescriptor.
class VectorDescriptor {
public:
    /// One vector. Throws InvalidArgument when the length is 0.
    VectorDescriptor(uint64_t length, DataType dataType);
    /// Several. Throws InvalidArgument when vectorBytes is too short or no multiple of the
    /// element's size.
    VectorDescriptor(uint64_t length, uint64_t vectors, uint64_t vectorBytes, DataType dataType);

    uint64_t length() const { return length_; }
    void setLength(uint64_t v);
    uint64_t vectors() const { return vectors_; }
    DataType dataType() const { return dataType_; }
    void setDataType(DataType v);
    /// Of a single vector always the length times the element's size.
    uint64_t vectorBytes() const { return vectorBytes_; }

    /// A stride that suits the device: the vector's bytes, rounded up to 16. Never mandatory.
    static uint64_t vectorBytesForLength(uint64_t length, DataType dataType);

private:
    uint64_t length_, vectors_, vectorBytes_;
    DataType dataType_;
};

/// `matrices` matrices of rows x columns elements: element (i, j) of matrix k lies
/// offset + k * matrixBytes + i * rowBytes + j * sizeof(element) bytes into the buffer. MPSMatrix.
class Matrix : public Object {
public:
    Matrix() = default;
    /// In a buffer from byte `offset` (a multiple of the element's size) on. The last row may be
    /// unpadded: it takes (matrices-1)*matrixBytes + (rows-1)*rowBytes + columns*sizeof(element)
    /// bytes. Throws InvalidArgument when the buffer is shorter.
    Matrix(const MTL::Buffer& buffer, const MatrixDescriptor& descriptor);
    Matrix(const MTL::Buffer& buffer, uint64_t offset, const MatrixDescriptor& descriptor);
    /// Zeros, in storage that is made at first use.
    Matrix(const MTL::Device& device, const MatrixDescriptor& descriptor);

    MTL::Device device() const;
    uint64_t rows() const;
    uint64_t columns() const;
    uint64_t matrices() const;
    DataType dataType() const;
    uint64_t rowBytes() const;
    uint64_t matrixBytes() const;
    /// Bytes from the start of data() to the first element.
    uint64_t offset() const;
    /// The buffer, made now if need be.
    MTL::Buffer data() const;
    /// Bytes of device memory; 0 for a matrix in a buffer of the user's.
    uint64_t resourceSize() const;
    bool isTemporary() const;

    /// An extension: all elements, [matrix][row][column] without padding, converted from and to
    /// float. Integer types round to nearest and saturate. The span's size must fit. Throws
    /// InvalidArgument for private or temporary storage, and while a command buffer that writes it
    /// is not completed.
    void write(std::span<const float> values) const;
    void read(std::span<float> values) const;
    /// Kept for ported code: what the GPU wrote can be read once its command buffer is completed.
    void synchronize(const MTL::CommandBuffer& commandBuffer) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
};

/// `vectors` vectors of `length` elements: element j of vector k lies
/// offset + k * vectorBytes + j * sizeof(element) bytes into the buffer. MPSVector.
class Vector : public Object {
public:
    Vector() = default;
    /// In a buffer from byte `offset` (a multiple of the element's size) on. It takes
    /// (vectors-1)*vectorBytes + length*sizeof(element) bytes; throws InvalidArgument when the
    /// buffer is shorter.
    Vector(const MTL::Buffer& buffer, const VectorDescriptor& descriptor);
    Vector(const MTL::Buffer& buffer, uint64_t offset, const VectorDescriptor& descriptor);
    /// Zeros, in storage that is made at first use.
    Vector(const MTL::Device& device, const VectorDescriptor& descriptor);

    MTL::Device device() const;
    uint64_t length() const;
    uint64_t vectors() const;
    DataType dataType() const;
    uint64_t vectorBytes() const;
    uint64_t offset() const;
    MTL::Buffer data() const;
    uint64_t resourceSize() const;
    bool isTemporary() const;

    /// As Matrix's, [vector][element].
    void write(std::span<const float> values) const;
    void read(std::span<float> values) const;
    void synchronize(const MTL::CommandBuffer& commandBuffer) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
};

/// MPSTemporaryMatrix: memory of a command buffer, for the GPU only, given back when the matrix was
/// read as often as its read count says. Its contents are undefined until written.
class TemporaryMatrix : public Matrix {
public:
    TemporaryMatrix() = default;
    TemporaryMatrix(const MTL::CommandBuffer& commandBuffer, const MatrixDescriptor& descriptor);
    /// A hint: nothing has to be done for it here.
    static void prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<MatrixDescriptor>& descriptors);
    /// How many more encodes may read the matrix; 1 at first.
    uint64_t readCount() const;
    /// 0 releases the memory. Throws InvalidArgument once the count is 0.
    void setReadCount(uint64_t count) const;

    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSTemporaryVector; see TemporaryMatrix.
class TemporaryVector : public Vector {
public:
    TemporaryVector() = default;
    TemporaryVector(const MTL::CommandBuffer& commandBuffer, const VectorDescriptor& descriptor);
    static void prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<VectorDescriptor>& descriptors);
    uint64_t readCount() const;
    void setReadCount(uint64_t count) const;

    static bool isKindOf(const detail::ObjectImpl&);
};

/// A kernel from one matrix to another. Of an origin, x is the first row and y the first column (of
/// a vector, x the first element); z must be 0. MPSMatrixUnaryKernel.
class MatrixUnaryKernel : public Kernel {
public:
    MTL::Origin sourceMatrixOrigin() const { return sourceMatrixOrigin_; }
    void setSourceMatrixOrigin(MTL::Origin v) { sourceMatrixOrigin_ = v; }
    MTL::Origin resultMatrixOrigin() const { return resultMatrixOrigin_; }
    void setResultMatrixOrigin(MTL::Origin v) { resultMatrixOrigin_ = v; }
    /// The first matrix in use, of every operand alike.
    uint64_t batchStart() const { return batchStart_; }
    void setBatchStart(uint64_t v) { batchStart_ = v; }
    /// How many are in use; as many as there are when it is more.
    uint64_t batchSize() const { return batchSize_; }
    void setBatchSize(uint64_t v) { batchSize_ = v; }

protected:
    using Kernel::Kernel;
    void archive(mps::Archive& archive) override;

private:
    MTL::Origin sourceMatrixOrigin_, resultMatrixOrigin_;
    uint64_t batchStart_ = 0, batchSize_ = UINT64_MAX;
};

/// The same with two sources. MPSMatrixBinaryKernel.
class MatrixBinaryKernel : public Kernel {
public:
    MTL::Origin primarySourceMatrixOrigin() const { return primarySourceMatrixOrigin_; }
    void setPrimarySourceMatrixOrigin(MTL::Origin v) { primarySourceMatrixOrigin_ = v; }
    MTL::Origin secondarySourceMatrixOrigin() const { return secondarySourceMatrixOrigin_; }
    void setSecondarySourceMatrixOrigin(MTL::Origin v) { secondarySourceMatrixOrigin_ = v; }
    MTL::Origin resultMatrixOrigin() const { return resultMatrixOrigin_; }
    void setResultMatrixOrigin(MTL::Origin v) { resultMatrixOrigin_ = v; }
    uint64_t batchStart() const { return batchStart_; }
    void setBatchStart(uint64_t v) { batchStart_ = v; }
    uint64_t batchSize() const { return batchSize_; }
    void setBatchSize(uint64_t v) { batchSize_ = v; }

protected:
    using Kernel::Kernel;
    void archive(mps::Archive& archive) override;

private:
    MTL::Origin primarySourceMatrixOrigin_, secondarySourceMatrixOrigin_, resultMatrixOrigin_;
    uint64_t batchStart_ = 0, batchSize_ = UINT64_MAX;
};

} // namespace mpsvk::MPS
