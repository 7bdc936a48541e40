// The command line of mpsvk-train.
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "Setup.hpp"

namespace mpsvk::train {

/// A wrong command line, told in one sentence.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

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

/// Which of `names` is meant by an index or a part of a name (any case). Throws UsageError.
size_t chooseDevice(const std::vector<std::string>& names, const std::string& text);

} // namespace mpsvk::train
