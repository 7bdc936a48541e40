# mpsvk_embed_shaders(TARGET DIRECTORY): compiles every .comp below DIRECTORY and adds the table of
# src/vk/Shaders.hpp to TARGET. A new shader is found by itself; its stem is its name.
function(mpsvk_embed_shaders target directory)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS LIST_DIRECTORIES false "${directory}/*.comp")
    set(outputDirectory "${CMAKE_CURRENT_BINARY_DIR}/shaders")

    set(names "")
    foreach(source IN LISTS sources)
        mpsvk_compiler_lacks("${source}" lacking)
        cmake_path(GET source STEM name)
        if(lacking)
            message(STATUS "Shader ${name} is left out: ${MPSVK_GLSL_COMPILER} lacks ${lacking}")
            continue()
        endif()
        if(name IN_LIST names)
            message(FATAL_ERROR "Two shaders are named ${name}; a shader's name is its stem.")
        endif()
        list(APPEND names "${name}")
        set(output "${outputDirectory}/${name}.inc")
        list(APPEND outputs "${output}")
        mpsvk_compile_shader("${source}" "${output}" "${directory}")
    endforeach()

    list(SORT names)
    set(includes "")
    set(rows "")
    foreach(name IN LISTS names)
        string(APPEND includes "#include \"${name}.inc\"\n")
        string(APPEND rows "    {\"${name}\", ${name}_code, ${name}_texturesCode},\n")
    endforeach()
    list(LENGTH names count)
    file(CONFIGURE OUTPUT "${outputDirectory}/Shaders.cpp" @ONLY CONTENT [[
// Generated from glsl/*.comp.
#include "vk/Shaders.hpp"

#include <array>

namespace mpsvk::vk {
namespace {
@includes@
const std::array<Shader, @count@> table{{
@rows@}};
} // namespace

std::span<const Shader> shaders() {
    return table;
}
} // namespace mpsvk::vk
]])
    target_sources(${target} PRIVATE "${outputDirectory}/Shaders.cpp")
    set_source_files_properties("${outputDirectory}/Shaders.cpp" PROPERTIES OBJECT_DEPENDS
                                                                            "${outputs}")
endfunction()

# OUTPUT: SOURCE's two forms as the C++ arrays <stem>_code and <stem>_texturesCode.
function(mpsvk_compile_shader source output includeDirectory)
    set(script "${PROJECT_SOURCE_DIR}/cmake/CompileShader.cmake")
    cmake_path(GET source STEM name)
    add_custom_command(
        OUTPUT "${output}"
        COMMAND
            "${CMAKE_COMMAND}" "-DSOURCE=${source}" "-DOUTPUT=${output}"
            "-DINCLUDE_DIRECTORY=${includeDirectory}" "-DCOMPILE=${MPSVK_GLSL_COMMAND}"
            "-DVALIDATOR=${MPSVK_SPIRV_VAL}" "-DOPTIMIZER=${MPSVK_SPIRV_OPT}" -P "${script}"
        DEPENDS "${source}" "${script}" "${MPSVK_GLSL_COMPILER}"
        DEPFILE "${output}.d"
        COMMENT "Compiling shader ${name}"
        VERBATIM)
endfunction()

# Sets RESULT to the first extension that SOURCE requires and the compiler does not know. Only
# extensions that are younger than the oldest supported compiler are asked about.
function(mpsvk_compiler_lacks source result)
    set(${result} "" PARENT_SCOPE)
    if(TARGET glslang-standalone) # not built yet, and young enough
        return()
    endif()
    set(young "KHR_cooperative_matrix|NV_cooperative_matrix2|EXT_bfloat16")
    file(STRINGS "${source}" lines REGEX "^#extension +GL_(${young}) *: *require")
    foreach(line IN LISTS lines)
        string(REGEX MATCH "GL_[A-Za-z0-9_]+" extension "${line}")
        get_property(known GLOBAL PROPERTY MPSVK_COMPILES_${extension})
        if(NOT known)
            set(probe "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/probe.comp")
            file(WRITE "${probe}" "#version 450\n#extension ${extension} : require\nvoid main() {}\n")
            execute_process(COMMAND ${MPSVK_GLSL_COMMAND} -o "${probe}.spv" "${probe}"
                            RESULT_VARIABLE failure OUTPUT_QUIET ERROR_QUIET)
            if(failure)
                set(${result} "${extension}" PARENT_SCOPE)
                return()
            endif()
            set_property(GLOBAL PROPERTY MPSVK_COMPILES_${extension} ON)
        endif()
    endforeach()
endfunction()
