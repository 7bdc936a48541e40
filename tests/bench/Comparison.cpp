// Two reports next to each other: pairs, and geometric means.
#include "Comparison.hpp"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk::bench;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

namespace {

Result made(const std::string& name, const std::string& pass, const std::string& mode, double ms,
            const std::string& group = "convolution") {
    Result result;
    result.name = name;
    result.pass = pass;
    result.mode = mode;
    result.ms = ms;
    result.group = group;
    return result;
}

Report ours(std::vector<Result> results) { return {"ours", "", 1, std::move(results)}; }

} // namespace

TEST_CASE("a pair has the other's fastest mode of the same precision") {
    Report other;
    other.results = {made("conv", "forward", "fp32", 4), made("conv", "forward", "fp16", 3),
                     made("conv", "forward", "fp16_nhwc", 2), made("conv", "backward", "fp16", 1),
                     made("else", "forward", "fp16", 1)};
    other.results.push_back(made("broken", "forward", "fp32", 0));
    other.results.back().error = "no";
    const auto pairs =
        pairsOf(ours({made("conv", "forward", "fp16", 1), made("conv", "forward", "fp32", 8),
                      made("broken", "forward", "fp32", 1), made("missing", "forward", "fp32", 1)}),
                other);
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].otherMs == 2);
    CHECK(pairs[0].otherMode == "fp16_nhwc");
    CHECK(pairs[0].ratio() == 2);
    CHECK(pairs[1].otherMs == 4);
    CHECK(pairs[1].ratio() == 0.5);
}

TEST_CASE("a pass that the other does in several ways makes a pair of each, by wall time") {
    Report mine = ours({made("train", "step", "fp16", 1, "training_step")}), other;
    mine.results[0].wallMs = 2;
    other.results = {made("train", "step", "fp16", 9), made("train", "step", "fp16_nhwc", 8),
                     made("train", "step_replay", "fp16", 5), made("train", "steps", "fp16", 1)};
    const auto pairs = pairsOf(mine, other);
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].ms == 2);
    CHECK(pairs[0].otherPass == "step");
    CHECK(pairs[0].otherMs == 8);
    CHECK(pairs[1].otherPass == "step_replay");
    CHECK(pairs[1].otherMs == 5);
}

TEST_CASE("means are geometric, of groups and precisions, and of all with the fastest way") {
    Report other;
    other.results = {made("a", "forward", "fp32", 2),         made("b", "forward", "fp32", 8),
                     made("b", "forward", "fp16", 1),         made("train", "step", "fp32", 4),
                     made("train", "step_replay", "fp32", 2), made("copy", "blit", "fp32", 100)};
    const auto means = meansOf(
        pairsOf(ours({made("copy", "blit", "fp32", 1, "copy"), made("a", "forward", "fp32", 1),
                      made("b", "forward", "fp32", 1), made("b", "forward", "fp16", 2),
                      made("train", "step", "fp32", 1, "training_step")}),
                other));
    REQUIRE(means.size() == 5);
    CHECK(means[0].name == "copy");
    CHECK(means[1].name == "convolution");
    CHECK(means[1].fp32.value == Approx(4));
    CHECK(means[1].fp32.count == 2);
    CHECK(means[1].fp16.value == Approx(0.5));
    CHECK(means[1].both.value == Approx(2));
    CHECK(means[2].name == "training_step");
    CHECK(means[2].both.value == Approx(4));
    CHECK(means[2].fp16.count == 0);
    CHECK(means[3].name == "training_step, step_replay");
    CHECK(means[3].fp32.value == Approx(2));
    CHECK(means[4].name == "all");
    CHECK(means[4].both.count == 4); // the copy is a control, the step is counted once
    CHECK(means[4].both.value == Approx(2));
    CHECK(meansOf({}).empty());
}

TEST_CASE("the printed comparison names the other's way and counts what has no counterpart") {
    Report other;
    other.results = {made("conv", "forward", "fp16_nhwc", 2), made("x", "forward", "fp32", 3)};
    const std::string text =
        comparison(ours({made("conv", "forward", "fp16", 4), made("x", "forward", "fp32", 2, ""),
                         made("alone", "forward", "fp32", 1)}),
                   other);
    CHECK_THAT(text, ContainsSubstring("0.50x  (forward, fp16_nhwc)"));
    CHECK_THAT(text, ContainsSubstring("1 results have no counterpart"));
    CHECK_THAT(text, !ContainsSubstring("alone"));
    CHECK_THAT(text, ContainsSubstring("geometric means") && ContainsSubstring("other  ") &&
                         ContainsSubstring("0.87x   (2)"));
    CHECK_THAT(comparison(ours({made("alone", "forward", "fp32", 1)}), other),
               !ContainsSubstring("geometric"));
}
