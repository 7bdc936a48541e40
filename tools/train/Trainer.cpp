#include "Trainer.hpp"

#include <algorithm>
#include <cmath>

#include "Options.hpp"
#include "Sampling.hpp"

namespace mpsvk::train {

namespace {

double secondsSince(Trainer::Clock::time_point start) {
    return std::chrono::duration<double>(Trainer::Clock::now() - start).count();
}

} // namespace

Trainer::Trainer(const IdxDataset& data, Network& network, Checkpoint state, TrainerHooks hooks,
                 Clock::time_point start)
    : data_(data), network_(network), state_(std::move(state)), hooks_(std::move(hooks)),
      start_(start), steps_(data.train.count() / state_.setup.batch),
      pixels_(size_t{state_.setup.batch} * data.rows * data.columns), labels_(state_.setup.batch) {}

bool Trainer::run() {
    while (state_.position.epoch < state_.setup.epochs) {
        if (!runEpoch()) return false;
    }
    return true;
}

bool Trainer::runEpoch() {
    Position& position = state_.position;
    order_ = epochOrder(state_.setup.seed, position.epoch, data_.train.count());
    submitted_ = position.step;
    epochStart_ = Clock::now();
    bool interrupted = false;
    while (submitted_ < steps_ && !(interrupted = hooks_.interrupted())) {
        submitNextStep();
        // One step runs while the next is prepared.
        if (network_.inFlight() == 2) finishStep();
    }
    while (network_.inFlight() > 0) finishStep();
    trainingSeconds_ += secondsSince(epochStart_);
    epochStart_ = Clock::now();
    if (interrupted) {
        save();
        return false;
    }

    const double images = static_cast<double>(steps_) * state_.setup.batch;
    const Evaluation evaluation = evaluate();
    const EpochRecord record{position.lossSum / steps_,
                             static_cast<double>(position.correct) / images, evaluation.loss,
                             evaluation.accuracy};
    ProgressState state = progress();
    state.secondsLeft = 0;
    state_.history.push_back(record);
    position = {.epoch = position.epoch + 1};
    save();
    hooks_.onEpoch(state, record);
    return true;
}

void Trainer::submitNextStep() {
    const Setup& setup = state_.setup;
    const size_t pixelsPerImage = size_t{data_.rows} * data_.columns;
    for (uint32_t i = 0; i < setup.batch; ++i) {
        const uint32_t sample = order_[size_t{submitted_} * setup.batch + i];
        const PixelShift shift = drawShift(setup.seed, state_.position.epoch, sample, setup.shift);
        shiftImage(data_.train.image(sample), data_.columns, shift,
                   std::span(pixels_).subspan(i * pixelsPerImage, pixelsPerImage));
        labels_[i] = data_.train.labels[sample];
    }
    network_.submit(pixels_, labels_, learningRateAt(setup, state_.position.epoch));
    ++submitted_;
}

void Trainer::finishStep() {
    const StepResult result = network_.finish();
    if (imagesTrained_ == 0) secondsToFirstStep_ = secondsSince(start_);
    imagesTrained_ += state_.setup.batch;
    Position& position = state_.position;
    ++position.step;
    position.lossSum += result.loss;
    position.correct += result.correct;
    hooks_.onStep(progress());
}

void Trainer::save() {
    state_.graph = network_.archive();
    hooks_.save(state_);
}

Evaluation Trainer::evaluate() {
    const LabelledImages& test = data_.test;
    const uint32_t batch = state_.setup.batch;
    const uint32_t classes = data_.classes;
    const size_t pixelsPerImage = size_t{data_.rows} * data_.columns;
    std::vector<uint8_t> pixels(batch * pixelsPerImage);
    Evaluation result;
    network_.prepareToClassify();
    for (uint32_t first = 0; first < test.count(); first += batch) {
        const uint32_t count = std::min(batch, test.count() - first);
        std::copy_n(test.pixels.begin() + static_cast<std::ptrdiff_t>(first * pixelsPerImage),
                    count * pixelsPerImage, pixels.begin());
        const std::vector<float> probabilities = network_.classify(pixels);
        for (uint32_t i = 0; i < count; ++i) {
            const auto row = std::span(probabilities).subspan(size_t{i} * classes, classes);
            const uint8_t truth = test.labels[first + i];
            const auto guess = std::max_element(row.begin(), row.end());
            result.loss -= std::log(std::max(static_cast<double>(row[truth]), 1e-30));
            if (guess - row.begin() != truth) {
                result.mistakes.push_back(
                    {first + i, truth, static_cast<uint8_t>(guess - row.begin()), *guess});
            }
        }
    }
    result.loss /= test.count();
    result.accuracy =
        1 - static_cast<double>(result.mistakes.size()) / static_cast<double>(test.count());
    return result;
}

double Trainer::imagesPerSecond() const {
    return trainingSeconds_ > 0 ? static_cast<double>(imagesTrained_) / trainingSeconds_ : 0;
}

ProgressState Trainer::progress() const {
    const Position& position = state_.position;
    ProgressState state;
    state.epoch = position.epoch;
    state.epochs = state_.setup.epochs;
    state.step = position.step;
    state.steps = steps_;
    if (position.step > 0) {
        const double images = static_cast<double>(position.step) * state_.setup.batch;
        state.loss = position.lossSum / position.step;
        state.accuracy = static_cast<double>(position.correct) / images;
    }
    const double seconds =
        trainingSeconds_ + (network_.inFlight() > 0 ? secondsSince(epochStart_) : 0);
    if (seconds > 0) state.imagesPerSecond = static_cast<double>(imagesTrained_) / seconds;
    const double stepsLeft =
        static_cast<double>(steps_) * (state_.setup.epochs - position.epoch) - position.step;
    state.secondsLeft = stepsLeft * state_.setup.batch / state.imagesPerSecond;
    return state;
}

Checkpoint freshStart(const Setup& setup, const IdxDataset& data, const std::string& dataFolder) {
    if (setup.batch > data.train.count()) {
        throw UsageError("--batch " + std::to_string(setup.batch) + " is more than the " +
                         std::to_string(data.train.count()) + " training images in " + dataFolder +
                         ".");
    }
    Checkpoint state;
    state.setup = setup;
    state.rows = data.rows;
    state.columns = data.columns;
    state.trainCount = data.train.count();
    state.dataFingerprint = data.fingerprint;
    state.dataFolder = dataFolder;
    return state;
}

void checkData(const Checkpoint& checkpoint, const IdxDataset& data) {
    const bool sameShape = checkpoint.rows == data.rows && checkpoint.columns == data.columns &&
                           checkpoint.trainCount == data.train.count();
    if (sameShape && checkpoint.dataFingerprint == data.fingerprint) return;
    throw UsageError("The data is not what the checkpoint was made with (" +
                     std::to_string(checkpoint.trainCount) + " training images of " +
                     std::to_string(checkpoint.rows) + "x" + std::to_string(checkpoint.columns) +
                     " from " + checkpoint.dataFolder + "), so it cannot be resumed.");
}

} // namespace mpsvk::train
