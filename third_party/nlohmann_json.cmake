# nlohmann_json writes archives (as CBOR) and the tools' reports.
mpsvk_header_library(
    nlohmann_json
    HEADER nlohmann/json.hpp
    SUBDIRECTORY single_include
    GIT https://github.com/nlohmann/json.git
    COMMIT 9cca280a4d0ccf0c08f47a99aa71d1b0e52f8d03 # v3.11.3
    DEBIAN nlohmann-json3-dev)
