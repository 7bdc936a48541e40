# Run by the build for one shader (cmake -P): compiles SOURCE plain and with -DMPSVK_TEXTURES,
# optimizes and validates both, writes them as C++ arrays to OUTPUT and what was read to OUTPUT.d.
# COMPILE is the compiler with its options; VALIDATOR and OPTIMIZER may be empty.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET SOURCE STEM name)

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE failure OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(failure)
        message(NOTICE "${text}")
        message(FATAL_ERROR "Shader ${name} (glsl/${name}.comp ${defines}) does not compile.")
    endif()
endfunction()

# Compiles one form into ${form}_words and adds what it read to `dependencies`.
function(compile form defines)
    set(binary "${OUTPUT}.${form}.spv")
    set(depfile --depfile)
    if(COMPILE MATCHES "--target-env=") # glslc
        set(depfile -MD -MF)
    endif()
    run(${COMPILE} "-I${INCLUDE_DIRECTORY}" ${defines} ${depfile} "${binary}.d" -o "${binary}"
        "${SOURCE}")
    if(OPTIMIZER)
        run("${OPTIMIZER}" --target-env=vulkan1.1 -O "${binary}" -o "${binary}")
    endif()
    if(VALIDATOR)
        run("${VALIDATOR}" --target-env vulkan1.1 "${binary}")
    endif()

    file(READ "${binary}.d" read)
    string(REGEX REPLACE "^.*\\.spv: *" "" read "${read}")
    string(STRIP "${read}" read)
    set(dependencies "${dependencies} ${read}" PARENT_SCOPE)

    file(READ "${binary}" hex HEX)
    string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
    string(REPEAT "..........," 8 line)
    string(REGEX REPLACE "(${line})" "\\1\n" words "${words}")
    set(${form}_words "${words}" PARENT_SCOPE)
    file(REMOVE "${binary}" "${binary}.d")
endfunction()

compile(code "")
compile(texturesCode "-DMPSVK_TEXTURES")

if(texturesCode_words STREQUAL code_words)
    set(second "constexpr const auto& ${name}_texturesCode = ${name}_code;\n")
else()
    set(second "constexpr std::uint32_t ${name}_texturesCode[] = {\n${texturesCode_words}};\n")
endif()
file(WRITE "${OUTPUT}" "constexpr std::uint32_t ${name}_code[] = {\n${code_words}};\n${second}")
file(WRITE "${OUTPUT}.d" "${OUTPUT}: ${dependencies}\n")
