// Work that leaves all as it was when it throws.
#pragma once

#include <tuple>
#include <utility>

namespace mpsvk::mps {

/// Where `encode` throws, what a padding policy or a state has set by then is what it was before.
template <class Encode, class... Properties> auto orUndo(Encode encode, Properties&... properties) {
    std::tuple<Properties...> before(properties...);
    try {
        return encode();
    } catch (...) {
        std::tie(properties...) = std::move(before);
        throw;
    }
}

} // namespace mpsvk::mps
