#include "Axes.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::train;
using Catch::Approx;

namespace {

std::vector<double> places(const Axis& axis) {
    std::vector<double> made;
    for (const Tick& tick : axis.ticks) made.push_back(tick.at);
    return made;
}

} // namespace

TEST_CASE("a logarithmic axis goes from round number to round number", "[train]") {
    const Axis axis = logarithmicAxis(0.3, 7);
    CHECK(axis.low == Approx(0.2));
    CHECK(axis.high == Approx(10));
    REQUIRE(axis.ticks.size() == 6);
    CHECK(axis.ticks.front().text == "0.2");
    CHECK(axis.ticks[1].text == "0.5");
    CHECK(axis.ticks.back().text == "10");
    CHECK(axis.share(axis.low) == Approx(0));
    CHECK(axis.share(axis.high) == Approx(1));
    CHECK(axis.share(1) == Approx(0.41139).epsilon(1e-4));
}

TEST_CASE("a logarithmic axis of many decades has ticks at powers of ten", "[train]") {
    const Axis axis = logarithmicAxis(0.003, 40000);
    CHECK(axis.low == Approx(0.002));
    CHECK(axis.high == Approx(50000));
    CHECK(places(axis).size() == 7);
    CHECK(axis.ticks.front().text == "0.01");
    CHECK(axis.ticks.back().text == "10000");
}

TEST_CASE("an axis encloses what is a round number itself, and is never empty", "[train]") {
    for (const double at : {0.01, 0.2, 1.0, 5.0, 1000.0}) {
        const Axis axis = logarithmicAxis(at, at);
        CHECK(axis.low == Approx(at));
        CHECK(axis.high > axis.low);
    }
    CHECK(logarithmicAxis(1, 100).high == Approx(100));
}

TEST_CASE("a frame places values within its area", "[train]") {
    const Frame frame{{100, 50, 300, 150}, {0, 10, false, {}}, logarithmicAxis(1, 100)};
    CHECK(frame.place(0, 1).x == Approx(100));
    CHECK(frame.place(0, 1).y == Approx(150));
    CHECK(frame.place(5, 10).x == Approx(200));
    CHECK(frame.place(5, 10).y == Approx(100));
}
