#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;
using Layout = MPS::DataLayout;

namespace {

constexpr auto channelsLast = Layout::HeightxWidthxFeatureChannels,
               channelsFirst = Layout::FeatureChannelsxHeightxWidth;

[[maybe_unused]] const bool named = everyOther([] {
                                        MPS::ImageCopyToMatrix made(testDevice(), channelsLast);
                                        made.setDestinationMatrixOrigin({1, 2, 0});
                                        made.setDestinationMatrixBatchIndex(3);
                                        return made;
                                    }) &&
                                    everyOther([] {
                                        MPS::MatrixCopyToImage made(testDevice(), channelsLast);
                                        made.setSourceMatrixOrigin({1, 2, 0});
                                        made.setSourceMatrixBatchIndex(3);
                                        return made;
                                    });

/// Matrix 1 of 2, with rows from 2 and columns from `column` on for the images.
struct Case {
    size_t images, height, width, channels, column, padding;
    Layout layout;
    Variant variant;

    size_t rows() const { return images + 3; }
    size_t columns() const { return column + height * width * channels + 1; }
    DataType type() const {
        return variant.rounding() == reference::Storage::Float16 ? DataType::Float16
                                                                 : DataType::Float32;
    }
    MPS::Matrix matrix(const Values& values) const {
        return matrixOf(values, rows(), columns(), type(), padding, 2);
    }
    /// The place of an element of the images among those of the matrices.
    size_t place(size_t image, size_t y, size_t x, size_t c) const {
        const size_t element =
            layout == channelsLast ? (y * width + x) * channels + c : (c * height + y) * width + x;
        return (rows() + 2 + image) * columns() + column + element;
    }
    template <class Visit> void forEach(Visit visit) const {
        for (size_t n = 0; n < images; ++n)
            for (size_t y = 0; y < height; ++y)
                for (size_t x = 0; x < width; ++x)
                    for (size_t c = 0; c < channels; ++c) visit(n, y, x, c, place(n, y, x, c));
    }
};

enum class Way { Batch, Apart, Array };

MPS::ImageBatch uploaded(const reference::Tensor& x, const Variant& variant, Way way) {
    if (way == Way::Array) return {uploadArray(x, variant)};
    return way == Way::Batch ? upload(x, variant) : uploadApart(x, variant);
}

void check(const Case& k, Way way) {
    INFO(k.images << " images of " << k.height << "x" << k.width << "x" << k.channels << ", "
                  << k.variant.name() << ", layout " << uint64_t(k.layout) << ", way " << int(way)
                  << ", from column " << k.column << ", padded by " << k.padding);
    const auto x = reference::rounded(reference::random(k.images, k.height, k.width, k.channels, 5),
                                      k.variant.rounding());
    const Values before(2 * k.rows() * k.columns(), 12288);
    const auto images = uploaded(x, k.variant, way);
    const auto matrix = k.matrix(before);
    MPS::ImageCopyToMatrix copy(testDevice(), k.layout);
    copy.setDestinationMatrixOrigin({2, k.column, 0});
    copy.setDestinationMatrixBatchIndex(1);
    run([&](const MTL::CommandBuffer& commands) {
        way == Way::Array ? copy.encode(commands, images[0], matrix)
                          : copy.encodeBatch(commands, images, matrix);
    });
    Values expected = before;
    k.forEach([&](size_t n, size_t y, size_t x0, size_t c, size_t place) {
        expected[place] = x.at(n, y, x0, c);
    });
    CHECK(valuesOf(matrix) == expected);
    conforms("ImageCopyToMatrix", Aspect::Forward, k.variant);

    const auto back =
        uploaded(reference::Tensor(k.images, k.height, k.width, k.channels, 7), k.variant, way);
    MPS::MatrixCopyToImage copyBack(testDevice(), k.layout);
    copyBack.setSourceMatrixOrigin({2, k.column, 0});
    copyBack.setSourceMatrixBatchIndex(1);
    run([&](const MTL::CommandBuffer& commands) {
        way == Way::Array ? copyBack.encode(commands, matrix, back[0])
                          : copyBack.encodeBatch(commands, matrix, back);
    });
    CHECK(download(way == Way::Array ? back[0].batchRepresentation() : back).v == x.v);
    conforms("MatrixCopyToImage", Aspect::Forward, k.variant);
}

} // namespace

TEST_CASE("images become rows of a matrix and images again, in every layout and storage") {
    for (const Variant& variant : variants())
        for (const Layout layout : {channelsLast, channelsFirst}) {
            check({2, 2, 4, 8, 4, 3, layout, variant}, Way::Batch);
            check({2, 3, 3, 5, 1, 0, layout, variant}, Way::Batch);
            check({3, 7, 7, 4, 0, 0, layout, variant}, Way::Apart);
            check({2, 2, 2, 6, 4, 0, layout, variant}, Way::Array);
            check({1, 1, 1, 3, 3, 2, layout, variant}, Way::Array);
        }
}

TEST_CASE("copies between images and matrices lower the read counts of what they read") {
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 2, 2, 4);
        const MPS::MatrixDescriptor rows(2, 16, 64, DataType::Float32);
        const auto images = MPS::TemporaryImage::batch(commands, d, 2),
                   others = MPS::TemporaryImage::batch(commands, d, 2);
        const MPS::TemporaryMatrix matrix(commands, rows);
        MPS::ImageCopyToMatrix(testDevice()).encodeBatch(commands, images, matrix);
        for (const MPS::Image& image : images)
            CHECK(image.as<MPS::TemporaryImage>().readCount() == 0);
        CHECK(matrix.readCount() == 1);
        MPS::MatrixCopyToImage(testDevice()).encodeBatch(commands, matrix, others);
        CHECK(matrix.readCount() == 0);
        for (const MPS::Image& image : others)
            CHECK(image.as<MPS::TemporaryImage>().readCount() == 1);
    });
}

TEST_CASE("copies between images and matrices refuse what does not fit, with a sentence") {
    const auto refused = [&](auto call) { return sentence<InvalidArgument>(call); };
    const auto images = upload(reference::Tensor(3, 2, 2, 4));
    const auto matrix = matrixOf(Values(32), 2, 16), narrow = matrixOf(Values(45), 3, 15);
    MPS::ImageCopyToMatrix copy(testDevice());
    copy.setLabel("c");
    MPS::MatrixCopyToImage back(testDevice());
    const std::string who = "[ImageCopyToMatrix \"c\"] ";
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refused([&] { copy.encodeBatch(commands, {}, matrix); }) ==
              who + "sourceImages is an empty batch.");
        CHECK(refused([&] { copy.encode(commands, MPS::Image(), matrix); }) ==
              who + "sourceImage is an empty image handle.");
        CHECK(refused([&] { copy.encodeBatch(commands, images, MPS::Matrix()); }) ==
              who + "destinationMatrix is empty.");
        CHECK(refused([&] { copy.encodeBatch(commands, images, matrix); }) ==
              who + "destinationMatrix has 2 rows and 16 columns from its origin on but 3 and 16 "
                    "are needed.");
        CHECK(refused([&] { back.encodeBatch(commands, narrow, images); }) ==
              "[MatrixCopyToImage] sourceMatrix has 3 rows and 15 columns from its origin on but "
              "3 and 16 are needed.");
        const auto array = uploadArray(reference::Tensor(2, 2, 2, 4));
        CHECK(refused([&] { copy.encodeBatch(commands, {array}, matrix); }) ==
              who + "sourceImages[0] has numberOfImages 2 but every image of a batch must have 1.");
        const auto small = upload(reference::Tensor(1, 1, 2, 4));
        CHECK(refused([&] {
                  copy.encodeBatch(commands, {images[0], small[0]}, matrix);
              }) ==
              who +
                  "sourceImages[1] is 2x1 with 4 feature channels but sourceImages[0] is 2x2 with "
                  "4.");
        const Variant half{MPS::ImageFeatureChannelFormat::Float16, MPS::ImageStorage::Buffer};
        const auto halves = upload(reference::Tensor(1, 2, 2, 4), half);
        CHECK(refused([&] { copy.encode(commands, halves[0], matrix); }) ==
              who + "destinationMatrix has the dataType Float32 but must be Float16.");
        CHECK(refused([&] {
                  copy.encodeBatch(commands, {images[0], halves[0]}, matrix);
              }) ==
              who + "sourceImages has images of the channel formats Float32 and Float16 but all "
                    "must have the same.");
        const Variant unorm{MPS::ImageFeatureChannelFormat::Unorm8, MPS::ImageStorage::Buffer};
        CHECK(refused([&] {
                  copy.encode(commands, upload(reference::Tensor(1, 2, 2, 4), unorm)[0], matrix);
              }) == who + "sourceImage has the channel format 1 but must have Float32 or Float16.");
        copy.setDestinationMatrixBatchIndex(1);
        CHECK(refused([&] { copy.encode(commands, images[0], matrix); }) ==
              who + "destinationMatrixBatchIndex is 1 but destinationMatrix has 1 matrices.");
    });
    CHECK(refused([] { MPS::MatrixCopyToImage(testDevice(), Layout(2)); }) ==
          "[MatrixCopyToImage] dataLayout is 2 but must be HeightxWidthxFeatureChannels or "
          "FeatureChannelsxHeightxWidth.");
    conforms("ImageCopyToMatrix", Aspect::Misuse);
    conforms("MatrixCopyToImage", Aspect::Misuse);
}
