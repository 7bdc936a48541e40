// What was measured: as lines on the terminal and as JSON.
#pragma once

#include "CaseTable.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mpsvk::bench {

struct Result {
    std::string name, pass, mode;
    double ms = 0;                 ///< median
    double tflops = 0, gbps = 0;   ///< one of them, or none
    double share = 0;              ///< of the copy bandwidth; 0 where it means nothing
    double wallMs = 0, hostMs = 0; ///< of training steps
    std::string error;             ///< a sentence; then nothing else counts
    // What the table of cases says. JSON does not hold it.
    std::string group;
    double flops = 0, bytes = 0; ///< of one run
};

struct Report {
    std::string device, driver;
    uint64_t scale = 1;
    std::vector<Result> results;
};

std::string toJson(const Report& report);
/// Reads what toJson writes, and any {"results": [{"name", "pass", "mode", "ms"} ...]} like it.
/// Throws FormatError.
Report fromJson(std::string_view json);
Report loadReport(const std::filesystem::path& file);
/// Throws FormatError when it cannot be written.
void saveReport(const Report& report, const std::filesystem::path& file);

/// Fills in what the table says of each result's case, by its name; others stay as they are.
void describe(Report& report, const std::vector<Case>& table);

/// Two lines: names of the columns.
std::string heading();
/// One line, without its end.
std::string line(const Result& result);

} // namespace mpsvk::bench
