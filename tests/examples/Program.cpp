// What an example program makes of its command line and of how training went.
#include "support/Program.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <mpsvk/Error.hpp>

using namespace mpsvk;
using namespace mpsvk::examples;
namespace fs = std::filesystem;

namespace {

class Folder {
public:
    Folder() { fs::remove_all(path); }
    ~Folder() { fs::remove_all(path); }
    const fs::path path = fs::temp_directory_path() / "mpsvk-examples-program";
};

int run(std::vector<std::string> arguments, const std::function<void(Session&)>& body) {
    Program program("Trial", "A trial.", {.size = 8, .batch = 2, .steps = 20, .target = 1});
    std::vector<char*> pointers;
    arguments.insert(arguments.begin(), "Trial");
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    return program.run(int(pointers.size()), pointers.data(), body);
}

/// Training whose loss is `loss(step)`.
std::function<void(Session&)> training(const std::function<double(uint32_t step)>& loss) {
    return [loss](Session& session) {
        session.train([&](uint32_t step) {
            return Step{session.queue().commandBuffer(), [=] { return loss(step); }};
        });
    };
}

} // namespace

TEST_CASE("an example succeeds when the loss of its last steps is below the target") {
    const Folder folder;
    const std::vector<std::string> output{"--output", folder.path.string()};
    const auto falling = [](uint32_t step) { return step < 18 ? 5.0 : 0.5; };
    CHECK(run(output, training(falling)) == 0);
    CHECK(fs::file_size(folder.path / "Trial-loss.png") > 1000);
    CHECK(run({"--output", folder.path.string(), "--target", "0.4"}, training(falling)) == 3);
    CHECK(run(output, training([](uint32_t step) { return step < 19 ? 0.5 : 1.6; })) == 3);
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        CHECK(run(output, training([=](uint32_t step) { return step < 19 ? 0.5 : bad; })) == 3);
    }
}

TEST_CASE("the steps of an example are asked for in order, two in flight at most") {
    const Folder folder;
    uint32_t submitted = 0, finished = 0;
    const auto body = [&](Session& session) {
        CHECK(session.settings().batch == 3);
        session.train([&](uint32_t step) {
            CHECK(step == submitted++);
            CHECK(step < finished + 2);
            return Step{session.queue().commandBuffer(), [&, step] {
                            CHECK(step == finished++);
                            return 0.0;
                        }};
        });
    };
    CHECK(run({"--output", folder.path.string(), "--batch", "3", "--steps", "7"}, body) == 0);
    CHECK(submitted == 7);
    CHECK(finished == 7);
}

TEST_CASE("an example tells wrong input from trouble with the device") {
    const Folder folder;
    const std::vector<std::string> output{"--output", folder.path.string()};
    const auto good = training([](uint32_t) { return 0.0; });
    CHECK(run({"--help"}, good) == 0);
    CHECK(!fs::exists(folder.path));
    CHECK(run({"--steps", "none"}, good) == 2);
    CHECK(run({"--precision", "fp8"}, good) == 2);
    CHECK(run({"--output", folder.path.string(), "--device", "no such device"}, good) == 2);
    CHECK(run(output, [](Session&) { throw FormatError("A bad file."); }) == 2);
    CHECK(run(output, [](Session&) { throw train::UsageError("A bad option."); }) == 2);
    CHECK(run(output, [](Session&) { throw DeviceError("A bad device."); }) == 1);
}
