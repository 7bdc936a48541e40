# zlib reads compressed data sets.
find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
    set(ZLIB_BUILD_EXAMPLES OFF)
    mpsvk_fetch(
        zlib BUILD
        GIT https://github.com/madler/zlib.git
        COMMIT 51b7f2abdade71cd9bb0e7a373ef2610ec6f9daf # v1.3.1
        DEBIAN zlib1g-dev)
    add_library(ZLIB::ZLIB INTERFACE IMPORTED GLOBAL)
    target_link_libraries(ZLIB::ZLIB INTERFACE zlibstatic)
    target_include_directories(ZLIB::ZLIB INTERFACE "${zlib_SOURCE_DIR}" "${zlib_BINARY_DIR}")
endif()
