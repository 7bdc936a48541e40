#include "Options.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk::train;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;

namespace {

Options parse(std::vector<std::string> arguments) {
    return parseOptions(std::move(arguments), "digits");
}

} // namespace

TEST_CASE("without arguments the digits are trained", "[train]") {
    const Options options = parse({});
    CHECK(options.data == "digits");
    CHECK(options.output == "mpsvk-train-out");
    CHECK(options.setup == Setup{});
    CHECK_FALSE(options.resume);
    CHECK_FALSE(options.helpText);
}

TEST_CASE("every option arrives", "[train]") {
    const Options options =
        parse({"--data",          "mnist", "--output",    "out",
               "--device",        "lava",  "--epochs",    "3",
               "--batch",         "64",    "--precision", "fp16",
               "--learning-rate", "0.01",  "--seed",      "18446744073709551615",
               "--shift",         "0",     "--classes",   "26"});
    CHECK(options.data == "mnist");
    CHECK(options.output == "out");
    CHECK(options.device == "lava");
    const Setup expected{.seed = ~uint64_t{0},
                         .batch = 64,
                         .epochs = 3,
                         .shift = 0,
                         .classes = 26,
                         .precision = Precision::Float16,
                         .learningRate = 0.01f};
    CHECK(options.setup == expected);
    CHECK(options.has("seed"));
    CHECK_FALSE(options.has("resume"));
}

TEST_CASE("resume finds its checkpoint and its output folder", "[train]") {
    CHECK(parse({"--resume"}).resume == "mpsvk-train-out/checkpoint.mpsvk");
    CHECK(parse({"--resume", "--output", "o"}).resume == "o/checkpoint.mpsvk");
    const Options options = parse({"--resume", "old/saved.mpsvk"});
    CHECK(options.resume == "old/saved.mpsvk");
    CHECK(options.output == "old");
    CHECK(parse({"--resume", "saved.mpsvk"}).output == ".");
    CHECK(parse({"--resume", "old/saved.mpsvk", "--output", "new"}).output == "new");
}

TEST_CASE("wrong command lines are told in one sentence", "[train]") {
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--epochs", "0"},
                                                      {"--epochs", "many"},
                                                      {"--batch", "-1"},
                                                      {"--precision", "fp8"},
                                                      {"--learning-rate", "0"},
                                                      {"--learning-rate", "nan"},
                                                      {"--seed", "-3"},
                                                      {"--classes", "1"},
                                                      {"--shift", "9"},
                                                      {"--wrong"},
                                                      {"digits"},
                                                      {"--data"}}) {
        CAPTURE(arguments);
        CHECK_THROWS_MATCHES(
            parse(arguments), UsageError,
            MessageMatches(ContainsSubstring("(see --help).") && !ContainsSubstring("\n")));
    }
}

TEST_CASE("the help text names every option", "[train]") {
    const Options options = parse({"--help"});
    REQUIRE(options.helpText);
    for (const char* name : {"--data", "--output", "--resume", "--device", "--epochs", "--batch",
                             "--precision", "--learning-rate", "--seed", "--shift", "--classes"}) {
        CHECK_THAT(*options.helpText, ContainsSubstring(name));
    }
}

TEST_CASE("a checkpoint's setup wins, contradictions are errors", "[train]") {
    const Setup stored{.seed = 5, .batch = 16, .epochs = 7};
    CHECK(mergeSetup(parse({"--resume", "c"}), stored) == stored);
    CHECK(mergeSetup(parse({"--resume", "c", "--seed", "5", "--epochs", "9"}), stored) ==
          Setup{.seed = 5, .batch = 16, .epochs = 9});
    CHECK_THROWS_MATCHES(mergeSetup(parse({"--resume", "c", "--seed", "6"}), stored), UsageError,
                         Message("--seed 6 does not fit the checkpoint c, which was made with 5."));
    CHECK_THROWS_MATCHES(
        mergeSetup(parse({"--resume", "c", "--precision", "fp16"}), stored), UsageError,
        Message("--precision fp16 does not fit the checkpoint c, which was made with fp32."));
    for (const char* option : {"--batch", "--shift", "--classes", "--learning-rate"}) {
        CHECK_THROWS_AS(mergeSetup(parse({"--resume", "c", option, "8"}), stored), UsageError);
    }
}

TEST_CASE("a device is chosen by index or part of its name", "[train]") {
    const std::vector<std::string> names{"llvmpipe (LLVM 15)", "NVIDIA H200", "NVIDIA T4"};
    CHECK(chooseDevice(names, "2") == 2);
    CHECK(chooseDevice(names, "nvidia") == 1);
    CHECK(chooseDevice(names, "t4") == 2);
    CHECK(chooseDevice(names, "15") == 0); // no such index, but part of a name
    CHECK_THROWS_MATCHES(chooseDevice({"llvmpipe"}, "radeon"), UsageError,
                         Message("--device radeon is none of the devices: 0 = llvmpipe."));
    CHECK_THROWS_AS(chooseDevice({}, "0"), UsageError);
}

TEST_CASE("the learning rate falls and ignores the planned epochs", "[train]") {
    const Setup shorter{.epochs = 5}, longer{.epochs = 50};
    CHECK(learningRateAt(shorter, 0) == shorter.learningRate);
    CHECK(learningRateAt(shorter, 5) == shorter.learningRate / 2);
    CHECK(learningRateAt(shorter, 4) == learningRateAt(longer, 4));
}
