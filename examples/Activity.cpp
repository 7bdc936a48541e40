// Tells from the readings of a worn motion sensor what its wearer does, as the activity classifier
// of Turi Create does: a convolution over each window of time, convolutions across windows (in the
// place of its recurrent layer), batch normalization, dropout, and a softmax for each window, whose
// loss counts only as far as the recording goes.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"
#include "train/RandomStream.hpp"

using namespace mpsvk;

namespace {

constexpr uint32_t channels = 6; ///< three of the accelerometer, three of the gyroscope
constexpr uint32_t window = 20;  ///< samples, each window being one prediction
constexpr uint32_t classes = 5;
constexpr uint64_t testSet = 1; ///< added to the seed: recordings that training never sees

/// What an activity does to the sensor: so many swings a second, so large, so much in the second
/// harmonic, so much turning.
struct Motion {
    const char* name;
    float frequency, strength, harmonic, turning;
};
constexpr Motion motions[classes] = {{"resting", 0.2f, 0.02f, 0, 0.02f},
                                     {"walking", 1.8f, 0.35f, 0.5f, 0.3f},
                                     {"running", 2.8f, 0.9f, 0.4f, 0.6f},
                                     {"climbing", 1.3f, 0.4f, 0.1f, 0.5f},
                                     {"cycling", 1.4f, 0.12f, 0, 0.9f}};

struct Recording {
    std::vector<float> samples;      ///< [time][channel], 0 after the end
    std::vector<uint8_t> activities; ///< of each window
    uint32_t windows = 0;            ///< that the recording has; the others are filling
};

/// A wearer with a step of their own, a sensor that sits askew, and one or two activities.
Recording record(uint64_t seed, uint64_t index, uint32_t length) {
    train::RandomStream random(seed, train::RandomStream::Purpose::Data, index);
    const auto between = [&](float low, float high) {
        return (low + high) / 2 + random.symmetric((high - low) / 2);
    };
    Recording made;
    made.samples.resize(size_t{length} * channels);
    made.activities.resize(length / window);
    const auto most = static_cast<uint32_t>(made.activities.size());
    made.windows = most / 2 + random.below(most - most / 2) + 1;
    const uint32_t change = random.below(most);
    const std::array<uint32_t, 2> kinds{random.below(classes), random.below(classes)};
    const float pace = between(0.85f, 1.15f), vigour = between(0.8f, 1.25f);
    const float tilt = between(-0.4f, 0.4f), phase = between(0, 6.28f);
    for (uint32_t t = 0; t < made.windows * window && t < length; ++t) {
        const uint32_t kind = kinds[t / window < change ? 0 : 1];
        const Motion& motion = motions[kind];
        made.activities[t / window] = static_cast<uint8_t>(kind);
        const float turns = motion.frequency * pace * static_cast<float>(t) / 50; // 50 samples/s
        const float angle = 2 * std::numbers::pi_v<float> * turns + phase;
        const float swing = motion.strength * vigour;
        const float up = swing * (std::sin(angle) + motion.harmonic * std::sin(2 * angle));
        const float ahead = swing * 0.5f * std::cos(angle);
        float* sample = &made.samples[size_t{t} * channels];
        sample[0] = ahead * std::cos(tilt) - (1 + up) * std::sin(tilt);
        sample[1] = 0.3f * swing * std::sin(angle / 2);
        sample[2] = ahead * std::sin(tilt) + (1 + up) * std::cos(tilt);
        sample[3] = motion.turning * std::cos(angle);
        sample[4] = motion.turning * 0.5f * std::sin(angle);
        sample[5] = motion.turning * 0.2f * std::cos(angle / 2);
        for (uint32_t c = 0; c < channels; ++c) sample[c] += between(-0.1f, 0.1f);
    }
    return made;
}

class Classifier {
public:
    explicit Classifier(examples::Session& session)
        : session_(session), windows_(session.settings().size / window) {
        // The weights below divide by the number of windows.
        const MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                                MPS::CNNReductionType::Sum);
        const MPS::CNNLossNode loss(logits(true), descriptor);
        const auto ends = loss.trainingGraph(std::nullopt, examples::gradientsInFloat32());
        training_ = MPS::NNGraph(session.device(), ends.at(0).resultImage(), false);
        training_.setFormat(session.format());
        const MPS::CNNSoftMaxNode softMax(logits(false));
        inference_ = MPS::NNGraph(session.device(), softMax.resultImage(), true);
        inference_.setFormat(session.format());

        // Time runs along x.
        const MPS::ImageDescriptor signal(session.format(), windows_ * window, 1, channels);
        for (Operands& operands : operands_) {
            operands.signals =
                MPS::Image::batch(session.device(), signal, session.settings().batch);
            operands.labels = examples::makeLabels(session.device(), session.settings().batch,
                                                   {windows_, 1, classes}, true);
        }
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        const size_t batch = operands.signals.size();
        std::vector<Recording> recordings;
        uint32_t counted = 0;
        for (size_t i = 0; i < batch; ++i) {
            recordings.push_back(
                record(session_.settings().seed, step * batch + i, windows_ * window));
            counted += recordings.back().windows;
        }
        for (size_t i = 0; i < batch; ++i) {
            const Recording& recording = recordings[i];
            operands.signals[i].write(recording.samples);
            std::vector<float> oneHot(size_t{windows_} * classes), weights(oneHot.size());
            for (uint32_t w = 0; w < recording.windows; ++w) {
                oneHot[w * classes + recording.activities[w]] = 1;
                for (uint32_t c = 0; c < classes; ++c)
                    weights[w * classes + c] = 1.0f / static_cast<float>(counted);
            }
            const auto labels = operands.labels[i].as<MPS::CNNLossLabels>();
            labels.labelsImage().write(oneHot);
            labels.weightsImage().write(weights);
        }
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        training_.encodeBatch(commands, {operands.signals}, {operands.labels});
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    /// Windows of new recordings that are given to the right activity, in percent.
    std::string accuracy() {
        inference_.reloadFromDataSources();
        const MPS::ImageBatch& signals = operands_[0].signals;
        std::vector<Recording> recordings;
        for (size_t i = 0; i < signals.size(); ++i) {
            recordings.push_back(record(session_.settings().seed + testSet, i, windows_ * window));
            signals[i].write(recordings[i].samples);
        }
        const MPS::ImageBatch probabilities = session_.infer(inference_, signals);
        uint32_t right = 0, counted = 0;
        for (size_t i = 0; i < signals.size(); ++i) {
            std::vector<float> values(size_t{windows_} * classes);
            probabilities[i].read(values);
            for (uint32_t w = 0; w < recordings[i].windows; ++w) {
                const auto of = std::span(values).subspan(size_t{w} * classes, classes);
                const auto guess = std::ranges::max_element(of) - of.begin();
                right += guess == recordings[i].activities[w] ? 1 : 0;
                ++counted;
            }
        }
        return examples::percent(right, counted);
    }

private:
    struct Operands {
        MPS::ImageBatch signals;
        MPS::StateBatch labels;
    };

    /// Across x only; `stride` windows of the source become one.
    MPS::NNImageNode convolution(const std::string& name, const MPS::NNImageNode& source,
                                 uint64_t taps, uint64_t inputs, uint64_t outputs,
                                 uint64_t stride) {
        MPS::CNNConvolutionDescriptor descriptor(taps, 1, inputs, outputs);
        descriptor.setStrideInPixelsX(stride);
        const MPS::CNNConvolutionNode node(source, session_.layers().convolution(name, descriptor));
        // Windows of time begin where the recording does.
        if (stride > 1) {
            node.setPaddingPolicy(
                MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
        }
        return node.resultImage();
    }

    MPS::NNImageNode normalized(const std::string& name, const MPS::NNImageNode& source,
                                uint64_t features) {
        const MPS::CNNBatchNormalizationNode normalization(
            source, session_.layers().batchNormalization(name, features));
        return MPS::CNNNeuronReLUNode(normalization.resultImage()).resultImage();
    }

    MPS::NNImageNode logits(bool training) {
        MPS::NNImageNode x =
            convolution("windows", MPS::NNImageNode(), window, channels, 64, window);
        x = MPS::CNNNeuronReLUNode(x).resultImage();
        x = normalized("neighbours 1", convolution("neighbours 1", x, 3, 64, 64, 1), 64);
        x = normalized("neighbours 2", convolution("neighbours 2", x, 3, 64, 64, 1), 64);
        x = normalized("dense", convolution("dense", x, 1, 64, 128, 1), 128);
        if (training) x = MPS::CNNDropoutNode(x, 0.8f, 1).resultImage();
        return convolution("output", x, 1, 128, classes, 1);
    }

    examples::Session& session_;
    uint32_t windows_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "Activity",
        "Tells from the readings of a motion sensor what its wearer does. --size is the length of\n"
        "a recording in samples; every 20 of them are one prediction.",
        {.size = 200,
         .batch = 32,
         .steps = 100,
         .target = 0.4f,
         .update = {.learningRate = 2e-3f}});
    return program.run(count, arguments, [&](examples::Session& session) {
        if (session.settings().size < window)
            throw train::UsageError("--size " + std::to_string(session.settings().size) +
                                    " is less than the 20 samples of a window.");
        Classifier classifier(session);
        session.train([&](uint32_t step) { return classifier.submit(step); });
        session.say(classifier.accuracy() + " of the windows of new recordings are right");
    });
}
