#include "mps/NDArray.hpp"

#include "mps/ArrayTransfer.hpp"
#include "mps/NDArrayCopy.hpp"
#include "mtl/Device.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <algorithm>

namespace mpsvk::MPS {

NDArray::Impl::~Impl() {
    // What is left of its reads does not keep the memory from the next allocation.
    if (isTemporary() && readCount > 0) storage->setReadCount(storage->readCount() - readCount);
}

std::string NDArray::Impl::who() const {
    return MTL::subject(isTemporary() ? "TemporaryNDArray" : "NDArray", label);
}

void NDArray::Impl::checkUsable(const std::string& caller, const char* role,
                                const MTL::CommandBuffer& commandBuffer) const {
    if (isTemporary() && readCount == 0)
        throw InvalidArgument(caller + role +
                              " is temporary and its read count is 0: its memory is given back "
                              "already.");
    storage->checkUsable(caller, role, commandBuffer);
}

void NDArray::Impl::wasRead() {
    if (isTemporary() && readCount > 0) setReadCount(readCount - 1);
}

void NDArray::Impl::setReadCount(uint64_t count) {
    if (readCount == 0)
        throw InvalidArgument(who() + "readCount was set to " + std::to_string(count) +
                              " but it is 0 already: the memory is given back.");
    storage->setReadCount(storage->readCount() - readCount + count);
    readCount = count;
}

NDArray NDArray::Impl::forOneEncode(const mps::NDLayout& made) const {
    auto impl = std::make_shared<Impl>(storage, made);
    impl->label = label;
    if (isTemporary()) {
        storage->setReadCount(storage->readCount() + 1);
        impl->readCount = 1;
    }
    return NDArray(std::move(impl));
}

NDArray NDArray::Impl::view(const NDArray& self, const mps::NDLayout& layout) {
    const NDArray made = forOneEncode(layout);
    made.impl().label.clear();
    made.impl().parent = self;
    wasRead();
    return made;
}

namespace {

using Storage = mps::ArrayStorage;

std::shared_ptr<Storage> newStorage(const MTL::Device& device, const mps::NDLayout& layout) {
    // Whole rows: the last one is padded, too.
    const uint64_t rows = layout.elements() / layout.lengths[0];
    return std::make_shared<Storage>("NDArray", device,
                                     rows * uint64_t(layout.strides[1]) * layout.elementBytes());
}

// The default allocators are single objects: an archive only names them.
struct PlainAllocator : NDArrayAllocator, SecureCoding {
    std::string className() const override { return "NDArrayAllocator"; }
    void encode(KeyedArchiver&) const override {}
    NDArray array(MTL::CommandBuffer commands, NDArrayDescriptor descriptor,
                  const Kernel&) override {
        return NDArray(commands.device(), descriptor);
    }
};

struct TemporaryAllocator : NDArrayAllocator, SecureCoding {
    std::string className() const override { return "TemporaryNDArrayAllocator"; }
    void encode(KeyedArchiver&) const override {}
    NDArray array(MTL::CommandBuffer commands, NDArrayDescriptor descriptor,
                  const Kernel&) override {
        return TemporaryNDArray(commands, descriptor);
    }
};

} // namespace

std::shared_ptr<NDArrayAllocator> NDArray::defaultAllocator() {
    static const auto allocator = std::make_shared<PlainAllocator>();
    return allocator;
}

std::shared_ptr<NDArrayAllocator> TemporaryNDArray::defaultAllocator() {
    static const auto allocator = std::make_shared<TemporaryAllocator>();
    return allocator;
}

NDArray::NDArray(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

NDArray::NDArray(const MTL::Device& device, const NDArrayDescriptor& descriptor) {
    const mps::NDLayout layout = mps::newLayout(descriptor);
    impl_ = std::make_shared<Impl>(newStorage(device, layout), layout);
}

NDArray::NDArray(const MTL::Device& device, double scalar)
    : NDArray(device, NDArrayDescriptor(DataType::Float32, 0, {})) {
    const float value = float(scalar);
    write({&value, 1});
}

NDArray::NDArray(const MTL::Buffer& buffer, uint64_t offset, const NDArrayDescriptor& descriptor) {
    const mps::NDLayout layout = mps::newLayout(descriptor);
    auto made = std::make_shared<Impl>(
        std::make_shared<Storage>("NDArray", buffer, offset,
                                  uint64_t(layout.highest()) * layout.elementBytes(),
                                  layout.dataType),
        layout);
    made->userBuffer = buffer;
    impl_ = std::move(made);
}

TemporaryNDArray::TemporaryNDArray(const MTL::CommandBuffer& commandBuffer,
                                   const NDArrayDescriptor& descriptor) {
    commandBuffer.impl().list("[TemporaryNDArray] ");
    const mps::NDLayout layout = mps::newLayout(descriptor);
    auto storage = newStorage(commandBuffer.device(), layout);
    storage->makeTemporary(commandBuffer);
    auto made = std::make_shared<Impl>(std::move(storage), layout);
    made->readCount = 1;
    impl_ = std::move(made);
}

NDArray::Impl& NDArray::impl() const {
    if (!impl_) throw InvalidArgument("[NDArray] The array handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool NDArray::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

bool TemporaryNDArray::isKindOf(const detail::ObjectImpl& object) {
    const auto* impl = dynamic_cast<const Impl*>(&object);
    return impl && impl->isTemporary();
}

uint64_t TemporaryNDArray::readCount() const { return impl().readCount; }
void TemporaryNDArray::setReadCount(uint64_t count) const { impl().setReadCount(count); }

MTL::Device NDArray::device() const { return impl().storage->device(); }
std::string NDArray::label() const { return impl().label; }
void NDArray::setLabel(const std::string& label) const { impl().label = label; }
DataType NDArray::dataType() const { return impl().layout.dataType; }
uint64_t NDArray::dataTypeSize() const { return impl().layout.elementBytes(); }
uint64_t NDArray::numberOfDimensions() const { return impl().layout.count; }
uint64_t NDArray::lengthOfDimension(uint64_t i) const {
    return i < numberOfDimensions() ? impl().layout.lengths[i] : 1;
}
NDArrayDescriptor NDArray::descriptor() const { return mps::descriptorOf(impl().layout); }
NDArray NDArray::parent() const { return impl().parent; }
uint64_t NDArray::resourceSize() const { return parent() ? 0 : impl().storage->resourceSize(); }
MTL::Buffer NDArray::userBuffer() const { return impl().userBuffer; }
bool NDArray::isTemporary() const { return impl().isTemporary(); }
void NDArray::synchronize(const MTL::CommandBuffer& commandBuffer) const {
    commandBuffer.impl().list(impl().who());
}

NDArray NDArray::arrayView(const NDArrayDescriptor& descriptor) const {
    auto& self = impl();
    mps::NDLayout layout = self.layout;
    if (!mps::view(self.who(), descriptor, layout)) return {};
    if (isTemporary() && self.readCount == 0)
        throw InvalidArgument(self.who() + "A view was asked of an array whose read count is 0: "
                                           "its memory is given back already.");
    return self.view(*this, layout);
}

NDArray NDArray::arrayView(const MTL::CommandBuffer& commandBuffer,
                           const NDArrayDescriptor& descriptor, AliasingStrategy aliasing) const {
    auto& self = impl();
    const std::string who = self.who();
    const auto has = [&](AliasingStrategy bit) { return (aliasing & bit) == bit; };
    if (has(AliasingStrategy::AliasingReserved))
        throw InvalidArgument(who + "A view was asked for that both shall and shall not alias.");
    self.checkUsable(who, "The array", commandBuffer);
    mps::NDLayout layout = self.layout;
    const bool isView = mps::view(who, descriptor, layout);
    if (isView && !has(AliasingStrategy::ShallNotAlias)) return self.view(*this, layout);
    if (has(AliasingStrategy::ShallAlias)) return {};

    mps::Encoder encoder(commandBuffer, who);
    const bool temporary = has(AliasingStrategy::PreferTemporaryMemory) ||
                           (isTemporary() && !has(AliasingStrategy::PreferNonTemporaryMemory));
    const auto make = [&](const NDArrayDescriptor& d) {
        return temporary ? TemporaryNDArray(commandBuffer, d) : NDArray(device(), d);
    };
    const auto copy = [&](const mps::NDLayout& from, const NDArray& to) {
        mps::copyElements(encoder, {encoder, who, "The array", self.storage->slice(), from},
                          {encoder, who, "The copy", to});
        self.wasRead();
    };
    NDArrayDescriptor d = isView ? mps::descriptorOf(layout) : descriptor;
    if (isView) {
        d.setPreferPackedRows(descriptor.preferPackedRows());
        const NDArray made = make(d);
        copy(layout, made);
        return made;
    }
    // The elements in order first; those can be seen in any shape.
    d = descriptorOf(self.layout);
    d.setPreferPackedRows(true);
    const NDArray inOrder = make(d);
    copy(self.layout, inOrder);
    return inOrder.arrayView(descriptor);
}

NDArray NDArray::arrayView(uint64_t count, std::span<const uint64_t> sizes,
                           std::span<const uint64_t> strides) const {
    auto& self = impl();
    const std::string who = self.who();
    if (sizes.size() != count || strides.size() != count)
        throw InvalidArgument(who + "A view of " + std::to_string(count) +
                              " dimensions was asked for but " + std::to_string(sizes.size()) +
                              " sizes and " + std::to_string(strides.size()) +
                              " strides were given.");
    mps::NDLayout made = mps::newLayout(NDArrayDescriptor(dataType(), count, sizes));
    made.offset = self.layout.offset;
    const uint64_t bound = uint64_t(INT64_MAX) / 16;
    uint64_t last = uint64_t(made.offset);
    for (uint64_t i = 0; i < count; ++i) {
        if (strides[i] > bound / made.lengths[i])
            throw InvalidArgument(who + "A view was asked for whose stride in dimension " +
                                  std::to_string(i) + " is " + std::to_string(strides[i]) +
                                  " elements: it ends beyond the array's memory.");
        made.strides[i] = int64_t(strides[i]);
        last += (made.lengths[i] - 1) * strides[i];
    }
    const uint64_t bytes = self.storage->bytes();
    if (last >= bytes / made.elementBytes())
        throw InvalidArgument(who + "A view was asked for whose last element is number " +
                              std::to_string(last) + " of the array's memory, which has " +
                              std::to_string(bytes / made.elementBytes()) + ".");
    if (isTemporary() && self.readCount == 0)
        throw InvalidArgument(who + "A view was asked of an array whose read count is 0: its "
                                    "memory is given back already.");
    return self.view(*this, made);
}

NDArray NDArray::arrayView(const std::vector<uint64_t>& shape,
                           const std::vector<uint64_t>& strides) const {
    const auto own = shape.empty() ? descriptor().getShape() : shape;
    const std::vector<uint64_t> sizes(own.rbegin(), own.rend()),
        fastestFirst(strides.rbegin(), strides.rend());
    return arrayView(sizes.size(), sizes, fastestFirst);
}

namespace {

/// The array's elements in a buffer of the user's.
mps::NDLayout outside(const std::string& who, const MTL::Buffer& buffer, mps::NDLayout layout,
                      DataType type, uint64_t offset, std::span<const uint64_t> rowStrides) {
    layout.dataType = type;
    const uint64_t element = mps::checkedElementBytes(who, type);
    mps::setStrides(layout, true);
    if (!rowStrides.empty() && rowStrides.size() + 1 != layout.count)
        throw InvalidArgument(who + "rowStrides has " + std::to_string(rowStrides.size()) +
                              " strides but the array has " + std::to_string(layout.count) +
                              " dimensions, and one fewer is expected.");
    for (uint64_t i = 0; i < rowStrides.size(); ++i) {
        if (rowStrides[i] % element != 0)
            throw InvalidArgument(
                who + "rowStrides[" + std::to_string(i) + "] is " + std::to_string(rowStrides[i]) +
                " but must be a multiple of the element's size, " + std::to_string(element) + ".");
        layout.strides[i + 1] = int64_t(std::min<uint64_t>(rowStrides[i], UINT32_MAX) / element);
    }
    if (offset % element != 0)
        throw InvalidArgument(who + "offset is " + std::to_string(offset) +
                              " but must be a multiple of the element's size, " +
                              std::to_string(element) + ".");
    layout.offset = 0;
    const uint64_t needed = uint64_t(layout.highest()) * element;
    if (offset > buffer.length() || needed > buffer.length() - offset)
        throw InvalidArgument(who + std::to_string(needed) + " bytes are needed from offset " +
                              std::to_string(offset) + " but the buffer has " +
                              std::to_string(buffer.length()) + ".");
    layout.offset = int64_t(offset / element);
    return layout;
}

void copyApart(mps::Encoder& encoder, const mps::NDOperand& from, const mps::NDOperand& to,
               const std::string& who) {
    mps::checkApart(who, "What is written", to, "what is read", from);
    mps::copyElements(encoder, from, to);
}

} // namespace

void NDArray::exportData(const MTL::CommandBuffer& commandBuffer, const MTL::Buffer& buffer,
                         DataType type, uint64_t offset,
                         std::span<const uint64_t> rowStrides) const {
    auto& self = impl();
    const std::string who = self.who() + "exportData: ";
    mps::Encoder encoder(commandBuffer, self.who());
    self.checkUsable(who, "The array", commandBuffer);
    MTL::checkSameDevice(buffer.device(), device(), self.who() + "exportData", "a buffer");
    mps::checkConvertible(who, "A conversion", dataType(), type);
    const mps::NDLayout to = outside(who, buffer, self.layout, type, offset, rowStrides);
    copyApart(encoder, {encoder, who, "The array", *this},
              {encoder, who, "The buffer", buffer.impl().slice, to}, who);
    self.wasRead();
}

void NDArray::importData(const MTL::CommandBuffer& commandBuffer, const MTL::Buffer& buffer,
                         DataType type, uint64_t offset,
                         std::span<const uint64_t> rowStrides) const {
    auto& self = impl();
    const std::string who = self.who() + "importData: ";
    mps::Encoder encoder(commandBuffer, self.who());
    self.checkUsable(who, "The array", commandBuffer);
    MTL::checkSameDevice(buffer.device(), device(), self.who() + "importData", "a buffer");
    mps::checkConvertible(who, "A conversion", type, dataType());
    const mps::NDLayout from = outside(who, buffer, self.layout, type, offset, rowStrides);
    copyApart(encoder, {encoder, who, "The buffer", buffer.impl().slice, from},
              {encoder, who, "The array", *this}, who);
}

} // namespace mpsvk::MPS
