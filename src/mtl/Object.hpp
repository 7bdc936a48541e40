// What the classes of handles have in common.
#pragma once

#include <mpsvk/Object.hpp>

#include <typeinfo>

namespace mpsvk::MTL {

/// Whether the object is a T. It takes longer for objects of derived classes, which are few.
template <class T> bool isA(const detail::ObjectImpl& object) {
    return typeid(object) == typeid(T) || dynamic_cast<const T*>(&object) != nullptr;
}

} // namespace mpsvk::MTL
