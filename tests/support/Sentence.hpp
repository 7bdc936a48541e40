// What a call throws, word by word; and what the library logs meanwhile.
#pragma once

#include <mpsvk/Error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

namespace mpsvk::test {

/// The text of the `Exception` that `call` throws; fails the test when it throws none.
template <class Exception, class Call> std::string sentence(Call call) {
    try {
        call();
    } catch (const Exception& error) {
        return error.what();
    }
    FAIL_CHECK("nothing was thrown");
    return {};
}

/// Collects the library's remarks for as long as it lives.
class Remarks {
public:
    Remarks() {
        setLogCallback([this](LogLevel level, std::string_view text) {
            std::lock_guard lock(mutex_);
            all_.emplace_back(level, text);
        });
    }
    ~Remarks() {
        setLogCallback([](LogLevel level, std::string_view text) {
            if (level == LogLevel::Error)
                std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
        });
    }
    std::vector<std::pair<LogLevel, std::string>> all() const {
        std::lock_guard lock(mutex_);
        return all_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::pair<LogLevel, std::string>> all_;
};

/// An environment variable set for a while; null unsets it.
class Environment {
public:
    Environment(const char* name, const char* value);
    ~Environment();

private:
    void set(const char* value);
    std::string name_, before_;
    bool wasSet_;
};

} // namespace mpsvk::test
