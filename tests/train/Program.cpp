// The finished program, from its command line to the files that it leaves.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <functional>
#include <system_error>

#include "Files.hpp"

using namespace mpsvk::train::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

struct Ended {
    int code = -1;    ///< -1: by a signal
    std::string text; ///< standard output and standard error
};

using Arguments = std::vector<std::string>;
/// Sees the text so far and the process.
using Watch = std::function<void(const std::string&, pid_t)>;

Ended run(const Arguments& arguments, const Watch& watch = {}) {
    std::string program = MPSVK_PROGRAM;
    Arguments copies = arguments;
    std::vector<char*> words{program.data()};
    for (std::string& word : copies) words.push_back(word.data());
    words.push_back(nullptr);
    int ends[2];
    if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    const pid_t process = fork();
    if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (process == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(words[0], words.data());
        _exit(127);
    }
    close(ends[1]);
    Ended ended;
    char part[4096];
    for (ssize_t size; (size = read(ends[0], part, sizeof part)) > 0;) {
        ended.text.append(part, static_cast<size_t>(size));
        if (watch) watch(ended.text, process);
    }
    close(ends[0]);
    int status = 0;
    waitpid(process, &status, 0);
    if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
    return ended;
}

/// Four classes, each bright in a corner of its own, on a noisy background.
void writeCorners(const fs::path& folder, const std::string& name, uint32_t count, uint32_t size) {
    Bytes images, labels;
    for (uint32_t number : {0x803u, count, size, size}) append(images, number);
    for (uint32_t number : {0x801u, count}) append(labels, number);
    uint32_t noise = count;
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t label = i * 7 / 3 % 4;
        labels.push_back(static_cast<uint8_t>(label));
        for (uint32_t y = 0; y < size; ++y) {
            for (uint32_t x = 0; x < size; ++x) {
                noise = noise * 1664525 + 1013904223;
                const bool bright = (x >= size / 2) == (label % 2 == 1) && //
                                    (y >= size / 2) == (label / 2 == 1);
                images.push_back(static_cast<uint8_t>((bright ? 120 : 0) + (noise >> 25)));
            }
        }
    }
    writeBytes(folder / (name + "-images-idx3-ubyte"), images);
    writeBytes(folder / (name + "-labels-idx1-ubyte"), labels);
}

struct Corners {
    explicit Corners(uint32_t size = 8) {
        writeCorners(folder.path(), "train", 240, size);
        writeCorners(folder.path(), "t10k", 50, size);
    }
    Arguments arguments(const std::string& output, const Arguments& more) const {
        Arguments all{"--data",    folder.path(), "--output", folder.path() / output,
                      "--classes", "4",           "--batch",  "8"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Bytes checkpoint(const std::string& output) const {
        return readBytes(folder.path() / output / "checkpoint.mpsvk");
    }
    TemporaryFolder folder;
};

const std::string allRight = "100.00 % of 50 held-out images guessed right\n";

bool isPicture(const fs::path& path) {
    const Bytes bytes = readBytes(path);
    const Bytes mark{0x89, 'P', 'N', 'G'};
    return bytes.size() > 500 && std::equal(mark.begin(), mark.end(), bytes.begin());
}

} // namespace

TEST_CASE("--help lists the options and ends", "[train]") {
    const Ended help = run({"--help"});
    CHECK(help.code == 0);
    for (const char* option : {"--data", "--output", "--resume", "--device", "--epochs", "--batch",
                               "--precision", "--learning-rate", "--seed"})
        CHECK_THAT(help.text, ContainsSubstring(option));
}

TEST_CASE("it learns, and leaves its files", "[train]") {
    const Corners data;
    const Ended ended = run(data.arguments("out", {"--epochs", "2"}));
    INFO(ended.text);
    CHECK(ended.code == 0);
    CHECK_THAT(ended.text, StartsWith("240 training and 50 held-out images of 8x8 from ") &&
                               ContainsSubstring("Epoch   2/2  loss ") &&
                               ContainsSubstring(allRight));
    CHECK(isPicture(data.folder.path() / "out" / "curves.png"));
    CHECK(isPicture(data.folder.path() / "out" / "mistakes.png"));
    CHECK(!data.checkpoint("out").empty());
}

TEST_CASE("it learns larger pictures in fp16", "[train]") {
    const Corners data(18);
    const Ended ended = run(data.arguments("out", {"--epochs", "1", "--precision", "fp16"}));
    INFO(ended.text);
    CHECK(ended.code == 0);
    CHECK_THAT(ended.text, ContainsSubstring(", fp16\n") && ContainsSubstring(allRight));
}

TEST_CASE("the same seed gives the same bits, another one others", "[train]") {
    const Corners data;
    const auto bits = [&](const std::string& output, const std::string& seed) {
        const Ended ended = run(data.arguments(output, {"--epochs", "1", "--seed", seed}));
        INFO(ended.text);
        REQUIRE(ended.code == 0);
        Bytes all = data.checkpoint(output);
        return Bytes(all.end() - 100000, all.end() - 4); // the seed itself stands at the start
    };
    const Bytes first = bits("a", "5");
    CHECK(bits("b", "5") == first);
    CHECK(bits("c", "6") != first);
}

TEST_CASE("a run that is interrupted and resumed equals one that was not", "[train]") {
    const Corners data;
    REQUIRE(run(data.arguments("whole", {"--epochs", "4"})).code == 0);

    bool sent = false;
    const auto interruptOnce = [&](const std::string& text, pid_t process) {
        if (sent || text.find("Epoch   1/") == std::string::npos) return;
        sent = true;
        kill(process, SIGINT);
    };
    const Ended stopped = run(data.arguments("parts", {"--epochs", "4"}), interruptOnce);
    INFO(stopped.text);
    REQUIRE(sent);
    CHECK(stopped.code == 130);
    CHECK_THAT(stopped.text, ContainsSubstring("Go on with: mpsvk-train --resume "));
    CHECK(data.checkpoint("parts") != data.checkpoint("whole"));

    const Ended resumed = run(data.arguments("parts", {"--resume"}));
    INFO(resumed.text);
    CHECK(resumed.code == 0);
    CHECK_THAT(resumed.text, ContainsSubstring("Going on after epoch "));
    CHECK(data.checkpoint("parts") == data.checkpoint("whole"));
}

TEST_CASE("a finished run goes on with more epochs", "[train]") {
    const Corners data;
    REQUIRE(run(data.arguments("long", {"--epochs", "3"})).code == 0);
    REQUIRE(run(data.arguments("short", {"--epochs", "2"})).code == 0);
    REQUIRE(run(data.arguments("short", {"--resume", "--epochs", "3"})).code == 0);
    CHECK(data.checkpoint("short") == data.checkpoint("long"));
}

TEST_CASE("a truncated file ends it with a sentence", "[train]") {
    const Corners data;
    const fs::path images = data.folder.path() / "train-images-idx3-ubyte";
    fs::resize_file(images, 5000);
    const Ended ended = run(data.arguments("out", {}));
    CHECK(ended.code == 2);
    CHECK_THAT(ended.text,
               StartsWith("mpsvk-train: " + images.string() + ": offset 5000") && EndsWith(".\n"));
    CHECK(std::count(ended.text.begin(), ended.text.end(), '\n') == 1);
}

TEST_CASE("wrong options end it with a sentence", "[train]") {
    const Corners data;
    const Ended option = run({"--epoch", "3"});
    CHECK(option.code == 2);
    CHECK_THAT(option.text, StartsWith("mpsvk-train: ") && ContainsSubstring("--help"));
    const Ended device = run(data.arguments("out", {"--device", "no such device"}));
    CHECK(device.code == 2);
    CHECK_THAT(device.text, ContainsSubstring("--device no such device is none of the devices: "));
    const Ended checkpoint = run(data.arguments("out", {"--resume"}));
    CHECK(checkpoint.code == 2);
    CHECK_THAT(checkpoint.text, ContainsSubstring("there is no such checkpoint"));
}
