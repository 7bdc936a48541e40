#include "support/Sentence.hpp"

#include <cstdlib>

namespace mpsvk::test {

Environment::Environment(const char* name, const char* value) : name_(name) {
    const char* before = std::getenv(name);
    wasSet_ = before != nullptr;
    if (before) before_ = before;
    set(value);
}

Environment::~Environment() { set(wasSet_ ? before_.c_str() : nullptr); }

void Environment::set(const char* value) {
#ifdef _WIN32
    _putenv_s(name_.c_str(), value ? value : "");
#else
    if (value)
        setenv(name_.c_str(), value, 1);
    else
        unsetenv(name_.c_str());
#endif
}

} // namespace mpsvk::test
