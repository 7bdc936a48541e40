# cmake --install, and what find_package(mpsvk) finds. Users of the static library need no header
# and no package of a dependency, only threads and the dynamic loader's functions.
include(CMakePackageConfigHelpers)
set(packageDirectory "${CMAKE_INSTALL_LIBDIR}/cmake/mpsvk")

install(TARGETS mpsvk EXPORT mpsvk COMPONENT library
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT library)
install(EXPORT mpsvk NAMESPACE mpsvk:: FILE mpsvkTargets.cmake DESTINATION "${packageDirectory}"
        COMPONENT library)

set(config "${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfig.cmake")
file(WRITE "${config}" [[
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include("${CMAKE_CURRENT_LIST_DIR}/mpsvkTargets.cmake")
]])
if(MPSVK_GLSL AND glslang_FOUND AND NOT BUILD_SHARED_LIBS) # a static library brings none of it
    file(READ "${config}" text)
    string(REPLACE "(Threads)\n" "(Threads)\nfind_dependency(glslang)\n" text "${text}")
    file(WRITE "${config}" "${text}")
endif()
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${config}" "${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfigVersion.cmake"
        DESTINATION "${packageDirectory}" COMPONENT library)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
        COMPONENT library)
