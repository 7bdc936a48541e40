#include "support/Conformance.hpp"

#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <cstdlib>
#include <fstream>
#include <set>

namespace mpsvk::test {

namespace {

using Claim = std::pair<std::string, Aspect>;
std::set<Claim> ofCase, ofRun;

const char* nameOf(Aspect aspect) {
    switch (aspect) {
    case Aspect::Forward: return "forward";
    case Aspect::Gradient: return "gradient";
    case Aspect::State: return "state";
    case Aspect::Buffer: return "buffer";
    case Aspect::Texture: return "texture";
    case Aspect::Half: return "fp16";
    case Aspect::Archive: return "archive";
    case Aspect::Misuse: return "misuse";
    }
    return "";
}

/// Writes what the passed cases have said to the file that MPSVK_CONFORMANCE names.
class ConformanceListener : public Catch::EventListenerBase {
public:
    using EventListenerBase::EventListenerBase;
    void testCaseStarting(const Catch::TestCaseInfo&) override { ofCase.clear(); }
    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        if (stats.totals.assertions.allPassed() && stats.totals.assertions.total() > 0)
            ofRun.merge(ofCase);
    }
    void testRunEnded(const Catch::TestRunStats&) override {
        const char* path = std::getenv("MPSVK_CONFORMANCE");
        if (!path) return;
        std::ofstream file(path);
        for (const auto& [name, aspect] : ofRun) file << name << ' ' << nameOf(aspect) << '\n';
    }
};

CATCH_REGISTER_LISTENER(ConformanceListener)

} // namespace

void conforms(const std::string& className, Aspect aspect) { ofCase.emplace(className, aspect); }

void conforms(const std::string& className, Aspect aspect, Variant variant) {
    conforms(className, aspect);
    conforms(className,
             variant.storage == MPS::ImageStorage::Texture ? Aspect::Texture : Aspect::Buffer);
    if (variant.format == MPS::ImageFeatureChannelFormat::Float16)
        conforms(className, Aspect::Half);
}

} // namespace mpsvk::test
