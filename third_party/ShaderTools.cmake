# The programs that turn glsl/ into SPIR-V at build time: MPSVK_GLSL_COMPILER (glslang or glslc;
# MPSVK_GLSL_COMMAND has the options that are always given), MPSVK_SPIRV_VAL and MPSVK_SPIRV_OPT
# (SPIRV-Tools; empty when there are none).
find_program(MPSVK_GLSL_COMPILER NAMES glslang glslangValidator glslc)
find_program(MPSVK_SPIRV_VAL spirv-val)
find_program(MPSVK_SPIRV_OPT spirv-opt)

if(NOT MPSVK_GLSL_COMPILER)
    set(ENABLE_OPT OFF)
    set(ENABLE_HLSL OFF)
    set(GLSLANG_TESTS OFF)
    mpsvk_fetch(
        glslang BUILD
        GIT https://github.com/KhronosGroup/glslang.git
        COMMIT 99ee11b0106b48f06fb9e2a324ba928b8316cc33 # 15.2.0
        DEBIAN glslang-tools)
    set(MPSVK_GLSL_COMPILER "$<TARGET_FILE:glslang-standalone>")
endif()
if(MPSVK_GLSL_COMPILER MATCHES "glslc[^/]*$")
    set(MPSVK_GLSL_COMMAND "${MPSVK_GLSL_COMPILER}" --target-env=vulkan1.1)
else()
    set(MPSVK_GLSL_COMMAND "${MPSVK_GLSL_COMPILER}" --target-env vulkan1.1)
endif()
if(NOT MPSVK_SPIRV_VAL OR NOT MPSVK_SPIRV_OPT)
    message(STATUS "No SPIRV-Tools (Debian: spirv-tools): shaders are neither validated nor optimized")
endif()
foreach(tool MPSVK_SPIRV_VAL MPSVK_SPIRV_OPT)
    if(NOT ${tool})
        set(${tool} "")
    endif()
endforeach()
