// The training loop: epochs of steps, held-out images after each, checkpoints, interruption.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "Checkpoint.hpp"
#include "IdxDataset.hpp"
#include "Network.hpp"
#include "Plot.hpp"
#include "Progress.hpp"

namespace mpsvk::train {

struct TrainerHooks {
    std::function<void(const ProgressState&)> onStep;
    /// After an epoch was evaluated; the state's loss and accuracy are the epoch's.
    std::function<void(const ProgressState&, const EpochRecord&)> onEpoch;
    std::function<void(const Checkpoint&)> save;
    std::function<bool()> interrupted;
};

struct Evaluation {
    double loss = 0;
    double accuracy = 0;
    std::vector<Mistake> mistakes;
};

class Trainer {
public:
    using Clock = std::chrono::steady_clock;

    /// `state` is a fresh start or a loaded checkpoint; `start` is when the user began to wait.
    Trainer(const IdxDataset& data, Network& network, Checkpoint state, TrainerHooks hooks,
            Clock::time_point start);

    /// False: stopped by an interrupt, and saved. True: every epoch of the setup is done.
    bool run();

    Evaluation evaluate();

    const Checkpoint& state() const { return state_; }
    uint64_t imagesTrained() const { return imagesTrained_; }
    double imagesPerSecond() const;
    double secondsToFirstStep() const { return secondsToFirstStep_; }

private:
    bool runEpoch();
    void submitNextStep();
    void finishStep();
    void save();
    ProgressState progress() const;

    const IdxDataset& data_;
    Network& network_;
    Checkpoint state_;
    TrainerHooks hooks_;
    Clock::time_point start_;

    uint32_t steps_;              ///< in an epoch
    std::vector<uint32_t> order_; ///< of the current epoch
    uint32_t submitted_ = 0;      ///< steps of the current epoch
    std::vector<std::byte> pixels_;
    std::vector<uint8_t> labels_;
    uint64_t imagesTrained_ = 0; ///< by this process
    double trainingSeconds_ = 0; ///< without evaluation
    double secondsToFirstStep_ = 0;
    Clock::time_point epochStart_; ///< of the part that this process does
};

/// A fresh start on `data`. Throws UsageError when a batch does not fit into the training images.
Checkpoint freshStart(const Setup& setup, const IdxDataset& data, const std::string& dataFolder);

/// Throws UsageError when `data` is not the data that the checkpoint was made with.
void checkData(const Checkpoint& checkpoint, const IdxDataset& data);

} // namespace mpsvk::train
