#include "Checkpoint.hpp"

#include <zlib.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <mpsvk/Error.hpp>

#include "ByteStream.hpp"
#include "Files.hpp"

using namespace mpsvk::train;
using namespace mpsvk::train::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::StartsWith;

namespace {

Checkpoint example() {
    Checkpoint checkpoint;
    checkpoint.setup = {.seed = 0x0123456789ABCDEF,
                        .batch = 16,
                        .epochs = 9,
                        .shift = 2,
                        .classes = 26,
                        .precision = Precision::Float16,
                        .learningRate = 0.0125f};
    checkpoint.position = {.epoch = 2, .step = 3, .lossSum = 0.1, .correct = 41};
    checkpoint.rows = 28;
    checkpoint.columns = 20;
    checkpoint.trainCount = 100;
    checkpoint.dataFingerprint = 0xCAFEF00D;
    checkpoint.dataFolder = "/data/letters";
    checkpoint.history = {{2.25, 0.5, 1.5, 0.625}, {1.25, 0.75, 1.0 / 3, 0.875}};
    for (int i = 0; i < 1000; ++i) checkpoint.graph.push_back(static_cast<std::byte>(i * 7));
    return checkpoint;
}

/// As a file whose checksum fits, so that the content itself is looked at.
std::vector<std::byte> sealed(std::vector<std::byte> bytes) {
    bytes.resize(bytes.size() - 4);
    const auto crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
    ByteWriter tail;
    tail.number(crc);
    bytes.insert(bytes.end(), tail.bytes.begin(), tail.bytes.end());
    return bytes;
}

} // namespace

TEST_CASE("a checkpoint comes back as it was", "[train]") {
    const Checkpoint checkpoint = example();
    const auto bytes = serialize(checkpoint);
    CHECK(parseCheckpoint(bytes, "c") == checkpoint);
    CHECK(serialize(parseCheckpoint(bytes, "c")) == bytes);

    Checkpoint fresh;
    fresh.trainCount = 100;
    CHECK(parseCheckpoint(serialize(fresh), "c") == fresh);
}

TEST_CASE("the bytes of a checkpoint are little endian on every machine", "[train]") {
    const auto bytes = serialize(example());
    const auto at = [&](size_t i) { return std::to_integer<int>(bytes[i]); };
    CHECK(at(0) == 'M');
    CHECK(at(8) == 1);
    CHECK(at(9) == 0);
    CHECK(at(20) == 0xEF); // the seed's lowest byte
    CHECK(at(27) == 0x01);
}

TEST_CASE("a checkpoint is replaced as a whole", "[train]") {
    TemporaryFolder folder;
    const fs::path path = folder.path() / "checkpoint.mpsvk";
    Checkpoint checkpoint = example();
    saveCheckpoint(checkpoint, path);
    checkpoint.position.step = 4;
    saveCheckpoint(checkpoint, path);
    CHECK(loadCheckpoint(path) == checkpoint);
    CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);

    CHECK_THROWS_MATCHES(
        loadCheckpoint(folder.path() / "none"), mpsvk::FormatError,
        Message((folder.path() / "none").string() + ": offset 0: there is no such checkpoint."));
    CHECK_THROWS_AS(loadCheckpoint(folder.path()), mpsvk::FormatError);
    CHECK_THROWS_AS(saveCheckpoint(checkpoint, folder.path() / "no" / "c"), mpsvk::FormatError);
}

TEST_CASE("every cut and every flipped bit of a checkpoint is noticed", "[train]") {
    const auto bytes = serialize(example());
    for (size_t size = 0; size < bytes.size(); ++size) {
        CHECK_THROWS_MATCHES(parseCheckpoint(std::span(bytes).first(size), "c"), mpsvk::FormatError,
                             MessageMatches(StartsWith("c: offset ")));
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
        auto damaged = bytes;
        damaged[i] ^= std::byte{1} << (i % 8);
        CHECK_THROWS_AS(parseCheckpoint(damaged, "c"), mpsvk::FormatError);
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_THROWS_MATCHES(parseCheckpoint(longer, "c"), mpsvk::FormatError,
                         MessageMatches(ContainsSubstring("goes on after its checksum")));
}

TEST_CASE("a checkpoint's errors say what is wrong", "[train]") {
    auto bytes = serialize(example());
    const auto refuse = [&](const std::string& sentence) {
        CHECK_THROWS_MATCHES(parseCheckpoint(bytes, "c"), mpsvk::FormatError, Message(sentence));
    };
    SECTION("another file") {
        bytes[0] = std::byte{'X'};
        refuse("c: offset 0: this is no checkpoint of mpsvk-train.");
    }
    SECTION("another version") {
        bytes[8] = std::byte{2};
        refuse("c: offset 8: the checkpoint has version 2, this program reads version 1.");
    }
    SECTION("damage") {
        bytes[100] ^= std::byte{1};
        refuse("c: offset " + std::to_string(bytes.size() - 4) +
               ": the checksum does not fit, the file is damaged.");
    }
}

TEST_CASE("a checkpoint with a fitting checksum is still checked", "[train]") {
    Checkpoint wrong = example();
    const auto refuse = [&](const std::string& part) {
        CHECK_THROWS_MATCHES(parseCheckpoint(serialize(wrong), "c"), mpsvk::FormatError,
                             MessageMatches(ContainsSubstring(part)));
    };
    SECTION("batch") {
        wrong.setup.batch = 0;
        refuse("the batch size is 0, not 1 to 4096");
    }
    SECTION("learning rate") {
        wrong.setup.learningRate = -1;
        refuse("the learning rate is not a positive number");
    }
    SECTION("step") {
        wrong.position.step = 6; // 100 images in batches of 16
        refuse("step 6 is not below the 6 steps of an epoch");
    }
    SECTION("curves") {
        wrong.history.pop_back();
        refuse("the curves hold 1 epochs, but 2 are done");
    }
    SECTION("precision") {
        wrong.setup.precision = static_cast<Precision>(9);
        refuse("the precision is 9, not 0 or 1");
    }
    SECTION("a length beyond the file") {
        auto bytes = serialize(wrong);
        bytes[bytes.size() - 4 - wrong.graph.size() - 1] = std::byte{0xFF};
        CHECK_THROWS_MATCHES(parseCheckpoint(sealed(bytes), "c"), mpsvk::FormatError,
                             MessageMatches(ContainsSubstring("the archived graph needs")));
    }
}
