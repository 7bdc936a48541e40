# The Vulkan headers. The oldest that suffice are Debian 12's.
mpsvk_header_library(
    VulkanHeaders
    HEADER vulkan/vulkan_core.h
    SUBDIRECTORY include
    GIT https://github.com/KhronosGroup/Vulkan-Headers.git
    COMMIT 952f776f6573aafbb62ea717d871cd1d6816c387 # vulkan-sdk-1.4.309.0
    DEBIAN libvulkan-dev)

set(header "${VulkanHeaders_INCLUDE_DIR}/vulkan/vulkan_core.h")
file(STRINGS "${header}" version REGEX "^#define VK_HEADER_VERSION(_COMPLETE)? ")
string(REGEX REPLACE ".*HEADER_VERSION ([0-9]+).*MAKE_API_VERSION\\([0-9]+, *([0-9]+), *([0-9]+).*"
                     "\\2.\\3.\\1" version "${version}")
if(version VERSION_LESS 1.3.239)
    message(FATAL_ERROR "${header} is of Vulkan ${version}; 1.3.239 or newer is needed.")
endif()
