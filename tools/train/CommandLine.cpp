#include "CommandLine.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <sstream>

namespace mpsvk::train {

namespace {

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

std::string numberText(double value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

CommandLine::CommandLine(const std::string& description, const std::string& program,
                         const std::string& footer)
    : app_(description, program) {
    app_.footer(footer);
    app_.formatter(std::make_shared<HelpFormatter>());
}

void CommandLine::addNumber(const std::string& option, uint32_t& target, uint32_t least,
                            uint32_t most, const std::string& text) {
    add(option, target, "N", text, std::to_string(target))
        ->check(CLI::Range(least, most).description(""));
}

void CommandLine::addReal(const std::string& option, float& target, double least, double most,
                          const std::string& text) {
    add(option, target, "X", text, numberText(target))
        ->check(CLI::Range(least, most).description(""))
        ->check(finiteNumber);
}

void CommandLine::addSeed(const std::string& option, uint64_t& target, const std::string& text) {
    add(option, target, "N", text, std::to_string(target))->check(wholeNumber);
}

void CommandLine::addChoice(const std::string& option, std::string& target,
                            const std::vector<std::string>& choices, const std::string& text) {
    std::string type;
    for (const std::string& choice : choices) type += (type.empty() ? "" : "|") + choice;
    add(option, target, type, text, target)->check(CLI::IsMember(choices).description(""));
}

std::optional<std::string> CommandLine::parse(std::vector<std::string> arguments) {
    try {
        std::reverse(arguments.begin(), arguments.end()); // CLI11 takes them from the back
        app_.parse(std::move(arguments));
        return std::nullopt;
    } catch (const CLI::CallForHelp&) {
        return app_.help();
    } catch (const CLI::ParseError& error) {
        std::string sentence = error.what();
        std::replace(sentence.begin(), sentence.end(), '\n', ' ');
        while (!sentence.empty() && (sentence.back() == ' ' || sentence.back() == '.')) {
            sentence.pop_back();
        }
        throw UsageError(sentence + " (see --help).");
    }
}

std::vector<std::string> CommandLine::given() const {
    std::vector<std::string> names;
    for (const CLI::Option* option : app_.get_options()) {
        if (option->count() > 0) names.push_back(option->get_lnames().front());
    }
    return names;
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
