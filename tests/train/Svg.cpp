#include "Svg.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <mpsvk/Error.hpp>

#include "Files.hpp"

using namespace mpsvk::train;
using namespace mpsvk::train::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr Colour white{255, 255, 255}, red{255, 0, 0};

} // namespace

TEST_CASE("an SVG has an element for each thing that was drawn", "[train]") {
    Svg svg(200, 100, white);
    svg.rectangle({1, 2}, {11, 22}, red);
    svg.line({0, 0}, {10, 5.5}, 2, red);
    svg.disc({50, 40}, 4, red);
    const std::string file = svg.file();
    CHECK_THAT(file, ContainsSubstring("viewBox=\"0 0 200 100\""));
    CHECK_THAT(file,
               ContainsSubstring(R"(<rect x="1" y="2" width="10" height="20" fill="#ff0000"/>)"));
    CHECK_THAT(file, ContainsSubstring(R"(points="0,0 10,5.5")"));
    CHECK_THAT(file, ContainsSubstring(R"(<circle cx="50" cy="40" r="4")"));
    CHECK(file.ends_with("</svg>\n"));
}

TEST_CASE("texts of an SVG are aligned, turned and escaped", "[train]") {
    Svg svg(200, 100, white);
    svg.text({30, 10}, "a < b & c", 2, red, Align::Right);
    svg.text({30, 30}, "", 2, red);
    svg.textUpwards({10, 50}, "up", 1, red);
    const std::string file = svg.file();
    CHECK_THAT(file, ContainsSubstring(">a &lt; b &amp; c</text>"));
    CHECK_THAT(file,
               ContainsSubstring(R"(x="30" y="24")") && ContainsSubstring(R"(text-anchor="end")"));
    CHECK_THAT(file, ContainsSubstring("translate(17 50) rotate(-90)"));
    CHECK_THAT(file, !ContainsSubstring(R"(y="44")"));
}

TEST_CASE("what is named in an SVG is a group with a title", "[train]") {
    Svg svg(20, 10, white);
    svg.beginNamed("one <1>");
    svg.disc({5, 5}, 2, red);
    svg.endNamed();
    CHECK_THAT(svg.file(), ContainsSubstring("<g><title>one &lt;1&gt;</title>\n<circle"));
    CHECK_THAT(svg.file(), ContainsSubstring("</g>\n</svg>"));
}

TEST_CASE("an SVG is saved as its text, or refused", "[train]") {
    TemporaryFolder folder;
    const Svg svg(20, 10, white);
    svg.save(folder.path() / "picture.svg");
    const Bytes bytes = readBytes(folder.path() / "picture.svg");
    CHECK(std::string(bytes.begin(), bytes.end()) == svg.file());
    CHECK_THROWS_AS(svg.save(folder.path() / "no" / "picture.svg"), mpsvk::FormatError);
}
