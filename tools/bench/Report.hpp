// What was measured: as lines on the terminal, as JSON, and next to somebody else's JSON.
#pragma once

#include <filesystem>
#include <optional>
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
};

struct Report {
    std::string device, driver;
    unsigned long scale = 1;
    std::vector<Result> results;
};

std::string toJson(const Report& report);
/// Reads what toJson writes, and any {"results": [{"name", "pass", "mode", "ms"} ...]} like it.
/// Throws FormatError.
Report fromJson(std::string_view json);
Report loadReport(const std::filesystem::path& file);
/// Throws FormatError when it cannot be written.
void saveReport(const Report& report, const std::filesystem::path& file);

/// Two lines: names of the columns.
std::string heading();
/// One line, without its end.
std::string line(const Result& result);

/// Somebody else's best time for the same work. Modes that begin with ours are the same precision
/// in another layout; passes that begin with ours and "_" the same pass done another way.
struct Match {
    double ms = 0;
    std::string pass, mode;
};
std::optional<Match> bestMatch(const Result& ours, const Report& other);

/// A table with the ratio other/ours per case: above 1 we are faster.
std::string comparison(const Report& ours, const Report& other);

} // namespace mpsvk::bench
