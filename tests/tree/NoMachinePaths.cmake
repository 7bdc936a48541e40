# No file of the tree names a folder of the machine that it was written on.
file(GLOB_RECURSE files LIST_DIRECTORIES false "${ROOT}/*")
list(FILTER files EXCLUDE REGEX "^${ROOT}/(\\.git|\\.deps|build[^/]*|data|mpsvk-[^/]*-out)/")
list(FILTER files EXCLUDE REGEX "/\\.git$")
list(FILTER files EXCLUDE REGEX "\\.(png|jpe?g|gif|pdf|gz|bin|spv|dat)$")
foreach(file IN LISTS files)
    file(STRINGS "${file}" lines
         REGEX "(^|[^A-Za-z0-9_.~})-])(/(home|root|tmp|work|mnt|Users)/|[A-Z]:\\\\)[A-Za-z0-9]")
    foreach(line IN LISTS lines)
        message(SEND_ERROR "${file}: ${line}")
    endforeach()
endforeach()
