#include "mps/WindowStream.hpp"

#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <limits>

namespace mpsvk::mps {

namespace {

constexpr uint64_t mostInvocations = 256;
/// Devices have as much at least, and the more of it a workgroup takes, the fewer there are at
/// once.
constexpr uint64_t mostSharedBytes = 16384;
/// On a multiprocessor, of so many invocations with so many registers.
constexpr uint64_t groupsAtOnce = 2;
constexpr uint64_t fewestRows = 8;

/// Texels in registers of an invocation: rows, what is computed from them, and what comes next.
uint64_t keptTexels(const WindowStream::Shape& shape, uint64_t rowsEach) {
    const uint64_t rows = shape.rows.taps;
    const uint64_t own = shape.centred ? 2 * rows : rows / 2 + 1; // beside source and terms
    const uint64_t kept = shape.gradient ? 2 * rows + own : rows;
    const uint64_t queues = !shape.gradient ? 1 : shape.centred ? 4 : 3;
    const uint64_t loads = shape.gradient ? 3 : 1;
    return kept + queues * (rowsEach - 1) + loads * rowsEach;
}

struct Strips {
    uint64_t columns, count;      ///< of results, but for the last one
    uint64_t widest = 0, all = 0; ///< columns that they walk down

    Strips(const WindowStream::Axis& axis, uint64_t wanted)
        : columns(vk::divideUp(axis.results, wanted)), count(vk::divideUp(axis.results, columns)) {
        const int64_t end = axis.first + int64_t(axis.results);
        for (uint64_t i = 0; i < count; ++i) {
            const int64_t from = axis.first + int64_t(i * columns);
            const int64_t to = std::min(from + int64_t(columns), end);
            const int64_t low = std::min(from, std::max(from - int64_t(axis.before), axis.lowest));
            const int64_t high = std::max(to, std::min(to + int64_t(axis.after), axis.end));
            widest = std::max(widest, uint64_t(high - low));
            all += uint64_t(high - low);
        }
    }
};

/// As few strips as suffice for `most` columns each, unless they would read too many columns twice.
std::optional<Strips> stripsOf(const WindowStream::Axis& axis, uint64_t most) {
    const uint64_t halo = axis.before + axis.after;
    for (const uint64_t few : {1, 2}) // which lack neighbours on one side or both
        if (const Strips strips(axis, few); strips.widest <= most) return strips;
    if (most < 2 * halo || most == 0) return {};
    return Strips(axis, vk::divideUp(axis.results, most - halo));
}

/// Parts of the rows, so that the device is busy for the shortest time.
uint64_t segmentsFor(const WindowStream::Axis& rows, uint64_t groups, uint64_t atOnce) {
    const uint64_t halo = rows.before + rows.after;
    const uint64_t most = std::max<uint64_t>(1, rows.results / std::max(fewestRows, halo));
    uint64_t best = 1, least = std::numeric_limits<uint64_t>::max();
    for (uint64_t segments = 1; segments <= most; ++segments) {
        const uint64_t turns = vk::divideUp(groups * segments, atOnce);
        const uint64_t time = turns * (vk::divideUp(rows.results, segments) + halo);
        if (time < least) {
            least = time;
            best = segments;
        }
        if (turns > 1 && segments > 1) break;
    }
    return best;
}

} // namespace

std::optional<WindowStream> WindowStream::of(const vk::Limits& limits, const Shape& shape) {
    const Axis &columns = shape.columns, &rows = shape.rows;
    const uint64_t registers = tableOf(limits.processor).mostKept;
    if (keptTexels(shape, 1) > 2 * registers || columns.results == 0 || rows.results == 0)
        return {};
    WindowStream made{};
    made.rowsEach = keptTexels(shape, 2) <= registers ? 2 : 1;
    const uint64_t planes = (shape.gradient ? 2 : 1) + (shape.centred ? 1 : 0);
    const uint64_t texels =
        std::min<uint64_t>(mostSharedBytes, limits.sharedMemoryBytes) / 16 / planes;
    uint64_t least = std::numeric_limits<uint64_t>::max();
    for (const uint64_t bytes : {64, 32}) { // of neighbouring slices: whole sectors of memory
        const uint64_t together =
            std::clamp<uint64_t>(bytes / shape.bytesPerTexel, 1, shape.slices);
        const uint64_t invocations =
            std::min<uint64_t>(mostInvocations, limits.workGroupInvocations);
        const uint64_t margins = columns.taps / 2 * 2;
        if (texels / together < margins) continue;
        const auto strips =
            stripsOf(columns, std::min(invocations / together, texels / together - margins));
        if (!strips) continue;
        const uint64_t blocks = vk::divideUp(shape.slices, together);
        if (strips->all * blocks * together >= least) continue;
        least = strips->all * blocks * together;
        made.invocations = uint32_t(strips->widest * together);
        made.slicesTogether = uint32_t(together);
        made.blocks = uint32_t(blocks);
        made.strips = uint32_t(strips->count);
        made.stripColumns = uint32_t(strips->columns);
    }
    if (made.invocations == 0) return {};
    const uint64_t groups = shape.images * made.strips * made.blocks;
    const uint64_t wanted = segmentsFor(rows, groups, groupsFor(limits, groupsAtOnce));
    made.segmentRows = uint32_t(vk::divideUp(rows.results, wanted));
    made.segments = uint32_t(vk::divideUp(rows.results, made.segmentRows));
    made.lowestColumn = int32_t(columns.lowest);
    made.lowestRow = int32_t(rows.lowest);
    made.endRow = int32_t(rows.end);
    return made;
}

std::optional<WindowStream> WindowStream::of(const vk::Device& device, const Shape& shape) {
    if (isCpuWith(device, "cached_windows") || vk::isDisabled("streamed_windows")) return {};
    return of(device.limits(), shape);
}

} // namespace mpsvk::mps
