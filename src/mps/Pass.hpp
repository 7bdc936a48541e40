// What the base classes hand to a kernel class: one encode, checked and cut into runs of images.
#pragma once

#include "geometry.h"
#include "mps/Encoder.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNMultiaryKernel.hpp>

namespace mpsvk::mps {

/// The part of the destination that an encode writes: clipRect cut to the destination.
struct Clip {
    int64_t x = 0, y = 0;
    uint64_t width = 0, height = 0;
};

/// A forward kernel's properties at the moment its gradient state was made.
struct ForwardRecord {
    std::string className;
    MPS::Offset offset;
    Clip clip;
    MPS::KernelWindow window;
    MPS::ImageEdgeMode edgeMode = MPS::ImageEdgeMode::Zero;
    uint64_t sourceChannelOffset = 0, sourceChannels = 0; ///< channels read
    uint64_t destinationChannelOffset = 0;
    int64_t kernelOffsetX = 0, kernelOffsetY = 0; ///< of a transposed convolution
    uint64_t sourceWidth = 0, sourceHeight = 0, sourceFeatureChannels = 0;
    uint64_t destinationWidth = 0, destinationHeight = 0, destinationFeatureChannels = 0;
    /// Of arrays of images: the first one read and the first one written, and how many, UINT64_MAX
    /// where the destination has one image.
    uint64_t firstSourceImage = 0, firstImage = 0, images = UINT64_MAX;
    uint64_t sourceNumberOfImages = 1;
    /// Each pixel of the source gave the pixel of the result at its place, and there are no others.
    bool isPixelByPixel() const {
        return offset.x == 0 && offset.y == 0 && clip.x == 0 && clip.y == 0 &&
               clip.width == sourceWidth && clip.height == sourceHeight &&
               clip.width == destinationWidth && clip.height == destinationHeight;
    }
};

/// An encode of a kernel with one source. In `validate` the runs are empty and `encoder` is null.
struct UnaryPass {
    Encoder* encoder = nullptr;
    ImageRun source, destination;
    /// With the kernel's channel ranges applied.
    glsl::ImageView sourceView, destinationView;
    Clip clip;
    MPS::Offset offset;
    MPS::ImageEdgeMode edgeMode = MPS::ImageEdgeMode::Zero;
    MPS::KernelWindow window;
    uint64_t sourceChannels = 0, destinationChannels = 0; ///< in use
    size_t firstImage = 0, imageCount = 0;                ///< of the batch
    MPS::StateBatch states;                               ///< destination states of these images
    std::span<const BufferRun> stateBuffers; ///< one per buffer that `perImageBuffers` names
    bool returnsStates = false;              ///< made by this encode, which alone has them yet

    MPS::ImageBatch sources, destinations; ///< the whole batch
    /// Texels of the clip rectangle over the run's images: the usual linear grid.
    uint64_t clipTexels() const {
        return clip.width * clip.height * slicesFor(destinationChannels) * imageCount;
    }
    Grid clipGrid(uint32_t texelsEach = 1) const {
        return Grid::over(slicesFor(destinationChannels), clip.width, clip.height, imageCount,
                          texelsEach);
    }
    /// The same for a shader that takes two texels at once where the images allow it, and that
    /// reads and writes no other images.
    Grid pairGrid() const {
        Grid grid = clipGrid(texelsEach());
        grid.wholeTexels = hasWholeTexels();
        return grid;
    }
    bool hasWholeTexels() const {
        return (sourceView.channels | destinationView.channels) % 4 == 0;
    }
    uint32_t texelsEach() const {
        return source.hasPairs(sourceView) && destination.hasPairs(destinationView) ? 2 : 1;
    }
};

struct BinaryPass {
    Encoder* encoder = nullptr;
    ImageRun primary, secondary, destination; ///< destination is empty when the kernel writes none
    glsl::ImageView primaryView, secondaryView, destinationView;
    Clip clip;
    uint64_t primaryChannels = 0, secondaryChannels = 0, destinationChannels = 0;
    size_t firstImage = 0, imageCount = 0, batchCount = 0;
    MPS::StateBatch sourceStates, destinationStates; ///< of these images
    std::span<const BufferRun> stateBuffers;

    MPS::ImageBatch primaries, secondaries, destinations; ///< the whole batch
    uint64_t clipTexels() const {
        return clip.width * clip.height * slicesFor(destinationChannels) * imageCount;
    }
    Grid clipGrid(uint32_t texelsEach = 1) const {
        return Grid::over(slicesFor(destinationChannels), clip.width, clip.height, imageCount,
                          texelsEach);
    }
    /// The same for a shader that takes two texels at once where the images allow it, and that
    /// reads and writes no other images.
    Grid pairGrid() const {
        Grid grid = clipGrid(texelsEach());
        grid.wholeTexels = hasWholeTexels();
        return grid;
    }
    bool hasWholeTexels() const {
        return (primaryView.channels | secondaryView.channels | destinationView.channels) % 4 == 0;
    }
    uint32_t texelsEach() const {
        const auto allows = [](const ImageRun& run, const glsl::ImageView& view) {
            return !run || run.hasPairs(view); // one that is not there is not read or written
        };
        return primary.hasPairs(primaryView) && allows(secondary, secondaryView) &&
                       allows(destination, destinationView)
                   ? 2
                   : 1;
    }
};

/// An encode of a kernel with any number of sources.
struct MultiaryPass {
    /// One source with its properties.
    struct Source {
        ImageRun run;
        glsl::ImageView view;
        MPS::Offset offset;
        MPS::ImageEdgeMode edgeMode = MPS::ImageEdgeMode::Zero;
        MPS::KernelWindow window;
        uint64_t channels = 0; ///< in use
    };
    Encoder* encoder = nullptr;
    std::vector<Source> sources;
    ImageRun destination;
    glsl::ImageView destinationView;
    Clip clip;
    uint64_t destinationChannels = 0;
    size_t firstImage = 0, imageCount = 0;
    MPS::StateBatch states; ///< destination states of these images
    std::span<const BufferRun> stateBuffers;

    std::vector<MPS::ImageBatch> sourceBatches; ///< the whole batch of each source
    MPS::ImageBatch destinations;
    uint64_t clipTexels() const {
        return clip.width * clip.height * slicesFor(destinationChannels) * imageCount;
    }
    Grid clipGrid(uint32_t texelsEach = 1) const {
        return Grid::over(slicesFor(destinationChannels), clip.width, clip.height, imageCount,
                          texelsEach);
    }
};

/// What a result state is made from: one per image, or one for all.
struct StateRequest {
    const MTL::CommandBuffer* temporary = nullptr; ///< null: a state of the device's
    MTL::Device device;
    MPS::ImageBatch sources, secondaries, destinations;
    std::vector<MPS::StateBatch> sourceStates; ///< of each image, or none at all
    ForwardRecord record;          ///< of the first image (of a unary kernel; of the primary)
    ForwardRecord secondaryRecord; ///< of a binary kernel's secondary source
    bool isReturned = false;       ///< by the encode of a unary kernel that they are made for
    size_t count() const { return sources.size(); }
};

std::string sizeText(uint64_t width, uint64_t height); // "8x8"
/// How many images an encode of arrays walks over, and checks that they are there.
uint64_t imagesOf(const std::string& who, const MTL::Region& rect, MPS::ImageRange range,
                  const MPS::Image& source, const MPS::Image& destination,
                  uint64_t destinationsPerSource = 1);
/// The part of the rectangle that lies in the image.
Clip clipOf(const MTL::Region& rect, const MPS::Image& image);

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct NNGradientState::Impl : State::Impl {
    Impl(MTL::Device device, mps::ForwardRecord record)
        : State::Impl(std::move(device)), record(std::move(record)) {}
    mps::ForwardRecord record;
    /// The buffers of this state that belong to one image (a dropout's mask).
    virtual std::vector<size_t> perImageBuffers() const { return {}; }
};

struct NNBinaryGradientState::Impl : State::Impl {
    Impl(MTL::Device device, mps::ForwardRecord primary, mps::ForwardRecord secondary)
        : State::Impl(std::move(device)), primary(std::move(primary)),
          secondary(std::move(secondary)) {}
    mps::ForwardRecord primary, secondary;
    virtual std::vector<size_t> perImageBuffers() const { return {}; }
};

} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// What the states of a kernel with any number of sources are made from: batches and records in the
/// order of the sources.
struct MultiaryStateRequest {
    const MTL::CommandBuffer* temporary = nullptr;
    MTL::Device device;
    std::vector<MPS::ImageBatch> sources;
    MPS::ImageBatch destinations;
    std::vector<ForwardRecord> records;
    size_t count() const { return destinations.size(); }
};

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct NNMultiaryGradientState::Impl : State::Impl {
    Impl(MTL::Device device, std::vector<mps::ForwardRecord> records)
        : State::Impl(std::move(device)), records(std::move(records)) {}
    std::vector<mps::ForwardRecord> records;
    virtual std::vector<size_t> perImageBuffers() const { return {}; }
};

} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// One plain NNGradientState per image of the request.
MPS::StateBatch plainGradientStates(const StateRequest& request);

} // namespace mpsvk::mps
