#include "mps/WholeGroup.hpp"

#include "CNNGroupNormalization.h"
#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// Of a pixel: whole sectors of memory.
constexpr uint64_t unitsTogether = 2;
/// Of a workgroup: the caches keep fewer.
constexpr uint64_t fewestUnits = 512;
/// Then there is an invocation for each of a block's sums.
constexpr uint64_t fewestLanes = 4;
constexpr uint32_t sizes[] = {128, 256, 512};
/// Of a multiprocessor.
constexpr uint64_t registers = 65536;

/// Of a workgroup, with what an invocation needs besides the operands that it keeps.
uint64_t registersOf(uint64_t invocations, uint64_t operands, uint64_t kept) {
    return invocations * (4 * operands * kept + 50);
}

/// Of glsl/wholeGroup.glsl and what the shaders share beside it.
uint64_t sharedBytes(uint64_t sums, uint64_t texels, uint64_t invocations, uint64_t blockUnits) {
    constexpr uint64_t pieces = 16, others = 7;
    return 16 * texels * (sums * (invocations + blockUnits * pieces) + others * blockUnits);
}

bool keepsGroups(const vk::Device& device) {
    return !isCpuWith(device, "cached_groups") && !vk::isDisabled("whole_group");
}

/// 0: they are not all of units of one kind.
uint32_t texelsOfUnits(std::initializer_list<WholeGroup::Operand> operands) {
    const WholeGroup::Operand& first = *operands.begin();
    const bool single = first.run.storageConstant() == 0;
    const bool all = std::ranges::all_of(operands, [&](const WholeGroup::Operand& o) {
        return (single ? o.run.storageConstant() == 0 : o.run.hasPairs(o.view)) &&
               o.view.width == first.view.width && o.view.height == first.view.height &&
               o.view.channels % 4 == 0;
    });
    return !all ? 0 : single ? 1 : 2;
}

/// Units of a pixel: of whole groups, at least so many or all that there are.
std::optional<uint64_t> blockOf(const WholeGroup::Shape& shape, uint64_t fewest) {
    if (shape.slices % shape.texelsEach != 0) return {};
    const uint64_t units = shape.slices / shape.texelsEach;
    // Slices of whole groups, then blocks of those.
    const uint64_t groupSlices = shape.groupChannels % 4 == 0   ? shape.groupChannels / 4
                                 : 4 % shape.groupChannels == 0 ? 1
                                                                : shape.slices;
    const uint64_t least =
        groupSlices % shape.texelsEach == 0 ? groupSlices / shape.texelsEach : groupSlices;
    uint64_t block = least;
    while (block <= units && (units % block != 0 || block < std::min(fewest, units)))
        block += least;
    if (block > units) return {};
    return block;
}

std::optional<WholeGroup> withLanes(const vk::Limits& limits, const WholeGroup::Shape& shape,
                                    uint64_t block, uint64_t lanes, uint64_t members) {
    if (lanes < fewestLanes) return {};
    const uint64_t kept = vk::divideUp(shape.pixels, lanes * members);
    const uint64_t invocations = lanes * block;
    if (kept > tableOf(limits.processor).mostKept ||
        registersOf(invocations, shape.operands, kept) > registers ||
        sharedBytes(shape.operands, shape.texelsEach, invocations, block) >
            limits.sharedMemoryBytes)
        return {};
    return WholeGroup{uint32_t(invocations), uint32_t(block),
                      uint32_t(kept),        uint32_t(shape.slices / shape.texelsEach / block),
                      shape.texelsEach,      uint32_t(members)};
}

} // namespace

std::optional<WholeGroup> WholeGroup::of(const vk::Limits& limits, const Shape& shape) {
    const auto block = blockOf(shape, unitsTogether);
    if (limits.workGroupInvocations < 1024 || !block || shape.pixels * *block < fewestUnits)
        return {};
    for (const uint32_t size : sizes)
        if (const auto made = withLanes(limits, shape, *block, size / *block, 1)) return made;
    return {};
}

std::optional<WholeGroup> WholeGroup::shared(const vk::Limits& limits, const Shape& shape) {
    constexpr uint64_t lineUnits = 8, size = 128;
    const auto block = blockOf(shape, lineUnits);
    const DeviceTable table = tableOf(limits.processor);
    // Of wider groups a workgroup has too few pixels for the sums that it forms.
    if (!table.beginsInOrder || !block || *block > 2 * lineUnits) return {};
    const uint64_t lanes = size / *block;
    const uint64_t members = vk::divideUp(shape.pixels, lanes * table.mostKept);
    // All of them must run at once, beside those of other kernels.
    const vk::Processor& processor = limits.processor;
    if (members < 2 || members > glsl::arrivals || processor.isGuess ||
        4 * members > processor.multiprocessors)
        return {};
    return withLanes(limits, shape, *block, lanes, members);
}

std::array<vk::Constant, 2> WholeGroup::stagger(const vk::Processor& processor,
                                                uint64_t images) const {
    constexpr uint64_t fewestRounds = 4;
    constexpr uint32_t turnsEach = 80; // for a kept pixel: together about what a workgroup takes
    const uint64_t atOnce = processor.multiprocessors;
    const bool isOneEach = 2 * registersOf(invocations, 2, kept) > registers;
    const bool gains =
        isOneEach && tableOf(processor).isMeasured && images * blocks >= fewestRounds * atOnce;
    return {constant(36, gains ? uint32_t(atOnce) : 0), constant(37, turnsEach * kept)};
}

WholeGroup::Meeting WholeGroup::meeting(Encoder& encoder, uint64_t images) const {
    if (members == 1) return {};
    const uint64_t all = images * blocks, counters = all * sizeof(uint32_t);
    const uint64_t sums = uint64_t(glsl::sumsOfMember) * blockUnits * texelsEach;
    const auto scratch = encoder.scratch(all * members * sums * 16);
    return {scratch, *scratch, {encoder.device().arrivalCounters(counters), 0, counters}};
}

std::optional<WholeGroup> WholeGroup::of(Encoder& encoder, std::initializer_list<Operand> operands,
                                         uint32_t kept, uint64_t groupChannels) {
    const uint32_t texels = texelsOfUnits(operands);
    if (texels == 0 || !keepsGroups(encoder.device())) return {};
    const glsl::ImageView& view = operands.begin()->view;
    const Shape shape{uint64_t(view.width) * view.height, view.channels / 4, groupChannels, kept,
                      texels};
    const auto alone = of(encoder.limits(), shape);
    // Of one operand in fp16 several small planes fit on a multiprocessor, and nothing is gained.
    const bool isSmall = texels == 2 && kept == 1 && alone && alone->invocations == sizes[0];
    if (!isSmall && !vk::isDisabled("waiting_workgroups"))
        if (const auto made = shared(encoder.limits(), shape)) return made;
    return alone;
}

} // namespace mpsvk::mps
