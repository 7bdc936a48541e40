// mpsvk-train: trains a small network, shows how it goes, and leaves pictures
// and a checkpoint.
#include <cstdio>
#include <iostream>
#include <mpsvk/MTL/Device.hpp>

#include "DataDirectory.hpp"
#include "GraphNetwork.hpp"
#include "Interrupt.hpp"
#include "Options.hpp"
#include "Plot.hpp"
#include "Trainer.hpp"

using namespace mpsvk;
using namespace mpsvk::train;
namespace fs = std::filesystem;

namespace {

enum ExitCode { done = 0, deviceTrouble = 1, wrongInput = 2, interruptedBySignal = 130 };

template <typename... Values> std::string format(const char* pattern, Values... values) {
    char text[400];
    std::snprintf(text, sizeof text, pattern, values...);
    return text;
}

MTL::Device chooseDevice(const std::string& wanted) {
    if (wanted.empty()) return MTL::CreateSystemDefaultDevice();
    const std::vector<MTL::Device> devices = MTL::CopyAllDevices();
    std::vector<std::string> names;
    for (const MTL::Device& device : devices) names.push_back(device.name());
    return devices[mpsvk::train::chooseDevice(names, wanted)];
}

std::string epochLine(const ProgressState& state, const EpochRecord& record) {
    return format("Epoch %3u/%u  loss %6.4f  accuracy %6.2f %%  held out: loss %6.4f  "
                  "accuracy %6.2f %%  %.0f images/s",
                  state.epoch + 1, state.epochs, record.trainLoss, 100 * record.trainAccuracy,
                  record.testLoss, 100 * record.testAccuracy, state.imagesPerSecond);
}

/// The start or the checkpoint, and the data that belongs to it.
struct Beginning {
    Checkpoint state;
    IdxDataset data;
};

Beginning begin(Options& options) {
    Beginning result;
    if (options.resume) {
        result.state = loadCheckpoint(*options.resume);
        result.state.setup = mergeSetup(options, result.state.setup);
        if (!options.has("data")) options.data = result.state.dataFolder;
        result.data = loadIdxDataset(options.data, result.state.setup.classes);
        checkData(result.state, result.data);
    } else {
        result.data = loadIdxDataset(options.data, options.setup.classes);
        result.state = freshStart(options.setup, result.data, fs::absolute(options.data).string());
    }
    std::error_code error;
    fs::create_directories(options.output, error);
    if (!fs::is_directory(options.output)) {
        throw UsageError("--output " + options.output.string() + " cannot be made a folder.");
    }
    return result;
}

int run(Options options, Trainer::Clock::time_point start) {
    auto [state, data] = begin(options);
    const Setup setup = state.setup;
    const MTL::Device device = chooseDevice(options.device);
    Progress progress(std::cout, outputIsTerminal(), terminalWidth());
    progress.line(format("%u training and %u held-out images of %ux%u from ", data.train.count(),
                         data.test.count(), data.columns, data.rows) +
                  options.data.string());
    progress.line("Device: " + device.name() + ", " + name(setup.precision));
    if (options.resume) {
        progress.line(format("Going on after epoch %u, step %u of ", state.position.epoch,
                             state.position.step) +
                      options.resume->string());
    }

    watchForInterrupt();
    GraphNetwork network(device, setup, data);
    if (options.resume) network.restore(state.graph);
    const fs::path checkpoint = options.output / "checkpoint.mpsvk";
    TrainerHooks hooks;
    hooks.onStep = [&](const ProgressState& now) { progress.update(now); };
    hooks.onEpoch = [&](const ProgressState& now, const EpochRecord& record) {
        progress.line(epochLine(now, record));
    };
    hooks.save = [&](const Checkpoint& now) { saveCheckpoint(now, checkpoint); };
    hooks.interrupted = interruptRequested;
    Trainer trainer(data, network, std::move(state), hooks, start);

    if (!trainer.run()) {
        const Position& position = trainer.state().position;
        progress.line(format("Interrupted after epoch %u, step %u. Go on with: "
                             "mpsvk-train --resume ",
                             position.epoch, position.step) +
                      checkpoint.string());
        return interruptedBySignal;
    }

    const Evaluation evaluation = trainer.evaluate();
    if (trainer.imagesTrained() == 0) {
        progress.line(
            format("All %u epochs are done already; more --epochs would go on.", setup.epochs));
        saveCheckpoint(trainer.state(), checkpoint);
    } else {
        progress.line(format("%.0f images/s in training, first step done after %.2f s",
                             trainer.imagesPerSecond(), trainer.secondsToFirstStep()));
    }
    progress.line(format("%.2f %% of %u held-out images guessed right", 100 * evaluation.accuracy,
                         data.test.count()));
    drawCurves(trainer.state().history).save(options.output / "curves.png");
    drawMistakes(data, evaluation.mistakes).save(options.output / "mistakes.png");
    progress.line("curves.png, mistakes.png and checkpoint.mpsvk are in " +
                  options.output.string());
    return done;
}

} // namespace

int main(int count, char** arguments) {
    const auto start = Trainer::Clock::now();
    const auto complain = [](const std::exception& error, ExitCode code) {
        std::cerr << "mpsvk-train: " << error.what() << '\n';
        return code;
    };
    try {
        Options options =
            parseOptions({arguments + 1, arguments + count}, dataDirectory() / "digits");
        if (options.helpText) {
            std::cout << *options.helpText;
            return done;
        }
        return run(std::move(options), start);
    } catch (const UsageError& error) {
        return complain(error, wrongInput);
    } catch (const FormatError& error) {
        return complain(error, wrongInput);
    } catch (const fs::filesystem_error& error) {
        return complain(error, wrongInput);
    } catch (const std::exception& error) {
        return complain(error, deviceTrouble);
    }
}
