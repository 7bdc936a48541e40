# Run by the build for one shader (cmake -P): compiles SOURCE plain and with -DMPSVK_TEXTURES,
# optimizes and validates both, writes them as C++ arrays to OUTPUT and what was read to OUTPUT.d.
# A SOURCE that defines MPSVK_BFLOAT16 means bf16 by float16_t, since compilers that are around do not
# know that type: what is written says so, what is validated does not.
# COMPILE is the compiler with its options; VALIDATOR and OPTIMIZER may be empty.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET SOURCE STEM name)
file(STRINGS "${SOURCE}" bfloat16 REGEX "^#define MPSVK_BFLOAT16")

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE failure OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(failure)
        message(NOTICE "${text}")
        message(FATAL_ERROR "Shader ${name} (glsl/${name}.comp ${defines}) does not compile.")
    endif()
endfunction()

# Makes the 16-bit floats of the SPIR-V words in VARIABLE bf16 (SPV_KHR_bfloat16).
function(make_bfloat16 variable)
    set(capability "0x00020011,0x00000009,") # Float16
    set(extension "0x0008000a,0x5f565053,0x5f52484b,0x706f6f63,") # "SPV_KHR_coop…"
    set(type "0x00030016,(0x[0-9a-f]+),0x00000010,") # OpTypeFloat of 16 bits
    foreach(part IN ITEMS "${capability}" "${extension}" "${type}")
        string(REGEX MATCHALL "${part}" found "${${variable}}")
        list(LENGTH found count)
        if(NOT count EQUAL 1)
            message(FATAL_ERROR "Shader ${name}: its SPIR-V has ${count} times ${part}, not once.")
        endif()
    endforeach()
    # BFloat16TypeKHR and BFloat16CooperativeMatrixKHR; the extension goes first; its encoding is 0.
    string(REPLACE "${capability}" "0x00020011,0x000013fc,0x00020011,0x000013fe," made "${${variable}}")
    string(REPLACE "${extension}"
        "0x0006000a,0x5f565053,0x5f52484b,0x6f6c6662,0x36317461,0x00000000,${extension}" made "${made}")
    string(REGEX REPLACE "${type}" "0x00040016,\\1,0x00000010,0x00000000," made "${made}")
    set(${variable} "${made}" PARENT_SCOPE)
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
    if(bfloat16)
        make_bfloat16(words)
    endif()
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
