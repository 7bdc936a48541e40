// Moving an image's elements between the device and host memory.
#include "mps/Half.hpp"
#include "mps/Image.hpp"
#include "mtl/Device.hpp"
#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>

#include <cmath>
#include <cstring>
#include <limits>

namespace mpsvk::MPS {

namespace {

/// Where the elements of a call lie in host memory.
struct HostLayout {
    DataLayout layout;
    uint64_t bytesPerColumn, bytesPerRow, bytesPerImage, planeBytes, element;

    uint64_t at(uint64_t image, uint64_t y, uint64_t x, uint64_t channel) const {
        const uint64_t base = image * bytesPerImage + y * bytesPerRow + x * bytesPerColumn;
        return base + channel * (layout == DataLayout::HeightxWidthxFeatureChannels ? element
                                                                                    : planeBytes);
    }
};

/// All texels of one image of `self`, as they lie in the storage: [y][x][slice] for a buffer,
/// [slice][y][x] for a texture.
class Texels {
public:
    Texels(Image::Impl& self, uint64_t image) : self_(self), storage_(*self.storage) {
        slices_ = mps::slicesFor(self.descriptor.featureChannels());
        index_ = self.firstImage + image;
        isBlueFirst_ = storage_.pixelFormat() == MTL::PixelFormat::BGRA8Unorm;
        bytes_.resize(size_t(storage_.shape().texture
                                 ? self.descriptor.width() * self.descriptor.height() * slices_ *
                                       storage_.bytesPerTexel()
                                 : storage_.imageBytes()));
    }

    std::byte* element(uint64_t x, uint64_t y, uint64_t channel) {
        const auto& shape = storage_.shape();
        const uint64_t slice = channel / 4;
        const uint64_t texel =
            shape.texture ? (slice * shape.height + y) * shape.width + x
                          : (y * shape.width + x) * shape.slices + self_.firstSlice + slice;
        uint64_t component = channel % 4;
        if (isBlueFirst_ && component < 3) component = 2 - component;
        return bytes_.data() + texel * storage_.bytesPerTexel() +
               component * storage_.elementBytes();
    }

    void load() {
        if (!storage_.shape().texture) return device().download(slice(), bytes_.data());
        transferTexture(false);
    }
    void store() {
        if (!storage_.shape().texture) return device().upload(slice(), bytes_.data());
        transferTexture(true);
    }

private:
    vk::Device& device() { return *storage_.device().impl().vk; }
    vk::BufferSlice slice() {
        const auto& all = storage_.buffer();
        return {all.buffer, all.offset + index_ * storage_.imageBytes(), storage_.imageBytes()};
    }

    void transferTexture(bool upload) {
        auto staging = device().memory().allocate(bytes_.size(), upload ? vk::MemoryKind::Shared
                                                                        : vk::MemoryKind::Readback);
        if (upload) std::memcpy(staging->mapped(), bytes_.data(), bytes_.size());
        VkBufferImageCopy region{};
        region.bufferOffset = staging->offset();
        region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0,
                                   uint32_t(index_ * storage_.shape().slices + self_.firstSlice),
                                   uint32_t(slices_)};
        region.imageExtent = {uint32_t(storage_.shape().width), uint32_t(storage_.shape().height),
                              1};
        const VkImage image = storage_.texture()->image();
        device().immediately([&](VkCommandBuffer commands) {
            if (upload)
                vkCmdCopyBufferToImage(commands, staging->handle(), image, VK_IMAGE_LAYOUT_GENERAL,
                                       1, &region);
            else
                vkCmdCopyImageToBuffer(commands, image, VK_IMAGE_LAYOUT_GENERAL, staging->handle(),
                                       1, &region);
        });
        if (!upload) std::memcpy(bytes_.data(), staging->mapped(), bytes_.size());
    }

    Image::Impl& self_;
    mps::ImageStorage& storage_;
    uint64_t slices_ = 0, index_ = 0;
    bool isBlueFirst_ = false;
    std::vector<std::byte> bytes_;
};

std::string subjectOf(const Image::Impl& self) { return MTL::subject("Image", self.label); }

void checkAccess(Image::Impl& self, const char* verb) {
    if (self.temporary || self.descriptor.storageMode() == MTL::StorageMode::Private)
        throw InvalidArgument(subjectOf(self) + verb +
                              " is for images that the host can reach but this one is " +
                              (self.temporary ? "temporary." : "private."));
    if (self.storage->resource()->hasPendingWrites())
        throw InvalidArgument(subjectOf(self) + verb +
                              " was called while a command buffer that writes the "
                              "image is not completed.");
}

struct Window {
    MTL::Region region;
    uint64_t firstChannel, channels;
};

Window checkWindow(const Image::Impl& self, const char* verb, const MTL::Region& region,
                   const ImageReadWriteParams& params, uint64_t imageIndex) {
    const auto& d = self.descriptor;
    const std::string who = subjectOf(self) + verb + " ";
    const auto fits = [](uint64_t location, uint64_t length, uint64_t all) {
        return length > 0 && length <= all && location <= all - length;
    };
    if (region.origin.z != 0 || !fits(region.origin.x, region.size.width, d.width()) ||
        !fits(region.origin.y, region.size.height, d.height()))
        throw InvalidArgument(who + "was given the region (" + std::to_string(region.origin.x) +
                              ", " + std::to_string(region.origin.y) + ", " +
                              std::to_string(region.origin.z) + ") + " +
                              std::to_string(region.size.width) + "x" +
                              std::to_string(region.size.height) + " of an image of " +
                              std::to_string(d.width()) + "x" + std::to_string(d.height()) + ".");
    if (!fits(imageIndex, region.size.depth, d.numberOfImages()))
        throw InvalidArgument(who + "was given images " + std::to_string(imageIndex) + " to " +
                              std::to_string(imageIndex + region.size.depth) + " of " +
                              std::to_string(d.numberOfImages()) + ".");
    const uint64_t first = params.featureChannelOffset,
                   count = params.numberOfFeatureChannelsToReadWrite;
    if (first % 4 != 0 || (first != 0 && count % 4 != 0) ||
        !fits(first, count, d.featureChannels()))
        throw InvalidArgument(
            who + "was given channels " + std::to_string(first) + " to " +
            std::to_string(first + count) + " of " + std::to_string(d.featureChannels()) +
            "; the offset must be a multiple of 4, and the count too unless the offset is 0.");
    return {region, first, count};
}

void checkSpan(const Image::Impl& self, const char* verb, const Window& w, const HostLayout& host,
               uint64_t given) {
    // Divided, not multiplied: huge distances must not wrap around.
    const auto reachesBeyond = [&](uint64_t distance, uint64_t steps) {
        return steps > 0 && distance > given / steps;
    };
    const bool planes = host.layout == DataLayout::FeatureChannelsxHeightxWidth;
    if (reachesBeyond(host.bytesPerImage, w.region.size.depth - 1) ||
        reachesBeyond(host.bytesPerRow, w.region.size.height - 1) ||
        reachesBeyond(host.bytesPerColumn, w.region.size.width - 1) ||
        (planes && reachesBeyond(host.planeBytes, w.channels - 1)))
        throw InvalidArgument(subjectOf(self) + verb + " was given " + std::to_string(given) +
                              " bytes but pixels " + std::to_string(host.bytesPerColumn) +
                              ", rows " + std::to_string(host.bytesPerRow) + " and images " +
                              std::to_string(host.bytesPerImage) + " bytes apart reach further.");
    const uint64_t needed = host.at(w.region.size.depth - 1, w.region.size.height - 1,
                                    w.region.size.width - 1, w.channels - 1) +
                            host.element;
    if (given < needed)
        throw InvalidArgument(subjectOf(self) + verb + " was given " + std::to_string(given) +
                              " bytes but the region takes " + std::to_string(needed) + ".");
}

template <class Each> void forEachElement(const Window& w, Each each) {
    for (uint64_t y = 0; y < w.region.size.height; ++y)
        for (uint64_t x = 0; x < w.region.size.width; ++x)
            for (uint64_t c = 0; c < w.channels; ++c) each(y, x, c);
}

bool coversAll(const Image::Impl& self, const Window& w) {
    const auto& d = self.descriptor;
    return w.region.size.width == d.width() && w.region.size.height == d.height() &&
           w.firstChannel == 0 && w.channels == d.featureChannels() && self.firstSlice == 0 &&
           mps::slicesFor(d.featureChannels()) == self.storage->shape().slices;
}

void readWindow(Image::Impl& self, std::span<std::byte> bytes, const Window& w,
                const HostLayout& host, uint64_t imageIndex) {
    checkAccess(self, "readBytes");
    checkSpan(self, "readBytes", w, host, bytes.size());
    for (uint64_t n = 0; n < w.region.size.depth; ++n) {
        Texels texels(self, imageIndex + n);
        texels.load();
        forEachElement(w, [&](uint64_t y, uint64_t x, uint64_t c) {
            std::memcpy(
                bytes.data() + host.at(n, y, x, c),
                texels.element(w.region.origin.x + x, w.region.origin.y + y, w.firstChannel + c),
                host.element);
        });
    }
}

void writeWindow(Image::Impl& self, std::span<const std::byte> bytes, const Window& w,
                 const HostLayout& host, uint64_t imageIndex) {
    checkAccess(self, "writeBytes");
    checkSpan(self, "writeBytes", w, host, bytes.size());
    for (uint64_t n = 0; n < w.region.size.depth; ++n) {
        Texels texels(self, imageIndex + n);
        if (!coversAll(self, w)) texels.load();
        forEachElement(w, [&](uint64_t y, uint64_t x, uint64_t c) {
            std::memcpy(
                texels.element(w.region.origin.x + x, w.region.origin.y + y, w.firstChannel + c),
                bytes.data() + host.at(n, y, x, c), host.element);
        });
        texels.store();
    }
}

HostLayout hostLayout(const Image::Impl& self, DataLayout layout, uint64_t bytesPerColumn,
                      uint64_t bytesPerRow, uint64_t bytesPerImage, const MTL::Region& region,
                      uint64_t channels) {
    const uint64_t element = self.storage->elementBytes();
    const bool packed = layout == DataLayout::HeightxWidthxFeatureChannels;
    if (bytesPerColumn == 0) bytesPerColumn = packed ? channels * element : element;
    const uint64_t rowNeeded =
        (region.size.width - 1) * bytesPerColumn + (packed ? channels * element : element);
    if (region.size.height > 1 && bytesPerRow < rowNeeded)
        throw InvalidArgument(subjectOf(self) + "bytesPerRow is " + std::to_string(bytesPerRow) +
                              " but a row of the region takes " + std::to_string(rowNeeded) +
                              " bytes.");
    if (region.size.height == 1) bytesPerRow = std::max(bytesPerRow, rowNeeded);
    return {layout, bytesPerColumn, bytesPerRow, bytesPerImage, region.size.height * bytesPerRow,
            element};
}

HostLayout tight(const Image::Impl& self, DataLayout layout) {
    const auto& d = self.descriptor;
    const uint64_t element = self.storage->elementBytes();
    const bool packed = layout == DataLayout::HeightxWidthxFeatureChannels;
    const uint64_t column = packed ? d.featureChannels() * element : element;
    const uint64_t row = column * d.width();
    return {layout,           column, row, d.width() * d.height() * d.featureChannels() * element,
            row * d.height(), element};
}

Window wholeImage(const Image::Impl& self) {
    const auto& d = self.descriptor;
    return {{{0, 0, 0}, {d.width(), d.height(), 1}}, 0, d.featureChannels()};
}

void checkWhole(const Image::Impl& self, const char* verb, uint64_t given, uint64_t needed,
                const char* unit, uint64_t imageIndex) {
    if (given != needed)
        throw InvalidArgument(subjectOf(self) + verb + " was given " + std::to_string(given) + " " +
                              unit + " but the image takes " + std::to_string(needed) + ".");
    if (imageIndex >= self.descriptor.numberOfImages())
        throw InvalidArgument(subjectOf(self) + verb + " was given imageIndex " +
                              std::to_string(imageIndex) + " but numberOfImages is " +
                              std::to_string(self.descriptor.numberOfImages()) + ".");
}

} // namespace

void Image::readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t imageIndex) const {
    const HostLayout host = tight(impl(), layout);
    checkWhole(impl(), "readBytes", bytes.size(), host.bytesPerImage, "bytes", imageIndex);
    readWindow(impl(), bytes, wholeImage(impl()), host, imageIndex);
}

void Image::writeBytes(std::span<const std::byte> bytes, DataLayout layout,
                       uint64_t imageIndex) const {
    const HostLayout host = tight(impl(), layout);
    checkWhole(impl(), "writeBytes", bytes.size(), host.bytesPerImage, "bytes", imageIndex);
    writeWindow(impl(), bytes, wholeImage(impl()), host, imageIndex);
}

void Image::readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                      MTL::Region region, ImageReadWriteParams channels,
                      uint64_t imageIndex) const {
    region.size.depth = 1;
    readBytes(bytes, layout, bytesPerRow, 0, region, channels, imageIndex);
}

void Image::writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                       MTL::Region region, ImageReadWriteParams channels,
                       uint64_t imageIndex) const {
    region.size.depth = 1;
    writeBytes(bytes, layout, bytesPerRow, 0, region, channels, imageIndex);
}

void Image::readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                      uint64_t bytesPerImage, MTL::Region region, ImageReadWriteParams channels,
                      uint64_t imageIndex) const {
    const Window w = checkWindow(impl(), "readBytes", region, channels, imageIndex);
    readWindow(impl(), bytes, w,
               hostLayout(impl(), layout, 0, bytesPerRow, bytesPerImage, region, w.channels),
               imageIndex);
}

void Image::writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                       uint64_t bytesPerImage, MTL::Region region, ImageReadWriteParams channels,
                       uint64_t imageIndex) const {
    writeBytes(bytes, layout, 0, bytesPerRow, bytesPerImage, region, channels, imageIndex);
}

void Image::writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerColumn,
                       uint64_t bytesPerRow, uint64_t bytesPerImage, MTL::Region region,
                       ImageReadWriteParams channels, uint64_t imageIndex) const {
    const Window w = checkWindow(impl(), "writeBytes", region, channels, imageIndex);
    writeWindow(
        impl(), bytes, w,
        hostLayout(impl(), layout, bytesPerColumn, bytesPerRow, bytesPerImage, region, w.channels),
        imageIndex);
}

namespace {

template <class Unorm>
void writeUnorm(const Image& image, std::span<const float> values, DataLayout layout,
                uint64_t imageIndex) {
    constexpr float one = std::numeric_limits<Unorm>::max();
    std::vector<Unorm> elements(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        elements[i] = Unorm(std::lrint(std::fmin(std::fmax(values[i], 0.f), 1.f) * one));
    image.writeBytes(std::as_bytes(std::span(elements)), layout, imageIndex);
}

template <class Unorm>
void readUnorm(const Image& image, std::span<float> values, DataLayout layout,
               uint64_t imageIndex) {
    constexpr float one = std::numeric_limits<Unorm>::max();
    std::vector<Unorm> elements(values.size());
    image.readBytes(std::as_writable_bytes(std::span(elements)), layout, imageIndex);
    for (size_t i = 0; i < values.size(); ++i) values[i] = float(elements[i]) / one;
}

} // namespace

void Image::write(std::span<const float> values, DataLayout layout, uint64_t imageIndex) const {
    const uint64_t count = width() * height() * featureChannels();
    checkWhole(impl(), "write", values.size(), count, "values", imageIndex);
    switch (featureChannelFormat()) {
    case ImageFeatureChannelFormat::Float32:
        return writeBytes(std::as_bytes(values), layout, imageIndex);
    case ImageFeatureChannelFormat::Float16: {
        std::vector<uint16_t> halves(values.size());
        for (size_t i = 0; i < values.size(); ++i) halves[i] = mps::toHalf(values[i]);
        return writeBytes(std::as_bytes(std::span(halves)), layout, imageIndex);
    }
    case ImageFeatureChannelFormat::Unorm16:
        return writeUnorm<uint16_t>(*this, values, layout, imageIndex);
    default: return writeUnorm<uint8_t>(*this, values, layout, imageIndex);
    }
}

void Image::read(std::span<float> values, DataLayout layout, uint64_t imageIndex) const {
    const uint64_t count = width() * height() * featureChannels();
    checkWhole(impl(), "read", values.size(), count, "values", imageIndex);
    switch (featureChannelFormat()) {
    case ImageFeatureChannelFormat::Float32:
        return readBytes(std::as_writable_bytes(values), layout, imageIndex);
    case ImageFeatureChannelFormat::Float16: {
        std::vector<uint16_t> halves(values.size());
        readBytes(std::as_writable_bytes(std::span(halves)), layout, imageIndex);
        for (size_t i = 0; i < values.size(); ++i) values[i] = mps::fromHalf(halves[i]);
        return;
    }
    case ImageFeatureChannelFormat::Unorm16:
        return readUnorm<uint16_t>(*this, values, layout, imageIndex);
    default: return readUnorm<uint8_t>(*this, values, layout, imageIndex);
    }
}

} // namespace mpsvk::MPS
