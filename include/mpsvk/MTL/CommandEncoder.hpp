// MTLCommandEncoder: what the encoders have in common.
#pragma once

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::MTL {

/// Writes commands into a command buffer. One encoder of a command buffer is open at a time; its
/// methods throw InvalidArgument once it is ended. MTLCommandEncoder.
class CommandEncoder : public Object {
public:
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;
    /// Must be called before another encoder is made, before any MPS kernel is encoded and before
    /// commit. Throws InvalidArgument while debug groups of this encoder are open.
    void endEncoding() const;

    /// Names for tools that look on, such as RenderDoc.
    void pushDebugGroup(const std::string& name) const;
    void popDebugGroup() const;
    void insertDebugSignpost(const std::string& name) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;

protected:
    using Object::Object;
};

} // namespace mpsvk::MTL
