// What the example programs have in common: options, the training loop with its progress bar, the
// plot of the loss, and the exit code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <mpsvk/MPS/CNNLoss.hpp>
#include <mpsvk/MPS/NNGraph.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>

#include "Layers.hpp"
#include "train/CommandLine.hpp"
#include "train/Progress.hpp"

namespace mpsvk::examples {

/// The options of every example, with the example's defaults.
struct Settings {
    uint32_t size = 0; ///< of the training images in pixels; 0: the data says it, without option
    uint32_t batch = 0;
    uint32_t steps = 0;
    float target = 0; ///< the loss that a run must end below
    train::UpdateSettings update;
    uint64_t seed = 1;
    std::string precision = "fp32";
    std::string device;
    std::filesystem::path output = "mpsvk-examples-out";
};

/// One step of training, encoded but not committed.
struct Step {
    MTL::CommandBuffer commands;
    std::function<double()> loss; ///< called when the commands have completed
};

/// Throws DeviceError when they failed.
void waitFor(const MTL::CommandBuffer& commands);

/// Labels of `size` {width, height, channels}, all 0, for each image of a batch; with `weighted`
/// also weights of that size. Write to their labelsImage and weightsImage.
MPS::StateBatch makeLabels(const MTL::Device& device, uint64_t count, const MTL::Size& size,
                           bool weighted = false);
/// Of the lossImage of each.
double sumOfLosses(const MPS::StateBatch& labels);

/// "93.1 %"
std::string percent(uint64_t part, uint64_t whole);

/// The handler that keeps small gradients from vanishing in fp16.
MPS::GradientNodeBlock gradientsInFloat32();

class Session {
public:
    Session(std::string name, const Settings& settings);

    const Settings& settings() const { return settings_; }
    const MTL::Device& device() const { return device_; }
    const MTL::CommandQueue& queue() const { return queue_; }
    Layers& layers() { return *layers_; }
    /// Of the images in graphs, as --precision asks.
    MPS::ImageFeatureChannelFormat format() const;

    /// Commits what `submit` encodes, two steps in flight at most, so that what a step reads on the
    /// host may be written again two steps later. The learning rate falls to a tenth.
    void train(const std::function<Step(uint32_t step)>& submit);

    /// The graph's result for `images`, waited for.
    MPS::ImageBatch infer(const MPS::NNGraph& graph, const MPS::ImageBatch& images) const;

    /// A line for the user.
    void say(const std::string& text);
    /// The output folder's file for the picture `what`.
    std::filesystem::path file(const std::string& what) const;

    /// Draws the plot and tells how training ended; whether the loss is below the target.
    bool finish();

private:
    void finishStep(const Step& step);
    double lossOfLastSteps() const;

    std::string name_;
    Settings settings_;
    MTL::Device device_;
    MTL::CommandQueue queue_;
    std::unique_ptr<Layers> layers_;
    train::Progress progress_;
    std::vector<double> losses_;
    double seconds_ = 0;
};

class Program {
public:
    Program(std::string name, const std::string& description, const Settings& defaults);

    /// To add options of the example's own.
    train::CommandLine& options() { return line_; }

    /// The program's exit code: 0 when the loss fell below the target, 1 for trouble with the
    /// device, 2 for wrong options or files, 3 when the loss is too high.
    int run(int count, char** arguments, const std::function<void(Session&)>& body);

private:
    std::string name_;
    Settings settings_;
    train::CommandLine line_;
};

} // namespace mpsvk::examples
