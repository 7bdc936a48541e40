// NSSecureCoding: what an object must be able to do to be written into an archive.
#pragma once

#include <string>

namespace mpsvk::MPS {

class KeyedArchiver;
class KeyedUnarchiver;

/// Implemented beside another interface by data sources, padding policies, image allocators and
/// handles that are to be archived with the kernels and graphs that hold them. NSSecureCoding.
struct SecureCoding {
    virtual ~SecureCoding() = default;
    /// The name that KeyedUnarchiver::setClass registers the class's factory under.
    virtual std::string className() const = 0;
    /// Writes what the factory reads.
    virtual void encode(KeyedArchiver& coder) const = 0;
};

} // namespace mpsvk::MPS
