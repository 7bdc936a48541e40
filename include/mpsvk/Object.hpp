// The root of every handle: a value over one shared, reference-counted object.
#pragma once

#include <memory>

namespace mpsvk {

namespace detail {
struct ObjectImpl {
    virtual ~ObjectImpl() = default;
};
} // namespace detail

/// A handle. Copying it shares the object; `==` asks whether two handles share one object; an
/// empty handle (Apple's nil) is false.
class Object {
public:
    Object() = default;
    explicit operator bool() const noexcept { return impl_ != nullptr; }
    friend bool operator==(const Object& a, const Object& b) noexcept { return a.impl_ == b.impl_; }

    /// The same object as a `T`, or an empty handle when it is not one.
    template <class T> T as() const {
        T result;
        if (impl_ && T::isKindOf(*impl_)) static_cast<Object&>(result).impl_ = impl_;
        return result;
    }

    /// For the library's own use.
    const std::shared_ptr<detail::ObjectImpl>& shared() const noexcept { return impl_; }

protected:
    explicit Object(std::shared_ptr<detail::ObjectImpl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<detail::ObjectImpl> impl_;
};

} // namespace mpsvk
