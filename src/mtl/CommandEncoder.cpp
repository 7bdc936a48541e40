#include "mtl/CommandEncoder.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MTL {

CommandEncoder::Impl::Impl(std::shared_ptr<CommandBuffer::Impl> buffer, const char* type)
    : commandBuffer(std::move(buffer)), type(type) {
    commandBuffer->list({}); // refuses a committed buffer and a second encoder
    commandBuffer->recordDeferred();
    commandBuffer->encoderOpen = true;
}

std::string CommandEncoder::Impl::who(std::string_view method) const {
    return subject(type, label) + std::string(method) + " ";
}

vk::CommandList& CommandEncoder::Impl::list(std::string_view method) const {
    if (ended) throw InvalidArgument(who(method) + "was called after endEncoding.");
    return commandBuffer->encoderList(subject(type, label));
}

void CommandEncoder::Impl::check(const Resource& resource, std::string_view method,
                                 const char* what) const {
    if (!resource)
        throw InvalidArgument(who(method) + "was given an empty handle for " + what + ".");
    checkSameDevice(resource.device(), commandBuffer->device,
                    subject(type, label) + std::string(method), what);
}

void CommandEncoder::Impl::updateFence(const Fence& fence) {
    list("updateFence");
    checkSameDevice(fence.device(), commandBuffer->device, subject(type, label) + "updateFence",
                    "a fence");
    updated.push_back(fence);
}

void CommandEncoder::Impl::waitForFence(const Fence& fence) const {
    list("waitForFence");
    checkSameDevice(fence.device(), commandBuffer->device, subject(type, label) + "waitForFence",
                    "a fence");
    if (std::ranges::find(updated, fence) != updated.end())
        throw InvalidArgument(who("waitForFence") + "was given a fence that this encoder updates: "
                                                    "it would wait for its own end.");
}

CommandEncoder::Impl& CommandEncoder::impl() const {
    if (!impl_) throw InvalidArgument("[CommandEncoder] The encoder handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool CommandEncoder::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string CommandEncoder::label() const { return impl().label; }
void CommandEncoder::setLabel(const std::string& label) const { impl().label = label; }
Device CommandEncoder::device() const { return impl().commandBuffer->device; }

void CommandEncoder::endEncoding() const {
    Impl& self = impl();
    self.list("endEncoding");
    if (self.openGroups > 0)
        throw InvalidArgument(self.who("endEncoding") + "was called while " +
                              std::to_string(self.openGroups) +
                              " debug groups are open; pop them first.");
    self.ended = true;
    self.commandBuffer->encoderOpen = false;
}

void CommandEncoder::pushDebugGroup(const std::string& name) const {
    Impl& self = impl();
    self.commandBuffer->pushLabel(self.list("pushDebugGroup"), name, self.openGroups);
}

void CommandEncoder::popDebugGroup() const {
    Impl& self = impl();
    self.commandBuffer->popLabel(self.list("popDebugGroup"), subject(self.type, self.label),
                                 self.openGroups);
}

void CommandEncoder::insertDebugSignpost(const std::string& name) const {
    impl().list("insertDebugSignpost").label(vk::CommandList::LabelKind::Insert, name);
}

} // namespace mpsvk::MTL
