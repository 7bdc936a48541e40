#include "mps/CNNLossLabels.hpp"

#include "mtl/Device.hpp"

#include <mpsvk/Error.hpp>

#include <cstring>

namespace mpsvk::MPS {

namespace {

std::string sizeText(const MTL::Size& s) {
    return std::to_string(s.width) + "x" + std::to_string(s.height) + " with " +
           std::to_string(s.depth) + " feature channels";
}

} // namespace

CNNLossDataDescriptor::CNNLossDataDescriptor(std::span<const std::byte> data, DataLayout layout,
                                             const MTL::Size& size)
    : data_(data.begin(), data.end()), layout_(layout), size_(size) {
    if (size.width == 0 || size.height == 0 || size.depth == 0 ||
        data.size() / sizeof(float) / size.width / size.height < size.depth)
        throw InvalidArgument("[CNNLossDataDescriptor] The data has " +
                              std::to_string(data.size()) + " bytes but " + sizeText(size) +
                              " take 4 for each element, and there must be one.");
    const bool packed = layout == DataLayout::HeightxWidthxFeatureChannels;
    bytesPerRow_ = size.width * sizeof(float) * (packed ? size.depth : 1);
    bytesPerImage_ = size.height * bytesPerRow_;
}

CNNLossDataDescriptor::CNNLossDataDescriptor(std::span<const float> data, DataLayout layout,
                                             const MTL::Size& size)
    : CNNLossDataDescriptor(std::as_bytes(data), layout, size) {}

namespace {

/// Labels and losses are small and come and go with every step: the host writes and reads them
/// without a copy on the device.
Image sharedImage(const MTL::Device& device, const MTL::Size& size) {
    auto made = std::make_shared<Image::Impl>();
    made->descriptor =
        ImageDescriptor(ImageFeatureChannelFormat::Float32, size.width, size.height, size.depth);
    made->descriptor.setStorage(ImageStorage::Buffer);
    made->storage = std::make_shared<mps::ImageStorage>(
        device, mps::ImageStorage::Shape{size.width, size.height, mps::slicesFor(size.depth), 1,
                                         ImageFeatureChannelFormat::Float32, false, true});
    made->storage->allocate();
    return Image(std::move(made));
}

/// At least what it passes over, and at most all of the data: what is multiplied by it does not
/// overflow then.
void checkStride(const CNNLossDataDescriptor& d, const char* name, uint64_t stride,
                 uint64_t least) {
    if (stride >= least && stride <= d.data().size()) return;
    throw InvalidArgument("[CNNLossDataDescriptor] " + std::string(name) + " is " +
                          std::to_string(stride) + " but must be from " + std::to_string(least) +
                          " to the " + std::to_string(d.data().size()) + " bytes of the data.");
}

/// The described elements as [y][x][channel].
std::vector<float> elementsOf(const CNNLossDataDescriptor& d) {
    const auto [width, height, channels] = d.size();
    const bool packed = d.layout() == DataLayout::HeightxWidthxFeatureChannels;
    const uint64_t perColumn = (packed ? channels : 1) * sizeof(float);
    const uint64_t perChannel = packed ? sizeof(float) : d.bytesPerImage();
    if (height > 1) checkStride(d, "bytesPerRow", d.bytesPerRow(), width * perColumn);
    if (!packed && channels > 1)
        checkStride(d, "bytesPerImage", d.bytesPerImage(),
                    (height - 1) * d.bytesPerRow() + width * perColumn);
    const uint64_t needed = (height - 1) * d.bytesPerRow() + (width - 1) * perColumn +
                            (channels - 1) * perChannel + sizeof(float);
    if (d.data().size() < needed)
        throw InvalidArgument("[CNNLossDataDescriptor] The data has " +
                              std::to_string(d.data().size()) + " bytes but " + sizeText(d.size()) +
                              ", bytesPerRow " + std::to_string(d.bytesPerRow()) +
                              " and bytesPerImage " + std::to_string(d.bytesPerImage()) +
                              " reach to byte " + std::to_string(needed) + ".");
    std::vector<float> all(width * height * channels);
    size_t i = 0;
    for (uint64_t y = 0; y < height; ++y)
        for (uint64_t x = 0; x < width; ++x)
            for (uint64_t c = 0; c < channels; ++c, ++i)
                std::memcpy(&all[i],
                            d.data().data() + y * d.bytesPerRow() + x * perColumn + c * perChannel,
                            sizeof(float));
    return all;
}

Image imageOf(const MTL::Device& device, const CNNLossDataDescriptor& d) {
    const std::vector<float> elements = elementsOf(d);
    const Image made = sharedImage(device, d.size());
    made.write(elements);
    return made;
}

Image lossImageOf(const MTL::Device& device, const MTL::Size& size) {
    if (size.width == 0 || size.height == 0 || size.depth == 0)
        throw InvalidArgument("[CNNLossLabels] lossImageSize is " + sizeText(size) +
                              " but each must be at least 1.");
    return sharedImage(device, size);
}

void checkDevice(const char* name, const MTL::Device& device, const Image& image) {
    if (!(image.device() == device))
        throw InvalidArgument("[CNNLossLabels] " + std::string(name) + " belongs to the device \"" +
                              image.device().name() + "\" but the labels to another one, \"" +
                              device.name() + "\".");
}

} // namespace

CNNLossLabels::CNNLossLabels(const MTL::Device& device,
                             const CNNLossDataDescriptor& labelsDescriptor)
    : CNNLossLabels(device, {1, 1, 1}, labelsDescriptor, std::nullopt) {}

CNNLossLabels::CNNLossLabels(const MTL::Device& device, const MTL::Size& lossImageSize,
                             const CNNLossDataDescriptor& labelsDescriptor,
                             const std::optional<CNNLossDataDescriptor>& weightsDescriptor) {
    device.impl();
    auto made = std::make_shared<Impl>(device);
    // Always in this order, so that the objects of a batch are laid out alike.
    made->labels = imageOf(device, labelsDescriptor);
    if (weightsDescriptor) made->weights = imageOf(device, *weightsDescriptor);
    made->loss = lossImageOf(device, lossImageSize);
    impl_ = std::move(made);
}

CNNLossLabels::CNNLossLabels(const MTL::Device& device, const MTL::Size& lossImageSize,
                             const Image& labelsImage, const Image& weightsImage) {
    device.impl();
    if (!labelsImage)
        throw InvalidArgument("[CNNLossLabels] labelsImage is an empty image handle.");
    checkDevice("labelsImage", device, labelsImage);
    if (weightsImage) checkDevice("weightsImage", device, weightsImage);
    auto made = std::make_shared<Impl>(device);
    made->labels = labelsImage;
    made->weights = weightsImage;
    made->loss = lossImageOf(device, lossImageSize);
    impl_ = std::move(made);
}

CNNLossLabels::Impl& CNNLossLabels::impl() const {
    if (!impl_) throw InvalidArgument("[CNNLossLabels] The state handle is empty.");
    return static_cast<Impl&>(*impl_);
}

Image CNNLossLabels::lossImage() const { return impl().loss; }
Image CNNLossLabels::labelsImage() const { return impl().labels; }
Image CNNLossLabels::weightsImage() const { return impl().weights; }

bool CNNLossLabels::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

} // namespace mpsvk::MPS
