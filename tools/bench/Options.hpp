// The command line of mpsvk-bench.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace mpsvk::bench {

class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Options {
    std::filesystem::path cases, json, compare, from, chart;
    std::string only, device;
    std::optional<uint64_t> scale; ///< nothing: by the kind of device
    bool list = false, reduced = false;
    std::string helpText; ///< not empty: --help was given
};

/// `arguments` come without the program's name. Throws UsageError.
Options parseOptions(std::vector<std::string> arguments, const std::filesystem::path& defaultCases);

/// Throws UsageError when there is no folder for the file that an option names.
void checkFolder(const std::string& option, const std::filesystem::path& file);

} // namespace mpsvk::bench
