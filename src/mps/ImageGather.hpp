// Copies between images that lie anywhere and a batch that lies together.
#pragma once

#include "mps/Encoder.hpp"
#include "mps/ExternalImages.hpp"

#include <array>

namespace mpsvk::mps {

class ImageGather {
public:
    /// The images that lie together: a batch of Image::batch.
    explicit ImageGather(MPS::ImageBatch together);
    const MPS::ImageBatch& together() const { return together_; }
    /// Where the others lie from now on.
    void find(std::span<const FoundImage> places);
    /// Copies them here, or back. `apart` are their resources, which the caller retains.
    void encode(Encoder& encoder, std::span<const std::shared_ptr<vk::Resource>> apart,
                bool back) const;

private:
    /// Images in one VkBuffer, copied by one dispatch.
    struct Part {
        const void* space;
        uint64_t begin, end;  ///< of what is bound, in the VkBuffer
        uint64_t first, last; ///< of the images that lie together
        size_t lowest, count; ///< the image that begins first; how many there are
        struct Copied {
            uint64_t begin;
            size_t image;
        };
        std::array<Copied, 128> images;
    };
    MPS::ImageBatch together_;
    uint64_t bytes_; ///< of an image
    bool isWhole_;   ///< in pieces of 16 bytes
    std::vector<Part> parts_;
};

} // namespace mpsvk::mps
