#include "Checkpoint.hpp"

#include <zlib.h>

#include <cmath>
#include <fstream>

#include "ByteStream.hpp"

namespace mpsvk::train {

namespace fs = std::filesystem;

namespace {

const std::string magic = "MPSVKCKP";
constexpr uint32_t version = 1;
constexpr size_t headerSize = 8 + 4 + 8;

uint32_t checksum(std::span<const std::byte> bytes) {
    const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    return static_cast<uint32_t>(crc);
}

void write(ByteWriter& out, const Setup& setup) {
    out.number(setup.seed);
    out.number(setup.batch);
    out.number(setup.epochs);
    out.number(setup.shift);
    out.number(setup.classes);
    out.number(static_cast<uint8_t>(setup.precision));
    out.number(setup.learningRate);
}

Setup readSetup(ByteReader& in) {
    const auto ranged = [&in](const char* what, uint32_t least, uint32_t most) {
        const size_t at = in.offset();
        const auto value = in.number<uint32_t>(what);
        if (value < least || value > most) {
            in.fail(at, std::string(what) + " is " + std::to_string(value) + ", not " +
                            std::to_string(least) + " to " + std::to_string(most));
        }
        return value;
    };
    Setup setup;
    setup.seed = in.number<uint64_t>("the seed");
    setup.batch = ranged("the batch size", 1, 4096);
    setup.epochs = ranged("the number of epochs", 1, 100000);
    setup.shift = ranged("the largest shift", 0, 8);
    setup.classes = ranged("the number of classes", 2, 256);
    size_t at = in.offset();
    const auto precision = in.number<uint8_t>("the precision");
    if (precision > 1)
        in.fail(at, "the precision is " + std::to_string(precision) + ", not 0 or 1");
    setup.precision = static_cast<Precision>(precision);
    at = in.offset();
    setup.learningRate = in.number<float>("the learning rate");
    if (!(setup.learningRate > 0 && std::isfinite(setup.learningRate))) {
        in.fail(at, "the learning rate is not a positive number");
    }
    return setup;
}

Checkpoint readContent(ByteReader& in) {
    Checkpoint result;
    result.setup = readSetup(in);
    const size_t positionAt = in.offset();
    result.position.epoch = in.number<uint32_t>("the epoch");
    result.position.step = in.number<uint32_t>("the step");
    result.position.lossSum = in.number<double>("the sum of losses");
    result.position.correct = in.number<uint64_t>("the number of right guesses");
    result.rows = in.number<uint32_t>("the number of rows");
    result.columns = in.number<uint32_t>("the number of columns");
    result.trainCount = in.number<uint32_t>("the number of training images");
    result.dataFingerprint = in.number<uint32_t>("the data's fingerprint");
    result.dataFolder = in.text("the data folder");
    const size_t historyAt = in.offset();
    const auto epochs = in.number<uint32_t>("the length of the curves");
    if (epochs != result.position.epoch) {
        in.fail(historyAt, "the curves hold " + std::to_string(epochs) + " epochs, but " +
                               std::to_string(result.position.epoch) + " are done");
    }
    if (uint64_t{epochs} * 4 * sizeof(double) > in.left()) {
        in.fail(historyAt, "curves of " + std::to_string(epochs) + " epochs are longer than the " +
                               std::to_string(in.left()) + " bytes left");
    }
    for (uint32_t i = 0; i < epochs; ++i) {
        EpochRecord& record = result.history.emplace_back();
        for (double* value :
             {&record.trainLoss, &record.trainAccuracy, &record.testLoss, &record.testAccuracy}) {
            *value = in.number<double>("a point of the curves");
        }
    }
    const uint32_t steps = result.trainCount / result.setup.batch;
    if (result.position.step > 0 && result.position.step >= steps) {
        in.fail(positionAt + 4, "step " + std::to_string(result.position.step) +
                                    " is not below the " + std::to_string(steps) +
                                    " steps of an epoch");
    }
    const auto graph = in.blob("the archived graph");
    result.graph.assign(graph.begin(), graph.end());
    return result;
}

} // namespace

std::vector<std::byte> serialize(const Checkpoint& checkpoint) {
    ByteWriter content;
    write(content, checkpoint.setup);
    content.number(checkpoint.position.epoch);
    content.number(checkpoint.position.step);
    content.number(checkpoint.position.lossSum);
    content.number(checkpoint.position.correct);
    content.number(checkpoint.rows);
    content.number(checkpoint.columns);
    content.number(checkpoint.trainCount);
    content.number(checkpoint.dataFingerprint);
    content.text(checkpoint.dataFolder);
    content.number(static_cast<uint32_t>(checkpoint.history.size()));
    for (const EpochRecord& record : checkpoint.history) {
        content.number(record.trainLoss);
        content.number(record.trainAccuracy);
        content.number(record.testLoss);
        content.number(record.testAccuracy);
    }
    content.blob(checkpoint.graph);

    ByteWriter file;
    for (char c : magic) file.number(static_cast<uint8_t>(c));
    file.number(version);
    file.blob(content.bytes);
    file.number(checksum(file.bytes));
    return std::move(file.bytes);
}

Checkpoint parseCheckpoint(std::span<const std::byte> bytes, const std::string& name) {
    ByteReader in(bytes, name);
    for (size_t i = 0; i < magic.size(); ++i) {
        if (in.left() == 0 || in.number<uint8_t>("the file's mark") != magic[i]) {
            in.fail(0, "this is no checkpoint of mpsvk-train");
        }
    }
    const auto found = in.number<uint32_t>("the version");
    if (found != version) {
        in.fail(8, "the checkpoint has version " + std::to_string(found) +
                       ", this program reads version " + std::to_string(version));
    }
    const auto content = in.blob("the content");
    const auto stored = in.number<uint32_t>("the checksum");
    if (in.left() != 0) in.fail(in.offset(), "the file goes on after its checksum");
    if (stored != checksum(bytes.first(headerSize + content.size()))) {
        in.fail(headerSize + content.size(), "the checksum does not fit, the file is damaged");
    }
    // Read with the header still in front, so that offsets are those of the file.
    ByteReader body(bytes.first(headerSize + content.size()), name);
    for (size_t i = 0; i < headerSize; ++i) body.number<uint8_t>("the header");
    Checkpoint result = readContent(body);
    if (body.left() != 0) body.fail(body.offset(), "the content goes on after the archived graph");
    return result;
}

void saveCheckpoint(const Checkpoint& checkpoint, const fs::path& path) {
    const std::vector<std::byte> bytes = serialize(checkpoint);
    const fs::path fresh = path.string() + ".new";
    {
        std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
        file.flush();
        if (!file) {
            file.close();
            std::error_code error;
            fs::remove(fresh, error);
            throw FormatError(fresh.string() + ": offset 0: the file cannot be written.");
        }
    }
    fs::rename(fresh, path);
}

Checkpoint loadCheckpoint(const fs::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file || !fs::is_regular_file(path)) {
        throw FormatError(path.string() + ": offset 0: there is no such checkpoint.");
    }
    std::vector<std::byte> bytes(static_cast<size_t>(file.tellg()));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw FormatError(path.string() + ": offset 0: the file cannot be read.");
    return parseCheckpoint(bytes, path.string());
}

} // namespace mpsvk::train
