// The three things that can go wrong, and where the library's own remarks go.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mpsvk {

/// Misuse of the API: thrown before anything is recorded; nothing has changed.
class InvalidArgument : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

/// Trouble with the device: no device, no memory, a lost device, a shader it refuses.
class DeviceError : public std::runtime_error {
public:
    explicit DeviceError(const std::string& sentence) : std::runtime_error(sentence) {}
};

/// A malformed file: an archive, a data set, a cache.
class FormatError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

enum class LogLevel { Info, Warning, Error };

/// The library prints nothing. What it has to say (validation-layer messages, an ignored cache,
/// verbose kernels) goes to this function, which may be called from any thread.
using LogCallback = std::function<void(LogLevel, std::string_view)>;
void setLogCallback(LogCallback callback);

/// Messages of severity error that the Vulkan validation layer has given so far in this process.
/// Always 0 unless the environment variable MPSVK_VALIDATION is set to 1.
unsigned long validationErrorCount();

} // namespace mpsvk
