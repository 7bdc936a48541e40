// Whether registers spill, by what several drivers say.
#include "vk/PipelineStatistics.hpp"

#include "Rig.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Statistics = std::vector<vk::PipelineStatistic>;

TEST_CASE("Spills in the words of several drivers", "[PipelineStatistics]") {
    constexpr uint64_t base = 64ull << 30;
    CHECK_FALSE(vk::tellSpills(Statistics{}));
    // NVIDIA
    CHECK_FALSE(vk::tellSpills(Statistics{{"Register Count", 240}, {"Local Memory Size", base}}));
    CHECK(vk::tellSpills(Statistics{{"Register Count", 240}, {"Local Memory Size", base + 16}}));
    CHECK(vk::tellSpills(Statistics{{"Register Count", 255}, {"Local Memory Size", base}}));
    // Mesa, for AMD, Intel and Mali
    CHECK_FALSE(vk::tellSpills(
        Statistics{{"VGPRs", 255}, {"Spilled SGPRs", 3}, {"Spilled VGPRs", 0}, {"LDS size", 99}}));
    CHECK(vk::tellSpills(Statistics{{"Spilled VGPRs", 1}}));
    CHECK(vk::tellSpills(Statistics{{"Scratch size", 1024}}));
    CHECK(vk::tellSpills(Statistics{{"Instruction Count", 7}, {"Spill Count", 2}}));
    CHECK_FALSE(vk::tellSpills(Statistics{{"Spill Count", 0}, {"Fill Count", 0}}));
    CHECK(vk::tellSpills(Statistics{{"Fills", 4}}));
    CHECK(vk::tellSpills(Statistics{{"STP Count", 4}}));
}

TEST_CASE("A pipeline with statistics", "[PipelineStatistics]") {
    const vk::Constant none[] = {{0, 0}};
    const auto pipeline =
        insides().pipelines().find("ImageFill", false, std::span(none).first(0), true);
    CHECK_FALSE(pipeline->spills());
    CHECK(pipeline == insides().pipelines().find("ImageFill", false, std::span(none).first(0)));
}
