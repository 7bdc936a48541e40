# Makes docs/conformance.md of what the tests have said (support/Conformance.hpp), and fails when the
# file in the tree says something else, or when something is missing.
#   cmake -DROOT=... -DCLAIMS=... -P Conformance.cmake           compares
#   cmake -DROOT=... -DCLAIMS=... -DWRITE=ON -P Conformance.cmake  writes the file
cmake_minimum_required(VERSION 3.25)
set(aspects forward gradient state buffer texture fp16 archive misuse)
set(heads forward gradient "state or source" buffers textures fp16 "copy, archive" misuse)

set(said "")
file(GLOB files "${CLAIMS}/*.txt")
foreach(file IN LISTS files)
    file(STRINGS "${file}" lines)
    list(APPEND said ${lines})
endforeach()

string(JOIN " | " head ${heads})
set(table "| class | ${head} |\n|---|---|---|---|---|---|---|---|---|\n")
set(missing "")
set(known "")
file(STRINGS "${ROOT}/tests/support/classes.txt" lines REGEX "^[A-Z]")
foreach(line IN LISTS lines)
    string(REGEX MATCH "^([A-Za-z0-9]+): (.*)$" line "${line}")
    set(class "${CMAKE_MATCH_1}")
    set(wanted "${CMAKE_MATCH_2}")
    list(APPEND known "${class}")
    if(wanted STREQUAL "abstract")
        string(APPEND table "| `${class}` | abstract | – | – | – | – | – | – | –\n")
        continue()
    elseif(wanted STREQUAL "deprecated")
        string(APPEND table "| `${class}` | left out | – | – | – | – | – | – | –\n")
        continue()
    endif()
    string(REPLACE " " ";" wanted "${wanted}")
    set(cells "")
    foreach(aspect IN LISTS aspects)
        set(cell "–")
        if("${class} ${aspect}" IN_LIST said)
            set(cell "yes")
        elseif(aspect IN_LIST wanted)
            set(cell "**no**")
            list(APPEND missing "${class} ${aspect}")
        endif()
        list(APPEND cells "${cell}")
    endforeach()
    string(JOIN " | " cells ${cells})
    string(APPEND table "| `${class}` | ${cells} |\n")
endforeach()

foreach(claim IN LISTS said)
    string(REGEX REPLACE " .*" "" class "${claim}")
    if(NOT class IN_LIST known)
        message(FATAL_ERROR "A test speaks of the class ${class}, which tests/support/classes.txt "
                            "does not have.")
    endif()
endforeach()

file(CONFIGURE OUTPUT "${CLAIMS}/conformance.md" @ONLY CONTENT [[
# Conformance

What the tests show of each kernel, state and data source of Apple's MPSNeuralNetwork, MPSMatrix and
MPSNDArray, and of the scaling of MPSImage. This page is made by the tests
(`tests/support/Conformance.hpp`): a cell says yes when a test that checks it has passed, and the test
suite fails when the page and the tests differ.

- **forward**, **gradient**: equal to a double-precision reference within a tolerance that has a reason,
  usually a relative error of 1e-5 in fp32 and 1e-3 with fp16 images; gradients also by finite differences
  in mid-graph.
- **state or source**: what a state keeps and a data source gives, and how long.
- **buffers**, **textures**, **fp16**: the same with images stored so.
- **copy, archive**: a copy and a kernel that went through an archive give the same bits.
- **misuse**: is refused with a sentence that names the object, and nothing is recorded.

A dash does not apply. `left out` are classes that Apple has deprecated: `CNNNeuron` has all their
functions.

@table@
`./tools/test` runs the tests; `cmake --build --preset ci --target conformance` after them writes this
page anew.
]])

if(WRITE)
    file(COPY_FILE "${CLAIMS}/conformance.md" "${ROOT}/docs/conformance.md")
    return()
endif()
file(READ "${CLAIMS}/conformance.md" made)
file(READ "${ROOT}/docs/conformance.md" committed)
if(NOT made STREQUAL committed)
    message(FATAL_ERROR "docs/conformance.md is not what the tests show. Build the target "
                        "\"conformance\" to write it anew, and look at what changed.")
endif()
if(missing)
    list(LENGTH missing count)
    string(JOIN "\n  " list ${missing})
    message(FATAL_ERROR "${count} things are not shown by any test:\n  ${list}")
endif()
