#include "Progress.hpp"

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <sstream>

using namespace mpsvk::train;

namespace {

const ProgressState halfway{.epoch = 2,
                            .epochs = 20,
                            .step = 22,
                            .steps = 44,
                            .loss = 0.12345,
                            .accuracy = 0.9625,
                            .imagesPerSecond = 2310.4,
                            .secondsLeft = 12};

} // namespace

TEST_CASE("durations read like a clock", "[train]") {
    CHECK(durationText(0) == "0:00");
    CHECK(durationText(59.6) == "1:00");
    CHECK(durationText(754) == "12:34");
    CHECK(durationText(3723) == "1:02:03");
    CHECK(durationText(-1) == "-:--");
    CHECK(durationText(std::numeric_limits<double>::infinity()) == "-:--");
    CHECK(durationText(std::numeric_limits<double>::quiet_NaN()) == "-:--");
}

TEST_CASE("the progress line fits every width", "[train]") {
    CHECK(progressLine(halfway, 100) ==
          "Epoch  3/20 [==============>              ]  loss 0.1235  accuracy  96.2 %  "
          "2310 images/s  0:12 left");
    for (size_t width = 0; width < 140; ++width)
        CHECK(progressLine(halfway, width).size() <= width);
    ProgressState full = halfway;
    full.step = 44;
    CHECK(progressLine(full, 120).find("[==============================]") != std::string::npos);
    CHECK(progressLine(halfway, 70) ==
          "Epoch  3/20   loss 0.1235  accuracy  96.2 %  2310 images/s  0:12 left");
}

TEST_CASE("off a terminal there are plain lines only", "[train]") {
    std::ostringstream out;
    Progress progress(out, false, 80);
    progress.update(halfway);
    progress.line("one");
    progress.update(halfway);
    progress.line("two");
    CHECK(out.str() == "one\ntwo\n");
}

TEST_CASE("on a terminal the bar gives way to lines", "[train]") {
    std::ostringstream out;
    Progress progress(out, true, 80);
    progress.update(halfway);
    const std::string bar = out.str();
    CHECK(bar == "\r\033[K" + progressLine(halfway, 79));
    progress.update(halfway); // at once again: not drawn
    CHECK(out.str() == bar);
    progress.line("done");
    CHECK(out.str() == bar + "\r\033[Kdone\n");
}
