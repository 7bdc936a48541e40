#include "mps/ImageGather.hpp"

#include "ImageGather.h"
#include "vk/Device.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {
constexpr uint64_t alignedDown(uint64_t at) {
    return at / vk::Memory::alignment * vk::Memory::alignment; // no device asks for more
}
} // namespace

ImageGather::ImageGather(MPS::ImageBatch together) : together_(std::move(together)) {
    static_assert(std::tuple_size_v<decltype(Part::images)> == MPSVK_IMAGE_GATHER_MOST);
    const ImageStorage& storage = *together_.at(0).impl().storage;
    bytes_ = storage.imageBytes() * together_[0].numberOfImages();
    // Images lie at multiples of this in an array.
    isWhole_ = storage.imageBytes() % 16 == 0;
}

void ImageGather::find(std::span<const FoundImage> places) {
    const vk::Limits& limits = together_[0].device().impl().vk->limits();
    parts_.clear();
    const auto fits = [&](const Part& part, const FoundImage& place, size_t i) {
        const uint64_t begin = std::min(part.begin, alignedDown(place.begin));
        const uint64_t end = std::max(part.end, place.begin + bytes_);
        const uint64_t here = (i + 1 - part.first) * bytes_ + vk::Memory::alignment;
        return part.space == place.space && part.count < part.images.size() &&
               std::max(end - begin, here) <= limits.storageBufferRange;
    };
    for (size_t i = 0; i < places.size(); ++i) {
        const FoundImage& place = places[i];
        const auto found =
            std::ranges::find_if(parts_, [&](const Part& part) { return fits(part, place, i); });
        const bool isNew = found == parts_.end();
        Part& part = isNew ? parts_.emplace_back() : *found;
        if (isNew) {
            part.space = place.space;
            part.begin = UINT64_MAX;
            part.end = part.count = 0;
            part.first = i;
        }
        if (const uint64_t begin = alignedDown(place.begin); begin < part.begin) {
            part.begin = begin;
            part.lowest = i;
        }
        part.end = std::max(part.end, place.begin + bytes_);
        part.last = i;
        part.images[part.count++] = {place.begin, i};
    }
}

void ImageGather::encode(Encoder& encoder, std::span<const std::shared_ptr<vk::Resource>> apart,
                         bool back) const {
    const vk::BufferSlice& all = together_[0].impl().storage->buffer();
    const uint64_t unit = isWhole_ ? 16 : 4;
    for (const Part& part : parts_) {
        glsl::ImageGatherParameters p{};
        p.images = uint32_t(part.count);
        p.pieces = uint32_t(vk::divideUp(bytes_, 16));
        const glsl::TexelGrid grid = texelGrid(p.pieces, 1, 1, part.count);
        p.piecesFactor = grid.slicesFactor;
        p.shift = grid.shifts & 255;
        p.words = uint32_t(bytes_ / 4);
        p.back = back;
        const uint64_t begin = alignedDown(part.first * bytes_);
        for (size_t i = 0; i < part.count; ++i) {
            p.places[2 * i] = uint32_t((part.images[i].begin - part.begin) / unit);
            p.places[2 * i + 1] = uint32_t((part.images[i].image * bytes_ - begin) / unit);
        }
        const auto buffer = std::static_pointer_cast<vk::Buffer>(apart[part.lowest]);
        const Operand there(back ? 2 : 1,
                            {buffer, part.begin - buffer->offset(), part.end - part.begin});
        const Operand here(back ? 1 : 2,
                           {all.buffer, all.offset + begin, (part.last + 1) * bytes_ - begin});
        encoder.dispatch("ImageGather", p, Grid::of(part.count * p.pieces), {there, here},
                         {constant(32, uint32_t(isWhole_))});
    }
    if (!back) return;
    for (const auto& image : apart) encoder.list().alsoWrites(image);
}

} // namespace mpsvk::mps
