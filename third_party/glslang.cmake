# glslang compiles the GLSL that users hand to Device::newLibrary at run time. Optional: without it
# a library is made of SPIR-V only.
find_package(glslang QUIET CONFIG)
if(NOT glslang_FOUND)
    message(STATUS "No glslang library (Debian: glslang-dev): Device::newLibrary takes SPIR-V only")
endif()
