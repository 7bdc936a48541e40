// Results as JSON and lines, and the command line that asks for them.
#include "Report.hpp"

#include "Options.hpp"
#include "Timer.hpp"

#include <mpsvk/Error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::bench;
using Catch::Matchers::ContainsSubstring;

namespace {

Result made(const std::string& name, const std::string& pass, const std::string& mode, double ms) {
    Result result;
    result.name = name;
    result.pass = pass;
    result.mode = mode;
    result.ms = ms;
    return result;
}

} // namespace

TEST_CASE("JSON keeps what was measured") {
    Report report{"a device", "a driver", 4, {}};
    report.results.push_back(made("conv", "forward", "fp16", 0.125));
    report.results.back().tflops = 12.5;
    report.results.back().share = 0.25;
    report.results.push_back(made("train", "step", "fp32", 2));
    report.results.back().wallMs = 2.5;
    report.results.back().hostMs = 0.5;
    report.results.push_back(made("broken", "gradient", "fp32", 0));
    report.results.back().error = "No memory.";

    const std::string text = toJson(report);
    CHECK_THAT(text, !ContainsSubstring("gbps"));
    const Report read = fromJson(text);
    CHECK(read.device == "a device");
    CHECK(read.driver == "a driver");
    CHECK(read.scale == 4);
    REQUIRE(read.results.size() == 3);
    CHECK(read.results[0].name == "conv");
    CHECK(read.results[0].pass == "forward");
    CHECK(read.results[0].mode == "fp16");
    CHECK(read.results[0].ms == 0.125);
    CHECK(read.results[0].tflops == 12.5);
    CHECK(read.results[0].share == 0.25);
    CHECK(read.results[1].wallMs == 2.5);
    CHECK(read.results[1].hostMs == 0.5);
    CHECK(read.results[2].error == "No memory.");
    CHECK(toJson(read) == text);
}

TEST_CASE("files that are no results are refused") {
    CHECK_THROWS_AS(fromJson("[]"), FormatError);
    CHECK_THROWS_AS(fromJson(R"({"results": [{"name": "a", "pass": "b", "mode": "c"}]})"),
                    FormatError);
    CHECK_THROWS_AS(fromJson(R"({"results": [{"name": 1}]})"), FormatError);
    CHECK_THROWS_AS(loadReport("there is no such file"), FormatError);
    CHECK_THROWS_AS(saveReport({}, "there is no such folder/file"), FormatError);
}

TEST_CASE("a line has the rate, the share, or the reason why not") {
    Result r = made("conv", "forward", "fp32", 1.5);
    r.tflops = 0.0125;
    CHECK_THAT(line(r), ContainsSubstring("1.5000") && ContainsSubstring("12.5 GFLOP/s") &&
                            !ContainsSubstring("%"));
    r.tflops = 0;
    r.gbps = 4000;
    r.share = 0.95;
    CHECK_THAT(line(r), ContainsSubstring("4000.0 GB/s") && ContainsSubstring("95 %"));
    r.share = 0.041;
    CHECK_THAT(line(r), ContainsSubstring("4.1 %"));
    r.wallMs = 3;
    r.hostMs = 0.25;
    CHECK_THAT(line(r), ContainsSubstring("wall 3.0000 ms, host 0.2500 ms"));
    r.error = "No memory.";
    CHECK_THAT(line(r), ContainsSubstring("failed: No memory.") && !ContainsSubstring("95 %"));
}

TEST_CASE("a report is completed from the table of cases") {
    Report report{"a device", "a driver", 2, {}};
    report.results = {made("conv", "forward", "fp16", 1), made("conv", "backward", "fp16", 1)};
    describe(report, parseCases(R"({"convolution": {"modes": ["fp16"], "passes": ["forward"],
        "cases": [{"name": "conv", "n": 8, "ci": 4, "co": 8, "h": 2, "w": 2}]}})"));
    CHECK(report.results[0].group == "convolution");
    CHECK(report.results[0].flops == 2.0 * 4 * 2 * 2 * 4 * 8);
    CHECK(report.results[0].bytes == 2.0 * (4 * 2 * 2 * (4 + 8) + 4 * 8));
    CHECK(report.results[1].group.empty());
    CHECK(report.results[1].bytes == 0);
}

TEST_CASE("a median") {
    CHECK(median({}) == 0);
    CHECK(median({3}) == 3);
    CHECK(median({9, 1, 3}) == 3);
    CHECK(median({4, 1, 9, 2}) == 3);
}

TEST_CASE("the command line") {
    const Options plain = parseOptions({}, "cases.json");
    CHECK(plain.cases == "cases.json");
    CHECK_FALSE(plain.scale);
    CHECK_FALSE(plain.list);
    const Options all =
        parseOptions({"--only", "conv", "--device", "H200", "--scale", "8", "--json", "a.json",
                      "--compare", "b.json", "--cases", "c.json", "--list"},
                     "cases.json");
    CHECK(all.only == "conv");
    CHECK(all.device == "H200");
    CHECK(all.scale == 8u);
    CHECK(all.json == "a.json");
    CHECK(all.compare == "b.json");
    CHECK(all.cases == "c.json");
    CHECK(all.list);
    CHECK_FALSE(plain.reduced);
    CHECK(parseOptions({"--reduced"}, "").reduced);
    CHECK(parseOptions({"--from", "d.json"}, "").from == "d.json");
    CHECK(parseOptions({"--chart", "e.svg"}, "").chart == "e.svg");
    CHECK_THROWS_AS(parseOptions({"--from", "d.json", "--list"}, ""), UsageError);
    CHECK_THAT(parseOptions({"--help"}, "").helpText, ContainsSubstring("--compare"));
    CHECK_THROWS_AS(parseOptions({"--scale", "0"}, ""), UsageError);
    CHECK_THROWS_AS(parseOptions({"--scale", "-1"}, ""), UsageError);
    CHECK_THROWS_AS(parseOptions({"--what"}, ""), UsageError);
    CHECK_THROWS_AS(parseOptions({"stray"}, ""), UsageError);
}
