// mpsvk-bench: what the kernels take on a device.
#include "Benchmark.hpp"
#include "Comparison.hpp"
#include "DataDirectory.hpp"
#include "DeviceFacts.hpp"
#include "Options.hpp"
#include "Picture.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

#if defined(_WIN32)
#include <io.h>
#define isatty _isatty
#define fileno _fileno
#else
#include <unistd.h>
#endif

using namespace mpsvk;
using namespace mpsvk::bench;

namespace {

std::vector<Case> casesToRun(const Options& options, bool onCpu) {
    const std::vector<Case> table = loadCases(options.cases),
                            all = options.reduced ? reduced(table) : table;
    std::vector<Case> chosen = selected(all, options.only, onCpu);
    if (chosen.empty()) throw UsageError("No case has \"" + options.only + "\" in its name.");
    if (chosen.front().group != Group::Copy) {
        std::vector<Case> copies;
        std::copy_if(all.begin(), all.end(), std::back_inserter(copies),
                     [](const Case& one) { return one.group == Group::Copy; });
        chosen.insert(chosen.begin(), copies.begin(), copies.end());
    }
    return chosen;
}

Progress printed() {
    const bool live = isatty(fileno(stdout)) != 0;
    Progress progress;
    progress.before = [live](const Case& next, size_t index, size_t count) {
        if (!live) return;
        std::cout << "[" << index + 1 << "/" << count << "] " << next.name << " " << next.pass
                  << " " << next.mode << std::flush;
    };
    progress.after = [live](const Result& result) {
        std::cout << (live ? "\r\033[K" : "") << line(result) << std::endl;
    };
    return progress;
}

/// Nothing: only the list of cases was asked for.
std::optional<Report> measured(const Options& options) {
    const MTL::Device device = chooseDevice(options.device);
    const DeviceFacts facts = factsOf(device);
    const uint64_t scale = options.scale.value_or(facts.isCpu ? 64 : 1);
    const std::vector<Case> cases = casesToRun(options, facts.isCpu);
    if (options.list) {
        for (const Case& c : cases) std::cout << c.name << " " << c.pass << " " << c.mode << "\n";
        return std::nullopt;
    }
    std::cout << facts.name << ", " << facts.driver;
    if (scale > 1) std::cout << ", batches divided by " << scale;
    std::cout << "\n\n" << heading() << std::endl;
    return runCases(device, cases, scale, printed());
}

Report earlier(const Options& options) {
    Report report = loadReport(options.from);
    std::erase_if(report.results, [&](const Result& result) {
        return result.name.find(options.only) == std::string::npos;
    });
    if (report.results.empty())
        throw UsageError(
            options.from.string() + " has no result" +
            (options.only.empty() ? "" : " with \"" + options.only + "\" in its name") + ".");
    describe(report, loadCases(options.cases));
    std::cout << report.device << ", " << report.driver << "\n\n" << heading() << "\n";
    for (const Result& result : report.results) std::cout << line(result) << "\n";
    return report;
}

int runBenchmark(const Options& options) {
    // First: a wrong file should not cost a whole run.
    if (!options.chart.empty()) checkPicturePath(options.chart);
    if (!options.json.empty()) checkFolder("--json", options.json);
    const Report other = options.compare.empty() ? Report{} : loadReport(options.compare);
    const std::optional<Report> report =
        options.from.empty() ? measured(options) : std::optional(earlier(options));
    if (!report) return 0;
    if (!options.json.empty()) saveReport(*report, options.json);
    if (!options.compare.empty()) {
        std::cout << "\nNext to " << options.compare.string() << " (" << other.device << ")\n";
        if (other.scale != report->scale)
            std::cout << "The two ran with different --scale: the ratios mean nothing.\n";
        std::cout << "\n" << comparison(*report, other);
    }
    if (!options.chart.empty()) savePicture(options.chart, *report, other);
    return std::any_of(report->results.begin(), report->results.end(),
                       [](const Result& result) { return !result.error.empty(); })
               ? 1
               : 0;
}

} // namespace

int main(int count, char** arguments) {
    setLogCallback([](LogLevel level, std::string_view message) {
        if (level != LogLevel::Info) std::cerr << "mpsvk: " << message << "\n";
    });
    try {
        const Options options = parseOptions({arguments + 1, arguments + count},
                                             train::dataDirectory() / "bench" / "cases.json");
        if (!options.helpText.empty()) {
            std::cout << options.helpText;
            return 0;
        }
        return runBenchmark(options);
    } catch (const DeviceError& error) {
        std::cerr << "mpsvk-bench: " << error.what() << "\n";
        return 1;
    } catch (const std::exception& error) {
        std::cerr << "mpsvk-bench: " << error.what() << "\n";
        return 2;
    }
}
