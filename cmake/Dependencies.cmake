# How a dependency is found: the system's package first, then a download pinned to a commit.
include(FetchContent)
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # what we set for a dependency wins over its own options
# tools/setup unpacks here what the system's packages do not bring.
list(APPEND CMAKE_PREFIX_PATH "${PROJECT_SOURCE_DIR}/.deps" "${PROJECT_SOURCE_DIR}/.deps/usr")

# mpsvk_fetch(NAME GIT url COMMIT hash DEBIAN package [BUILD]): makes the pinned sources available
# in ${NAME}_SOURCE_DIR; BUILD also adds the dependency's own CMake project.
macro(mpsvk_fetch name)
    cmake_parse_arguments(fetch "BUILD" "GIT;COMMIT;DEBIAN" "" ${ARGN})
    if(NOT MPSVK_DOWNLOAD)
        message(FATAL_ERROR "${name} is missing: run tools/setup, install it (on Debian and Ubuntu "
                            "the package ${fetch_DEBIAN}), or allow -DMPSVK_DOWNLOAD=ON.")
    endif()
    message(STATUS "${name} is not installed (Debian: ${fetch_DEBIAN}): downloading ${fetch_GIT}")
    if(fetch_BUILD)
        set(fetch_subdirectory "")
    else()
        set(fetch_subdirectory SOURCE_SUBDIR "sources-only")
    endif()
    FetchContent_Declare(${name} GIT_REPOSITORY "${fetch_GIT}" GIT_TAG "${fetch_COMMIT}"
                         ${fetch_subdirectory})
    FetchContent_MakeAvailable(${name})
    FetchContent_GetProperties(${name} SOURCE_DIR ${name}_SOURCE_DIR)
endmacro()

# mpsvk_header_library(NAME HEADER file SUBDIRECTORY include ...): third_party::NAME, headers only.
# HEADER is looked for in the system's include directories (and PATH_SUFFIX in them), and lies in
# SUBDIRECTORY of the sources. The rest is for mpsvk_fetch.
function(mpsvk_header_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;PATH_SUFFIX;SUBDIRECTORY" "")
    find_path(MPSVK_${name}_INCLUDE_DIR "${arg_HEADER}" PATH_SUFFIXES ${arg_PATH_SUFFIX})
    mark_as_advanced(MPSVK_${name}_INCLUDE_DIR)
    set(directory "${MPSVK_${name}_INCLUDE_DIR}")
    if(NOT directory)
        mpsvk_fetch(${name} ${arg_UNPARSED_ARGUMENTS})
        set(directory "${${name}_SOURCE_DIR}/${arg_SUBDIRECTORY}")
    endif()
    set(${name}_INCLUDE_DIR "${directory}" PARENT_SCOPE)
    add_library(third_party::${name} INTERFACE IMPORTED GLOBAL)
    target_include_directories(third_party::${name} INTERFACE "${directory}")
endfunction()
