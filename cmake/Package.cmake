# cmake --install, and what find_package(mpsvk) finds. Users of the static library need no header
# of a dependency, and no package of one but glslang's, if the library was built with it.
include(CMakePackageConfigHelpers)
set(packageDirectory "${CMAKE_INSTALL_LIBDIR}/cmake/mpsvk")

install(TARGETS mpsvk EXPORT mpsvk COMPONENT library
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT library)
install(EXPORT mpsvk NAMESPACE mpsvk:: FILE mpsvkTargets.cmake DESTINATION "${packageDirectory}"
        COMPONENT library)

set(dependencies Threads)
if(MPSVK_GLSL AND glslang_FOUND AND NOT BUILD_SHARED_LIBS)
    list(APPEND dependencies glslang)
endif()
list(TRANSFORM dependencies REPLACE "(.+)" "find_dependency(\\1)\n")
string(JOIN "" dependencies ${dependencies})
set(config "${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfig.cmake")
file(CONFIGURE OUTPUT "${config}" @ONLY CONTENT [[
include(CMakeFindDependencyMacro)
@dependencies@
include("${CMAKE_CURRENT_LIST_DIR}/mpsvkTargets.cmake")
]])
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${config}" "${CMAKE_CURRENT_BINARY_DIR}/mpsvkConfigVersion.cmake"
        DESTINATION "${packageDirectory}" COMPONENT library)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
        COMPONENT library)
