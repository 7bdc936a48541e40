// What an image remembers of its memory, and temporary images from descriptors of textures.
#include "support/Device.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <vector>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::PurgeableState;

TEST_CASE("an image remembers what was asked of its memory") {
    const MPS::Image image(testDevice(),
                           MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 2, 1, 1));
    CHECK(image.setPurgeableState(PurgeableState::Volatile) == PurgeableState::AllocationDeferred);
    image.write(std::vector<float>{3, 4});
    CHECK(image.setPurgeableState(PurgeableState::Volatile) == PurgeableState::NonVolatile);
    CHECK(image.setPurgeableState(PurgeableState::KeepCurrent) == PurgeableState::Volatile);
    CHECK(image.setPurgeableState(PurgeableState::Empty) == PurgeableState::Volatile);
    CHECK(image.setPurgeableState(PurgeableState::NonVolatile) == PurgeableState::Empty);
    std::vector<float> values(2);
    image.read(values);
    CHECK(values == std::vector<float>{3, 4});
}

TEST_CASE("temporary images from descriptors of textures") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MTL::TextureDescriptor texture(MTL::PixelFormat::RG16Float, 4, 3, false);
    const MPS::TemporaryImage pair(commands, texture);
    CHECK(pair.width() == 4);
    CHECK(pair.height() == 3);
    CHECK(pair.featureChannels() == 2);
    CHECK(pair.numberOfImages() == 1);
    CHECK(pair.featureChannelFormat() == MPS::ImageFeatureChannelFormat::Float16);
    CHECK(pair.storage() == MPS::ImageStorage::Texture);
    CHECK(pair.readCount() == 1);

    texture.setTextureType(MTL::TextureType::Type2DArray);
    texture.setPixelFormat(MTL::PixelFormat::RGBA32Float);
    texture.setArrayLength(6);
    const MPS::TemporaryImage array(commands, texture, 7);
    CHECK(array.featureChannels() == 7);
    CHECK(array.numberOfImages() == 3);
    const auto refused = [&](uint64_t channels) {
        return sentence<InvalidArgument>(
            [&] { MPS::TemporaryImage made(commands, texture, channels); });
    };
    CHECK(refused(16) == "[TemporaryImage] A texture with 6 slices cannot hold images of 16 "
                         "feature channels, which take 4 slices each.");
    texture.setUsage(MTL::TextureUsage::RenderTarget);
    CHECK(refused(7) ==
          "[TemporaryImage] The descriptor's usage has neither ShaderRead nor ShaderWrite.");
    texture.setDepth(2);
    CHECK(refused(7) ==
          "[TemporaryImage] newTexture was given a depth of 2 but 2D textures have 1.");
}

TEST_CASE("kernels write and read a temporary image from a descriptor of a texture") {
    const MPS::ImageDescriptor descriptor(MPS::ImageFeatureChannelFormat::Float32, 2, 1, 1);
    const MPS::Image x(testDevice(), descriptor), y(testDevice(), descriptor);
    x.write(std::vector<float>{-3, 4});
    MTL::TextureDescriptor texture(MTL::PixelFormat::R32Float, 2, 1, false);
    texture.setUsage(MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite);
    MPS::CNNNeuron relu(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::TemporaryImage hidden(commands, texture);
        relu.encode(commands, x, hidden);
        relu.encode(commands, hidden, y);
        CHECK(hidden.readCount() == 0);
    });
    std::vector<float> values(2);
    y.read(values);
    CHECK(values == std::vector<float>{0, 4});
}
