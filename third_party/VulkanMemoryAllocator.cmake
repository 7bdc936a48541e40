# VulkanMemoryAllocator places buffers and textures in device memory.
mpsvk_header_library(
    VulkanMemoryAllocator
    HEADER vk_mem_alloc.h
    PATH_SUFFIX vma
    SUBDIRECTORY include
    GIT https://github.com/GPUOpen-LibrariesAndSDKs/VulkanMemoryAllocator.git
    COMMIT c788c52156f3ef7bc7ab769cb03c110a53ac8fcb # v3.2.1
    DEBIAN libvulkan-memory-allocator-dev)
