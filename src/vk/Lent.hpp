// Pointers that own nothing, for what is kept alive by somebody else: counting the owners of what
// threads share takes longer than copying a pointer to it.
#pragma once

#include <memory>

namespace mpsvk::vk {

template <class T> std::shared_ptr<T> lent(T* object) {
    return std::shared_ptr<T>(std::shared_ptr<void>(), object);
}

} // namespace mpsvk::vk
