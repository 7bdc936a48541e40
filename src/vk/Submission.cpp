#include "vk/Submission.hpp"

#include "vk/Device.hpp"
#include "vk/Pipeline.hpp"
#include "vk/Schedule.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

namespace mpsvk::vk {

namespace {
constexpr VkDeviceSize parameterBlockSize = 64 << 10;
constexpr uint32_t setsPerPool = 256;
} // namespace

double steadySeconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

size_t Pace::dispatchesPerPiece() const {
    const double seconds = secondsPerDispatch_;
    if (seconds <= 0) return whenUnknown;
    return size_t(std::clamp(budget_ / seconds, 1.0, 1e6));
}

void Pace::measured(size_t dispatches, double seconds) {
    if (dispatches == 0 || seconds <= 0) return;
    // Rises at once and falls slowly: a short list between long ones must not unlock a long piece.
    const double now = seconds / double(dispatches), before = secondsPerDispatch_;
    secondsPerDispatch_ = std::max(now, before + (now - before) / 8);
}

Submission::Submission(Device& device, Pace& pace) : device_(device), pace_(pace) {
    VkCommandPoolCreateInfo poolInfo{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    poolInfo.queueFamilyIndex = device.queueFamily();
    check(vkCreateCommandPool(device.handle(), &poolInfo, nullptr, &pool_), "vkCreateCommandPool");
    VkFenceCreateInfo fenceInfo{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    check(vkCreateFence(device.handle(), &fenceInfo, nullptr, &fence_), "vkCreateFence");
    if (device.limits().nanosecondsPerTick > 0) {
        VkQueryPoolCreateInfo queryInfo{VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
        queryInfo.queryType = VK_QUERY_TYPE_TIMESTAMP;
        queryInfo.queryCount = 2;
        check(vkCreateQueryPool(device.handle(), &queryInfo, nullptr, &queries_),
              "vkCreateQueryPool");
    }
}

Submission::~Submission() {
    for (VkDescriptorPool pool : descriptorPools_)
        vkDestroyDescriptorPool(device_.handle(), pool, nullptr);
    if (queries_) vkDestroyQueryPool(device_.handle(), queries_, nullptr);
    vkDestroyFence(device_.handle(), fence_, nullptr);
    vkDestroyCommandPool(device_.handle(), pool_, nullptr);
}

VkCommandBuffer Submission::begin() {
    if (buffersUsed_ == buffers_.size()) {
        VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
        info.commandPool = pool_;
        info.commandBufferCount = 1;
        VkCommandBuffer made = VK_NULL_HANDLE;
        check(vkAllocateCommandBuffers(device_.handle(), &info, &made), "vkAllocateCommandBuffers");
        buffers_.push_back(made);
    }
    const VkCommandBuffer commands = buffers_[buffersUsed_++];
    VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    check(vkBeginCommandBuffer(commands, &info), "vkBeginCommandBuffer");
    return commands;
}

void Submission::finish(VkCommandBuffer commands, VkFence fence) {
    check(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    const auto recordClears = [this](std::vector<std::shared_ptr<Buffer>> buffers) {
        const VkCommandBuffer clearing = begin();
        Device::fillWithZeros(clearing, buffers);
        VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
        memory.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
        memory.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
        vkCmdPipelineBarrier(clearing, VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &memory, 0, nullptr, 0,
                             nullptr);
        check(vkEndCommandBuffer(clearing), "vkEndCommandBuffer");
        clears_.insert(clears_.end(), buffers.begin(), buffers.end());
        return clearing;
    };
    check(device_.submit(commands, fence, recordClears), "vkQueueSubmit");
    ++pieces_;
}

/// Writes the commands of one list into command buffers.
class Submission::Emitter {
public:
    Emitter(Submission& owner, VkCommandBuffer commands, const CommandList& list)
        : owner_(owner), device_(owner.device_), commands_(commands), list_(list) {}
    VkCommandBuffer commands() const { return commands_; }

    void barrier() {
        VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
        memory.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
        memory.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                               VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
        constexpr VkPipelineStageFlags stages =
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
        VkPipelineStageFlags waiting = stages;
        if (readsGroupCounts_) { // has NVIDIA's driver wait 2 us longer
            memory.dstAccessMask |= VK_ACCESS_INDIRECT_COMMAND_READ_BIT;
            waiting |= VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT;
        }
        vkCmdPipelineBarrier(commands_, stages, waiting, 0, 1, &memory, 0, nullptr, 0, nullptr);
    }

    void emit() {
        const size_t most = owner_.pace_.dispatchesPerPiece();
        size_t dispatches = 0;
        for (const auto& [index, afterBarrier] : schedule(list_)) {
            const auto& command = list_.commands()[index];
            const bool isDispatch = command.kind == CommandList::Kind::Dispatch ||
                                    command.kind == CommandList::Kind::DispatchIndirect;
            const bool isCut = isDispatch && dispatches++ == most;
            if (isCut) {
                cut();
                dispatches = 1;
            }
            // What another queue submits may come between two pieces.
            if (afterBarrier || isCut) barrier();
            const auto bindings = list_.bindings(command);
            switch (command.kind) {
            case CommandList::Kind::Dispatch:
            case CommandList::Kind::DispatchIndirect: dispatch(command, bindings); break;
            case CommandList::Kind::Copy: {
                const VkBufferCopy region{bindings[0].offset, bindings[1].offset, bindings[0].size};
                vkCmdCopyBuffer(commands_, bindings[0].handle, bindings[1].handle, 1, &region);
                break;
            }
            case CommandList::Kind::Fill:
                vkCmdFillBuffer(commands_, bindings[0].handle, bindings[0].offset, bindings[0].size,
                                command.groups[0]);
                break;
            case CommandList::Kind::CopyToTexture: {
                VkBufferImageCopy region = list_.textureRegion(command);
                region.bufferOffset += bindings[0].offset;
                vkCmdCopyBufferToImage(commands_, bindings[0].handle, bindings[1].texture->image(),
                                       VK_IMAGE_LAYOUT_GENERAL, 1, &region);
                break;
            }
            case CommandList::Kind::CopyFromTexture: {
                VkBufferImageCopy region = list_.textureRegion(command);
                region.bufferOffset += bindings[1].offset;
                vkCmdCopyImageToBuffer(commands_, bindings[0].texture->image(),
                                       VK_IMAGE_LAYOUT_GENERAL, bindings[1].handle, 1, &region);
                break;
            }
            case CommandList::Kind::Label: label(command); break;
            case CommandList::Kind::Included: break; // expanded by submit()
            }
        }
    }

private:
    /// Hands over what there is and goes on in another command buffer: barriers reach across.
    void cut() {
        owner_.finish(commands_, VK_NULL_HANDLE);
        commands_ = owner_.begin();
        bound_ = nullptr;
    }

    void label(const CommandList::Command& command) {
        if (!device_.features().debugLabels) return;
        const auto bytes = list_.bytes(command.push, command.pushBytes);
        const std::string name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        VkDebugUtilsLabelEXT info{VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT};
        info.pLabelName = name.c_str();
        switch (CommandList::LabelKind(command.groups[0])) {
        case CommandList::LabelKind::Push: vkCmdBeginDebugUtilsLabelEXT(commands_, &info); break;
        case CommandList::LabelKind::Pop: vkCmdEndDebugUtilsLabelEXT(commands_); break;
        case CommandList::LabelKind::Insert: vkCmdInsertDebugUtilsLabelEXT(commands_, &info); break;
        }
    }

    void dispatch(const CommandList::Command& command, std::span<const Binding> bindings) {
        const Pipeline& pipeline = *command.pipeline;
        if (bound_ != &pipeline) {
            vkCmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle());
            bound_ = &pipeline;
        }
        const bool indirect = command.kind == CommandList::Kind::DispatchIndirect;
        const auto operands = indirect ? bindings.first(bindings.size() - 1) : bindings;
        bindResources(pipeline, operands, list_.bytes(command.parameters, command.parameterBytes));
        if (command.pushBytes)
            vkCmdPushConstants(commands_, pipeline.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0,
                               command.pushBytes,
                               list_.bytes(command.push, command.pushBytes).data());
        if (indirect)
            vkCmdDispatchIndirect(commands_, bindings.back().handle, bindings.back().offset);
        else
            vkCmdDispatch(commands_, command.groups[0], command.groups[1], command.groups[2]);
    }

    void bindResources(const Pipeline& pipeline, std::span<const Binding> operands,
                       std::span<const std::byte> parameters) {
        const auto& reflected = pipeline.reflection().bindings;
        if (reflected.empty()) return;
        const size_t count = reflected.size();
        writes_.assign(count, {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET});
        buffers_.resize(count);
        images_.resize(count);
        for (size_t i = 0; i < count; ++i) {
            const ReflectedBinding& wanted = reflected[i];
            const Binding* given = nullptr;
            for (const Binding& operand : operands)
                if (operand.number == wanted.binding && operand.resource) given = &operand;
            writes_[i].dstBinding = wanted.binding;
            writes_[i].descriptorCount = 1;
            writes_[i].descriptorType = wanted.type;
            if (wanted.type == VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER ||
                wanted.type == VK_DESCRIPTOR_TYPE_STORAGE_IMAGE) {
                const Texture& texture =
                    given && given->texture ? *given->texture : *device_.placeholderTexture();
                images_[i] = {device_.sampler(), texture.view(), VK_IMAGE_LAYOUT_GENERAL};
                writes_[i].pImageInfo = &images_[i];
                continue;
            }
            const Buffer& placeholder = *device_.placeholderBuffer();
            if (given && !given->texture)
                buffers_[i] = {given->handle, given->offset, given->size};
            else if (wanted.binding == 0 && !parameters.empty())
                buffers_[i] = placeParameters(parameters);
            else
                buffers_[i] = {placeholder.handle(), placeholder.offset(), placeholder.size()};
            writes_[i].pBufferInfo = &buffers_[i];
        }
        if (device_.features().pushDescriptor) {
            vkCmdPushDescriptorSetKHR(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout(),
                                      0, uint32_t(count), writes_.data());
            return;
        }
        const VkDescriptorSet set = allocateSet(pipeline.setLayout());
        for (auto& write : writes_) write.dstSet = set;
        vkUpdateDescriptorSets(device_.handle(), uint32_t(count), writes_.data(), 0, nullptr);
        vkCmdBindDescriptorSets(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout(), 0, 1,
                                &set, 0, nullptr);
    }

    VkDescriptorBufferInfo placeParameters(std::span<const std::byte> parameters) {
        const VkDeviceSize alignment = device_.limits().uniformAlignment;
        parameterOffset_ = roundUp(parameterOffset_, alignment);
        if (parameterBlock_ == SIZE_MAX ||
            parameterOffset_ + parameters.size() > parameterBlockSize) {
            ++parameterBlock_; // SIZE_MAX wraps to the first
            parameterOffset_ = 0;
            if (parameterBlock_ == owner_.parameterBlocks_.size())
                owner_.parameterBlocks_.push_back(
                    device_.memory().allocate(parameterBlockSize, MemoryKind::Shared));
        }
        const Buffer& block = *owner_.parameterBlocks_[parameterBlock_];
        std::memcpy(block.mapped() + parameterOffset_, parameters.data(), parameters.size());
        const VkDeviceSize at = block.offset() + parameterOffset_;
        parameterOffset_ += parameters.size();
        return {block.handle(), at, parameters.size()};
    }

    VkDescriptorSet allocateSet(VkDescriptorSetLayout layout) {
        for (;;) {
            if (owner_.descriptorPoolsUsed_ == 0 || setsLeft_ == 0) nextDescriptorPool();
            VkDescriptorSetAllocateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
            info.descriptorPool = owner_.descriptorPools_[owner_.descriptorPoolsUsed_ - 1];
            info.descriptorSetCount = 1;
            info.pSetLayouts = &layout;
            VkDescriptorSet set = VK_NULL_HANDLE;
            const VkResult result = vkAllocateDescriptorSets(device_.handle(), &info, &set);
            if (result == VK_SUCCESS) {
                --setsLeft_;
                return set;
            }
            if (setsLeft_ == setsPerPool) check(result, "vkAllocateDescriptorSets");
            setsLeft_ = 0;
        }
    }

    void nextDescriptorPool() {
        if (owner_.descriptorPoolsUsed_ == owner_.descriptorPools_.size()) {
            const VkDescriptorPoolSize sizes[] = {
                {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, setsPerPool},
                {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, setsPerPool * 8},
                {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, setsPerPool * 4},
                {VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, setsPerPool * 2}};
            VkDescriptorPoolCreateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
            info.maxSets = setsPerPool;
            info.poolSizeCount = uint32_t(std::size(sizes));
            info.pPoolSizes = sizes;
            owner_.descriptorPools_.push_back(VK_NULL_HANDLE);
            check(vkCreateDescriptorPool(device_.handle(), &info, nullptr,
                                         &owner_.descriptorPools_.back()),
                  "vkCreateDescriptorPool");
        }
        check(vkResetDescriptorPool(device_.handle(),
                                    owner_.descriptorPools_[owner_.descriptorPoolsUsed_++], 0),
              "vkResetDescriptorPool");
        setsLeft_ = setsPerPool;
    }

    Submission& owner_;
    Device& device_;
    VkCommandBuffer commands_;
    const CommandList& list_;
    const bool readsGroupCounts_ =
        std::ranges::find(list_.commands(), CommandList::Kind::DispatchIndirect,
                          &CommandList::Command::kind) != list_.commands().end();
    const Pipeline* bound_ = nullptr;
    std::vector<VkWriteDescriptorSet> writes_;
    std::vector<VkDescriptorBufferInfo> buffers_;
    std::vector<VkDescriptorImageInfo> images_;
    size_t parameterBlock_ = SIZE_MAX;
    VkDeviceSize parameterOffset_ = 0;
    uint32_t setsLeft_ = 0;
};

void Submission::submit(const CommandList& given) {
    if (given.includesOthers()) {
        expanded_.clear();
        expanded_.appendExpanded(given);
    }
    const CommandList& list = given.includesOthers() ? expanded_ : given;
    check(vkResetCommandPool(device_.handle(), pool_, 0), "vkResetCommandPool");
    check(vkResetFences(device_.handle(), 1, &fence_), "vkResetFences");
    buffersUsed_ = descriptorPoolsUsed_ = pieces_ = 0;
    dispatches_ = list.dispatchCount();
    clears_.clear();
    submittedAt_ = steadySeconds();
    try {
        Emitter emitter(*this, begin(), list);
        if (queries_) {
            if (device_.features().hostQueryReset)
                vkResetQueryPoolEXT(device_.handle(), queries_, 0, 2);
            else
                vkCmdResetQueryPool(emitter.commands(), queries_, 0, 2);
            vkCmdWriteTimestamp(emitter.commands(), VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, queries_, 0);
        }
        emitter.barrier(); // after every earlier submission to this queue
        emitter.emit();
        VkMemoryBarrier toHost{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
        toHost.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
        toHost.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
        vkCmdPipelineBarrier(emitter.commands(),
                             VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &toHost, 0, nullptr, 0, nullptr);
        if (queries_)
            vkCmdWriteTimestamp(emitter.commands(), VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_,
                                1);
        finish(emitter.commands(), fence_);
    } catch (...) {
        // Pieces that are on their way already use what the caller is about to free.
        if (pieces_ > 0) device_.withQueue([](VkQueue queue) { vkQueueWaitIdle(queue); });
        throw;
    }
}

VkResult Submission::wait(GpuTimes& times) {
    const VkResult result = vkWaitForFences(device_.handle(), 1, &fence_, VK_TRUE, UINT64_MAX);
    const double now = steadySeconds();
    times = {submittedAt_, now};
    uint64_t ticks[2] = {};
    if (result == VK_SUCCESS && queries_ &&
        vkGetQueryPoolResults(device_.handle(), queries_, 0, 2, sizeof ticks, ticks,
                              sizeof ticks[0], VK_QUERY_RESULT_64_BIT) == VK_SUCCESS &&
        ticks[1] >= ticks[0])
        times.start =
            now - double(ticks[1] - ticks[0]) * device_.limits().nanosecondsPerTick * 1e-9;
    if (result == VK_SUCCESS) pace_.measured(dispatches_, times.end - times.start);
    clears_.clear();
    return result;
}

std::unique_ptr<Submission> SubmissionPool::take() {
    {
        std::lock_guard lock(mutex_);
        if (!free_.empty()) {
            auto submission = std::move(free_.back());
            free_.pop_back();
            return submission;
        }
    }
    return std::make_unique<Submission>(device_, pace_);
}

void SubmissionPool::giveBack(std::unique_ptr<Submission> submission) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(submission));
}

} // namespace mpsvk::vk
