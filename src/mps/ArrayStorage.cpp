#include "mps/Matrix.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

AlignedSlice::AlignedSlice(vk::BufferSlice given, const vk::Limits& limits)
    : slice(std::move(given)),
      skipped(slice.begin() % std::max<VkDeviceSize>(limits.storageAlignment, 1)) {
    slice.offset -= skipped;
    slice.size += skipped;
}

ArrayStorage::ArrayStorage(const char* className, MTL::Device device, uint64_t bytes)
    : device_(std::move(device)), className_(className), bytes_(bytes) {
    device_.impl();
}

ArrayStorage::ArrayStorage(const char* className, const MTL::Buffer& buffer, uint64_t offset,
                           uint64_t bytes, MPS::DataType dataType)
    : device_(buffer.device()), wrapped_(true), className_(className), bytes_(bytes),
      offset_(offset), object_(buffer) {
    const auto refuse = [&](const std::string& why) {
        throw InvalidArgument(MTL::subject(className_, "") + why);
    };
    const uint64_t element = MPS::bytesPerElement(dataType);
    if (offset % element != 0)
        refuse("offset is " + std::to_string(offset) +
               " but must be a multiple of the element's size, " + std::to_string(element) + ".");
    const auto& all = buffer.impl().slice;
    if (offset > all.size || bytes > all.size - offset)
        refuse(std::to_string(bytes) + " bytes are needed from offset " + std::to_string(offset) +
               " but the buffer has " + std::to_string(all.size) + ".");
    slice_ = {all.buffer, all.offset + offset, bytes};
    isMade_ = true;
}

ArrayStorage::~ArrayStorage() { release(); }

void ArrayStorage::release() {
    if (range_) heap_->free(range_);
    range_ = {};
}

const vk::BufferSlice& ArrayStorage::slice() {
    if (!isMade_.load(std::memory_order_acquire)) makeSlice();
    return slice_;
}

void ArrayStorage::makeSlice() {
    std::lock_guard lock(mutex_);
    if (slice_) return;
    if (temporary_) {
        range_ = heap_->allocate(bytes_);
        slice_ = range_.slice;
    } else {
        object_ = device_.newBuffer(bytes_);
        slice_ = object_.impl().slice;
    }
    isMade_.store(true, std::memory_order_release);
}

MTL::Buffer ArrayStorage::data() {
    if (temporary_ && readCount_ == 0)
        throw InvalidArgument(MTL::subject(className_, "") +
                              "data was asked of a temporary object whose read "
                              "count is 0: its memory is given back.");
    const vk::BufferSlice& here = slice();
    std::lock_guard lock(mutex_);
    if (!object_)
        object_ = MTL::Buffer(std::make_shared<MTL::Buffer::Impl>(
            device_, MTL::ResourceOptions::StorageModePrivate, here));
    return object_;
}

void ArrayStorage::makeTemporary(const MTL::CommandBuffer& commandBuffer) {
    heap_ = temporaryHeap(commandBuffer);
    owner_ = commandBuffer.impl().serial;
    temporary_ = true;
    readCount_ = 1;
}

void ArrayStorage::checkUsable(const Subject& who, const Role& role,
                               const MTL::CommandBuffer& commandBuffer) const {
    const auto& commands = commandBuffer.impl();
    if (!(device_ == commands.device))
        throw InvalidArgument(who + role + " belongs to the device \"" + device_.name() +
                              "\" but the command buffer to another one, \"" +
                              commands.device.name() + "\".");
    if (!temporary_) return;
    if (readCount_ == 0)
        throw InvalidArgument(who + role +
                              " is temporary and its read count is 0: its memory is given back "
                              "already.");
    if (owner_ != commands.serial)
        throw InvalidArgument(who + role + " is a temporary object of another command buffer.");
}

void ArrayStorage::wasRead() {
    if (temporary_ && readCount_ > 0) setReadCount(readCount_ - 1);
}

void ArrayStorage::setReadCount(uint64_t count) {
    if (readCount_ == 0)
        throw InvalidArgument(MTL::subject(std::string("Temporary") + className_, "") +
                              "readCount was set to " + std::to_string(count) +
                              " but it is 0 already: the memory is given back.");
    readCount_ = count;
    if (count > 0) return;
    release();
    isMade_ = false;
    slice_ = {};
    object_ = {};
}

void ArrayStorage::checkHostAccess(const char* verb, uint64_t given, uint64_t needed) {
    const std::string who = MTL::subject(className_, "") + verb + " ";
    if (given != needed)
        throw InvalidArgument(who + "was given " + std::to_string(given) +
                              " values but there are " + std::to_string(needed) + " elements.");
    if (temporary_)
        throw InvalidArgument(who + "is for memory that the host can reach but this is temporary.");
    const vk::BufferSlice& here = slice();
    if (object_.storageMode() == MTL::StorageMode::Private || !here.mapped())
        throw InvalidArgument(who + "is for memory that the host can reach but this is private.");
    if (here.buffer->hasPendingWrites())
        throw InvalidArgument(who +
                              "was called while a command buffer that writes it is not completed.");
}

} // namespace mpsvk::mps
