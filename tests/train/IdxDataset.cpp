#include "IdxDataset.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <mpsvk/Error.hpp>

#include "Files.hpp"

using namespace mpsvk::train;
using namespace mpsvk::train::test;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::StartsWith;

TEST_CASE("IDX sets of MNIST's shape are read, plain and compressed", "[train]") {
    TemporaryFolder plain, packed;
    writeSet(plain.path(), 20, 12, 28, 28);
    writeSet(packed.path(), 20, 12, 28, 28, true);
    const IdxDataset data = loadIdxDataset(plain.path(), 10);
    CHECK(data.rows == 28);
    CHECK(data.columns == 28);
    REQUIRE(data.train.count() == 20);
    REQUIRE(data.test.count() == 12);
    CHECK(data.train.image(3)[5] == imageFile(20, 28, 28)[16 + 3 * 784 + 5]);
    CHECK(data.train.labels[4] == 8);

    const IdxDataset same = loadIdxDataset(packed.path(), 10);
    CHECK(same.train.pixels == data.train.pixels);
    CHECK(same.test.labels == data.test.labels);
    CHECK(same.fingerprint == data.fingerprint);
}

TEST_CASE("images need not be square, and rows come before columns", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 3, 2, 5, 9);
    const IdxDataset data = loadIdxDataset(folder.path(), 10);
    CHECK(data.rows == 5);
    CHECK(data.columns == 9);
    CHECK(data.test.image(1).size() == 45);
}

TEST_CASE("the fingerprint sees one changed pixel and one changed label", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 6, 4, 8, 8);
    const uint32_t before = loadIdxDataset(folder.path(), 10).fingerprint;
    for (const char* name : {"t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"}) {
        const Bytes original = readBytes(folder.path() / name);
        Bytes bytes = original;
        bytes.back() ^= 1;
        writeBytes(folder.path() / name, bytes);
        CHECK(loadIdxDataset(folder.path(), 10).fingerprint != before);
        writeBytes(folder.path() / name, original);
    }
    CHECK(loadIdxDataset(folder.path(), 10).fingerprint == before);
}

TEST_CASE("the digits in the repository are whole", "[train]") {
    const IdxDataset data =
        loadIdxDataset(fs::path(MPSVK_SOURCE_DIRECTORY) / "data" / "digits", 10);
    CHECK(data.rows == 8);
    CHECK(data.columns == 8);
    CHECK(data.train.count() == 1437);
    CHECK(data.test.count() == 360);
}

TEST_CASE("a bad IDX set is told in one sentence", "[train]") {
    struct Case {
        const char* name;
        const char* file;
        std::function<void(Bytes&)> damage;
        const char* sentence;
    };
    const auto cases = std::vector<Case>{
        {"truncated images", "train-images-idx3-ubyte", [](Bytes& b) { b.resize(100); },
         "offset 100: the file ends here, but 6 images of 4x5 needs 36 more bytes."},
        {"truncated header", "train-images-idx3-ubyte", [](Bytes& b) { b.resize(6); },
         "offset 6: the file ends here, but the number of images needs 2 more bytes."},
        {"empty file", "t10k-labels-idx1-ubyte", [](Bytes& b) { b.clear(); },
         "offset 0: the file ends here, but the magic number needs 4 more bytes."},
        {"truncated labels", "t10k-labels-idx1-ubyte", [](Bytes& b) { b.pop_back(); },
         "offset 11: the file ends here, but 4 labels needs 1 more bytes."},
        {"labels instead of images", "train-images-idx3-ubyte", [](Bytes& b) { b[3] = 1; },
         "offset 0: the magic number is 0x00000801, but image files start with 0x00000803."},
        {"images instead of labels", "train-labels-idx1-ubyte", [](Bytes& b) { b[3] = 3; },
         "offset 0: the magic number is 0x00000803, but label files start with 0x00000801."},
        {"counts differ", "train-labels-idx1-ubyte", [](Bytes& b) { b[7] = 5; },
         "offset 4: the file counts 5 labels, but train-images-idx3-ubyte counts 6 images."},
        {"label beyond the classes", "train-labels-idx1-ubyte", [](Bytes& b) { b[8 + 2] = 10; },
         "offset 10: label 10 is not below the 10 classes (--classes sets their number)."},
        {"too long", "t10k-images-idx3-ubyte", [](Bytes& b) { b.push_back(0); },
         "offset 96: the file goes on after the last item that its header counts."},
        {"no images", "train-images-idx3-ubyte", [](Bytes& b) { b[7] = 0; },
         "offset 4: the file holds no image."},
        {"images without size", "train-images-idx3-ubyte", [](Bytes& b) { b[11] = 0; },
         "offset 8: images of 0 rows and 5 columns are not between 1 and 4096 each way."},
        {"gigantic count", "train-images-idx3-ubyte", [](Bytes& b) { b[4] = 0xFF; },
         "offset 136: the file ends here, but 4278190086 images of 4x5 needs 85563801600 more "
         "bytes."},
        {"sizes differ", "t10k-images-idx3-ubyte", [](Bytes& b) { b[11] = 5, b[15] = 4; },
         "offset 8: images of 5x4 do not fit the training images of 4x5."},
    };
    for (const Case& bad : cases) {
        DYNAMIC_SECTION(bad.name) {
            TemporaryFolder folder;
            writeSet(folder.path(), 6, 4, 4, 5);
            const fs::path path = folder.path() / bad.file;
            Bytes bytes = readBytes(path);
            bad.damage(bytes);
            writeBytes(path, bytes);
            CHECK_THROWS_MATCHES(loadIdxDataset(folder.path(), 10), mpsvk::FormatError,
                                 Catch::Matchers::Message(path.string() + ": " + bad.sentence));
        }
    }
}

TEST_CASE("missing files and folders are named", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 6, 4, 4, 4);
    const fs::path labels = folder.path() / "t10k-labels-idx1-ubyte";
    fs::remove(labels);
    CHECK_THROWS_MATCHES(
        loadIdxDataset(folder.path(), 10), mpsvk::FormatError,
        Catch::Matchers::Message(labels.string() +
                                 ": offset 0: there is no such file, nor one with .gz added."));
    const fs::path nowhere = folder.path() / "nowhere";
    CHECK_THROWS_MATCHES(loadIdxDataset(nowhere, 10), mpsvk::FormatError,
                         MessageMatches(StartsWith(nowhere.string())));
}

TEST_CASE("damaged compressed files are told with the unpacked offset", "[train]") {
    TemporaryFolder folder;
    writeSet(folder.path(), 40, 4, 28, 28, true);
    const fs::path path = folder.path() / "train-images-idx3-ubyte.gz";
    Bytes bytes = readBytes(path);
    SECTION("truncated") { bytes.resize(bytes.size() / 2); }
    SECTION("wrong checksum") { bytes[bytes.size() - 6] ^= 0xFF; }
    SECTION("only the checksum is missing") { bytes.resize(bytes.size() - 8); }
    writeBytes(path, bytes);
    CHECK_THROWS_MATCHES(loadIdxDataset(folder.path(), 10), mpsvk::FormatError,
                         MessageMatches(StartsWith(path.string() + ": offset ")));
}
