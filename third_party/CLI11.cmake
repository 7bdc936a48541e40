# CLI11 reads the tools' command lines.
mpsvk_header_library(
    CLI11
    HEADER CLI/CLI.hpp
    SUBDIRECTORY include
    GIT https://github.com/CLIUtils/CLI11.git
    COMMIT 4160d259d961cd393fd8d67590a8c7d210207348 # v2.5.0
    DEBIAN libcli11-dev)
