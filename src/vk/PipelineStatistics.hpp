// What a driver tells about the machine code of a pipeline: VK_KHR_pipeline_executable_properties.
#pragma once

#include "vk/Vulkan.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::vk {

struct PipelineStatistic {
    std::string name;
    uint64_t value = 0;
};

/// Of a pipeline that was created to have them.
std::vector<PipelineStatistic> statisticsOf(VkDevice device, VkPipeline pipeline);

/// Whether registers or arrays went to memory, in the terms of any driver.
bool tellSpills(std::span<const PipelineStatistic> statistics);

} // namespace mpsvk::vk
