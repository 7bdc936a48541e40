#include "Options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace mpsvk::bench {

namespace {

const char* const description =
    "Measures what the kernels of mpsvk take on a device, training steps too.";

const char* const footer =
    "\nThe columns and how to read them: docs/benchmark.md.\n"
    "\nExamples:\n"
    "  mpsvk-bench\n"
    "  mpsvk-bench --only conv3x3_ --json mine.json\n"
    "  mpsvk-bench --compare theirs.json\n"
    "  mpsvk-bench --from mine.json --compare theirs.json --chart both.svg\n"
    "\nExit codes: 0 done, 1 trouble with the device, 2 wrong options or files.";

} // namespace

Options parseOptions(std::vector<std::string> arguments,
                     const std::filesystem::path& defaultCases) {
    Options options;
    options.cases = defaultCases;
    uint64_t scale = 1;

    CLI::App app(description, "mpsvk-bench");
    app.footer(footer);
    app.get_formatter()->column_width(24);
    const auto add = [&app](const char* name, auto& target, const char* type, const char* text) {
        return app.add_option(name, target, text)->type_name(type);
    };
    add("--only", options.only, "TEXT", "Only cases with this in their name");
    add("--device", options.device, "NAME",
        "Index or part of the name of a device (without: the best one)");
    CLI::Option* scaleOption =
        add("--scale", scale, "N", "Divide batches by N (without: 64 on a CPU device, 1 on others)")
            ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 20).description(""));
    add("--json", options.json, "FILE", "Write the results there");
    add("--compare", options.compare, "FILE",
        "Print other/ours for results in such a file (above 1: we are faster), and the means");
    add("--chart", options.chart, "FILE",
        "Draw the roofline there, with --compare also the ratios (.svg or .png)");
    add("--from", options.from, "FILE", "Take results from such a file, and measure nothing");
    add("--cases", options.cases, "FILE", "Another table of cases");
    app.add_flag("--reduced", options.reduced,
                 "Only products of fp32 and training steps, in reduced precision");
    app.add_flag("--list", options.list, "List the cases that would run, and run nothing");

    try {
        std::reverse(arguments.begin(), arguments.end()); // CLI11 takes them from the back
        app.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
        options.helpText = app.help();
        return options;
    } catch (const CLI::ParseError& error) {
        throw UsageError(std::string(error.what()) + " (see --help)");
    }
    if (scaleOption->count() > 0) options.scale = scale;
    if (options.list && !options.from.empty())
        throw UsageError("--list lists cases that would run, but --from runs none.");
    return options;
}

void checkFolder(const std::string& option, const std::filesystem::path& file) {
    const std::filesystem::path folder = file.parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder))
        throw UsageError(option + " " + file.string() + ": there is no folder " + folder.string() +
                         ".");
}

} // namespace mpsvk::bench
