#include "mps/Matrix.hpp"

#include "mps/ArrayTransfer.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

namespace {

std::string text(uint64_t number) { return std::to_string(number); }

uint64_t roundedTo16(uint64_t bytes) { return vk::roundUp(bytes, 16); }

/// Whether `count` times `bytes` is more than 63 bits can count.
bool overflows(uint64_t count, uint64_t bytes) { return bytes > uint64_t(INT64_MAX) / count; }

void check(const MatrixDescriptor& d) {
    const mps::Subject who = "[MatrixDescriptor] ";
    if (d.rows() == 0 || d.columns() == 0 || d.matrices() == 0)
        throw InvalidArgument(who + text(d.matrices()) + " matrices of " + text(d.rows()) + "x" +
                              text(d.columns()) +
                              " were asked for but each number must be at least 1.");
    const uint64_t element = mps::checkedElementBytes(who, d.dataType());
    if (overflows(d.columns(), element) || overflows(d.rows(), d.rowBytes()) ||
        overflows(d.matrices(), d.matrixBytes()))
        throw InvalidArgument(who + text(d.matrices()) + " matrices of " + text(d.rows()) + "x" +
                              text(d.columns()) + " have more bytes than 63 bits can count.");
    if (d.rowBytes() % element != 0 || d.rowBytes() < d.columns() * element)
        throw InvalidArgument(who + "rowBytes is " + text(d.rowBytes()) +
                              " but must be a multiple of " + text(element) + " and at least " +
                              text(d.columns() * element) + ".");
    if (d.matrixBytes() % d.rowBytes() != 0 || d.matrixBytes() < d.rows() * d.rowBytes())
        throw InvalidArgument(who + "matrixBytes is " + text(d.matrixBytes()) +
                              " but must be a multiple of " + text(d.rowBytes()) +
                              " and at least " + text(d.rows() * d.rowBytes()) + ".");
}

void check(const VectorDescriptor& d) {
    const mps::Subject who = "[VectorDescriptor] ";
    if (d.length() == 0 || d.vectors() == 0)
        throw InvalidArgument(who + text(d.vectors()) + " vectors of length " + text(d.length()) +
                              " were asked for but each number must be at least 1.");
    const uint64_t element = mps::checkedElementBytes(who, d.dataType());
    if (overflows(d.length(), element) || overflows(d.vectors(), d.vectorBytes()))
        throw InvalidArgument(who + text(d.vectors()) + " vectors of length " + text(d.length()) +
                              " have more bytes than 63 bits can count.");
    if (d.vectorBytes() % element != 0 || d.vectorBytes() < d.length() * element)
        throw InvalidArgument(who + "vectorBytes is " + text(d.vectorBytes()) +
                              " but must be a multiple of " + text(element) + " and at least " +
                              text(d.length() * element) + ".");
}

template <class Descriptor> const Descriptor& checked(const Descriptor& descriptor) {
    check(descriptor);
    return descriptor;
}

/// Bytes from the first element to the end of the last.
uint64_t leastBytes(const MatrixDescriptor& d) {
    return (d.matrices() - 1) * d.matrixBytes() + (d.rows() - 1) * d.rowBytes() +
           d.columns() * bytesPerElement(d.dataType());
}

uint64_t leastBytes(const VectorDescriptor& d) {
    return (d.vectors() - 1) * d.vectorBytes() + d.length() * bytesPerElement(d.dataType());
}

template <class Impl, class Descriptor>
std::shared_ptr<Impl> temporary(const char* who, const MTL::CommandBuffer& commandBuffer,
                                const Descriptor& descriptor) {
    commandBuffer.impl().list(who);
    auto made = std::make_shared<Impl>(commandBuffer.device(), descriptor);
    made->makeTemporary(commandBuffer);
    return made;
}

template <class Impl> bool isTemporaryImpl(const detail::ObjectImpl& object) {
    const auto* impl = dynamic_cast<const Impl*>(&object);
    return impl && impl->isTemporary();
}

} // namespace

MatrixDescriptor::MatrixDescriptor(uint64_t rows, uint64_t columns, uint64_t rowBytes,
                                   DataType dataType)
    : MatrixDescriptor(rows, columns, 1, rowBytes, rows * rowBytes, dataType) {}

MatrixDescriptor::MatrixDescriptor(uint64_t rows, uint64_t columns, uint64_t matrices,
                                   uint64_t rowBytes, uint64_t matrixBytes, DataType dataType)
    : rows_(rows), columns_(columns), matrices_(matrices), rowBytes_(rowBytes),
      matrixBytes_(matrixBytes), dataType_(dataType) {
    check(*this);
}

void MatrixDescriptor::setRows(uint64_t v) {
    rows_ = v;
    if (matrices_ == 1) matrixBytes_ = rows_ * rowBytes_;
}

void MatrixDescriptor::setRowBytes(uint64_t v) {
    rowBytes_ = v;
    if (matrices_ == 1) matrixBytes_ = rows_ * rowBytes_;
}

uint64_t MatrixDescriptor::rowBytesForColumns(uint64_t columns, DataType dataType) {
    return roundedTo16(columns * bytesPerElement(dataType));
}

VectorDescriptor::VectorDescriptor(uint64_t length, DataType dataType)
    : VectorDescriptor(length, 1, length * bytesPerElement(dataType), dataType) {}

VectorDescriptor::VectorDescriptor(uint64_t length, uint64_t vectors, uint64_t vectorBytes,
                                   DataType dataType)
    : length_(length), vectors_(vectors), vectorBytes_(vectorBytes), dataType_(dataType) {
    check(*this);
}

void VectorDescriptor::setLength(uint64_t v) {
    length_ = v;
    if (vectors_ == 1) vectorBytes_ = length_ * bytesPerElement(dataType_);
}

void VectorDescriptor::setDataType(DataType v) {
    dataType_ = v;
    if (vectors_ == 1) vectorBytes_ = length_ * bytesPerElement(dataType_);
}

uint64_t VectorDescriptor::vectorBytesForLength(uint64_t length, DataType dataType) {
    return roundedTo16(length * bytesPerElement(dataType));
}

Matrix::Impl::Impl(const MTL::Device& device, const MatrixDescriptor& d)
    : ArrayStorage("Matrix", device, checked(d).matrices() * d.matrixBytes()), descriptor(d) {}

Matrix::Impl::Impl(const MTL::Buffer& buffer, uint64_t offset, const MatrixDescriptor& d)
    : ArrayStorage("Matrix", buffer, offset, leastBytes(checked(d)), d.dataType()), descriptor(d) {}

mps::ArrayView Matrix::Impl::view(uint64_t matrix) {
    const auto& d = descriptor;
    const vk::BufferSlice& all = slice();
    const uint64_t bytes =
        (d.rows() - 1) * d.rowBytes() + d.columns() * bytesPerElement(d.dataType());
    return {{all.buffer, all.offset + matrix * d.matrixBytes(), bytes},
            d.rows(),
            d.columns(),
            d.rowBytes(),
            d.dataType()};
}

Matrix::Matrix(const MTL::Buffer& buffer, const MatrixDescriptor& descriptor)
    : Matrix(buffer, 0, descriptor) {}
Matrix::Matrix(const MTL::Buffer& buffer, uint64_t offset, const MatrixDescriptor& descriptor)
    : Object(std::make_shared<Impl>(buffer, offset, descriptor)) {}
Matrix::Matrix(const MTL::Device& device, const MatrixDescriptor& descriptor)
    : Object(std::make_shared<Impl>(device, descriptor)) {}

Matrix::Impl& Matrix::impl() const {
    if (!impl_) throw InvalidArgument("[Matrix] The matrix handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Matrix::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

MTL::Device Matrix::device() const { return impl().device(); }
uint64_t Matrix::rows() const { return impl().descriptor.rows(); }
uint64_t Matrix::columns() const { return impl().descriptor.columns(); }
uint64_t Matrix::matrices() const { return impl().descriptor.matrices(); }
DataType Matrix::dataType() const { return impl().descriptor.dataType(); }
uint64_t Matrix::rowBytes() const { return impl().descriptor.rowBytes(); }
uint64_t Matrix::matrixBytes() const { return impl().descriptor.matrixBytes(); }
uint64_t Matrix::offset() const { return impl().offset(); }
MTL::Buffer Matrix::data() const { return impl().data(); }
uint64_t Matrix::resourceSize() const { return impl().resourceSize(); }
bool Matrix::isTemporary() const { return impl().isTemporary(); }
void Matrix::synchronize(const MTL::CommandBuffer& commandBuffer) const {
    impl();
    commandBuffer.impl().list("[Matrix] ");
}

void Matrix::write(std::span<const float> values) const {
    const uint64_t each = rows() * columns();
    impl().checkHostAccess("write", values.size(), matrices() * each);
    for (uint64_t k = 0; k < matrices(); ++k)
        mps::writeFloats(impl().view(k), values.subspan(k * each, each));
}

void Matrix::read(std::span<float> values) const {
    const uint64_t each = rows() * columns();
    impl().checkHostAccess("read", values.size(), matrices() * each);
    for (uint64_t k = 0; k < matrices(); ++k)
        mps::readFloats(impl().view(k), values.subspan(k * each, each));
}

Vector::Impl::Impl(const MTL::Device& device, const VectorDescriptor& d)
    : ArrayStorage("Vector", device, checked(d).vectors() * d.vectorBytes()), descriptor(d) {}

Vector::Impl::Impl(const MTL::Buffer& buffer, uint64_t offset, const VectorDescriptor& d)
    : ArrayStorage("Vector", buffer, offset, leastBytes(checked(d)), d.dataType()), descriptor(d) {}

mps::ArrayView Vector::Impl::view() {
    const auto& d = descriptor;
    const vk::BufferSlice& all = slice();
    return {{all.buffer, all.offset, leastBytes(d)},
            d.vectors(),
            d.length(),
            d.vectorBytes(),
            d.dataType()};
}

Vector::Vector(const MTL::Buffer& buffer, const VectorDescriptor& descriptor)
    : Vector(buffer, 0, descriptor) {}
Vector::Vector(const MTL::Buffer& buffer, uint64_t offset, const VectorDescriptor& descriptor)
    : Object(std::make_shared<Impl>(buffer, offset, descriptor)) {}
Vector::Vector(const MTL::Device& device, const VectorDescriptor& descriptor)
    : Object(std::make_shared<Impl>(device, descriptor)) {}

Vector::Impl& Vector::impl() const {
    if (!impl_) throw InvalidArgument("[Vector] The vector handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Vector::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

MTL::Device Vector::device() const { return impl().device(); }
uint64_t Vector::length() const { return impl().descriptor.length(); }
uint64_t Vector::vectors() const { return impl().descriptor.vectors(); }
DataType Vector::dataType() const { return impl().descriptor.dataType(); }
uint64_t Vector::vectorBytes() const { return impl().descriptor.vectorBytes(); }
uint64_t Vector::offset() const { return impl().offset(); }
MTL::Buffer Vector::data() const { return impl().data(); }
uint64_t Vector::resourceSize() const { return impl().resourceSize(); }
bool Vector::isTemporary() const { return impl().isTemporary(); }
void Vector::synchronize(const MTL::CommandBuffer& commandBuffer) const {
    impl();
    commandBuffer.impl().list("[Vector] ");
}

void Vector::write(std::span<const float> values) const {
    impl().checkHostAccess("write", values.size(), vectors() * length());
    mps::writeFloats(impl().view(), values);
}

void Vector::read(std::span<float> values) const {
    impl().checkHostAccess("read", values.size(), vectors() * length());
    mps::readFloats(impl().view(), values);
}

TemporaryMatrix::TemporaryMatrix(const MTL::CommandBuffer& commandBuffer,
                                 const MatrixDescriptor& descriptor) {
    impl_ = temporary<Impl>("[TemporaryMatrix] ", commandBuffer, descriptor);
}

void TemporaryMatrix::prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                      const std::vector<MatrixDescriptor>&) {
    mps::temporaryHeap(commandBuffer);
}

uint64_t TemporaryMatrix::readCount() const { return impl().readCount(); }
void TemporaryMatrix::setReadCount(uint64_t count) const { impl().setReadCount(count); }
bool TemporaryMatrix::isKindOf(const detail::ObjectImpl& object) {
    return isTemporaryImpl<Impl>(object);
}

TemporaryVector::TemporaryVector(const MTL::CommandBuffer& commandBuffer,
                                 const VectorDescriptor& descriptor) {
    impl_ = temporary<Impl>("[TemporaryVector] ", commandBuffer, descriptor);
}

void TemporaryVector::prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                      const std::vector<VectorDescriptor>&) {
    mps::temporaryHeap(commandBuffer);
}

uint64_t TemporaryVector::readCount() const { return impl().readCount(); }
void TemporaryVector::setReadCount(uint64_t count) const { impl().setReadCount(count); }
bool TemporaryVector::isKindOf(const detail::ObjectImpl& object) {
    return isTemporaryImpl<Impl>(object);
}

} // namespace mpsvk::MPS
