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

} // namespace mpsvk::bench
