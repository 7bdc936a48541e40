#include "Trainer.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstring>
#include <deque>

#include "Files.hpp"
#include "Options.hpp"

using namespace mpsvk::train;
using namespace mpsvk::train::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// "Learns" by mixing everything that it is given into one number, so that any difference in what
/// a run fed it, or in which order, shows in its archive.
class MixingNetwork : public Network {
public:
    MixingNetwork(uint32_t classes, uint32_t batch, std::span<const std::byte> archive = {})
        : classes_(classes), batch_(batch) {
        if (!archive.empty()) std::memcpy(&weights_, archive.data(), sizeof weights_);
    }

    void submit(std::span<const std::byte> pixels, std::span<const uint8_t> labels,
                float learningRate) override {
        for (std::byte pixel : pixels) mix(std::to_integer<uint64_t>(pixel));
        for (uint8_t label : labels) mix(label);
        mix(static_cast<uint64_t>(learningRate * 1e9f));
        ++submits;
        waiting_.push_back({0.1 * static_cast<double>(weights_ % 97), 1});
        mostInFlight = std::max(mostInFlight, waiting_.size());
    }
    size_t inFlight() const override { return waiting_.size(); }
    StepResult finish() override {
        const StepResult result = waiting_.front();
        waiting_.pop_front();
        return result;
    }
    void prepareToClassify() override {
        if (!waiting_.empty()) misuse = true;
    }
    std::vector<float> classify(std::span<const uint8_t> pixels) override {
        // Sure of class "first pixel modulo classes".
        std::vector<float> result(batch_ * classes_, 0.01f);
        for (size_t i = 0; i < batch_; ++i) {
            result[i * classes_ + pixels[i * pixels.size() / batch_] % classes_] = 0.9f;
        }
        return result;
    }
    std::vector<std::byte> archive() override {
        if (!waiting_.empty()) misuse = true;
        std::vector<std::byte> bytes(sizeof weights_);
        std::memcpy(bytes.data(), &weights_, sizeof weights_);
        return bytes;
    }

    size_t mostInFlight = 0;
    unsigned submits = 0;
    bool misuse = false;

private:
    void mix(uint64_t value) { weights_ = (weights_ ^ value) * 0x100000001B3u; }
    size_t classes_, batch_;
    uint64_t weights_ = 1;
    std::deque<StepResult> waiting_;
};

struct Run {
    std::vector<Checkpoint> saved;
    bool finished = false;
};

/// Trains until `stepsBeforeInterrupt` steps are submitted.
Run train(const IdxDataset& data, const Checkpoint& from, unsigned stepsBeforeInterrupt) {
    MixingNetwork network(data.classes, from.setup.batch, from.graph);
    Run run;
    TrainerHooks hooks;
    hooks.onStep = [](const ProgressState&) {};
    hooks.onEpoch = [](const ProgressState&, const EpochRecord&) {};
    hooks.save = [&](const Checkpoint& state) {
        run.saved.push_back(parseCheckpoint(serialize(state), "saved"));
    };
    hooks.interrupted = [&] { return network.submits >= stepsBeforeInterrupt; };
    Trainer trainer(data, network, from, hooks, Trainer::Clock::now());
    run.finished = trainer.run();
    CHECK_FALSE(network.misuse);
    CHECK(network.mostInFlight <= 2);
    return run;
}

IdxDataset smallData() {
    TemporaryFolder folder;
    writeSet(folder.path(), 30, 10, 3, 3);
    return loadIdxDataset(folder.path(), 10);
}

constexpr unsigned never = 1000000;

} // namespace

TEST_CASE("a run interrupted after any step ends with the same bits", "[train]") {
    const IdxDataset data = smallData();
    const Checkpoint start = freshStart({.batch = 4, .epochs = 3}, data, "data"); // 7 steps each
    const Run whole = train(data, start, never);
    REQUIRE(whole.finished);
    REQUIRE(whole.saved.size() == 3);
    CHECK(whole.saved.back().history.size() == 3);
    CHECK(whole.saved[0].graph != whole.saved[1].graph);

    for (unsigned stop = 0; stop < 21; ++stop) {
        CAPTURE(stop);
        const Run first = train(data, start, stop);
        REQUIRE_FALSE(first.finished);
        const Position expected{.epoch = stop / 7, .step = stop % 7};
        CHECK(first.saved.back().position.epoch == expected.epoch);
        CHECK(first.saved.back().position.step == expected.step);
        const Run second = train(data, first.saved.back(), never);
        REQUIRE(second.finished);
        CHECK(serialize(second.saved.back()) == serialize(whole.saved.back()));
    }
}

TEST_CASE("more epochs after the end equal a longer run", "[train]") {
    const IdxDataset data = smallData();
    Checkpoint shorter =
        train(data, freshStart({.batch = 8, .epochs = 1}, data, "d"), never).saved.back();
    shorter.setup.epochs = 3;
    const Run longer = train(data, freshStart({.batch = 8, .epochs = 3}, data, "d"), never);
    CHECK(train(data, shorter, never).saved.back() == longer.saved.back());
    CHECK(train(data, longer.saved.back(), never).saved.empty());
}

TEST_CASE("another seed, shift or learning rate gives other bits", "[train]") {
    const IdxDataset data = smallData();
    const auto bits = [&](const Setup& setup) {
        return train(data, freshStart(setup, data, "d"), never).saved.back().graph;
    };
    const Setup setup{.batch = 8, .epochs = 2};
    const auto original = bits(setup);
    CHECK(bits(setup) == original);
    for (const Setup& other :
         {Setup{.seed = 2, .batch = 8, .epochs = 2}, Setup{.batch = 8, .epochs = 2, .shift = 0},
          Setup{.batch = 8, .epochs = 2, .learningRate = 0.004f}}) {
        CHECK(bits(other) != original);
    }
}

TEST_CASE("every held-out image is judged once, the last batch being short", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 8, 10, 3, 3);
    const IdxDataset data = loadIdxDataset(folder.path(), 10);
    MixingNetwork network(10, 4);
    Trainer trainer(data, network, freshStart({.batch = 4}, data, "d"), {}, Trainer::Clock::now());
    const Evaluation evaluation = trainer.evaluate();

    double loss = 0;
    std::vector<uint32_t> wrong;
    for (uint32_t i = 0; i < 10; ++i) {
        const int guess = data.test.image(i)[0] % 10;
        const bool right = guess == data.test.labels[i];
        loss -= std::log(static_cast<double>(right ? 0.9f : 0.01f)) / 10;
        if (!right) wrong.push_back(i);
    }
    CHECK(std::abs(evaluation.loss - loss) < 1e-12);
    CHECK(std::abs(evaluation.accuracy - (1 - 0.1 * static_cast<double>(wrong.size()))) < 1e-12);
    REQUIRE(evaluation.mistakes.size() == wrong.size());
    for (size_t i = 0; i < wrong.size(); ++i) {
        const Mistake& mistake = evaluation.mistakes[i];
        CHECK(mistake.index == wrong[i]);
        CHECK(mistake.truth == data.test.labels[wrong[i]]);
        CHECK(mistake.guess == data.test.image(wrong[i])[0] % 10);
        CHECK(mistake.certainty == 0.9f);
    }
}

TEST_CASE("the hooks see every step and every epoch", "[train]") {
    const IdxDataset data = smallData();
    MixingNetwork network(10, 4);
    std::vector<uint32_t> steps, epochs;
    TrainerHooks hooks;
    hooks.onStep = [&](const ProgressState& state) {
        steps.push_back(state.step);
        CHECK(state.steps == 7);
        CHECK(state.epochs == 2);
        CHECK(state.secondsLeft >= 0);
    };
    hooks.onEpoch = [&](const ProgressState& state, const EpochRecord& record) {
        epochs.push_back(state.epoch);
        CHECK(record.trainLoss == state.loss);
        CHECK(record.trainAccuracy == 0.25);
    };
    hooks.save = [](const Checkpoint&) {};
    hooks.interrupted = [] { return false; };
    Trainer trainer(data, network, freshStart({.batch = 4, .epochs = 2}, data, "d"), hooks,
                    Trainer::Clock::now());
    CHECK(trainer.run());
    CHECK(steps == std::vector<uint32_t>{1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7});
    CHECK(epochs == std::vector<uint32_t>{0, 1});
    CHECK(trainer.imagesTrained() == 56);
    CHECK(trainer.imagesPerSecond() > 0);
    CHECK(trainer.secondsToFirstStep() > 0);
    CHECK(network.mostInFlight == 2);
}

TEST_CASE("data that does not fit is refused", "[train]") {
    const IdxDataset data = smallData();
    CHECK_THROWS_MATCHES(freshStart({.batch = 31}, data, "here"), UsageError,
                         MessageMatches(ContainsSubstring(
                             "--batch 31 is more than the 30 training images in here.")));
    Checkpoint checkpoint = freshStart({.batch = 4}, data, "here");
    CHECK_NOTHROW(checkData(checkpoint, data));
    checkpoint.dataFingerprint ^= 1;
    CHECK_THROWS_MATCHES(checkData(checkpoint, data), UsageError,
                         MessageMatches(ContainsSubstring("30 training images of 3x3 from here")));
}
