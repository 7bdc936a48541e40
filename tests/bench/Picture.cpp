// The roofline of a report, the bars of a comparison, and the file that they are drawn into.
#include "Picture.hpp"

#include "Options.hpp"
#include "Ratios.hpp"
#include "Roofline.hpp"

#include "train/Files.hpp"
#include "train/Svg.hpp"

#include <mpsvk/Error.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdlib>

using namespace mpsvk;
using namespace mpsvk::bench;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using train::test::readBytes;
using train::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

Result made(const std::string& name, const std::string& group, const std::string& mode, double ms,
            double flops, double bytes) {
    Result result;
    result.name = name;
    result.pass = "forward";
    result.mode = mode;
    result.ms = ms;
    result.group = group;
    result.flops = flops;
    result.bytes = bytes;
    return result;
}

/// 2 TB/s, 40 TFLOP/s in fp32 and 400 in fp16.
Report measured() {
    Report report{"a device", "a driver", 1, {}};
    report.results = {made("copy", "copy", "fp32", 2, 0, 2e9),
                      made("copy", "copy", "fp32", 1, 0, 2e9),
                      made("matmul", "matrix_product", "fp32", 1, 40e9, 1e8),
                      made("matmul", "matrix_product", "fp16", 1, 400e9, 1e8),
                      made("conv", "convolution", "fp32", 2, 40e9, 4e9),
                      made("relu", "memory_bound", "fp16", 1, 0, 1e9),
                      made("train", "training_step", "fp32", 1, 0, 0),
                      made("unknown", "", "fp32", 1, 0, 0)};
    report.results.push_back(made("broken", "convolution", "fp32", 1, 1e9, 1e9));
    report.results.back().error = "No memory.";
    return report;
}

size_t count(const std::string& text, const std::string& part) {
    size_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++found;
    return found;
}

std::string contents(const fs::path& file) {
    const auto bytes = readBytes(file);
    return {bytes.begin(), bytes.end()};
}

int exitCode(const std::string& arguments) {
    const int status = std::system((MPSVK_PROGRAM " " + arguments + " > /dev/null 2>&1").c_str());
    return status / 256;
}

} // namespace

TEST_CASE("a roofline has the faster copy, the products and a point for each known case") {
    const Roofline roofline = rooflineOf(measured());
    CHECK(roofline.bandwidth == Approx(2e12));
    CHECK(roofline.fp32 == Approx(40e12));
    CHECK(roofline.fp16 == Approx(400e12));
    REQUIRE(roofline.points.size() == 4);
    CHECK(roofline.points[2].name == "conv forward");
    CHECK(roofline.points[2].intensity == Approx(10));
    CHECK(roofline.points[2].rate == Approx(20e12));
}

TEST_CASE("a case that only moves memory is as far below the slope as its share says") {
    const RooflinePoint point = rooflineOf(measured()).points[3];
    CHECK(point.intensity == Approx(0.5)); // fp16: an operation for each two bytes
    CHECK(point.rate == Approx(0.5 * 2e12 * 0.5));
}

TEST_CASE("a roofline is drawn with a name on every point, and with what roofs there are") {
    const auto drawn = [](const Roofline& roofline) {
        train::Svg svg(1400, 720, train::paper);
        drawRoofline(svg, {110, 64, 1090, 640}, roofline, "a device");
        return svg.file();
    };
    Roofline roofline = rooflineOf(measured());
    const std::string all = drawn(roofline);
    CHECK(count(all, "<title>") == 4);
    CHECK_THAT(all, ContainsSubstring("<title>conv forward fp32: 20000 GFLOP/s"));
    CHECK_THAT(all, ContainsSubstring(">copy 2000 GB/s<"));
    CHECK_THAT(all, ContainsSubstring(">fp32 product 40 TFLOP/s<"));
    CHECK_THAT(all, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
    roofline.fp32 = roofline.fp16 = 0;
    CHECK_THAT(drawn(roofline), ContainsSubstring(">copy 2000 GB/s<") &&
                                    !ContainsSubstring(" product ") && !ContainsSubstring("nan"));
    roofline.bandwidth = 0;
    CHECK_THAT(drawn(roofline), !ContainsSubstring("copy") && !ContainsSubstring("nan"));
}

TEST_CASE("the bars have one for each pair, and the means of each group and of all") {
    const Report ours = measured();
    Report other = ours;
    for (Result& result : other.results) result.ms *= result.mode == "fp16" ? 0.5 : 3;
    const std::vector<Pair> pairs = pairsOf(ours, other);
    train::Svg svg(1400, 1000, train::paper);
    drawRatios(svg, 1400, 0, pairs, "ours next to theirs");
    const std::string text = svg.file();
    CHECK_THAT(text, ContainsSubstring(">conv forward fp32<") && ContainsSubstring(">0.50x<") &&
                         ContainsSubstring(">all<") && ContainsSubstring(">ours next to theirs<"));
    size_t means = 0;
    for (const GroupMeans& group : meansOf(pairs))
        means += (group.fp32.count > 0 ? 1 : 0) + (group.fp16.count > 0 ? 1 : 0);
    CHECK(count(text, ">geometric mean of ") == means);
    CHECK(heightOfRatios(pairs) > heightOfRatios({pairs.front()}));
}

TEST_CASE("a picture is what its name says") {
    const TemporaryFolder folder;
    const Report ours = measured();
    savePicture(folder.path() / "a.png", ours, {});
    CHECK(contents(folder.path() / "a.png").substr(1, 3) == "PNG");
    savePicture(folder.path() / "a.svg", ours, ours);
    const std::string both = contents(folder.path() / "a.svg");
    CHECK(both.starts_with("<svg"));
    CHECK_THAT(both, ContainsSubstring("operations per byte") && ContainsSubstring("other/ours"));
    savePicture(folder.path() / "b.svg", ours, {});
    CHECK_THAT(contents(folder.path() / "b.svg"), !ContainsSubstring("other/ours"));

    Report steps{"a device", "", 1, {made("train", "training_step", "fp32", 1, 0, 0)}};
    CHECK_THROWS_AS(savePicture(folder.path() / "c.svg", steps, {}), UsageError);
    CHECK_FALSE(fs::exists(folder.path() / "c.svg"));
    savePicture(folder.path() / "c.svg", steps, steps);
    CHECK_THAT(contents(folder.path() / "c.svg"), !ContainsSubstring("operations per byte"));
}

TEST_CASE("a path that no picture can have is refused before anything is measured") {
    const TemporaryFolder folder;
    CHECK_NOTHROW(checkPicturePath("picture.svg"));
    CHECK_NOTHROW(checkPicturePath(folder.path() / "picture.png"));
    CHECK_THROWS_AS(checkPicturePath("picture.jpg"), UsageError);
    CHECK_THROWS_AS(checkPicturePath("picture"), UsageError);
    CHECK_THROWS_AS(checkPicturePath(folder.path() / "no" / "picture.png"), UsageError);
}

TEST_CASE("the program draws earlier results, and exits with 2 where it cannot") {
    const TemporaryFolder folder;
    const std::string place = folder.path().string();
    Report report{"a device", "a driver", 1, {}};
    report.results = {made("copy_1GiB", "", "fp32", 1, 0, 0),
                      made("matmul_4096", "", "fp32", 3, 0, 0)};
    saveReport(report, folder.path() / "a.json");
    const std::string from = "--from " + place + "/a.json --chart ";
    CHECK(exitCode(from + place + "/a.svg") == 0);
    CHECK_THAT(contents(folder.path() / "a.svg"), ContainsSubstring("fp32 product"));
    CHECK(exitCode(from + place + "/a.gif") == 2);
    CHECK(exitCode(from + place + "/no/a.svg") == 2);
    CHECK(exitCode("--from " + place + "/b.json --chart " + place + "/b.svg") == 2);
    report.results = {made("nothing known", "", "fp32", 1, 0, 0)};
    saveReport(report, folder.path() / "a.json");
    CHECK(exitCode(from + place + "/c.svg") == 2);
}
