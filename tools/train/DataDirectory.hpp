// Where the data are that come with the library.
#pragma once

#include <filesystem>

namespace mpsvk::train {

/// In the source tree or, where that is gone, where they were installed.
inline std::filesystem::path dataDirectory() {
    const std::filesystem::path source = MPSVK_DATA_DIRECTORY;
    std::error_code error;
    return std::filesystem::exists(source, error) ? source : MPSVK_INSTALLED_DATA;
}

} // namespace mpsvk::train
