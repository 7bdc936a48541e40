#include "mps/WinogradPlan.hpp"

#include "CNNConvolutionWinograd.h"
#include "mps/DeviceTable.hpp"
#include "mps/MatrixProduct.hpp"
#include "vk/Rounding.hpp"

#include <algorithm>
#include <limits>

namespace mpsvk::mps {

namespace {

using glsl::winogradResults;

// Of an H100, per microsecond: what direct convolutions and products reach, and an estimate.
constexpr double directOperations = 32e6, productOperations = 38e6, bytesMoved = 2.4e6;
/// The same where operands are split in three bf16, or in two; tiles of 64 columns are slower then.
constexpr double splitOperations = 52e6, narrowSplitOperations = 40e6, reducedOperations = 100e6,
                 narrowReducedOperations = 70e6, splitBytesMoved = 3.5e6;
/// Of products whose results have a short side.
constexpr double shortOperations = 9e6;
/// A product's workgroup takes as long for its beginning and end as for so much of the interior.
constexpr uint64_t shortInterior = 48, shortSplitInterior = 16;
/// Of filtered rows: workgroups that share a multiprocessor, and what one or two of them take for a
/// channel of 64 or 32 columns, and for their beginning and end.
constexpr uint64_t rowGroupsEach = 2;
constexpr double wideTimes[] = {0.18, 0.265}, narrowTimes[] = {0.095, 0.152}, rowEnds = 3;
/// Of their gradient's workgroups, one on a multiprocessor, for a segment, and beginning and end.
constexpr double segmentTime = 0.31, gradientEnds = 3;
constexpr uint64_t segmentsOfStep = 4, leastSegments = 32, mostParts = 512;
/// Sums of more products are off by more than 1e-5.
constexpr uint64_t mostSummed = 2560;
/// Of a dispatch that waits for the one before it.
constexpr double dispatch = 3;
/// The least sides of the products' tiles.
constexpr uint64_t tileSide = 64;

/// Transformed sources and products for a row of tiles of an image.
uint64_t rowBytes(const WinogradShape& s) {
    return vk::divideUp(s.width, winogradResults) * glsl::winogradPositions(s.taps) *
           sizeof(float) *
           (glsl::winogradRows(uint32_t(s.channels)) + vk::roundUp(s.resultChannels, 4));
}

uint64_t partCount(const WinogradShape& s, const WinogradPlan& plan) {
    return vk::divideUp(s.images, plan.images) *
           vk::divideUp(vk::divideUp(s.height, winogradResults), plan.tileRows);
}

/// Of images, transformed ones, written and read, and transformed weights.
double bytes(const WinogradShape& s) {
    const uint64_t images = 4 * s.images * s.width * s.height * (s.channels + s.resultChannels);
    const uint64_t matrices = 2 * s.images * vk::divideUp(s.height, winogradResults) * rowBytes(s);
    return double(images + matrices +
                  4 * glsl::winogradPositions(s.taps) * s.channels * s.resultChannels);
}

/// Of the products of positions, and of what is moved before and after them.
struct Rates {
    double operations = productOperations, bytes = bytesMoved;
    uint64_t ends = shortInterior;
};

Rates ratesOf(const vk::Processor& on, const WinogradShape& s) {
    const bool fills = s.resultChannels >= leastSplitColumns && s.channels >= leastInterior;
    if (!splitsFloats(on) || !fills) return {};
    return {splitOperations, splitBytesMoved, shortSplitInterior};
}

/// Whether an invocation has registers for so many sums.
bool holds(const vk::Processor& on, uint64_t sums) {
    const DeviceTable table = tableOf(on);
    return table.isMeasured || table.mostSums >= sums;
}

} // namespace

WinogradPlan winogradParts(const WinogradShape& s, uint64_t partBytes) {
    const uint64_t rows = vk::divideUp(s.height, winogradResults);
    const uint64_t most = std::max<uint64_t>(1, partBytes / rowBytes(s));
    // Parts of about the same size.
    const auto even = [](uint64_t all, uint64_t atOnce) {
        return vk::divideUp(all, vk::divideUp(all, std::max<uint64_t>(1, atOnce)));
    };
    if (most < rows) return {1, even(rows, most)};
    return {even(s.images, most / rows), rows};
}

double directTime(const vk::Processor& on, const WinogradShape& s) {
    const double operations = 2.0 * s.taps * s.tapRows * double(s.images * s.width * s.height) *
                              double(s.channels * s.resultChannels);
    const bool isNarrow = s.resultChannels < 2 * tileSide;
    const double rate = s.directShares == 2
                            ? (isNarrow ? narrowReducedOperations : reducedOperations)
                        : s.directShares == 3 ? (isNarrow ? narrowSplitOperations : splitOperations)
                                              : directOperations;
    return dispatch + operations / (rate * speedOf(on));
}

uint64_t winogradSegments(const WinogradShape& s) {
    return s.images * s.height * vk::divideUp(s.width, glsl::winogradRowResults(s.taps));
}

WinogradRows winogradRows(const vk::Processor& on, const WinogradShape& s) {
    WinogradRows best{.microseconds = std::numeric_limits<double>::infinity()};
    const uint64_t channels = s.tapRows * glsl::winogradRowChannels(uint32_t(s.channels));
    if (channels > mostSummed) return best;
    for (const uint32_t columns : {64, 32}) {
        // Weights of up to 32 channels are packed for tiles of so many.
        if (!holds(on, 2 * columns) || (columns == 64 && s.resultChannels <= 32)) continue;
        const uint64_t groups = vk::divideUp(winogradSegments(s), glsl::winogradRowSegments) *
                                vk::divideUp(s.resultChannels, columns);
        const uint64_t wave = rowGroupsEach * on.multiprocessors, last = groups % wave;
        const double* times = columns == 64 ? wideTimes : narrowTimes;
        double time = rowEnds + double(groups / wave) * (double(channels) * times[1] + rowEnds);
        if (last > 0) time += double(channels) * times[last > on.multiprocessors] + rowEnds;
        time = dispatch + time / tableOf(on).speed;
        if (time < best.microseconds) best = {columns, groups, time};
    }
    return best;
}

uint64_t winogradRowsPartBytes(const WinogradShape& s) {
    const uint64_t columns = s.taps * s.tapRows * vk::divideUp(s.channels, 4) + 1;
    return 16 * columns * vk::roundUp(s.resultChannels, glsl::winogradRowSide);
}

WinogradRowsGradient winogradRowsGradient(const vk::Processor& on, const WinogradShape& s,
                                          uint64_t mostBytes) {
    const uint64_t columns = s.tapRows * vk::roundUp(s.channels, 4);
    WinogradRowsGradient best{.tilesDown =
                                  uint32_t(vk::divideUp(s.resultChannels, glsl::winogradRowSide)),
                              .tilesAcross = uint32_t(vk::divideUp(columns, glsl::winogradRowSide)),
                              .microseconds = std::numeric_limits<double>::infinity()};
    if (!holds(on, 128)) return best;
    const uint64_t tiles = uint64_t(best.tilesDown) * best.tilesAcross;
    const uint64_t segments = winogradSegments(s), partBytes = winogradRowsPartBytes(s);
    const uint64_t least = vk::divideUp(segments, mostSummed),
                   most = std::min({std::max(segments / leastSegments, least), mostParts,
                                    mostBytes / partBytes});
    for (uint64_t parts = least; parts <= most; ++parts) {
        const uint64_t each = vk::roundUp(vk::divideUp(segments, parts), segmentsOfStep);
        const uint64_t waves = vk::divideUp(tiles * parts, on.multiprocessors);
        const double time =
            2 * dispatch +
            double(waves) * (double(each) * segmentTime + gradientEnds) / tableOf(on).speed +
            2.0 * double(parts * partBytes) / (bytesMoved * bandwidthOf(on));
        if (time < best.microseconds) {
            best.parts = uint32_t(vk::divideUp(segments, each));
            best.segments = uint32_t(each);
            best.microseconds = time;
        }
    }
    return best;
}

double winogradTime(const vk::Processor& on, const WinogradShape& s, const WinogradPlan& plan) {
    const uint64_t tiles = plan.images * plan.tileRows * vk::divideUp(s.width, winogradResults);
    // Of one part, whose tiles take a wave or more.
    const uint64_t groups = glsl::winogradPositions(s.taps) * vk::divideUp(tiles, tileSide) *
                            vk::divideUp(s.resultChannels, tileSide);
    const Rates rates = ratesOf(on, s);
    const double products = 2.0 *
                            double(vk::roundUp(groups, on.multiprocessors) * tileSide * tileSide) *
                            double(s.channels + rates.ends);
    return double(partCount(s, plan)) *
               (3 * dispatch + products / (rates.operations * speedOf(on))) +
           bytes(s) / (rates.bytes * bandwidthOf(on));
}

double winogradGradientTime(const vk::Processor& on, const WinogradShape& s,
                            const WinogradPlan& plan) {
    // Where results are few the tiles are split into parts of these.
    constexpr uint64_t shortest = 256;
    const uint64_t tiles =
        vk::roundUp(plan.images * plan.tileRows * vk::divideUp(s.width, winogradResults), shortest);
    const double products = 2.0 * double(glsl::winogradPositions(s.taps) * tiles) *
                            double(vk::roundUp(s.channels, tileSide)) *
                            double(vk::roundUp(s.resultChannels, tileSide));
    const bool isShort = std::min(s.channels, s.resultChannels) < 2 * tileSide;
    const Rates rates = ratesOf(on, s);
    const double rate = isShort ? shortOperations : rates.operations;
    return double(partCount(s, plan)) * (4 * dispatch + products / (rate * speedOf(on))) +
           dispatch + bytes(s) / (rates.bytes * bandwidthOf(on));
}

} // namespace mpsvk::mps
