#include "support/Images.hpp"

#include <catch2/catch_test_macros.hpp>

namespace mpsvk::test {

using MPS::ImageFeatureChannelFormat;
using reference::Tensor;

reference::Storage Variant::rounding() const {
    switch (format) {
    case ImageFeatureChannelFormat::Unorm8: return reference::Storage::Unorm8;
    case ImageFeatureChannelFormat::Float16: return reference::Storage::Float16;
    default: return reference::Storage::Float32;
    }
}

double Variant::tolerance() const {
    switch (format) {
    case ImageFeatureChannelFormat::Unorm8: return 2.1e-3;
    case ImageFeatureChannelFormat::Float16: return 1e-3;
    default: return 1e-5;
    }
}

std::string Variant::name() const {
    return std::string(format == ImageFeatureChannelFormat::Float32   ? "fp32"
                       : format == ImageFeatureChannelFormat::Float16 ? "fp16"
                                                                      : "unorm8") +
           (storage == MPS::ImageStorage::Texture ? " texture" : " buffer");
}

std::vector<Variant> variants() {
    std::vector<Variant> all = {{ImageFeatureChannelFormat::Float32, MPS::ImageStorage::Buffer},
                                {ImageFeatureChannelFormat::Float16, MPS::ImageStorage::Buffer}};
    static const bool textures = [] {
        try {
            MPS::ImageDescriptor d(ImageFeatureChannelFormat::Float32, 1, 1, 4);
            d.setStorage(MPS::ImageStorage::Texture);
            MPS::Image(testDevice(), d).texture();
            return true;
        } catch (const DeviceError&) {
            return false;
        }
    }();
    if (textures) {
        all.push_back({ImageFeatureChannelFormat::Float32, MPS::ImageStorage::Texture});
        all.push_back({ImageFeatureChannelFormat::Float16, MPS::ImageStorage::Texture});
    }
    return all;
}

namespace {

MPS::ImageDescriptor descriptorOf(size_t h, size_t w, size_t c, Variant variant) {
    MPS::ImageDescriptor d(variant.format, w, h, c);
    d.setStorage(variant.storage);
    return d;
}

void write(const MPS::ImageBatch& images, const Tensor& tensor) {
    const std::vector<float> values = tensor.floats();
    const size_t each = tensor.h * tensor.w * tensor.c;
    for (size_t i = 0; i < images.size(); ++i)
        images[i].write(std::span(values).subspan(i * each, each));
}

} // namespace

MPS::ImageBatch upload(const Tensor& tensor, Variant variant) {
    const auto images = MPS::Image::batch(
        testDevice(), descriptorOf(tensor.h, tensor.w, tensor.c, variant), tensor.n);
    write(images, tensor);
    return images;
}

MPS::ImageBatch uploadApart(const Tensor& tensor, Variant variant) {
    MPS::ImageBatch images;
    std::vector<MPS::Image> between; // so that the images do not lie at equal distances
    for (size_t i = 0; i < tensor.n; ++i) {
        images.emplace_back(testDevice(), descriptorOf(tensor.h, tensor.w, tensor.c, variant));
        write({images.back()}, reference::image(tensor, i));
        between.emplace_back(testDevice(), descriptorOf(1 + 40 * i, 1 + i, 4, {}));
        between.back().write(std::vector<float>((1 + 40 * i) * (1 + i) * 4));
    }
    return images;
}

MPS::Image uploadArray(const Tensor& tensor, Variant variant) {
    auto d = descriptorOf(tensor.h, tensor.w, tensor.c, variant);
    d.setNumberOfImages(tensor.n);
    const MPS::Image made(testDevice(), d);
    write(made.batchRepresentation(), tensor);
    return made;
}

Tensor download(const MPS::ImageBatch& images) {
    const MPS::Image& first = images.at(0);
    std::vector<float> all, one(first.width() * first.height() * first.featureChannels());
    for (const MPS::Image& image : images) {
        image.read(one);
        all.insert(all.end(), one.begin(), one.end());
    }
    return reference::fromFloats(images.size(), first.height(), first.width(),
                                 first.featureChannels(), all);
}

Guarded::Guarded(size_t images, size_t height, size_t width, size_t channels, Variant variant) {
    const auto all =
        MPS::Image::batch(testDevice(), descriptorOf(height, width, channels, variant), images + 2);
    before_ = {all.front()};
    images_ = MPS::ImageBatch(all.begin() + 1, all.end() - 1);
    after_ = {all.back()};
    write(all, Tensor(images + 2, height, width, channels, poison));
}

Tensor Guarded::read() const {
    for (const auto* guard : {&before_, &after_})
        for (double value : download(*guard).v)
            if (value != poison) {
                FAIL("a kernel wrote outside its destination");
            }
    return download(images_);
}

std::string refusal(const std::function<void()>& call) {
    try {
        call();
    } catch (const InvalidArgument& error) {
        return error.what();
    }
    FAIL("nothing was refused");
    return {};
}

} // namespace mpsvk::test
