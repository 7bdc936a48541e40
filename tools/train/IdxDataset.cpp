#include "IdxDataset.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <mpsvk/Error.hpp>

namespace mpsvk::train {

namespace fs = std::filesystem;

namespace {

constexpr uint32_t imagesMagic = 0x00000803;
constexpr uint32_t labelsMagic = 0x00000801;
constexpr uint32_t largestSide = 4096;

std::string hexadecimal(uint32_t value) {
    std::array<char, 11> text{};
    std::snprintf(text.data(), text.size(), "0x%08X", value);
    return text.data();
}

/// One IDX file, read through zlib, which passes plain files on unchanged.
class IdxFile {
public:
    explicit IdxFile(fs::path path) : path_(std::move(path)) {
        file_.reset(gzopen(path_.string().c_str(), "rb"));
        if (!file_) fail(0, "the file cannot be opened");
    }

    [[noreturn]] void fail(uint64_t offset, const std::string& reason) const {
        throw FormatError(path_.string() + ": offset " + std::to_string(offset) + ": " + reason +
                          ".");
    }

    uint32_t number(const char* meaning) {
        const std::vector<uint8_t> bytes = read(4, meaning);
        return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
               uint32_t{bytes[3]};
    }

    void expectMagic(uint32_t expected, const char* kind) {
        const uint32_t magic = number("the magic number");
        if (magic != expected) {
            fail(0, "the magic number is " + hexadecimal(magic) + ", but " + kind + " start with " +
                        hexadecimal(expected));
        }
    }

    /// Grows by what really comes, so that a header that lies costs no memory.
    std::vector<uint8_t> read(uint64_t size, const std::string& meaning) {
        constexpr uint64_t chunk = 1 << 20;
        std::vector<uint8_t> bytes;
        while (bytes.size() < size) {
            const uint64_t done = bytes.size();
            const auto wanted = static_cast<unsigned>(std::min(chunk, size - done));
            bytes.resize(done + wanted);
            const int got = gzread(file_.get(), bytes.data() + done, wanted);
            if (got < 0) fail(offset_ + done, "the compressed data is damaged: " + message());
            if (static_cast<unsigned>(got) < wanted) {
                const uint64_t end = offset_ + done + static_cast<uint64_t>(got);
                fail(end, "the file ends here, but " + meaning + " needs " +
                              std::to_string(offset_ + size - end) + " more bytes");
            }
        }
        offset_ += size;
        return bytes;
    }

    /// Also makes zlib compare the checksum at the end of a compressed file, unless the file ends
    /// within it.
    void expectEnd() {
        char extra = 0;
        const int got = gzread(file_.get(), &extra, 1);
        if (got < 0) fail(offset_, "the compressed data is damaged: " + message());
        if (got > 0) fail(offset_, "the file goes on after the last item that its header counts");
        int code = Z_OK;
        const char* text = gzerror(file_.get(), &code);
        if (code != Z_OK && code != Z_STREAM_END) {
            fail(offset_, std::string("the compressed data is damaged: ") + text);
        }
    }

private:
    std::string message() const {
        int code = Z_OK;
        return gzerror(file_.get(), &code);
    }

    struct Close {
        void operator()(gzFile file) const { gzclose_r(file); }
    };
    fs::path path_;
    std::unique_ptr<gzFile_s, Close> file_;
    uint64_t offset_ = 0;
};

fs::path find(const fs::path& folder, const std::string& name) {
    for (const fs::path& path : {folder / name, folder / (name + ".gz")}) {
        if (fs::is_regular_file(path)) return path;
    }
    throw FormatError(
        (folder / name).string() + ": offset 0: there is no such file" +
        (fs::is_directory(folder) ? ", nor one with .gz added." : ", nor a folder to hold it."));
}

struct Images {
    uint32_t count, rows, columns;
    std::vector<uint8_t> pixels;
};

Images readImages(const fs::path& path) {
    IdxFile file(path);
    file.expectMagic(imagesMagic, "image files");
    Images images{};
    images.count = file.number("the number of images");
    images.rows = file.number("the number of rows");
    images.columns = file.number("the number of columns");
    if (images.count == 0) file.fail(4, "the file holds no image");
    if (images.rows == 0 || images.columns == 0 || images.rows > largestSide ||
        images.columns > largestSide) {
        file.fail(8, "images of " + std::to_string(images.rows) + " rows and " +
                         std::to_string(images.columns) + " columns are not between 1 and " +
                         std::to_string(largestSide) + " each way");
    }
    images.pixels =
        file.read(uint64_t{images.count} * images.rows * images.columns,
                  std::to_string(images.count) + " images of " + std::to_string(images.rows) + "x" +
                      std::to_string(images.columns));
    file.expectEnd();
    return images;
}

LabelledImages readPart(const fs::path& folder, const std::string& part, uint32_t classes,
                        uint32_t& rows, uint32_t& columns) {
    const fs::path imagesPath = find(folder, part + "-images-idx3-ubyte");
    const fs::path labelsPath = find(folder, part + "-labels-idx1-ubyte");
    Images images = readImages(imagesPath);
    if (rows != 0 && (images.rows != rows || images.columns != columns)) {
        IdxFile(imagesPath)
            .fail(8, "images of " + std::to_string(images.rows) + "x" +
                         std::to_string(images.columns) + " do not fit the training images of " +
                         std::to_string(rows) + "x" + std::to_string(columns));
    }
    rows = images.rows;
    columns = images.columns;

    IdxFile file(labelsPath);
    file.expectMagic(labelsMagic, "label files");
    const uint32_t count = file.number("the number of labels");
    if (count != images.count) {
        file.fail(4, "the file counts " + std::to_string(count) + " labels, but " +
                         imagesPath.filename().string() + " counts " +
                         std::to_string(images.count) + " images");
    }
    LabelledImages result{std::move(images.pixels),
                          file.read(count, std::to_string(count) + " labels")};
    file.expectEnd();
    for (size_t i = 0; i < result.labels.size(); ++i) {
        if (result.labels[i] >= classes) {
            file.fail(8 + i, "label " + std::to_string(result.labels[i]) + " is not below the " +
                                 std::to_string(classes) +
                                 " classes (--classes sets their number)");
        }
    }
    return result;
}

uint32_t checksum(const IdxDataset& data) {
    uLong crc = crc32(0, nullptr, 0);
    const auto add = [&crc](const std::vector<uint8_t>& bytes) {
        crc = crc32_z(crc, bytes.data(), bytes.size());
    };
    for (uint32_t number : {data.rows, data.columns, data.train.count(), data.test.count()}) {
        add({static_cast<uint8_t>(number), static_cast<uint8_t>(number >> 8),
             static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 24)});
    }
    for (const LabelledImages* part : {&data.train, &data.test}) {
        add(part->pixels);
        add(part->labels);
    }
    return static_cast<uint32_t>(crc);
}

} // namespace

IdxDataset loadIdxDataset(const fs::path& folder, uint32_t classes) {
    IdxDataset data;
    data.classes = classes;
    data.train = readPart(folder, "train", classes, data.rows, data.columns);
    data.test = readPart(folder, "t10k", classes, data.rows, data.columns);
    data.fingerprint = checksum(data);
    return data;
}

} // namespace mpsvk::train
