// The two pictures that a training run leaves: its curves, and what it got wrong.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "Canvas.hpp"
#include "Chart.hpp"
#include "Checkpoint.hpp"
#include "IdxDataset.hpp"

namespace mpsvk::train {

/// Loss and accuracy over the epochs, side by side, training and held-out data in each.
Canvas drawCurves(std::span<const EpochRecord> history);

struct Mistake {
    uint32_t index = 0; ///< in the test images
    uint8_t truth = 0;
    uint8_t guess = 0;
    float certainty = 0; ///< the probability that the network gave its guess
};

/// The surest mistakes first, as many as fit on the page, each with its true and guessed label.
Canvas drawMistakes(const IdxDataset& data, std::vector<Mistake> mistakes);

} // namespace mpsvk::train
