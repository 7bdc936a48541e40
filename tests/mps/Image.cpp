// Images beside kernels: batches of textures, views of temporary images, textures of the user's,
// host access, refusals.
#include "mtl/Device.hpp"
#include "support/Images.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using Format = MPS::ImageFeatureChannelFormat;
using MTL::PixelFormat;

namespace {

constexpr auto channelsLast = MPS::DataLayout::HeightxWidthxFeatureChannels,
               channelsFirst = MPS::DataLayout::FeatureChannelsxHeightxWidth;

MPS::CNNNeuron copy() {
    return MPS::CNNNeuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
}

std::vector<MPS::ImageStorage> storages() {
    std::vector<MPS::ImageStorage> all{MPS::ImageStorage::Buffer};
    if (variants().size() > 2) all.push_back(MPS::ImageStorage::Texture);
    return all;
}

bool hasTextures() { return storages().size() > 1; }

MPS::ImageDescriptor described(Format format, uint64_t width, uint64_t height, uint64_t channels,
                               MPS::ImageStorage storage) {
    MPS::ImageDescriptor d(format, width, height, channels);
    d.setStorage(storage);
    return d;
}

std::vector<float> valuesOf(const MPS::Image& image) {
    std::vector<float> values(image.width() * image.height() * image.featureChannels());
    image.read(values);
    return values;
}

MTL::Texture texture(PixelFormat format, uint64_t width, uint64_t height, uint64_t slices = 1) {
    MTL::TextureDescriptor d(format, width, height, false);
    if (slices > 1) d.setTextureType(MTL::TextureType::Type2DArray);
    d.setArrayLength(slices);
    d.setUsage(MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite);
    return testDevice().newTexture(d);
}

} // namespace

TEST_CASE("a batch of textures may have more layers than one texture") {
    if (!hasTextures()) SKIP("the device has no textures");
    const uint64_t slices = testDevice().impl().vk->limits().imageLayers / 2 - 1;
    const auto d = described(Format::Float16, 1, 1, 4 * slices, MPS::ImageStorage::Texture);
    const auto source = MPS::Image::batch(testDevice(), d, 5);
    for (size_t i = 0; i < source.size(); ++i)
        source[i].write(std::vector<float>(d.featureChannels(), float(i + 1)));
    const auto result = MPS::Image::batch(testDevice(), d, 5);
    run([&](const MTL::CommandBuffer& commands) {
        const auto between = MPS::TemporaryImage::batch(commands, d, 5);
        copy().encodeBatch(commands, source, between);
        copy().encodeBatch(commands, between, result);
    });
    for (size_t i = 0; i < result.size(); ++i)
        CHECK(valuesOf(result[i]) == std::vector<float>(d.featureChannels(), float(i + 1)));
}

TEST_CASE("views of a temporary image are refused once it is spent") {
    for (const MPS::ImageStorage storage : storages()) {
        const auto whole = described(Format::Float32, 2, 1, 8, storage),
                   part = described(Format::Float32, 2, 1, 4, storage);
        const MPS::Image source(testDevice(), whole), low(testDevice(), part),
            high(testDevice(), part);
        std::vector<float> values(16);
        for (size_t i = 0; i < 16; ++i) values[i] = float(i);
        source.write(values);
        run([&](const MTL::CommandBuffer& commands) {
            MPS::TemporaryImage image(commands, whole);
            copy().encode(commands, source, image);
            image.setReadCount(2);
            const MPS::Image first = image.subImage({0, 4}), second = image.subImage({4, 4});
            copy().encode(commands, first, low);
            CHECK(image.readCount() == 1);
            copy().encode(commands, second, high);
            CHECK(image.readCount() == 0);
        });
        CHECK(valuesOf(low) == std::vector<float>{0, 1, 2, 3, 8, 9, 10, 11});
        CHECK(valuesOf(high) == std::vector<float>{4, 5, 6, 7, 12, 13, 14, 15});
        run([&](const MTL::CommandBuffer& commands) {
            MPS::TemporaryImage image(commands, whole);
            image.setLabel("t");
            copy().encode(commands, source, image);
            const MPS::Image first = image.subImage({0, 4}), second = image.subImage({4, 4});
            const MPS::Image inner(second, MTL::Range{0, 1}, 4);
            copy().encode(commands, first, low);
            const auto read = [&](const MPS::Image& view) {
                return sentence<InvalidArgument>([&] { copy().encode(commands, view, high); });
            };
            const std::string sentenceOfView =
                "[CNNNeuron] sourceImage is a view of a temporary image whose read count is 0: its "
                "memory is given back already.";
            CHECK(read(second) == sentenceOfView);
            CHECK(read(inner) == sentenceOfView);
            CHECK(sentence<InvalidArgument>([&] { copy().encode(commands, low, second); }) ==
                  "[CNNNeuron] destinationImage is a view of a temporary image whose read count is "
                  "0: its memory is given back already.");
            const std::string sentenceOfMaking =
                "[TemporaryImage \"t\"] A view was asked of an image whose read count is 0: its "
                "memory is given back already.";
            CHECK(sentence<InvalidArgument>([&] { image.subImage({4, 4}); }) == sentenceOfMaking);
            CHECK(sentence<InvalidArgument>([&] { image.batchRepresentation(); }) ==
                  sentenceOfMaking);
        });
    }
}

TEST_CASE("an image's texture is as the image says, and the host still reaches the image") {
    if (!hasTextures()) SKIP("the device has no textures");
    for (const Format format : {Format::Unorm8, Format::Float16, Format::Float32})
        for (const uint64_t channels : {1, 2, 3, 5}) {
            const auto d = described(format, 2, 2, channels, MPS::ImageStorage::Texture);
            const auto images = MPS::Image::batch(testDevice(), d, 2);
            std::vector<float> values(4 * channels);
            for (size_t i = 0; i < values.size(); ++i) values[i] = float(i % 2);
            for (const MPS::Image& image : images) image.write(values);
            const uint64_t size = images[0].resourceSize();
            CHECK(images[0].texture().pixelFormat() == images[0].pixelFormat());
            CHECK(images[0].pixelFormat() == d.pixelFormat());
            CHECK(images[0].resourceSize() == size);
            for (const MPS::Image& image : images) CHECK(valuesOf(image) == values);
            const MPS::Image result(testDevice(), d);
            run([&](const MTL::CommandBuffer& commands) {
                copy().encode(commands, images[1], result);
            });
            CHECK(valuesOf(result) == values);
        }
    auto d = described(Format::Float16, 2, 2, 1, MPS::ImageStorage::Texture);
    d.setStorageMode(MTL::StorageMode::Private);
    d.setUsage(MTL::TextureUsage::ShaderRead);
    const MTL::Texture own = MPS::Image(testDevice(), d).texture();
    CHECK(own.storageMode() == MTL::StorageMode::Private);
    CHECK(own.usage() == MTL::TextureUsage::ShaderRead);
    d.setFeatureChannels(8);
    const MPS::Image image(testDevice(), d);
    CHECK(image.subImage({0, 4}).texture() == image.texture());
    d.setFeatureChannels(1);
    const MPS::Image narrow(testDevice(), d);
    CHECK(sentence<InvalidArgument>([&] {
              MPS::Image(narrow, MTL::Range{0, 1}, 4);
          }) ==
          "[Image] A texture of R16Float has 1 channels a slice, which is too few for an image of "
          "4 feature channels.");
}

TEST_CASE("host access and kernels agree on textures of the user's") {
    if (!hasTextures()) SKIP("the device has no textures");
    struct Case {
        PixelFormat format;
        uint64_t most;
        Format elements;
        float parts; // of 1 that elements are
    };
    for (const Case& k : {Case{PixelFormat::R8Unorm, 1, Format::Unorm8, 255},
                          Case{PixelFormat::RGBA8Unorm, 4, Format::Unorm8, 255},
                          Case{PixelFormat::BGRA8Unorm, 4, Format::Unorm8, 255},
                          Case{PixelFormat::R16Unorm, 1, Format::Unorm16, 65535},
                          Case{PixelFormat::RG16Unorm, 2, Format::Unorm16, 65535},
                          Case{PixelFormat::RGBA16Unorm, 4, Format::Unorm16, 65535},
                          Case{PixelFormat::RG16Float, 2, Format::Float16, 256},
                          Case{PixelFormat::R32Float, 1, Format::Float32, 256}}) {
        for (uint64_t channels = 1; channels <= k.most; ++channels) {
            INFO("pixelFormat " << uint64_t(k.format) << ", " << channels << " channels");
            const MPS::Image image(texture(k.format, 3, 2), channels);
            CHECK(image.pixelFormat() == k.format);
            CHECK(image.featureChannelFormat() == k.elements);
            std::vector<float> values(6 * channels);
            for (size_t i = 0; i < values.size(); ++i) values[i] = float(i + 1) / k.parts;
            image.write(values);
            CHECK(valuesOf(image) == values);
            const MPS::Image result(testDevice(), described(Format::Float32, 3, 2, channels,
                                                            MPS::ImageStorage::Buffer));
            run([&](const MTL::CommandBuffer& commands) {
                copy().encode(commands, image, result);
            });
            const auto seen = valuesOf(result);
            for (size_t i = 0; i < values.size(); ++i)
                CHECK(std::abs(seen[i] - values[i]) < 0.25 / k.parts);
        }
    }
}

TEST_CASE("elements of a texture's own format go to the host and back") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::Texture wide = texture(PixelFormat::RGBA16Unorm, 2, 1);
    const std::array<uint16_t, 8> texels{1, 2, 3, 4, 5, 6, 7, 8};
    wide.replaceRegion(MTL::RegionMake2D(0, 0, 2, 1), 0, std::as_bytes(std::span(texels)), 16);
    std::array<uint16_t, 6> elements{};
    const MPS::Image picture(wide, 3);
    picture.readBytes(std::as_writable_bytes(std::span(elements)), channelsLast, 0);
    CHECK(elements == std::array<uint16_t, 6>{1, 2, 3, 5, 6, 7});

    const MTL::Texture blueFirst = texture(PixelFormat::BGRA8Unorm, 1, 1);
    const MPS::Image image(blueFirst, 4);
    const std::array<uint8_t, 4> colours{30, 20, 10, 40};
    image.writeBytes(std::as_bytes(std::span(colours)), channelsLast, 0);
    std::array<uint8_t, 4> texel{};
    blueFirst.getBytes(std::as_writable_bytes(std::span(texel)), 4, MTL::RegionMake2D(0, 0, 1, 1),
                       0);
    CHECK(texel == std::array<uint8_t, 4>{10, 20, 30, 40});
}

TEST_CASE("two images around one texture are one when kernels do not work in place") {
    if (!hasTextures()) SKIP("the device has no textures");
    const MTL::Texture shared = texture(PixelFormat::RGBA32Float, 4, 4, 2);
    const MPS::Image four(shared, 4), eight(shared, 8);
    const MPS::Image own(testDevice(),
                         described(Format::Float32, 4, 4, 4, MPS::ImageStorage::Texture));
    MPS::CNNPoolingMax pooling(testDevice(), 3, 3, 1, 1);
    run([&](const MTL::CommandBuffer& commands) {
        const auto refused = [&](const MPS::Image& source, const MPS::Image& destination) {
            return sentence<InvalidArgument>(
                [&] { pooling.encode(commands, source, destination); });
        };
        const std::string inPlace = "[CNNPoolingMax] A destination image is also a source image; "
                                    "the kernel does not work in place.";
        CHECK(refused(MPS::Image(shared, 8), eight) == inPlace);
        CHECK(refused(own, MPS::Image(own.texture(), 4)) == inPlace);
        CHECK(refused(four.batchRepresentation()[1], eight.subImage({0, 4})) == inPlace);
        const auto parts = MPS::Image(shared, 4).batchRepresentation();
        CHECK_NOTHROW(pooling.encode(commands, four.batchRepresentation()[0], parts[1]));
    });
}

TEST_CASE("ranges beyond an image are refused however large they are") {
    MPS::ImageDescriptor d(Format::Float32, 2, 2, 4, 2);
    const MPS::Image image(testDevice(), d);
    const auto refused = [](auto call) { return !sentence<InvalidArgument>(call).empty(); };
    constexpr uint64_t huge = UINT64_MAX;
    CHECK(refused([&] { image.batchRepresentation({huge, 2}); }));
    CHECK(refused([&] { image.batchRepresentation({2, huge}); }));
    CHECK(refused([&] { MPS::Image(image, MTL::Range{huge, 1}, 4); }));
    CHECK(refused([&] { MPS::Image(image, MTL::Range{huge, 3}, 4); }));
    std::vector<std::byte> bytes(256);
    const auto read = [&](MTL::Region region, MPS::ImageReadWriteParams channels, uint64_t index,
                          uint64_t bytesPerRow = 32, uint64_t bytesPerImage = 64,
                          MPS::DataLayout layout = channelsLast) {
        return refused([&] {
            image.readBytes(bytes, layout, bytesPerRow, bytesPerImage, region, channels, index);
        });
    };
    CHECK(read({{1, 0, 0}, {huge, 2, 1}}, {0, 4}, 0));
    CHECK(read({{huge, 0, 0}, {2, 2, 1}}, {0, 4}, 0));
    CHECK(read({{0, huge, 0}, {2, 2, 1}}, {0, 4}, 0));
    CHECK(read({{0, 0, 0}, {2, 2, 2}}, {0, 4}, huge));
    CHECK(read({{0, 0, 0}, {2, 2, huge}}, {0, 4}, 1));
    CHECK(read({{0, 0, 0}, {2, 2, 1}}, {huge - 3, 4}, 0));
    CHECK(read({{0, 0, 0}, {2, 2, 1}}, {0, 4}, 0, huge - 15));
    CHECK(read({{0, 0, 0}, {2, 2, 2}}, {0, 4}, 0, 32, huge - 15));
    CHECK(read({{0, 0, 0}, {2, 1, 1}}, {0, 4}, 0, huge / 2 + 1, 0, channelsFirst));
    CHECK(refused([&] {
        image.writeBytes(bytes, channelsLast, huge - 15, 32, 64, MTL::Region{{0, 0, 0}, {2, 2, 1}},
                         {0, 4}, 0);
    }));
    CHECK_NOTHROW(image.readBytes(bytes, channelsLast, 32, 64, {{0, 0, 0}, {2, 2, 2}}, {0, 4}, 0));
    CHECK_NOTHROW(
        image.readBytes(bytes, channelsLast, 32, huge, {{0, 0, 0}, {2, 2, 1}}, {0, 4}, 0));
}

TEST_CASE("images that cannot be are refused with a sentence") {
    MPS::ImageDescriptor d(Format::Float32, 2, 2, 4);
    d.setStorageMode(MTL::StorageMode::Memoryless);
    const std::string memoryless =
        "[Image] The descriptor's storageMode is Memoryless but an image "
        "is Shared, Managed or Private.";
    CHECK(sentence<InvalidArgument>([&] { MPS::Image(testDevice(), d); }) == memoryless);
    CHECK(sentence<InvalidArgument>([&] { MPS::Image::batch(testDevice(), d, 2); }) == memoryless);
    run([&](const MTL::CommandBuffer& commands) {
        CHECK_NOTHROW(MPS::TemporaryImage(commands, d)); // which is private in any case
    });
    if (!hasTextures()) return;
    CHECK(sentence<InvalidArgument>([] { MPS::Image(texture(PixelFormat::R16Float, 1, 1), 2); }) ==
          "[Image] A texture of R16Float has 1 channels a slice, which is too few for an image of "
          "2 feature channels.");
    CHECK(
        sentence<InvalidArgument>([] { MPS::Image(texture(PixelFormat::RG8Unorm, 1, 1, 2), 8); }) ==
        "[Image] A texture of RG8Unorm has 2 channels a slice, which is too few for an image of "
        "8 feature channels.");
}
