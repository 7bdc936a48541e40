#include "support/Device.hpp"

#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace mpsvk::test {

MTL::Device testDevice() {
    static const MTL::Device device = MTL::CreateSystemDefaultDevice();
    return device;
}

namespace {
std::atomic<bool> hasQueue = false;
}

MTL::CommandQueue testQueue() {
    static const MTL::CommandQueue queue = testDevice().newCommandQueue();
    hasQueue = true;
    return queue;
}

namespace {

/// A message of the validation layer fails the whole program.
class ValidationListener : public Catch::EventListenerBase {
public:
    using EventListenerBase::EventListenerBase;
    void testRunStarting(const Catch::TestRunInfo&) override {
        setLogCallback([](LogLevel level, std::string_view text) {
            if (level == LogLevel::Error)
                std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
        });
    }
    void testRunEnded(const Catch::TestRunStats&) override {
        // What is submitted while the program ends would find the layer in pieces.
        if (hasQueue) run([](const MTL::CommandBuffer&) {});
        if (const unsigned long errors = validationErrorCount()) {
            std::fprintf(stderr, "%lu errors of the validation layer\n", errors);
            std::fflush(nullptr);
            std::_Exit(3);
        }
    }
};

CATCH_REGISTER_LISTENER(ValidationListener)

} // namespace
} // namespace mpsvk::test
