# src/vk knows nothing of Metal, src/mtl nothing of MPS: includes point downward only.
function(forbid folder pattern)
    file(GLOB_RECURSE files "${ROOT}/src/${folder}/*.?pp")
    foreach(file IN LISTS files)
        file(STRINGS "${file}" lines REGEX "^ *# *include *[<\"](${pattern})")
        foreach(line IN LISTS lines)
            message(SEND_ERROR "${file}: ${line}")
        endforeach()
    endforeach()
endfunction()

forbid(vk "(mpsvk/)?(mtl|MTL|mps|MPS)/|mpsvk/mpsvk\\.hpp")
forbid(mtl "(mpsvk/)?(mps|MPS)/|mpsvk/mpsvk\\.hpp")

# No Vulkan header in public headers but the one for interoperation; no header of ours from src/.
file(GLOB_RECURSE files "${ROOT}/include/*.hpp")
list(REMOVE_ITEM files "${ROOT}/include/mpsvk/vulkan.hpp")
foreach(file IN LISTS files)
    file(STRINGS "${file}" lines REGEX "^ *# *include *([<\"](vulkan|volk|vk_mem_alloc|vk|mtl|mps)[/.])")
    foreach(line IN LISTS lines)
        message(SEND_ERROR "${file}: ${line}")
    endforeach()
endforeach()
