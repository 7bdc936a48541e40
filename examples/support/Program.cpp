#include "Program.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <iostream>
#include <numeric>

#include <mpsvk/Error.hpp>
#include <mpsvk/MTL/Device.hpp>

#include "train/Canvas.hpp"
#include "train/Chart.hpp"

namespace mpsvk::examples {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

enum ExitCode { done = 0, deviceTrouble = 1, wrongInput = 2, lossTooHigh = 3 };

const char* const footer = "\nExit codes: 0 the loss fell below the target, 1 trouble with the "
                           "device, 2 wrong options or\n"
                           "files, 3 the loss is too high.";

template <typename... Values> std::string format(const char* pattern, Values... values) {
    char text[200];
    std::snprintf(text, sizeof text, pattern, values...);
    return text;
}

MTL::Device chosenDevice(const std::string& wanted) {
    if (wanted.empty()) return MTL::CreateSystemDefaultDevice();
    const std::vector<MTL::Device> devices = MTL::CopyAllDevices();
    std::vector<std::string> names;
    for (const MTL::Device& device : devices) names.push_back(device.name());
    return devices[train::chooseDevice(names, wanted)];
}

/// How many steps a loss is averaged over: one alone depends on which images it had.
size_t window(size_t steps) { return std::clamp<size_t>(steps / 10, 1, 50); }

std::vector<double> smoothed(const std::vector<double>& losses) {
    std::vector<double> result;
    double sum = 0;
    const size_t width = window(losses.size());
    for (size_t i = 0; i < losses.size(); ++i) {
        sum += losses[i];
        if (i >= width) sum -= losses[i - width];
        result.push_back(sum / static_cast<double>(std::min(i + 1, width)));
    }
    return result;
}

train::Canvas drawLoss(const std::string& name, const std::vector<double>& losses) {
    constexpr train::Colour pale{170, 203, 227}, strong{31, 119, 180};
    const std::string mean = "mean of " + std::to_string(window(losses.size()));
    const std::vector<train::Curve> curves{{"each step", pale, losses, 1.5},
                                           {mean, strong, smoothed(losses), 2.5}};
    double highest = 1e-6;
    for (const double loss : losses)
        if (std::isfinite(loss)) highest = std::max(highest, loss);
    train::Canvas canvas(720, 480, train::paper);
    train::drawChart(canvas, {100, 64, 690, 410}, curves, 0, highest, {name, "step", "loss"},
                     train::LegendPlace::TopRight);
    return canvas;
}

} // namespace

void waitFor(const MTL::CommandBuffer& commands) {
    commands.waitUntilCompleted();
    if (const MTL::CommandBufferError error = commands.error())
        throw DeviceError(error.description);
}

MPS::StateBatch makeLabels(const MTL::Device& device, uint64_t count, const MTL::Size& size,
                           bool weighted) {
    const MPS::CNNLossDataDescriptor zeros(
        std::vector<float>(size.width * size.height * size.depth),
        MPS::DataLayout::HeightxWidthxFeatureChannels, size);
    MPS::StateBatch made;
    for (uint64_t i = 0; i < count; ++i) {
        made.push_back(weighted ? MPS::CNNLossLabels(device, {1, 1, 1}, zeros, zeros)
                                : MPS::CNNLossLabels(device, zeros));
    }
    return made;
}

double sumOfLosses(const MPS::StateBatch& labels) {
    double sum = 0;
    for (const MPS::State& state : labels) {
        float loss = 0;
        state.as<MPS::CNNLossLabels>().lossImage().read(std::span(&loss, 1));
        sum += loss;
    }
    return sum;
}

std::string percent(uint64_t part, uint64_t whole) {
    return format("%.1f %%", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

MPS::GradientNodeBlock gradientsInFloat32() {
    return [](const MPS::NNFilterNode& gradient, auto&&...) {
        gradient.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float32);
    };
}

Session::Session(std::string name, const Settings& settings)
    : name_(std::move(name)), settings_(settings), device_(chosenDevice(settings.device)),
      queue_(device_.newCommandQueue()),
      progress_(std::cout, train::outputIsTerminal(), train::terminalWidth()) {
    const auto precision =
        settings.precision == "fp16" ? train::Precision::Float16 : train::Precision::Float32;
    layers_ = std::make_unique<Layers>(device_, settings.seed, precision, settings.update);
    say(name_ + ": device " + device_.name() + ", " + settings.precision +
        mpsvk::examples::format(", %u steps of %u images", settings.steps, settings.batch) +
        (settings.size > 0 ? " of size " + std::to_string(settings.size) : ""));
}

MPS::ImageFeatureChannelFormat Session::format() const {
    return settings_.precision == "fp16" ? MPS::ImageFeatureChannelFormat::Float16
                                         : MPS::ImageFeatureChannelFormat::Float32;
}

void Session::train(const std::function<Step(uint32_t step)>& submit) {
    const auto start = Clock::now();
    std::deque<Step> running;
    const auto finishOldest = [&] {
        finishStep(running.front());
        running.pop_front();
        seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    };
    for (uint32_t i = 0; i < settings_.steps; ++i) {
        const float progress = static_cast<float>(i) / static_cast<float>(settings_.steps);
        layers_->setLearningRate(settings_.update.learningRate * (1 - 0.9f * progress));
        running.push_back(submit(i));
        running.back().commands.commit();
        if (running.size() == 2) finishOldest();
    }
    while (!running.empty()) finishOldest();
}

void Session::finishStep(const Step& step) {
    waitFor(step.commands);
    losses_.push_back(step.loss());
    const auto count = static_cast<uint32_t>(losses_.size());
    const double loss = lossOfLastSteps();
    const double left = seconds_ / count * (settings_.steps - count);
    progress_.update(
        {mpsvk::examples::format("Step %u/%u ", count, settings_.steps),
         static_cast<double>(count) / settings_.steps,
         mpsvk::examples::format("  loss %.4g  ", loss) + train::durationText(left) + " left"});
    // Off a terminal, which shows no bar, a few lines tell the same.
    if (!train::outputIsTerminal() && count % std::max(1u, settings_.steps / 5) == 0)
        say(mpsvk::examples::format("Step %u/%u  loss %.4g", count, settings_.steps, loss));
}

double Session::lossOfLastSteps() const {
    const size_t count = std::min(losses_.size(), window(settings_.steps));
    return std::accumulate(losses_.end() - static_cast<std::ptrdiff_t>(count), losses_.end(), 0.0) /
           static_cast<double>(count);
}

MPS::ImageBatch Session::infer(const MPS::NNGraph& graph, const MPS::ImageBatch& images) const {
    const MTL::CommandBuffer commands = queue_.commandBuffer();
    MPS::ImageBatch results = graph.encodeBatch(commands, {images});
    commands.commit();
    waitFor(commands);
    return results;
}

void Session::say(const std::string& text) { progress_.line(text); }

fs::path Session::file(const std::string& what) const {
    return settings_.output / (name_ + "-" + what + ".png");
}

bool Session::finish() {
    drawLoss(name_, losses_).save(file("loss"));
    const double loss = lossOfLastSteps();
    const bool low = loss < settings_.target; // false for NaN too
    say(mpsvk::examples::format("Final loss %.4g, %s the target %.4g; %.1f images/s", loss,
                                low ? "below" : "NOT below", settings_.target,
                                settings_.steps * settings_.batch / std::max(seconds_, 1e-9)));
    say("Pictures are in " + settings_.output.string());
    return low;
}

Program::Program(std::string name, const std::string& description, const Settings& defaults)
    : name_(std::move(name)), settings_(defaults), line_(description, name_, footer) {
    if (settings_.size > 0)
        line_.addNumber("size", settings_.size, 4, 4096, "Width and height of a training image");
    line_.addNumber("batch", settings_.batch, 1, 4096, "Images in a training step");
    line_.addNumber("steps", settings_.steps, 1, 100000000, "Steps of training");
    line_.addReal("learning-rate", settings_.update.learningRate, 1e-8, 10,
                  "The optimizer's step; falls to a tenth");
    line_.addReal("target", settings_.target, -1e30, 1e30,
                  "The loss of the last tenth of the steps must be below it");
    line_.addSeed("seed", settings_.seed, "Same seed, same weights, bit for bit");
    line_.addChoice("precision", settings_.precision, {"fp32", "fp16"},
                    "Of images and weights in the kernels; sums are always fp32");
    line_.add("device", settings_.device, "NAME",
              "Index or part of the name of a device (without: the best one)");
    line_.add("output", settings_.output, "DIR", "Folder for the plot of the loss and pictures",
              settings_.output.string());
}

int Program::run(int count, char** arguments, const std::function<void(Session&)>& body) {
    const auto complain = [this](const std::exception& error, ExitCode code) {
        std::cerr << name_ << ": " << error.what() << '\n';
        return code;
    };
    try {
        if (const auto help = line_.parse({arguments + 1, arguments + count})) {
            std::cout << *help;
            return done;
        }
        std::error_code error;
        fs::create_directories(settings_.output, error);
        if (!fs::is_directory(settings_.output)) {
            throw train::UsageError("--output " + settings_.output.string() +
                                    " cannot be made a folder.");
        }
        Session session(name_, settings_);
        body(session);
        const bool low = session.finish();
        if (validationErrorCount() > 0) {
            throw DeviceError("The validation layer gave " +
                              std::to_string(validationErrorCount()) + " errors.");
        }
        return low ? done : lossTooHigh;
    } catch (const train::UsageError& error) {
        return complain(error, wrongInput);
    } catch (const FormatError& error) {
        return complain(error, wrongInput);
    } catch (const fs::filesystem_error& error) {
        return complain(error, wrongInput);
    } catch (const std::exception& error) {
        return complain(error, deviceTrouble);
    }
}

} // namespace mpsvk::examples
