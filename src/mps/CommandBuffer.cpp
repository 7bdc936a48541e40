#include "mtl/CommandBuffer.hpp"
#include "mps/TemporaryHeap.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CommandBuffer.hpp>

namespace mpsvk::MPS {

struct CommandBuffer::Wrapper : MTL::CommandBufferObject {
    explicit Wrapper(MTL::CommandBuffer commandBuffer) : wrapped(std::move(commandBuffer)) {}
    MTL::CommandBuffer::Impl& root() override { return wrapped.impl(); }

    MTL::CommandBuffer wrapped;
};

CommandBuffer::CommandBuffer(const MTL::CommandQueue& queue)
    : CommandBuffer(queue.commandBuffer()) {}

CommandBuffer::CommandBuffer(const MTL::CommandBuffer& commandBuffer) {
    commandBuffer.impl(); // refuses an empty handle
    impl_ = std::make_shared<Wrapper>(commandBuffer);
}

bool CommandBuffer::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Wrapper*>(&object) != nullptr;
}

CommandBuffer::Wrapper& CommandBuffer::wrapper() const {
    if (!impl_) throw InvalidArgument("[CommandBuffer] The command buffer handle is empty.");
    return static_cast<Wrapper&>(*impl_);
}

MTL::CommandBuffer CommandBuffer::commandBuffer() const { return wrapper().wrapped; }
MTL::CommandBuffer CommandBuffer::rootCommandBuffer() const { return wrapper().root().handle(); }

void CommandBuffer::commitAndContinue() const {
    MTL::CommandBuffer& wrapped = wrapper().wrapped;
    if (const auto inner = wrapped.as<CommandBuffer>()) return inner.commitAndContinue();

    MTL::CommandBuffer::Impl& old = wrapped.impl();
    // Both hold them: the device has them back when one is completed and the other too, or gone.
    auto temporaries = old.temporaries;
    wrapped.commit();
    const MTL::CommandBuffer next = old.queue.commandBuffer();
    next.impl().temporaries = std::move(temporaries);
    std::swap(next.impl().serial, old.serial); // whose the temporary objects are
    wrapped = next;
}

void CommandBuffer::prefetchHeapForWorkloadSize(size_t bytes) const {
    HintTemporaryMemoryHighWaterMark(*this, bytes);
}

void HintTemporaryMemoryHighWaterMark(const MTL::CommandBuffer& commandBuffer, size_t bytes) {
    const auto heap = mps::temporaryHeap(commandBuffer);
    heap->free(heap->allocate(bytes));
}

void SetHeapCacheDuration(const MTL::CommandBuffer& commandBuffer, double seconds) {
    mps::setHeapCacheDuration(commandBuffer, seconds);
}

} // namespace mpsvk::MPS
