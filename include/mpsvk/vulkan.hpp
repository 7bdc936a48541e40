// Interoperation with a program's own Vulkan objects. The one public header that includes Vulkan's.
#pragma once

#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/Device.hpp>
#include <mpsvk/MTL/Texture.hpp>

#include <vulkan/vulkan_core.h>

#include <functional>

namespace mpsvk::vulkan {

/// A device and one of its compute queues.
struct DeviceHandles {
    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physicalDevice = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    uint32_t queueFamilyIndex = 0;
    VkQueue queue = VK_NULL_HANDLE;
    /// The feature shaderStorageImageWriteWithoutFormat is enabled. Without it there are no
    /// textures.
    bool storageImageWriteWithoutFormat = false;
    /// The extension VK_KHR_push_descriptor is enabled. Without it dispatches cost the host more.
    bool pushDescriptor = false;
    /// The extensions VK_KHR_cooperative_matrix, VK_KHR_vulkan_memory_model and
    /// VK_KHR_shader_float16_int8 are enabled with the features cooperativeMatrix,
    /// vulkanMemoryModel and shaderFloat16. Without them products of fp16 are slower.
    bool cooperativeMatrix = false;
    /// In addition the extension VK_KHR_shader_bfloat16 is enabled with the features
    /// shaderBFloat16Type and shaderBFloat16CooperativeMatrix. Without it
    /// KernelOptions::AllowReducedPrecision changes nothing, and products of fp32 are slower where
    /// matrices of bf16 are much faster than fp32.
    bool bfloat16 = false;
};

/// A device of the program's, of Vulkan 1.1 or newer. Nothing of it is destroyed here: it must
/// outlive every object made from it. Throws InvalidArgument for a null handle and for a queue
/// family that does not compute.
MTL::Device adoptDevice(const DeviceHandles& handles);

/// What is behind `device`. The handles are valid while the device is.
DeviceHandles handles(const MTL::Device& device);

/// Calls `use` while this library submits nothing: the way to use a queue together with it.
void withQueue(const MTL::Device& device, const std::function<void(VkQueue)>& use);

/// A buffer of the program's, made with storage, uniform, indirect and both transfer usages; it
/// must outlive the command buffers that use it. `mapped` is its first byte on the host, in
/// coherent memory, or null; without it the buffer counts as private.
MTL::Buffer wrapBuffer(const MTL::Device& device, VkBuffer buffer, uint64_t length, void* mapped);

/// A range of a VkBuffer that other objects share.
struct BufferHandle {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceSize offset = 0, size = 0;
};
BufferHandle handle(const MTL::Buffer& buffer);

/// A 2D image of the program's with one level and one sample, made with sampled, storage and both
/// transfer usages, in layout VK_IMAGE_LAYOUT_GENERAL whenever a command buffer uses it; it must
/// outlive those. The descriptor gives format, size and array length.
MTL::Texture wrapImage(const MTL::Device& device, VkImage image,
                       const MTL::TextureDescriptor& descriptor);

/// The image of a texture, always in layout VK_IMAGE_LAYOUT_GENERAL, and a 2D-array view of it.
struct ImageHandle {
    VkImage image = VK_NULL_HANDLE;
    VkImageView view = VK_NULL_HANDLE;
    VkFormat format = VK_FORMAT_UNDEFINED;
};
ImageHandle handle(const MTL::Texture& texture);

} // namespace mpsvk::vulkan
