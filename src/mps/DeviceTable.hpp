// What the choice of kernels knows of a device's architecture and driver.
#pragma once

#include "vk/Device.hpp"

#include <string_view>

namespace mpsvk::mps {

bool isCpu(const vk::Device& device);
/// A CPU has caches in place of what kernels of GPUs keep in shared memory. For tests
/// MPSVK_DISABLE=`feature` has it do as GPUs do.
bool isCpuWith(const vk::Device& device, std::string_view feature);

/// Of one architecture. Speeds are those of a multiprocessor, as a part of what was measured on an
/// H100's.
struct DeviceTable {
    double speed = 1;       ///< of products in fp32
    double bandwidth = 1;   ///< of memory
    uint64_t mostSums = 64; ///< of an invocation, in registers that it has
    /// Of an operand that an invocation keeps in registers (mps/WholeGroup), in units of 16 bytes.
    uint64_t mostKept = 0;
    uint64_t widestColumns = 128; ///< of a tile of blocks: 64 or 128
    /// Workgroups begin in their order, and those that have begun all go on: some may wait for each
    /// other. No driver promises it.
    bool beginsInOrder = false;
    bool isMeasured = false; ///< the tiles, on such a device; else they are estimates
};

/// A multiprocessor of whose kind the speeds are a part, by how many there were.
constexpr double measuredMultiprocessors = 132;

DeviceTable tableOf(const vk::Processor& processor);

/// The device's limits, or for tests with MPSVK_DISABLE=measured_tiles,large_shared_memory those of
/// a device that was not measured, and has the least that Vulkan allows.
vk::Limits tileLimits(const vk::Device& device);

/// Workgroups that are so many for each multiprocessor.
inline uint64_t groupsFor(const vk::Limits& limits, uint64_t each) {
    return each * limits.processor.multiprocessors;
}
/// How fast the whole device is, as a part of the one that was measured.
double speedOf(const vk::Processor& processor);
double bandwidthOf(const vk::Processor& processor);
/// What reading so many bytes takes, estimated.
double microsecondsToRead(const vk::Processor& processor, uint64_t bytes);

/// Whether operands in fp32 are split in three bf16, which hold all their bits, for products by
/// cooperative matrices of sizes at which those are faster than products of fp32.
bool splitsFloats(const vk::Processor& processor);

/// Whether tiles of convolutions may have 128 columns: their simplest body needs 256 invocations
/// and 17 KiB of shared memory for these.
bool hasWideTiles(const vk::Limits& limits);
/// Whether the others of that body must be smaller than they are elsewhere: they take up to 19 KiB.
bool hasLittleMemory(const vk::Limits& limits);

} // namespace mpsvk::mps
