// Vulkan through volk, memory through VulkanMemoryAllocator, and one way to check a VkResult.
#pragma once

#include <volk.h>

#include <vk_mem_alloc.h>

#include <mpsvk/Error.hpp>

#include <string>
#include <string_view>

namespace mpsvk::vk {

const char* resultName(VkResult result);

/// The DeviceError of a Vulkan function: "<what> failed with <VkResult>."
class ResultError : public DeviceError {
public:
    ResultError(VkResult result, std::string_view what)
        : DeviceError(std::string(what) + " failed with " + resultName(result) + "."),
          result_(result) {}
    VkResult result() const { return result_; }

private:
    VkResult result_;
};

/// Throws ResultError unless `result` is VK_SUCCESS.
void check(VkResult result, std::string_view what);

} // namespace mpsvk::vk
