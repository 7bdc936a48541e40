#include "mps/ImageDescriptor.hpp"

#include "mtl/CommandBuffer.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/SecureCoding.hpp>

#include <algorithm>
#include <set>

namespace mpsvk::MPS {

ImageBatch ImageAllocator::imageBatch(MTL::CommandBuffer commandBuffer, ImageDescriptor descriptor,
                                      const Kernel& kernel, uint64_t count) {
    ImageBatch made;
    for (uint64_t i = 0; i < count; ++i) made.push_back(image(commandBuffer, descriptor, kernel));
    return made;
}

namespace {

std::shared_ptr<Image::Impl> viewOf(const std::shared_ptr<mps::ImageStorage>& storage,
                                    const ImageDescriptor& descriptor, uint64_t first,
                                    bool temporary) {
    auto made = std::make_shared<Image::Impl>();
    made->descriptor = descriptor;
    made->storage = storage;
    made->firstImage = first;
    made->temporary = temporary;
    made->readCount = temporary ? 1 : 0;
    return made;
}

/// `count` images in one storage; in as many as the device's layers take when they are textures.
/// `storageOf` makes one for so many images.
template <class StorageOf>
ImageBatch batchOver(const MTL::Device& device, const ImageDescriptor& d, uint64_t count,
                     bool temporary, StorageOf storageOf) {
    const uint64_t each = d.numberOfImages();
    uint64_t most = count;
    if (d.storage() == ImageStorage::Texture)
        most = std::max<uint64_t>(1, device.impl().vk->limits().imageLayers /
                                         mps::slicesFor(d.featureChannels()) / each);
    ImageBatch made;
    made.reserve(count);
    while (made.size() < count) {
        const uint64_t images = std::min(most, count - made.size());
        const std::shared_ptr<mps::ImageStorage> storage = storageOf(images);
        for (uint64_t i = 0; i < images; ++i)
            made.push_back(Image(viewOf(storage, d, i * each, temporary)));
    }
    return made;
}

// The default allocators are single objects: an archive only names them.
struct PlainAllocator : ImageAllocator, SecureCoding {
    std::string className() const override { return "ImageAllocator"; }
    void encode(KeyedArchiver&) const override {}
    Image image(MTL::CommandBuffer commands, ImageDescriptor descriptor, const Kernel&) override {
        return Image(commands.device(), descriptor);
    }
    ImageBatch imageBatch(MTL::CommandBuffer commands, ImageDescriptor descriptor, const Kernel&,
                          uint64_t count) override {
        return Image::batch(commands.device(), descriptor, count);
    }
};

struct TemporaryAllocator : ImageAllocator, SecureCoding {
    std::string className() const override { return "TemporaryImageAllocator"; }
    void encode(KeyedArchiver&) const override {}
    Image image(MTL::CommandBuffer commands, ImageDescriptor descriptor, const Kernel&) override {
        return TemporaryImage(commands, descriptor);
    }
    ImageBatch imageBatch(MTL::CommandBuffer commands, ImageDescriptor descriptor, const Kernel&,
                          uint64_t count) override {
        return TemporaryImage::batch(commands, descriptor, count);
    }
};

} // namespace

Image::Impl::~Impl() {
    if (temporary && readCount > 0 && !parent) storage->releaseOne();
}

void Image::Impl::checkUsable(const std::string& who, const char* role,
                              const MTL::CommandBuffer& commandBuffer) const {
    if (!(storage->device() == commandBuffer.device()))
        throw InvalidArgument(who + role + " belongs to the device \"" + storage->device().name() +
                              "\" but the command buffer to another one, \"" +
                              commandBuffer.device().name() + "\".");
    if (!temporary) return;
    if (isSpent())
        throw InvalidArgument(who + role + " is a " + (readCount == 0 ? "" : "view of a ") +
                              "temporary image whose read count is 0: its memory is given back "
                              "already.");
    if (storage->owner() != commandBuffer.impl().serial)
        throw InvalidArgument(who + role + " is a temporary image of another command buffer.");
}

bool Image::Impl::isSpent() const {
    return temporary && (readCount == 0 || (parent && parent->isSpent()));
}

void Image::Impl::wasRead() {
    if (temporary && readCount > 0) setReadCount(readCount - 1);
}

void Image::Impl::setReadCount(uint64_t count) {
    readCount = count;
    if (count > 0) return;
    if (parent)
        parent->wasRead();
    else
        storage->releaseOne();
}

void markRead(const ImageBatch& images) {
    std::set<const detail::ObjectImpl*> seen;
    for (const Image& image : images)
        if (image && image.impl().temporary && seen.insert(image.shared().get()).second)
            image.impl().wasRead();
}

Image::Image(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Image::Impl& Image::impl() const {
    if (!impl_) throw InvalidArgument("[Image] The image handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Image::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

Image::Image(const MTL::Device& device, const ImageDescriptor& descriptor) {
    device.impl();
    const ImageDescriptor d = mps::checkedDescriptor("Image", descriptor);
    mps::checkStorageMode(d);
    impl_ = viewOf(std::make_shared<mps::ImageStorage>(device, mps::shapeOf(d, d.numberOfImages())),
                   d, 0, false);
}

Image::Image(const MTL::Texture& texture, uint64_t featureChannels) {
    const ImageDescriptor d =
        mps::descriptorOf("Image", texture.impl().descriptor, featureChannels);
    auto shape = mps::shapeOf(d, d.numberOfImages());
    shape.components = mps::componentsOf(texture.pixelFormat());
    mps::checkComponents(shape, texture.pixelFormat(), featureChannels);
    impl_ = viewOf(std::make_shared<mps::ImageStorage>(texture, shape), d, 0, false);
}

Image::Image(const Image& parent, MTL::Range range, uint64_t featureChannels) {
    auto& from = parent.impl();
    const uint64_t slices = mps::slicesFor(featureChannels);
    const uint64_t parentSlices = mps::slicesFor(from.descriptor.featureChannels());
    const uint64_t all = parentSlices * from.descriptor.numberOfImages();
    const bool fits = featureChannels > 0 && range.length > 0 && range.length <= all &&
                      range.location <= all - range.length;
    const bool whole = fits && slices == parentSlices && range.location % slices == 0 &&
                       range.length % slices == 0;
    const bool window = fits && from.descriptor.numberOfImages() == 1 && range.length == slices;
    if (!whole && !window)
        throw InvalidArgument("[Image] A view on slices " + std::to_string(range.location) +
                              " to " + std::to_string(range.location + range.length) + " with " +
                              std::to_string(featureChannels) +
                              " feature channels does not fit a parent of " +
                              std::to_string(from.descriptor.numberOfImages()) + " images with " +
                              std::to_string(parentSlices) + " slices each.");
    if (from.isSpent())
        throw InvalidArgument(MTL::subject("TemporaryImage", from.label) +
                              "A view was asked of an image whose read count is 0: its memory is "
                              "given back already.");
    const auto& shape = from.storage->shape();
    if (shape.texture) mps::checkComponents(shape, from.storage->pixelFormat(), featureChannels);
    ImageDescriptor d = from.descriptor;
    d.setFeatureChannels(featureChannels);
    d.setNumberOfImages(whole ? range.length / slices : 1);
    auto made = viewOf(from.storage, d, from.firstImage + (whole ? range.location / slices : 0),
                       from.temporary);
    made->firstSlice = from.firstSlice + (whole ? 0 : range.location);
    made->parent = from.shared_from_this();
    impl_ = std::move(made);
}

ImageBatch Image::batch(const MTL::Device& device, const ImageDescriptor& descriptor,
                        uint64_t count) {
    device.impl();
    const ImageDescriptor d = mps::checkedDescriptor("Image", descriptor);
    mps::checkStorageMode(d);
    return batchOver(device, d, count, false, [&](uint64_t images) {
        return std::make_shared<mps::ImageStorage>(device,
                                                   mps::shapeOf(d, d.numberOfImages() * images));
    });
}

std::shared_ptr<ImageAllocator> Image::defaultAllocator() {
    static const auto allocator = std::make_shared<PlainAllocator>();
    return allocator;
}

TemporaryImage::TemporaryImage(const MTL::CommandBuffer& commandBuffer,
                               const ImageDescriptor& descriptor) {
    impl_ = batch(commandBuffer, descriptor, 1)[0].shared();
}

TemporaryImage::TemporaryImage(const MTL::CommandBuffer& commandBuffer,
                               const MTL::TextureDescriptor& descriptor)
    : TemporaryImage(commandBuffer, descriptor, mps::componentsOf(descriptor.pixelFormat())) {}

TemporaryImage::TemporaryImage(const MTL::CommandBuffer& commandBuffer,
                               const MTL::TextureDescriptor& descriptor, uint64_t featureChannels) {
    MTL::checkDescriptor(descriptor, "[TemporaryImage] ");
    const auto forShaders = MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite;
    if ((descriptor.usage() & forShaders) == MTL::TextureUsage::Unknown)
        throw InvalidArgument("[TemporaryImage] The descriptor's usage has neither ShaderRead nor "
                              "ShaderWrite.");
    impl_ =
        batch(commandBuffer, mps::descriptorOf("TemporaryImage", descriptor, featureChannels), 1)[0]
            .shared();
}

ImageBatch TemporaryImage::batch(const MTL::CommandBuffer& commandBuffer,
                                 const ImageDescriptor& descriptor, uint64_t count) {
    commandBuffer.impl().list("[TemporaryImage] ");
    ImageDescriptor d = mps::checkedDescriptor("TemporaryImage", descriptor);
    d.setStorageMode(MTL::StorageMode::Private);
    return batchOver(commandBuffer.device(), d, count, true, [&](uint64_t images) {
        return std::make_shared<mps::ImageStorage>(
            commandBuffer, mps::shapeOf(d, d.numberOfImages() * images), images);
    });
}

std::shared_ptr<ImageAllocator> TemporaryImage::defaultAllocator() {
    static const auto allocator = std::make_shared<TemporaryAllocator>();
    return allocator;
}

void TemporaryImage::prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                     const std::vector<ImageDescriptor>&) {
    mps::temporaryHeap(commandBuffer);
}

bool TemporaryImage::isKindOf(const detail::ObjectImpl& object) {
    const auto* image = dynamic_cast<const Impl*>(&object);
    return image && image->temporary;
}

uint64_t TemporaryImage::readCount() const { return impl().readCount; }

void TemporaryImage::setReadCount(uint64_t count) const {
    if (impl().readCount == 0)
        throw InvalidArgument(MTL::subject("TemporaryImage", impl().label) +
                              "readCount was set to " + std::to_string(count) +
                              " but it is 0 already: the image's memory is given back.");
    impl().setReadCount(count);
}

MTL::Device Image::device() const { return impl().storage->device(); }
uint64_t Image::width() const { return impl().descriptor.width(); }
uint64_t Image::height() const { return impl().descriptor.height(); }
uint64_t Image::featureChannels() const { return impl().descriptor.featureChannels(); }
uint64_t Image::numberOfImages() const { return impl().descriptor.numberOfImages(); }

MTL::TextureType Image::textureType() const {
    return featureChannels() <= 4 && numberOfImages() == 1 ? MTL::TextureType::Type2D
                                                           : MTL::TextureType::Type2DArray;
}

MTL::PixelFormat Image::pixelFormat() const {
    return storage() == ImageStorage::Texture ? impl().storage->pixelFormat()
                                              : impl().descriptor.pixelFormat();
}
MTL::TextureUsage Image::usage() const { return impl().descriptor.usage(); }
ImageFeatureChannelFormat Image::featureChannelFormat() const {
    return impl().descriptor.channelFormat();
}
ImageStorage Image::storage() const { return impl().descriptor.storage(); }

uint64_t Image::precision() const {
    switch (featureChannelFormat()) {
    case ImageFeatureChannelFormat::Unorm8: return 8;
    case ImageFeatureChannelFormat::Unorm16: return 16;
    case ImageFeatureChannelFormat::Float16: return 11;
    case ImageFeatureChannelFormat::Float32: return 24;
    default: return 0;
    }
}

uint64_t Image::pixelSize() const { return MTL::bytesPerPixel(pixelFormat()); }
std::string Image::label() const { return impl().label; }
void Image::setLabel(const std::string& label) const { impl().label = label; }
Image Image::parent() const { return impl().parent ? Image(impl().parent) : Image(); }

MTL::Texture Image::texture() const {
    if (storage() != ImageStorage::Texture)
        throw InvalidArgument(MTL::subject("Image", label()) +
                              "texture was asked of an image that is stored in a buffer.");
    const Impl* whole = &impl();
    while (whole->parent) whole = whole->parent.get();
    return whole->storage->textureObject(whole->descriptor);
}

uint64_t Image::resourceSize() const {
    const auto& self = impl();
    return self.parent || self.storage->isWrapped() ? 0
                                                    : numberOfImages() * self.storage->imageBytes();
}

PurgeableState Image::setPurgeableState(PurgeableState state) const {
    auto& storage = *impl().storage;
    if (!storage.isAllocated()) return PurgeableState::AllocationDeferred;
    const PurgeableState before = storage.purgeable;
    if (state != PurgeableState::KeepCurrent) storage.purgeable = state;
    return before;
}

bool Image::isTemporary() const { return impl().temporary; }

void Image::synchronize(const MTL::CommandBuffer& commandBuffer) const {
    impl();
    commandBuffer.impl().list(MTL::subject("Image", label()));
}

namespace {
template <class Visit> uint64_t forEachUnique(const ImageBatch& batch, Visit visit) {
    std::set<const detail::ObjectImpl*> seen;
    for (const Image& image : batch)
        if (seen.insert(&image.impl()).second) visit(image.impl());
    return seen.size();
}
} // namespace

uint64_t ImageBatchIncrementReadCount(const ImageBatch& batch, int64_t amount) {
    forEachUnique(batch, [&](Image::Impl& image) {
        if (image.temporary && image.readCount > 0 && amount < 0 &&
            uint64_t(0) - uint64_t(amount) > image.readCount)
            throw InvalidArgument(MTL::subject("TemporaryImage", image.label) +
                                  "The read count is " + std::to_string(image.readCount) + " but " +
                                  std::to_string(uint64_t(0) - uint64_t(amount)) +
                                  " were to be taken off.");
    });
    return forEachUnique(batch, [&](Image::Impl& image) {
        if (image.temporary && image.readCount > 0)
            image.setReadCount(image.readCount + uint64_t(amount));
    });
}

void ImageBatchSynchronize(const ImageBatch& batch, const MTL::CommandBuffer& commandBuffer) {
    for (const Image& image : batch) image.synchronize(commandBuffer);
}

uint64_t ImageBatchResourceSize(const ImageBatch& batch) {
    uint64_t sum = 0;
    forEachUnique(
        batch, [&](Image::Impl& image) { sum += Image(image.shared_from_this()).resourceSize(); });
    return sum;
}

int64_t ImageBatchIterate(const ImageBatch& batch,
                          const std::function<int64_t(const Image&, uint64_t)>& visit) {
    std::set<const detail::ObjectImpl*> seen;
    int64_t last = INT64_MIN;
    for (uint64_t i = 0; i < batch.size(); ++i) {
        if (!seen.insert(&batch[i].impl()).second) continue;
        last = visit(batch[i], i);
        if (last > INT64_MIN) break;
    }
    return last;
}

} // namespace mpsvk::MPS
