// The command line of mpsvk-train.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "CommandLine.hpp"
#include "Setup.hpp"

namespace mpsvk::train {

struct Options {
    Setup setup;
    std::filesystem::path data;
    std::filesystem::path output = "mpsvk-train-out";
    std::string device;
    std::optional<std::filesystem::path> resume; ///< the checkpoint to go on from
    std::vector<std::string> given;              ///< long names that stood on the command line
    std::optional<std::string> helpText;         ///< set: print it and end

    bool has(const std::string& option) const;
};

/// `arguments` are without the program's name. Throws UsageError.
Options parseOptions(std::vector<std::string> arguments, const std::filesystem::path& defaultData);

/// The setup to resume with: the checkpoint's, with the command line's number of epochs if it was
/// given. Throws UsageError when another option was given that contradicts the checkpoint.
Setup mergeSetup(const Options& options, const Setup& checkpoint);

} // namespace mpsvk::train
