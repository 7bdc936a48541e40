// What a run needs to go on with the same bits, as a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "Setup.hpp"

namespace mpsvk::train {

/// One point of the curves.
struct EpochRecord {
    double trainLoss = 0;
    double trainAccuracy = 0;
    double testLoss = 0;
    double testAccuracy = 0;
    bool operator==(const EpochRecord&) const = default;
};

/// Where a run stands: `step` steps of epoch `epoch` are done, with these sums over them.
struct Position {
    uint32_t epoch = 0;
    uint32_t step = 0;
    double lossSum = 0;
    uint64_t correct = 0;
    bool operator==(const Position&) const = default;
};

/// No times and no machine's names are in it: equal runs write equal files.
struct Checkpoint {
    Setup setup;
    Position position;
    uint32_t rows = 0;
    uint32_t columns = 0;
    uint32_t trainCount = 0;
    uint32_t dataFingerprint = 0;
    std::string dataFolder;
    std::vector<EpochRecord> history;
    /// The archived training graph: weights, moments, time steps, the dropout's ordinal.
    std::vector<std::byte> graph;

    bool operator==(const Checkpoint&) const = default;
};

/// Little endian: "MPSVKCKP", version, length of what follows, content, CRC-32 of all before it.
std::vector<std::byte> serialize(const Checkpoint& checkpoint);

/// Throws FormatError: one sentence with `name`, offset and reason.
Checkpoint parseCheckpoint(std::span<const std::byte> bytes, const std::string& name);

/// Writes beside the old file and then replaces it, so that a crash leaves one of the two whole.
void saveCheckpoint(const Checkpoint& checkpoint, const std::filesystem::path& path);
Checkpoint loadCheckpoint(const std::filesystem::path& path);

} // namespace mpsvk::train
