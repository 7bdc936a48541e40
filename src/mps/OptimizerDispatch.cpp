// How updates are dispatched. Small ones that follow each other are ranges of one dispatch.
#include "mps/OptimizerUpdate.hpp"
#include "mtl/CommandBuffer.hpp"

#include <algorithm>
#include <cstring>

namespace mpsvk::mps {

namespace {

using enum OptimizerUpdate::Slot;
using Slot = OptimizerUpdate::Slot;
using Range = OptimizerUpdate::Range;
using Command = vk::CommandList::Command;
using Parameters = glsl::NNOptimizerParameters;
using glsl::OptimizerRange;

constexpr uint64_t perGroup = glsl::optimizerElementsPerGroup;
/// Elements of a range that shares its dispatch. With a larger one nothing is gained, and alone it
/// waits for no gradients but its own.
constexpr uint64_t mostShared = 256 * perGroup;
/// Dispatches that are looked at for a range.
constexpr size_t mostDispatches = 16;

// A shared dispatch needs no folded grid, and every device takes so large a uniform block.
static_assert(glsl::optimizerMostRanges * (mostShared / perGroup) <= 65535);
static_assert(sizeof(Parameters) + glsl::optimizerMostRanges * sizeof(OptimizerRange) <= 16384);

constexpr uint32_t OptimizerRange::*offsets[] = {
    &OptimizerRange::gradientOffset, &OptimizerRange::valuesOffset,
    &OptimizerRange::resultOffset,   &OptimizerRange::momentAOffset,
    &OptimizerRange::momentBOffset,  &OptimizerRange::momentCOffset};
constexpr uint32_t Parameters::*strides[] = {
    &Parameters::gradientStride, &Parameters::valuesStride,  &Parameters::resultStride,
    &Parameters::momentAStride,  &Parameters::momentBStride, &Parameters::momentCStride};
constexpr uint32_t Parameters::*bases[] = {&Parameters::gradientBase, &Parameters::valuesBase,
                                           &Parameters::resultBase,   &Parameters::momentABase,
                                           &Parameters::momentBBase,  &Parameters::momentCBase};

/// What a dispatch with one range is recorded with.
struct Single {
    Parameters parameters;
    OptimizerRange range;

    uint64_t elements() const { return uint64_t(parameters.rows) * range.columns; }
    uint32_t groups() const { return uint32_t(vk::divideUp(elements(), perGroup)); }
    /// Elements before an operand's first one, from where it is bound on.
    uint32_t skipped(size_t slot) const { return range.*offsets[slot] - parameters.*bases[slot]; }
};
static_assert(sizeof(Single) == sizeof(Parameters) + sizeof(OptimizerRange));

uint32_t inFloats(VkDeviceSize bytes) { return uint32_t(bytes / sizeof(float)); }

/// The range as shaders know it; its slices become what is bound.
Single singleOf(const Parameters& parameters, Range& range, const vk::Limits& limits) {
    // Rows without gaps are one long row.
    const bool dense = std::ranges::all_of(
        range, [](const ArrayView& v) { return !v || v.rowBytes == v.columns * sizeof(float); });
    const uint64_t rows = range[Gradient].rows, columns = range[Gradient].columns;
    Single made{parameters, {}};
    made.parameters.rows = dense ? 1 : uint32_t(rows);
    made.parameters.rangeCount = 1;
    made.range.columns = uint32_t(dense ? rows * columns : columns);
    for (size_t slot = 0; slot < SlotCount; ++slot) {
        if (!range[slot]) continue;
        AlignedSlice aligned(std::move(range[slot].slice), limits);
        range[slot].slice = std::move(aligned.slice);
        const VkDeviceSize begin = range[slot].slice.begin();
        made.parameters.*bases[slot] = inFloats(begin);
        made.range.*offsets[slot] = inFloats(begin + aligned.skipped);
        if (!dense) made.parameters.*strides[slot] = inFloats(range[slot].rowBytes);
    }
    return made;
}

/// Whether all operands are vectors of four elements, but perhaps for the last ones.
bool isInVectors(const Single& own, const Range& range, const vk::Limits& limits) {
    constexpr uint32_t each = 4;
    if (own.parameters.rows != 1 || limits.storageAlignment % (each * sizeof(float)) != 0)
        return false;
    for (size_t slot = 0; slot < SlotCount; ++slot)
        if (range[slot] && own.skipped(slot) % each != 0) return false;
    return true;
}

/// Notes the memory of a list's updates. True when those before had certainly none of this range's:
/// looking at each of them takes long.
bool isNew(vk::AddressFilter& noted, const Range& range) {
    bool known = noted.mayHave(nullptr);
    for (const ArrayView& view : range) {
        const void* const memory = view ? view.slice.buffer->memory() : &noted;
        known = known || !memory || noted.mayHave(memory);
    }
    for (const ArrayView& view : range)
        if (view) noted.add(view.slice.buffer->memory());
    return !known;
}

/// An optimizer's dispatch in a list.
class Dispatch {
public:
    Dispatch(vk::CommandList& list, size_t index)
        : list_(list), index_(index), command_(list.commands()[index]) {
        std::memcpy(&first_, list.bytes(command_.parameters, sizeof first_).data(), sizeof first_);
    }

    bool isShared() const {
        return first_.parameters.rangeCount > 1 || first_.elements() <= mostShared;
    }

    /// Whether one writes elements that the other touches.
    bool meets(const Single& own, const Range& range) const {
        for (const vk::Binding& binding : list_.bindings(command_))
            for (size_t slot = slotOf(binding) < Result ? Result : Gradient; slot < SlotCount;
                 ++slot) {
                if (!range[slot]) continue;
                const vk::BufferSlice& slice = range[slot].slice;
                if (slice.buffer->handle() == binding.handle &&
                    touches(binding, slice.begin() + own.skipped(slot) * sizeof(float),
                            slice.end()))
                    return true;
            }
        return false;
    }

    /// Whether the range could be one more of its own.
    bool suits(std::string_view shader, const Single& own, const Range& range) const {
        return command_.pipeline->name() == shader &&
               first_.parameters.rangeCount < glsl::optimizerMostRanges &&
               std::memcmp(&first_.parameters, &own.parameters, offsetof(Parameters, rangeCount)) ==
                   0 &&
               std::ranges::all_of(list_.bindings(command_), [&](const vk::Binding& binding) {
                   return range[slotOf(binding)].slice.buffer->handle() == binding.handle;
               });
    }

    /// Works on a range that suits it as well; false where it would have to bind too much.
    bool take(const Single& own, const Range& range, const vk::Limits& limits) {
        Parameters parameters = first_.parameters;
        const auto bindings = list_.bindings(command_);
        std::array<vk::Binding, SlotCount> wider;
        for (size_t i = 0; i < bindings.size(); ++i) {
            const vk::Binding& before = bindings[i];
            const vk::BufferSlice& slice = range[slotOf(before)].slice;
            const VkDeviceSize begin = std::min(before.offset, slice.begin()),
                               end = std::max(before.offset + before.size, slice.end());
            if (end - begin > limits.storageBufferRange) return false;
            wider[i] = vk::Binding::buffer(before.number, slice);
            wider[i].offset = begin;
            wider[i].size = end - begin;
            wider[i].bytes += before.bytes;
            parameters.*bases[slotOf(before)] = inFloats(begin);
        }
        ++parameters.rangeCount;
        OptimizerRange more = own.range;
        more.firstGroup = command_.groups[0] * command_.groups[1];
        list_.widen(index_, std::span(wider).first(bindings.size()),
                    std::as_bytes(std::span(&parameters, 1)), std::as_bytes(std::span(&more, 1)),
                    {more.firstGroup + own.groups(), 1, 1});
        return true;
    }

private:
    static Slot slotOf(const vk::Binding& binding) { return Slot(binding.number - 1); }

    /// Whether it touches some of a bound buffer's bytes [begin, end).
    bool touches(const vk::Binding& binding, VkDeviceSize begin, VkDeviceSize end) const {
        if (end <= binding.offset || binding.offset + binding.size <= begin) return false;
        const auto floatsIn = [&](VkDeviceSize at) {
            return (int64_t(at) - int64_t(binding.offset)) / int64_t(sizeof(float));
        };
        const int64_t from = floatsIn(begin), to = floatsIn(end);
        const auto offset = offsets[slotOf(binding)];
        const Parameters& p = first_.parameters;
        const uint32_t base = p.*bases[slotOf(binding)];
        const int64_t before = int64_t(p.rows - 1) * p.*strides[slotOf(binding)];
        const auto table =
            list_.bytes(command_.parameters, command_.parameterBytes).subspan(sizeof p);
        for (size_t k = 0; k < p.rangeCount; ++k) {
            OptimizerRange range;
            std::memcpy(&range, &table[k * sizeof range], sizeof range);
            const int64_t first = uint32_t(range.*offset - base);
            if (first < to && from < first + before + range.columns) return true;
        }
        return false;
    }

    vk::CommandList& list_;
    const size_t index_;
    const Command& command_;
    Single first_;
};

} // namespace

bool isOptimizers(const Command& command) {
    return command.kind == vk::CommandList::Kind::Dispatch && command.pipeline->isKernel() &&
           command.pipeline->name().starts_with("NNOptimizer");
}

void dispatchUpdate(Encoder& encoder, std::string_view shader, const Parameters& parameters,
                    UpdateRange& range) {
    const Single own = singleOf(parameters, range, encoder.limits());
    if (own.elements() == 0) return;
    const bool isShared = own.elements() <= mostShared;
    vk::CommandList& list = encoder.list();
    const size_t end = list.commands().size();
    // A plan's temporaries live from one command's place to another's: none may change its own.
    const bool isPlan = !encoder.commandBuffer().impl().queue;
    const size_t first =
        isPlan ? end : std::max(end - std::min(end, mostDispatches), list.sealed());
    // The one that takes the range, or those that a large one comes before: ones that many ranges
    // share are last, since they wait for all gradients.
    size_t to = end;
    for (size_t i = end; i > first && isOptimizers(list.commands()[i - 1]); --i) {
        const Dispatch before(list, i - 1);
        if (!before.isShared()) break;
        if (isShared && !before.suits(shader, own, range)) continue;
        to = i - 1;
        if (isShared) break;
    }
    // Optimizers' dispatches may come in any order as long as they do not meet.
    const bool meetsNone = isNew(list.noted(), range);
    for (size_t i = end; i > to && !meetsNone; --i)
        if (Dispatch(list, i - 1).meets(own, range)) to = isShared ? end : i;
    if (isShared && to < end && Dispatch(list, to).take(own, range, encoder.limits())) return;
    const auto operand = [&](Slot slot) {
        return Operand(uint32_t(slot) + 1, std::move(range[slot].slice));
    };
    const uint32_t inVectors = !isShared && isInVectors(own, range, encoder.limits());
    encoder.dispatch(shader, own, Grid::of(own.groups() * (perGroup / 4)),
                     {operand(Gradient), operand(Values), operand(Result), operand(MomentA),
                      operand(MomentB), operand(MomentC)},
                     {constant(32, inVectors)});
    if (!isShared && to < end) list.moveLast(to);
}

} // namespace mpsvk::mps
