#include "mtl/Library.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MTL {

ComputePipelineState::Impl::Impl(Device owner, const Function& from)
    : device(std::move(owner)), function(std::static_pointer_cast<Function::Impl>(from.shared())),
      label(from.label().empty() ? from.name() : from.label()),
      reflection(vk::reflect(label, function->library->code, function->constants)) {
    const auto& open = reflection.hasLocalSizeId;
    const auto given = [&](uint32_t id) {
        return std::ranges::find(function->constants, id, &vk::Constant::id) !=
               function->constants.end();
    };
    for (int i = 0; i < 3; ++i)
        if (open[i] && given(reflection.localSizeId[i]))
            throw InvalidArgument(
                subject("Function", from.label()) + "The constant " +
                std::to_string(reflection.localSizeId[i]) +
                " is the kernel's local_size: it is given by the dispatch, not as a "
                "function constant.");
    // Compiled now, so that a kernel that the driver refuses is refused here.
    Size threads{reflection.localSize[0], reflection.localSize[1], reflection.localSize[2]};
    if (!open[0] && !open[1] && !open[2])
        pipeline(threads, subject("Function", from.label()))->handle();
}

std::shared_ptr<vk::Pipeline> ComputePipelineState::Impl::pipeline(Size threads,
                                                                   const std::string& who) {
    const std::array<uint64_t, 3> wanted{threads.width, threads.height, threads.depth};
    const auto& limits = device.impl().vk->properties().limits;
    const std::string given = who + "was given threadgroups of " + std::to_string(wanted[0]) + "x" +
                              std::to_string(wanted[1]) + "x" + std::to_string(wanted[2]) +
                              " threads";
    bool fits = true;
    uint64_t total = 1;
    std::array<uint32_t, 3> key{};
    std::vector<vk::Constant> constants = function->constants;
    for (int i = 0; i < 3; ++i) {
        const bool open = reflection.hasLocalSizeId[i];
        if (wanted[i] == 0 || wanted[i] > limits.maxComputeWorkGroupSize[i])
            throw InvalidArgument(given + " but the device takes 1 to " +
                                  std::to_string(limits.maxComputeWorkGroupSize[i]) +
                                  " in dimension " + std::to_string(i) + ".");
        fits &= open || wanted[i] == reflection.localSize[i];
        total *= wanted[i];
        key[i] = uint32_t(wanted[i]);
        if (open && std::ranges::find(constants, reflection.localSizeId[i], &vk::Constant::id) ==
                        constants.end())
            constants.push_back({reflection.localSizeId[i], key[i]});
    }
    if (!fits) {
        const auto dimension = [&](int i) {
            return reflection.hasLocalSizeId[i] ? "any" : std::to_string(reflection.localSize[i]);
        };
        throw InvalidArgument(given + " but the kernel \"" + label + "\" is written for " +
                              dimension(0) + "x" + dimension(1) + "x" + dimension(2) + ".");
    }
    if (total > limits.maxComputeWorkGroupInvocations)
        throw InvalidArgument(given + " but the device's limit is " +
                              std::to_string(limits.maxComputeWorkGroupInvocations) + " in all.");
    std::lock_guard lock(mutex_);
    auto& variant = variants_[key];
    if (!variant)
        variant = device.impl().vk->pipelines().make(label, function->library->code, constants);
    return variant;
}

ComputePipelineState Device::newComputePipelineState(const Function& function) const {
    checkSameDevice(function.device(), *this, subject("Device", name()) + "newComputePipelineState",
                    "a function");
    return ComputePipelineState(std::make_shared<ComputePipelineState::Impl>(*this, function));
}

ComputePipelineState::ComputePipelineState(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

ComputePipelineState::Impl& ComputePipelineState::impl() const {
    if (!impl_) throw InvalidArgument("[ComputePipelineState] The pipeline handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool ComputePipelineState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string ComputePipelineState::label() const { return impl().label; }
Device ComputePipelineState::device() const { return impl().device; }

Size ComputePipelineState::requiredThreadsPerThreadgroup() const {
    const vk::Reflection& r = impl().reflection;
    const auto fixed = [&](int i) { return r.hasLocalSizeId[i] ? 0 : r.localSize[i]; };
    return {fixed(0), fixed(1), fixed(2)};
}

uint64_t ComputePipelineState::maxTotalThreadsPerThreadgroup() const {
    const auto [x, y, z] = requiredThreadsPerThreadgroup();
    return x && y && z ? x * y * z : device().impl().vk->limits().workGroupInvocations;
}

uint64_t ComputePipelineState::threadExecutionWidth() const {
    return device().impl().vk->limits().subgroupSize;
}

uint64_t ComputePipelineState::staticThreadgroupMemoryLength() const {
    return impl().reflection.sharedBytes;
}

} // namespace mpsvk::MTL
