// What a compute shader's SPIR-V says of itself: the truth about bindings that nobody writes twice.
#pragma once

#include "vk/Vulkan.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::vk {

/// The value of a specialization constant, as its 32 bits.
struct Constant {
    uint32_t id = 0, value = 0;
    friend auto operator<=>(const Constant&, const Constant&) = default;
};

struct ReflectedBinding {
    uint32_t binding = 0;
    VkDescriptorType type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    bool reads = false, writes = false;
};

struct Reflection {
    std::vector<ReflectedBinding> bindings;     ///< of descriptor set 0, by rising binding
    std::array<uint32_t, 3> localSize{1, 1, 1}; ///< with the given constants
    std::array<uint32_t, 3> localSizeId{}; ///< specialization constant of each, if `hasLocalSizeId`
    std::array<bool, 3> hasLocalSizeId{};
    std::vector<uint32_t> constantIds; ///< of all specialization constants, rising
    uint32_t pushConstantBytes = 0;
    uint64_t sharedBytes = 0; ///< of workgroup memory, with the given constants
    std::vector<uint32_t> capabilities;
    std::string entryPoint;
};

/// Throws DeviceError when `code` is not a compute shader in SPIR-V, or uses another descriptor
/// set than 0 or a kind of resource that this library does not bind. `name` is for the message,
/// `constants` replace the shader's own defaults.
Reflection reflect(std::string_view name, std::span<const uint32_t> code,
                   std::span<const Constant> constants = {});

} // namespace mpsvk::vk
