#include "vk/PipelineStatistics.hpp"

#include <algorithm>
#include <cctype>

namespace mpsvk::vk {

namespace {

uint64_t valueOf(const VkPipelineExecutableStatisticKHR& statistic) {
    switch (statistic.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return statistic.value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return uint64_t(std::max<int64_t>(statistic.value.i64, 0));
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
        return uint64_t(std::max(statistic.value.f64, 0.0));
    default: return statistic.value.u64;
    }
}

std::string lowerCase(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

} // namespace

std::vector<PipelineStatistic> statisticsOf(VkDevice device, VkPipeline pipeline) {
    const VkPipelineInfoKHR of{VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, nullptr, pipeline};
    uint32_t executables = 0;
    vkGetPipelineExecutablePropertiesKHR(device, &of, &executables, nullptr);
    std::vector<PipelineStatistic> made;
    for (uint32_t i = 0; i < executables; ++i) {
        const VkPipelineExecutableInfoKHR one{VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                              nullptr, pipeline, i};
        uint32_t count = 0;
        vkGetPipelineExecutableStatisticsKHR(device, &one, &count, nullptr);
        std::vector<VkPipelineExecutableStatisticKHR> all(
            count, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
        vkGetPipelineExecutableStatisticsKHR(device, &one, &count, all.data());
        for (const auto& statistic : all) made.push_back({statistic.name, valueOf(statistic)});
    }
    return made;
}

bool tellSpills(std::span<const PipelineStatistic> statistics) {
    return std::ranges::any_of(statistics, [](const PipelineStatistic& statistic) {
        const std::string name = lowerCase(statistic.name);
        const auto has = [&](const char* word) { return name.find(word) != std::string::npos; };
        // NVIDIA adds 64 GiB to the size, and what goes to shared memory instead shows only in that
        // there are no more registers to have.
        if (name == "local memory size") return uint32_t(statistic.value) != 0;
        if (name == "register count") return statistic.value >= 255;
        // Scalar registers of AMD go to vector registers.
        if (has("sgpr")) return false;
        // Stores to private memory are what Adreno's spills are.
        return statistic.value != 0 && (has("spill") || has("scratch") || name == "fill count" ||
                                        name == "fills" || name == "stp count");
    });
}

} // namespace mpsvk::vk
