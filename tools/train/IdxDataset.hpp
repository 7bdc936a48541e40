// Labelled pictures in the IDX format of MNIST, plain or gzip-compressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::train {

struct LabelledImages {
    std::vector<uint8_t> pixels; ///< count × rows × columns, row by row, 0 = background
    std::vector<uint8_t> labels; ///< count

    uint32_t count() const { return static_cast<uint32_t>(labels.size()); }
    std::span<const uint8_t> image(uint32_t index) const {
        const size_t size = pixels.size() / labels.size();
        return std::span(pixels).subspan(index * size, size);
    }
};

struct IdxDataset {
    uint32_t rows = 0;
    uint32_t columns = 0;
    uint32_t classes = 0;
    LabelledImages train;
    LabelledImages test;
    uint32_t fingerprint = 0; ///< CRC-32 over sizes, pixels and labels
};

/// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
/// t10k-labels-idx1-ubyte from `folder`; a missing one is looked for with `.gz` added.
/// Throws FormatError, one sentence that names file, offset (in the unpacked data) and reason,
/// when a file is missing, truncated, too long or of the wrong kind, when counts or sizes differ,
/// or when a label is not below `classes`.
IdxDataset loadIdxDataset(const std::filesystem::path& folder, uint32_t classes);

} // namespace mpsvk::train
