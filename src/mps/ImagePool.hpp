// Images that are made again and again: a new one lies where one lay that nobody holds any more.
#pragma once

#include "mps/Image.hpp"

#include <deque>

namespace mpsvk::mps {

class ImagePool {
public:
    /// A batch as Image::batch makes it; all batches of a pool are of one shape. Memory is used
    /// again when neither an image nor a command buffer holds it: what it has in texels that
    /// kernels do not write is what the last images had there.
    MPS::ImageBatch batch(const MTL::Device& device, const MPS::ImageDescriptor& descriptor,
                          uint64_t count);

private:
    /// Two steps in flight, one in the caller's hands, one to give away.
    static constexpr size_t most = 4;
    std::deque<std::shared_ptr<ImageStorage>> storages_; // the oldest first
    MPS::ImageDescriptor made_; ///< of the images, as Image::batch completes it
};

} // namespace mpsvk::mps
