# volk loads Vulkan's functions at run time: the library links no Vulkan loader.
mpsvk_header_library(
    volk
    HEADER volk.h
    SUBDIRECTORY .
    GIT https://github.com/zeux/volk.git
    COMMIT 58689c063427f5bad4f133625049b1a3c5dd8287 # vulkan-sdk-1.4.309.0
    DEBIAN libvulkan-volk-dev)
