# volk and VulkanMemoryAllocator are compiled into the library. Their symbols carry its name, so
# that a program may link the static library together with a Vulkan loader (volk's function pointers
# are named as its functions) or with another version of the two.
#
# mpsvk_private_symbols(TARGET LIBRARY...): TARGET's users get, for the header of each LIBRARY, one
# that renames the symbols and includes the original.
function(mpsvk_private_symbols target)
    set(volk_header volk.h)
    set(volk_pattern "volk[A-Z][A-Za-z0-9]+|extern PFN_vk[A-Za-z0-9]+ vk[A-Za-z0-9]+")
    set(VulkanMemoryAllocator_header vk_mem_alloc.h)
    set(VulkanMemoryAllocator_pattern "[Vv]ma[A-Z][A-Za-z0-9_]+")

    set(directory "${CMAKE_CURRENT_BINARY_DIR}/private-symbols")
    foreach(library IN LISTS ARGN)
        set(original "${${library}_INCLUDE_DIR}/${${library}_header}")
        file(STRINGS "${original}" lines REGEX "${${library}_pattern}")
        string(REGEX MATCHALL "${${library}_pattern}" symbols "${lines}")
        list(TRANSFORM symbols REPLACE "^extern .* " "")
        list(SORT symbols)
        list(REMOVE_DUPLICATES symbols)
        list(TRANSFORM symbols REPLACE "(.+)" "#define \\1 mpsvk_\\1\n")
        string(JOIN "" defines ${symbols})
        file(CONFIGURE OUTPUT "${directory}/${${library}_header}" @ONLY
             CONTENT "#pragma once\n#pragma GCC system_header\n@defines@#include \"@original@\"\n")
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${original}")
    endforeach()
    # Not a system directory: it must come before those.
    target_include_directories(${target} INTERFACE "${directory}")
endfunction()
