// What the training loop asks of a network, so that the loop needs no device to be tested.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mpsvk::train {

struct StepResult {
    double loss = 0;      ///< mean over the batch
    uint32_t correct = 0; ///< right guesses in the batch
};

class Network {
public:
    virtual ~Network() = default;

    /// Starts a training step on one full batch and returns; two steps may be in flight.
    virtual void submit(std::span<const std::byte> pixels, std::span<const uint8_t> labels,
                        float learningRate) = 0;
    virtual size_t inFlight() const = 0;
    /// Waits for the oldest step in flight.
    virtual StepResult finish() = 0;

    /// Takes over the trained weights for `classify`. Nothing may be in flight.
    virtual void prepareToClassify() = 0;
    /// Probabilities [image][class] for one full batch.
    virtual std::vector<float> classify(std::span<const uint8_t> pixels) = 0;

    /// Everything that decides the next bits. Nothing may be in flight.
    virtual std::vector<std::byte> archive() = 0;
};

} // namespace mpsvk::train
