// Text as printf writes it.
#pragma once

#include <cstdio>
#include <string>

namespace mpsvk::bench {

template <class... Values> std::string format(const char* pattern, Values... values) {
    char text[256];
    std::snprintf(text, sizeof text, pattern, values...);
    return text;
}

} // namespace mpsvk::bench
