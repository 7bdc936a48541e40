#include "mtl/CommandBuffer.hpp"

#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MTL {

CommandBuffer::Impl::Impl(CommandQueue owner) : queue(std::move(owner)), device(queue.device()) {
    segments.push_back(std::make_unique<Segment>());
}

uint64_t CommandBuffer::Impl::nextSerial() {
    static std::atomic<uint64_t> last{0};
    return ++last;
}

CommandBuffer::Impl::Impl(Device owner) : device(std::move(owner)) {
    segments.push_back(std::make_unique<Segment>());
}

CommandBuffer::Impl::~Impl() {
    if (queue && status < CommandBufferStatus::Committed) queue.impl().release();
}

void CommandBuffer::Impl::Done::set() {
    {
        std::lock_guard lock(mutex);
        reached = true;
    }
    changed.notify_all();
}

void CommandBuffer::Impl::Done::wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return reached; });
}

vk::CommandList& CommandBuffer::Impl::list(std::string_view who) {
    if (encoderOpen) {
        std::lock_guard lock(mutex);
        throw InvalidArgument((who.empty() ? subject("CommandBuffer", label) : std::string(who)) +
                              "An encoder of the command buffer is open; end its encoding first.");
    }
    return encoderList(who);
}

vk::CommandList& CommandBuffer::Impl::encoderList(std::string_view who) {
    if (vk::CommandList* const list = uncommittedList()) return *list;
    std::lock_guard lock(mutex);
    throw InvalidArgument((who.empty() ? subject("CommandBuffer", label) : std::string(who)) +
                          "The command buffer is committed already; nothing more can be encoded.");
}

vk::CommandList* CommandBuffer::Impl::openList() {
    return encoderOpen ? nullptr : uncommittedList();
}

vk::CommandList* CommandBuffer::Impl::uncommittedList() {
    std::lock_guard lock(mutex);
    if (status >= CommandBufferStatus::Committed) return nullptr;
    if (!segments.back()->signals.empty()) segments.push_back(std::make_unique<Segment>());
    return &segments.back()->commands;
}

void CommandBuffer::Impl::checkNoEncoder(std::string_view what) const {
    std::lock_guard lock(mutex);
    const std::string who = subject("CommandBuffer", label) + std::string(what);
    if (status >= CommandBufferStatus::Committed)
        throw InvalidArgument(who + " was called but the command buffer is committed already.");
    if (encoderOpen)
        throw InvalidArgument(who +
                              " was called while an encoder is open; end its encoding first.");
}

void CommandBuffer::Impl::pushLabel(vk::CommandList& list, const std::string& name, size_t& depth) {
    list.label(vk::CommandList::LabelKind::Push, name);
    ++depth;
}

void CommandBuffer::Impl::popLabel(vk::CommandList& list, const std::string& who, size_t& depth) {
    if (depth == 0)
        throw InvalidArgument(who + "popDebugGroup was called but no debug group is open.");
    list.label(vk::CommandList::LabelKind::Pop);
    --depth;
}

namespace {

void callAll(std::vector<CommandBuffer::Handler>& handlers, const CommandBuffer& buffer) {
    for (auto& handler : handlers) {
        try {
            handler(buffer);
        } catch (const std::exception& error) {
            vk::log(int(LogLevel::Error),
                    std::string("A command buffer's handler threw: ") + error.what());
        } catch (...) {
            vk::log(int(LogLevel::Error), "A command buffer's handler threw something.");
        }
    }
    handlers.clear();
}

CommandBufferErrorCode codeOf(VkResult result) {
    switch (result) {
    case VK_SUCCESS: return CommandBufferErrorCode::None;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_HOST_MEMORY: return CommandBufferErrorCode::OutOfMemory;
    default: return CommandBufferErrorCode::Internal;
    }
}

} // namespace

void CommandBuffer::Impl::scheduled() {
    std::vector<Handler> handlers;
    {
        std::lock_guard lock(mutex);
        handlers.swap(scheduledHandlers);
        kernelEnd = vk::steadySeconds();
    }
    callAll(handlers, handle());
    {
        std::lock_guard lock(mutex);
        if (status == CommandBufferStatus::Committed) status = CommandBufferStatus::Scheduled;
    }
    changed.notify_all();
}

void CommandBuffer::Impl::completed(VkResult result, const std::string& what, vk::GpuTimes times) {
    for (auto& call : atCompletion) call();
    atCompletion.clear();
    temporaries.reset();
    {
        std::lock_guard lock(mutex);
        gpuStart = times.start;
        gpuEnd = times.end;
        error = {codeOf(result), what};
        status = error ? CommandBufferStatus::Error : CommandBufferStatus::Completed;
    }
    changed.notify_all();
}

void CommandBuffer::Impl::callCompletedHandlers() { callAll(completedHandlers, handle()); }

bool CommandBuffer::Impl::hasReached(CommandBufferStatus wanted) const {
    std::lock_guard lock(mutex);
    return status >= wanted;
}

void CommandBuffer::Impl::checkWaitEnds(const char* what) const {
    std::lock_guard lock(mutex);
    if (status >= CommandBufferStatus::Scheduled) return;
    const char* when = nullptr;
    if (status < CommandBufferStatus::Committed)
        when = " was called before commit";
    else if (queue.impl().isSubmitting())
        when = " was called in a scheduled handler before the command buffer was scheduled";
    if (when)
        throw InvalidArgument(subject("CommandBuffer", label) + what + when +
                              "; the wait would never end.");
}

CommandBuffer::CommandBuffer(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

CommandBuffer::Impl& CommandBuffer::impl() const {
    if (!impl_) throw InvalidArgument("[CommandBuffer] The command buffer handle is empty.");
    return static_cast<CommandBufferObject&>(*impl_).root();
}

bool CommandBuffer::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const CommandBufferObject*>(&object) != nullptr;
}

Device CommandBuffer::device() const { return impl().device; }
CommandQueue CommandBuffer::commandQueue() const { return impl().queue; }

std::string CommandBuffer::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void CommandBuffer::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

CommandBufferStatus CommandBuffer::status() const {
    std::lock_guard lock(impl().mutex);
    return impl().status;
}

CommandBufferError CommandBuffer::error() const {
    std::lock_guard lock(impl().mutex);
    return impl().error;
}

void CommandBuffer::enqueue() const {
    Impl& self = impl();
    {
        std::lock_guard lock(self.mutex);
        if (self.status != CommandBufferStatus::NotEnqueued) return;
        self.status = CommandBufferStatus::Enqueued;
    }
    self.queue.impl().enqueue(self.shared_from_this());
}

void CommandBuffer::commit() const {
    Impl& self = impl();
    self.checkNoEncoder("commit");
    if (self.drafts > 0)
        throw InvalidArgument(subject("CommandBuffer", label()) +
                              "commit was called while a graph is being encoded into it.");
    if (self.openGroups > 0)
        throw InvalidArgument(subject("CommandBuffer", label()) + "commit was called while " +
                              std::to_string(self.openGroups) +
                              " debug groups are open; pop them first.");
    enqueue();
    {
        std::lock_guard lock(self.mutex);
        self.kernelStart = vk::steadySeconds();
        self.status = CommandBufferStatus::Committed;
    }
    self.queue.impl().committed(self.shared_from_this());
}

void CommandBuffer::addScheduledHandler(Handler handler) const {
    std::lock_guard lock(impl().mutex);
    if (impl().status >= CommandBufferStatus::Committed)
        throw InvalidArgument(subject("CommandBuffer", impl().label) +
                              "A scheduled handler was added after commit.");
    impl().scheduledHandlers.push_back(std::move(handler));
}

void CommandBuffer::addCompletedHandler(Handler handler) const {
    std::lock_guard lock(impl().mutex);
    if (impl().status >= CommandBufferStatus::Committed)
        throw InvalidArgument(subject("CommandBuffer", impl().label) +
                              "A completed handler was added after commit.");
    impl().completedHandlers.push_back(std::move(handler));
}

void CommandBuffer::waitUntilScheduled() const {
    Impl& self = impl();
    self.checkWaitEnds("waitUntilScheduled");
    if (self.queue.impl().completeUntil(self, CommandBufferStatus::Scheduled)) return;
    std::unique_lock lock(self.mutex);
    self.changed.wait(lock, [&] { return self.status >= CommandBufferStatus::Scheduled; });
}

void CommandBuffer::waitUntilCompleted() const {
    Impl& self = impl();
    self.checkWaitEnds("waitUntilCompleted");
    if (!self.queue.impl().completeUntil(self, CommandBufferStatus::Completed)) self.done->wait();
}

double CommandBuffer::kernelStartTime() const {
    std::lock_guard lock(impl().mutex);
    return impl().kernelStart;
}

double CommandBuffer::kernelEndTime() const {
    std::lock_guard lock(impl().mutex);
    return impl().kernelEnd;
}

double CommandBuffer::GPUStartTime() const {
    std::lock_guard lock(impl().mutex);
    return impl().gpuStart;
}

double CommandBuffer::GPUEndTime() const {
    std::lock_guard lock(impl().mutex);
    return impl().gpuEnd;
}

namespace {
/// Notifications of a shared event want the object itself.
std::shared_ptr<EventState> stateWithEvent(const Event& event) {
    return {event.shared(), event.impl().state.get()};
}
} // namespace

void CommandBuffer::encodeWait(const Event& event, uint64_t value) const {
    impl().checkNoEncoder("encodeWait");
    impl().recordDeferred();
    checkSameDevice(event.device(), device(), subject("CommandBuffer", label()) + "encodeWait",
                    "event");
    auto& segments = impl().segments;
    if (!segments.back()->commands.empty() || !segments.back()->signals.empty())
        segments.push_back(std::make_unique<Impl::Segment>());
    segments.back()->waits.emplace_back(stateWithEvent(event), value);
}

void CommandBuffer::encodeSignalEvent(const Event& event, uint64_t value) const {
    impl().checkNoEncoder("encodeSignalEvent");
    impl().recordDeferred();
    checkSameDevice(event.device(), device(),
                    subject("CommandBuffer", label()) + "encodeSignalEvent", "event");
    impl().segments.back()->signals.emplace_back(stateWithEvent(event), value);
}

void CommandBuffer::pushDebugGroup(const std::string& name) const {
    impl().recordDeferred();
    impl().pushLabel(impl().list({}), name, impl().openGroups);
}

void CommandBuffer::popDebugGroup() const {
    impl().recordDeferred();
    impl().popLabel(impl().list({}), subject("CommandBuffer", label()), impl().openGroups);
}

} // namespace mpsvk::MTL
