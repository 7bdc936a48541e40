#include "Options.hpp"

#include <algorithm>

namespace mpsvk::train {

namespace fs = std::filesystem;

namespace {

const char* const description =
    "Trains a small convolutional network on labelled pictures, on any Vulkan device.\n"
    "Without options: on the 8x8 handwritten digits that come with the library, for a few "
    "seconds.\n";

const char* const footer =
    "\nThe data folder holds four IDX files (as MNIST and Fashion-MNIST have them), plain or .gz:\n"
    "  train-images-idx3-ubyte  train-labels-idx1-ubyte\n"
    "  t10k-images-idx3-ubyte   t10k-labels-idx1-ubyte\n"
    "\nThe output folder receives curves.png, mistakes.png and checkpoint.mpsvk. The checkpoint "
    "is\n"
    "written after every epoch and on Ctrl-C; --resume goes on from it and gives the same bits as\n"
    "a run that was never interrupted.\n"
    "\nExamples:\n"
    "  mpsvk-train\n"
    "  mpsvk-train --data ~/mnist --epochs 5 --batch 64\n"
    "  mpsvk-train --resume --epochs 40\n"
    "\nExit codes: 0 done, 1 trouble with the device, 2 wrong options or files, 130 interrupted.";

} // namespace

bool Options::has(const std::string& option) const {
    return std::find(given.begin(), given.end(), option) != given.end();
}

Options parseOptions(std::vector<std::string> arguments, const fs::path& defaultData) {
    Options options;
    options.data = defaultData;
    std::string resumeFile;
    Setup& setup = options.setup;

    std::string precision = name(setup.precision);

    CommandLine line(description, "mpsvk-train", footer);
    line.add("data", options.data, "DIR", "Folder with the IDX files", defaultData.string());
    line.add("output", options.output, "DIR", "Folder for pictures and checkpoint",
             options.output.string());
    CLI::Option* resume = line.add("resume", resumeFile, "[FILE]",
                                   "Go on from this checkpoint (no FILE: the output folder's)")
                              ->expected(0, 1);
    line.add("device", options.device, "NAME",
             "Index or part of the name of a device (without: the best one)");
    line.addNumber("epochs", setup.epochs, 1, 100000, "Times to go through the training images");
    line.addNumber("batch", setup.batch, 1, 4096, "Images in a training step");
    line.addChoice("precision", precision, {"fp32", "fp16"},
                   "Of images and weights in the kernels; sums are always fp32");
    line.addReal("learning-rate", setup.learningRate, 1e-8, 10.0,
                 "Adam's step; falls slowly with the epochs");
    line.addSeed("seed", setup.seed, "Same seed, same weights, bit for bit");
    line.addNumber("shift", setup.shift, 0, 8,
                   "Largest random movement of a training image in pixels, 0 = none");
    line.addNumber("classes", setup.classes, 2, 256, "Labels are below this number");

    options.helpText = line.parse(std::move(arguments));
    if (options.helpText) return options;

    setup.precision = precision == "fp16" ? Precision::Float16 : Precision::Float32;
    options.given = line.given();
    if (resume->count() > 0) {
        options.resume =
            resumeFile.empty() ? options.output / "checkpoint.mpsvk" : fs::path(resumeFile);
        if (!options.has("output") && !resumeFile.empty()) {
            options.output =
                options.resume->has_parent_path() ? options.resume->parent_path() : fs::path(".");
        }
    }
    return options;
}

Setup mergeSetup(const Options& options, const Setup& checkpoint) {
    const Setup& wanted = options.setup;
    const auto require = [&](const std::string& option, bool same, const std::string& asked,
                             const std::string& stored) {
        if (options.has(option) && !same) {
            throw UsageError("--" + option + " " + asked + " does not fit the checkpoint " +
                             options.resume->string() + ", which was made with " + stored + ".");
        }
    };
    require("seed", wanted.seed == checkpoint.seed, std::to_string(wanted.seed),
            std::to_string(checkpoint.seed));
    require("batch", wanted.batch == checkpoint.batch, std::to_string(wanted.batch),
            std::to_string(checkpoint.batch));
    require("shift", wanted.shift == checkpoint.shift, std::to_string(wanted.shift),
            std::to_string(checkpoint.shift));
    require("classes", wanted.classes == checkpoint.classes, std::to_string(wanted.classes),
            std::to_string(checkpoint.classes));
    require("precision", wanted.precision == checkpoint.precision, name(wanted.precision),
            name(checkpoint.precision));
    require("learning-rate", wanted.learningRate == checkpoint.learningRate,
            numberText(wanted.learningRate), numberText(checkpoint.learningRate));
    Setup merged = checkpoint;
    if (options.has("epochs")) merged.epochs = wanted.epochs;
    return merged;
}

} // namespace mpsvk::train
