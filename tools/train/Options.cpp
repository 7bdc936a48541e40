#include "Options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <sstream>

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

/// Options as "--epochs N", their defaults behind the description.
class HelpFormatter : public CLI::Formatter {
public:
    HelpFormatter() { column_width(30); }
    std::string make_option_opts(const CLI::Option* option) const override {
        const std::string type = option->get_type_name();
        return option->get_items_expected_max() == 0 ? "" : " " + type;
    }
    std::string make_option_desc(const CLI::Option* option) const override {
        const std::string value = option->get_default_str();
        return option->get_description() + (value.empty() ? "" : " [" + value + "]");
    }
};

std::string numberText(double value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

/// CLI11 lets a minus sign through for unsigned numbers, and its ranges let "nan" through.
std::string wholeNumber(const std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? "" : "Value " + text + " is not a whole number of at least 0";
}

std::string finiteNumber(const std::string& text) {
    return std::isfinite(std::strtod(text.c_str(), nullptr)) ? ""
                                                             : "Value " + text + " is not a number";
}

std::string lowerCase(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

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

    CLI::App app(description, "mpsvk-train");
    app.footer(footer);
    app.formatter(std::make_shared<HelpFormatter>());
    const auto add = [&app](const std::string& option, auto& target, const std::string& type,
                            const std::string& text, const std::string& defaultText = "") {
        return app.add_option("--" + option, target, text)
            ->type_name(type)
            ->default_str(defaultText);
    };
    const auto addNumber = [&add](const std::string& option, uint32_t& target, uint32_t least,
                                  uint32_t most, const std::string& text) {
        add(option, target, "N", text, std::to_string(target))
            ->check(CLI::Range(least, most).description(""));
    };
    add("data", options.data, "DIR", "Folder with the IDX files", defaultData.string());
    add("output", options.output, "DIR", "Folder for pictures and checkpoint",
        options.output.string());
    CLI::Option* resume = add("resume", resumeFile, "[FILE]",
                              "Go on from this checkpoint (no FILE: the output folder's)")
                              ->expected(0, 1);
    add("device", options.device, "NAME",
        "Index or part of the name of a device (without: the best one)");
    addNumber("epochs", setup.epochs, 1, 100000, "Times to go through the training images");
    addNumber("batch", setup.batch, 1, 4096, "Images in a training step");
    add("precision", precision, "fp32|fp16",
        "Of images and weights in the kernels; sums are always fp32", precision)
        ->check(CLI::IsMember({"fp32", "fp16"}).description(""));
    add("learning-rate", setup.learningRate, "X", "Adam's step; falls slowly with the epochs",
        numberText(setup.learningRate))
        ->check(CLI::Range(1e-8, 10.0).description(""))
        ->check(finiteNumber);
    add("seed", setup.seed, "N", "Same seed, same weights, bit for bit", std::to_string(setup.seed))
        ->check(wholeNumber);
    addNumber("shift", setup.shift, 0, 8,
              "Largest random movement of a training image in pixels, 0 = none");
    addNumber("classes", setup.classes, 2, 256, "Labels are below this number");

    try {
        std::reverse(arguments.begin(), arguments.end()); // CLI11 takes them from the back
        app.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
        options.helpText = app.help();
        return options;
    } catch (const CLI::ParseError& error) {
        std::string sentence = error.what();
        std::replace(sentence.begin(), sentence.end(), '\n', ' ');
        while (!sentence.empty() && (sentence.back() == ' ' || sentence.back() == '.')) {
            sentence.pop_back();
        }
        throw UsageError(sentence + " (see --help).");
    }

    setup.precision = precision == "fp16" ? Precision::Float16 : Precision::Float32;
    for (const CLI::Option* option : app.get_options()) {
        if (option->count() > 0) options.given.push_back(option->get_lnames().front());
    }
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

size_t chooseDevice(const std::vector<std::string>& names, const std::string& text) {
    std::string list;
    for (size_t i = 0; i < names.size(); ++i) {
        list += (i == 0 ? "" : ", ") + std::to_string(i) + " = " + names[i];
    }
    const bool isIndex =
        !text.empty() && text.size() < 4 &&
        std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (isIndex && std::stoul(text) < names.size()) return std::stoul(text);
    for (size_t i = 0; i < names.size(); ++i) {
        if (lowerCase(names[i]).find(lowerCase(text)) != std::string::npos) return i;
    }
    throw UsageError("--device " + text +
                     " is none of the devices: " + (list.empty() ? "there is none" : list) + ".");
}

} // namespace mpsvk::train
