// The one place where VulkanMemoryAllocator's functions are defined.
#include <volk.h>

#define VMA_IMPLEMENTATION
#include <vk_mem_alloc.h>
