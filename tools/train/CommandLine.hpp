// A command line of long options, whose mistakes are told in one sentence.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace mpsvk::train {

/// A wrong command line, told in one sentence.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The number as an ostream writes it.
std::string numberText(double value);

/// Which of `names` is meant by an index or a part of a name (any case). Throws UsageError.
size_t chooseDevice(const std::vector<std::string>& names, const std::string& text);

/// Names of options are without "--"; `type` stands for the value in the help text.
class CommandLine {
public:
    CommandLine(const std::string& description, const std::string& program,
                const std::string& footer);

    template <typename Target>
    CLI::Option* add(const std::string& option, Target& target, const std::string& type,
                     const std::string& text, const std::string& defaultText = "") {
        return app_.add_option("--" + option, target, text)
            ->type_name(type)
            ->default_str(defaultText);
    }
    /// A whole number in [least, most].
    void addNumber(const std::string& option, uint32_t& target, uint32_t least, uint32_t most,
                   const std::string& text);
    /// A number in [least, most].
    void addReal(const std::string& option, float& target, double least, double most,
                 const std::string& text);
    void addSeed(const std::string& option, uint64_t& target, const std::string& text);
    void addChoice(const std::string& option, std::string& target,
                   const std::vector<std::string>& choices, const std::string& text);

    /// `arguments` are without the program's name. Returns the text to print if help was asked for.
    /// Throws UsageError.
    std::optional<std::string> parse(std::vector<std::string> arguments);

    /// Names of the options that stood on the command line.
    std::vector<std::string> given() const;

private:
    CLI::App app_;
};

} // namespace mpsvk::train
