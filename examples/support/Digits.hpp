// Labelled pictures in batches, and how well a graph classifies those that were held out.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "Program.hpp"
#include "train/IdxDataset.hpp"

namespace mpsvk::examples {

class Digits {
public:
    static constexpr uint32_t classes = 10;

    /// Where they are, unless the command line says something else.
    static std::filesystem::path defaultFolder();

    /// Throws FormatError for a malformed file, UsageError for fewer training images than a batch.
    Digits(const std::filesystem::path& folder, const Settings& settings);

    uint32_t rows() const { return data_.rows; }
    uint32_t columns() const { return data_.columns; }
    const train::LabelledImages& training() const { return data_.train; }
    const train::LabelledImages& heldOut() const { return data_.test; }

    /// Which training images make up the batch of a step: all of them in turn, in another order in
    /// each epoch.
    std::span<const uint32_t> batchOf(uint32_t step);

    using Write = std::function<void(const MPS::Image& image, std::span<const uint8_t> pixels)>;
    /// Writes the images that were held out to `images`, batch by batch, and counts where the
    /// largest channel of the graph's result is the label. A sentence.
    std::string accuracy(const Session& session, const MPS::NNGraph& graph,
                         const MPS::ImageBatch& images, const Write& write) const;

private:
    train::IdxDataset data_;
    uint32_t batch_;
    uint64_t seed_;
    std::vector<uint32_t> order_;
    uint32_t epoch_ = 0;
};

} // namespace mpsvk::examples
