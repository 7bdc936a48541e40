// docs/conformance.md is made of what the tests say here.
#pragma once

#include "support/Images.hpp"

#include <string>

namespace mpsvk::test {

/// What a test can show of a class of Apple's framework.
enum class Aspect {
    Forward,  ///< its result equals a double-precision reference
    Gradient, ///< so does its gradient
    State,    ///< what it keeps, and how long
    Buffer,   ///< images in storage buffers
    Texture,  ///< images in textures
    Half,     ///< images in fp16
    Archive,  ///< a copy and an unarchived one give the same bits
    Misuse,   ///< is refused with a sentence, and records nothing
};

/// Says that the running test case shows this of the class ("CNNPoolingMax"). It counts when the
/// case passes.
void conforms(const std::string& className, Aspect aspect);
/// The same for images stored in this way.
void conforms(const std::string& className, Aspect aspect, Variant variant);

} // namespace mpsvk::test
