#include "Report.hpp"

#include "Text.hpp"

#include <mpsvk/Error.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace mpsvk::bench {

namespace {

using Json = nlohmann::ordered_json;

/// Enough digits for a comparison, few enough to read.
double rounded(double value) {
    if (!std::isfinite(value)) return 0;
    char text[32];
    std::snprintf(text, sizeof text, "%.5g", value);
    return std::strtod(text, nullptr);
}

std::string start(const Result& r) {
    return format("%-33s %-16s %-12s", r.name.c_str(), r.pass.c_str(), r.mode.c_str());
}

} // namespace

std::string toJson(const Report& report) {
    Json results = Json::array();
    for (const Result& r : report.results) {
        Json entry{{"name", r.name}, {"pass", r.pass}, {"mode", r.mode}};
        if (!r.error.empty()) {
            entry["error"] = r.error;
        } else {
            entry["ms"] = rounded(r.ms);
            for (const auto& [key, value] :
                 {std::pair("tflops", r.tflops), std::pair("gbps", r.gbps),
                  std::pair("share", r.share), std::pair("wall_ms", r.wallMs),
                  std::pair("host_ms", r.hostMs)}) {
                if (value > 0) entry[key] = rounded(value);
            }
        }
        results.push_back(entry);
    }
    const Json all{{"device", report.device},
                   {"driver", report.driver},
                   {"scale", report.scale},
                   {"results", results}};
    return all.dump(1) + "\n";
}

Report fromJson(std::string_view json) {
    try {
        const Json all = Json::parse(json);
        Report report;
        report.device = all.value("device", std::string());
        report.driver = all.value("driver", std::string());
        report.scale = all.value("scale", uint64_t{1});
        for (const Json& entry : all.at("results")) {
            Result r;
            r.name = entry.at("name").get<std::string>();
            r.pass = entry.at("pass").get<std::string>();
            r.mode = entry.at("mode").get<std::string>();
            r.error = entry.value("error", std::string());
            if (r.error.empty()) r.ms = entry.at("ms").get<double>();
            r.tflops = entry.value("tflops", 0.0);
            r.gbps = entry.value("gbps", 0.0);
            r.share = entry.value("share", 0.0);
            r.wallMs = entry.value("wall_ms", 0.0);
            r.hostMs = entry.value("host_ms", 0.0);
            report.results.push_back(std::move(r));
        }
        return report;
    } catch (const Json::exception& error) {
        throw FormatError(std::string("The benchmark results cannot be read: ") + error.what());
    }
}

Report loadReport(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw FormatError("The benchmark results " + file.string() + " cannot be opened.");
    std::ostringstream text;
    text << stream.rdbuf();
    return fromJson(text.str());
}

void saveReport(const Report& report, const std::filesystem::path& file) {
    std::ofstream stream(file, std::ios::binary);
    stream << toJson(report);
    stream.close();
    if (!stream)
        throw FormatError("The benchmark results cannot be written to " + file.string() + ".");
}

void describe(Report& report, const std::vector<Case>& table) {
    for (Result& r : report.results) {
        for (const Case& c : table) {
            if (c.name != r.name || c.pass != r.pass || !r.mode.starts_with(c.mode)) continue;
            const Work work = workOf(scaled(c, report.scale));
            r.group = nameOf(c.group);
            r.flops = work.flops;
            r.bytes = work.bytes;
            break;
        }
    }
}

std::string heading() {
    return format("%-33s %-16s %-12s %10s %16s %7s", "name", "pass", "mode", "ms", "rate",
                  "share") +
           "\n" + std::string(99, '-');
}

std::string line(const Result& r) {
    if (!r.error.empty()) return start(r) + " failed: " + r.error;
    std::string made = start(r) + format(" %10.4f", r.ms);
    made += r.tflops > 0 ? format(" %9.1f GFLOP/s", r.tflops * 1000)
            : r.gbps > 0 ? format(" %9.1f GB/s   ", r.gbps)
                         : format(" %16s", "");
    if (r.share > 0) made += format(r.share < 0.1 ? " %5.1f %%" : " %5.0f %%", r.share * 100);
    if (r.wallMs > 0) made += format("  wall %.4f ms, host %.4f ms", r.wallMs, r.hostMs);
    return made;
}

} // namespace mpsvk::bench
