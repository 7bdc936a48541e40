#include "mps/PassChecks.hpp"

#include "mps/Names.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <set>

namespace mpsvk::mps {

using MPS::Image;
using MPS::ImageBatch;
using MPS::StateBatch;

void checkWindow(const char* className, const MPS::KernelWindow& w) {
    if (w.width && w.height && w.strideX && w.strideY && w.dilationX && w.dilationY) return;
    throw InvalidArgument("[" + std::string(className) + "] The window is " +
                          sizeText(w.width, w.height) + ", its stride " +
                          sizeText(w.strideX, w.strideY) + " and its dilation " +
                          sizeText(w.dilationX, w.dilationY) + ", but each must be at least 1.");
}

void checkDevice(const Subject& who, const MTL::Device& kernel,
                 const MTL::CommandBuffer& commandBuffer) {
    if (kernel == commandBuffer.device()) return;
    throw InvalidArgument(who + "The command buffer belongs to the device \"" +
                          commandBuffer.device().name() + "\" but the kernel to another one, \"" +
                          kernel.name() + "\".");
}

void checkSources(const std::string& who, const char* role, const ImageBatch& images,
                  const MTL::CommandBuffer& commandBuffer, bool isBatch, uint64_t each) {
    if (!commandBuffer) throw InvalidArgument(who + "The command buffer handle is empty.");
    commandBuffer.impl().list(who); // refuses a committed one
    if (images.empty()) throw InvalidArgument(who + role + " is an empty batch.");
    const MTL::Device device = commandBuffer.device();
    for (size_t i = 0; i < images.size(); ++i) {
        const auto name = [&] {
            return isBatch ? std::string(role) + "[" + std::to_string(i) + "]" : std::string(role);
        };
        if (!images[i]) throw InvalidArgument(who + name() + " is an empty image handle.");
        const auto& image = images[i].impl();
        const auto& d = image.descriptor;
        if (image.temporary || !(image.storage->device() == device))
            image.checkUsable(who, name().c_str(), commandBuffer);
        if (isBatch && d.numberOfImages() != each)
            throw InvalidArgument(
                who + name() + " has numberOfImages " + std::to_string(d.numberOfImages()) +
                " but every image of a batch must have " + std::to_string(each) + ".");
        if (d.channelFormat() == MPS::ImageFeatureChannelFormat::Unorm16 &&
            d.storage() != MPS::ImageStorage::Texture)
            throw InvalidArgument(who + name() +
                                  " is stored as Unorm16, which only textures can be.");
    }
}

void checkStates(const std::string& who, const char* role, const StateBatch& states, size_t images,
                 const MTL::CommandBuffer& commandBuffer) {
    if (states.size() != images)
        throw InvalidArgument(who + "There are " + std::to_string(images) + " images but " + role +
                              " has " + std::to_string(states.size()) + " states.");
    const MTL::Device device = commandBuffer.device();
    for (size_t i = 0; i < states.size(); ++i) {
        const auto name = [&] {
            return images > 1 ? std::string(role) + "[" + std::to_string(i) + "]"
                              : std::string(role);
        };
        if (!states[i]) throw InvalidArgument(who + name() + " is an empty state handle.");
        const auto& state = states[i].impl();
        if (state.temporary || !(state.device == device))
            state.checkUsable(who, name().c_str(), commandBuffer);
    }
}

void checkOwnStates(const std::string& who, const char* role, const StateBatch& states,
                    const StateBatch& read, const std::string& className) {
    for (const MPS::State& state : states) {
        if (std::ranges::find(read, state) != read.end()) continue;
        const auto* own = dynamic_cast<const MPS::NNGradientState::Impl*>(state.shared().get());
        if (own && own->record.className == className) continue;
        throw InvalidArgument(who + role + " has a state " +
                              (own ? "that was made by a " + own->record.className
                                   : std::string("that is no gradient state")) +
                              " but this kernel takes its own.");
    }
}

void checkBatchLengths(const std::string& who, const char* a, size_t lengthA, const char* b,
                       size_t lengthB) {
    if (lengthA != lengthB)
        throw InvalidArgument(who + a + " has " + std::to_string(lengthA) + " images but " + b +
                              " has " + std::to_string(lengthB) + ".");
}

void checkSameShapes(const std::string& who, const char* role, const ImageBatch& images) {
    const Image& first = images[0];
    for (size_t i = 1; i < images.size(); ++i) {
        const Image& other = images[i];
        if (other.width() == first.width() && other.height() == first.height() &&
            other.featureChannels() == first.featureChannels())
            continue;
        throw InvalidArgument(who + role + "[" + std::to_string(i) + "] is " +
                              sizeText(other.width(), other.height()) + " with " +
                              std::to_string(other.featureChannels()) + " feature channels but " +
                              role + "[0] is " + sizeText(first.width(), first.height()) +
                              " with " + std::to_string(first.featureChannels()) + ".");
    }
}

void checkChannelOffset(const std::string& who, const char* property, uint64_t offset) {
    if (offset % 4 != 0)
        throw InvalidArgument(who + property + " is " + std::to_string(offset) +
                              " but must be a multiple of 4.");
}

void checkSourceStates(const std::string& who, size_t images, size_t sourceStates) {
    if (sourceStates == 0 || sourceStates == images) return;
    throw InvalidArgument(who + "A result state was asked for " + std::to_string(images) +
                          " source images and " + std::to_string(sourceStates) +
                          " batches of source states.");
}

void checkChannels(const std::string& who, const char* role, const Image& image, uint64_t offset,
                   uint64_t channels) {
    const uint64_t all = image.featureChannels();
    if (channels > 0 && offset <= all && channels <= all - offset) return;
    throw InvalidArgument(who + role + " has " + std::to_string(image.featureChannels()) +
                          " feature channels but channels " + std::to_string(offset) + " to " +
                          std::to_string(offset + std::max<uint64_t>(channels, 1)) +
                          " are needed.");
}

namespace {
/// Whether two images in the same memory have a slice in common.
bool overlap(const Image::Impl& a, const Image::Impl& b) {
    const auto meet = [](uint64_t firstA, uint64_t countA, uint64_t firstB, uint64_t countB) {
        return firstA < firstB + countB && firstB < firstA + countA;
    };
    const uint64_t imagesA = a.descriptor.numberOfImages(), imagesB = b.descriptor.numberOfImages();
    const uint64_t eachA = a.storage->shape().slices, eachB = b.storage->shape().slices;
    if (eachA != eachB) // two images around one texture
        return meet(a.firstImage * eachA, imagesA * eachA, b.firstImage * eachB, imagesB * eachB);
    return meet(a.firstImage, imagesA, b.firstImage, imagesB) &&
           meet(a.firstSlice, slicesFor(a.descriptor.featureChannels()), b.firstSlice,
                slicesFor(b.descriptor.featureChannels()));
}
} // namespace

void checkNotAliased(const std::string& who, const ImageBatch& sources,
                     const ImageBatch& destinations) {
    // By memory, so that large batches are not compared image by image.
    struct Written {
        const void* memory;
        const Image::Impl* image;
    };
    std::vector<Written> written;
    written.reserve(destinations.size());
    for (const Image& destination : destinations)
        written.push_back({destination.impl().storage->identity(), &destination.impl()});
    std::ranges::sort(written, {}, &Written::memory);
    for (const Image& source : sources) {
        const void* const memory = source.impl().storage->identity();
        auto there = std::ranges::lower_bound(written, memory, {}, &Written::memory);
        for (; there != written.end() && there->memory == memory; ++there)
            if (overlap(source.impl(), *there->image))
                throw InvalidArgument(
                    who + "A destination image is also a source image; the kernel does not "
                          "work in place.");
    }
}

void checkGradientChannels(const std::string& who, const BinaryPass& pass) {
    if (pass.primaryChannels < pass.secondaryChannels)
        throw InvalidArgument(who + "sourceGradient gives " + std::to_string(pass.primaryChannels) +
                              " feature channels but sourceImage " +
                              std::to_string(pass.secondaryChannels) + ".");
}

void checkForwardSource(const std::string& who, const ForwardRecord& r, const Image& source) {
    if (source.width() != r.sourceWidth || source.height() != r.sourceHeight)
        throw InvalidArgument(who + "sourceImage is " + sizeText(source.width(), source.height()) +
                              " but the forward source of the gradient state was " +
                              sizeText(r.sourceWidth, r.sourceHeight) + ".");
}

void checkForwardSizes(const std::string& who, const char* done, const ForwardRecord& r,
                       const Image& gradient, const Image& source) {
    checkForwardSource(who, r, source);
    if (gradient.width() != r.destinationWidth || gradient.height() != r.destinationHeight)
        throw InvalidArgument(
            who + "sourceGradient is " + sizeText(gradient.width(), gradient.height()) +
            " but the " + done + " " + sizeText(r.sourceWidth, r.sourceHeight) +
            " sourceImage gives " + sizeText(r.destinationWidth, r.destinationHeight) + ".");
}

void checkPixelwiseSizes(const std::string& who, const MPS::CNNBinaryKernel& kernel,
                         const BinaryPass& pass) {
    const auto isMoved = [](const MPS::Offset& offset) { return offset.x != 0 || offset.y != 0; };
    if (isMoved(kernel.primaryOffset()) || isMoved(kernel.secondaryOffset())) return;
    const Image &gradient = pass.primaries[0], &source = pass.secondaries[0];
    if (gradient.width() == source.width() && gradient.height() == source.height()) return;
    for (const MPS::State& state : pass.sourceStates) {
        const auto* own = dynamic_cast<const MPS::NNGradientState::Impl*>(&state.impl());
        if (own && own->record.isPixelByPixel())
            throw InvalidArgument(
                who + "sourceGradient is " + sizeText(gradient.width(), gradient.height()) +
                " but sourceImage is " + sizeText(source.width(), source.height()) + ".");
    }
}

void checkForwardWindow(const std::string& who, const MPS::KernelWindow& forward,
                        const MPS::KernelWindow& own) {
    if (forward.width == own.width && forward.height == own.height &&
        forward.dilationX == own.dilationX && forward.dilationY == own.dilationY)
        return;
    throw InvalidArgument(who + "The gradient state's window is " +
                          sizeText(forward.width, forward.height) + " with the dilation " +
                          sizeText(forward.dilationX, forward.dilationY) +
                          " but this kernel's is " + sizeText(own.width, own.height) + " with " +
                          sizeText(own.dilationX, own.dilationY) + ".");
}

void checkResultSizes(const std::string& who, const UnaryPass& pass) {
    for (const MPS::State& state : pass.states) {
        const auto* own = dynamic_cast<const MPS::NNGradientState::Impl*>(&state.impl());
        if (!own) continue;
        const ForwardRecord& r = own->record;
        if (r.clip.width != pass.clip.width || r.clip.height != pass.clip.height ||
            r.sourceChannels != pass.sourceChannels)
            throw InvalidArgument(who + "The destination state was made for results of " +
                                  sizeText(r.clip.width, r.clip.height) + " with " +
                                  std::to_string(r.sourceChannels) +
                                  " feature channels but this encode writes " +
                                  sizeText(pass.clip.width, pass.clip.height) + " with " +
                                  std::to_string(pass.sourceChannels) + ".");
    }
}

void checkWindowReach(const std::string& who, const MPS::Offset& offset, const MPS::KernelWindow& w,
                      uint64_t windowsX, uint64_t windowsY) {
    const auto fits = [](int64_t offset, uint64_t taps, uint64_t dilation, uint64_t stride,
                         uint64_t windows) {
        constexpr double most = 1 << 30;
        const double extent = (double(taps) - 1) * double(dilation) + 1;
        return double(offset) - extent > -most &&
               double(offset) + extent + double(stride) * double(windows) < most;
    };
    if (fits(offset.x, w.width, w.dilationX, w.strideX, windowsX) &&
        fits(offset.y, w.height, w.dilationY, w.strideY, windowsY))
        return;
    throw InvalidArgument(who + "The " + sizeText(w.width, w.height) +
                          " windows with the offset (" + std::to_string(offset.x) + ", " +
                          std::to_string(offset.y) + "), the dilation " +
                          sizeText(w.dilationX, w.dilationY) + " and the stride " +
                          sizeText(w.strideX, w.strideY) + " reach further than 2^30 pixels.");
}

void checkWindowFits(const std::string& who, const MPS::KernelWindow& w) {
    const auto fits = [](uint64_t taps, uint64_t dilation, uint64_t stride) {
        return (double(taps) - 1) * double(dilation) + 1 + double(stride) < double(1 << 29);
    };
    if (fits(w.width, w.dilationX, w.strideX) && fits(w.height, w.dilationY, w.strideY)) return;
    throw InvalidArgument(who + "The " + sizeText(w.width, w.height) +
                          " windows with the dilation " + sizeText(w.dilationX, w.dilationY) +
                          " and the stride " + sizeText(w.strideX, w.strideY) +
                          " reach further than 2^29 pixels.");
}

void checkOffsetReach(const std::string& who, const char* name, const MPS::Offset& offset) {
    constexpr int64_t most = 1 << 30;
    if (offset.x >= -most && offset.x <= most && offset.y >= -most && offset.y <= most) return;
    throw InvalidArgument(who + name + " is (" + std::to_string(offset.x) + ", " +
                          std::to_string(offset.y) + ") but each must be at most 2^30 either way.");
}

void checkEdgeMode(const std::string& who, const char* property, MPS::ImageEdgeMode mode) {
    if (mode != MPS::ImageEdgeMode::Zero && mode != MPS::ImageEdgeMode::Clamp)
        throw InvalidArgument(who + property + " is " + nameOf(mode) +
                              " but only Zero and Clamp are known to this kernel.");
}

void checkWholeImages(const std::string& who, const Clip& clip, const Image& destination,
                      std::initializer_list<std::pair<const char*, MPS::Offset>> offsets) {
    for (const auto& [property, offset] : offsets)
        if (offset.x != 0 || offset.y != 0)
            throw InvalidArgument(who + property + " is (" + std::to_string(offset.x) + ", " +
                                  std::to_string(offset.y) +
                                  ") but must be (0, 0): the kernel works on whole images.");
    if (!covers(clip, destination))
        throw InvalidArgument(who + "clipRect leaves " + sizeText(clip.width, clip.height) +
                              " pixels from (" + std::to_string(clip.x) + ", " +
                              std::to_string(clip.y) + ") of the " +
                              sizeText(destination.width(), destination.height()) +
                              " destination but the kernel works on whole images.");
}

uint64_t channelsInUse(const Image& image, uint64_t offset, uint64_t most) {
    const uint64_t all = image.featureChannels();
    return offset >= all ? 0 : std::min(most, all - offset);
}

bool covers(const Clip& clip, const Image& destination) {
    return clip.x == 0 && clip.y == 0 && clip.width == destination.width() &&
           clip.height == destination.height();
}

void fillUncovered(Encoder& encoder, const ImageBatch& destinations, const Clip& clip,
                   uint64_t channelOffset, uint64_t channels, uint64_t images) {
    const Image& like = destinations[0];
    if (covers(clip, like) && channelOffset == 0 && channels == like.featureChannels() &&
        images == like.numberOfImages())
        return;
    for (const Image& image : destinations) fillWithZeros(encoder, image);
}

void recordSizes(ForwardRecord& record, const MTL::Region& clipRect, MPS::ImageRange range,
                 const Image& source, const Image& destination) {
    record.clip = clipOf(clipRect, destination);
    record.sourceWidth = source.width();
    record.sourceHeight = source.height();
    record.sourceFeatureChannels = source.featureChannels();
    record.destinationWidth = destination.width();
    record.destinationHeight = destination.height();
    record.destinationFeatureChannels = destination.featureChannels();
    record.sourceNumberOfImages = source.numberOfImages();
    record.firstSourceImage = uint64_t(std::max<int64_t>(0, range.first));
    record.firstImage = clipRect.origin.z;
    if (destination.numberOfImages() == 1) return;
    const auto left = [](uint64_t all, uint64_t first) { return all - std::min(all, first); };
    record.images = std::min({clipRect.size.depth, range.count,
                              left(source.numberOfImages(), record.firstSourceImage),
                              left(destination.numberOfImages(), record.firstImage)});
}

PointwiseOrigin::PointwiseOrigin(const ForwardRecord& r, const MTL::Region& clipRect)
    : clip(clipRect) {
    const auto axis = [](int64_t offset, uint64_t length, int64_t& skip, uint64_t& origin,
                         uint64_t& size) {
        skip = std::max<int64_t>(0, -offset);
        origin = uint64_t(offset + skip);
        size = length - std::min(length, uint64_t(skip));
    };
    axis(r.offset.x, r.clip.width, skipped.x, clip.origin.x, clip.size.width);
    axis(r.offset.y, r.clip.height, skipped.y, clip.origin.y, clip.size.height);
}

namespace {
std::vector<size_t> perImageBuffers(const MPS::State& state) {
    const auto* object = state.shared().get();
    if (const auto* unary = dynamic_cast<const MPS::NNGradientState::Impl*>(object))
        return unary->perImageBuffers();
    if (const auto* binary = dynamic_cast<const MPS::NNBinaryGradientState::Impl*>(object))
        return binary->perImageBuffers();
    if (const auto* multiary = dynamic_cast<const MPS::NNMultiaryGradientState::Impl*>(object))
        return multiary->perImageBuffers();
    return {};
}
} // namespace

void appendStateBuffers(std::vector<RunOperand>& operands, const StateBatch& states,
                        uint64_t images, bool isBatch) {
    if (states.empty()) return;
    const std::vector<size_t> indices = perImageBuffers(states[0]);
    const auto differs = [&](const auto& state) { return perImageBuffers(state) != indices; };
    if (indices.empty() || std::ranges::any_of(states, differs)) return;
    for (size_t index : indices) {
        RunOperand operand;
        for (uint64_t i = 0; i < images; ++i) {
            vk::BufferSlice slice = states[isBatch ? i : 0].impl().buffer(index);
            if (!isBatch) { // one state holds the buffers of all images of an array
                slice.size /= images;
                slice.offset += i * slice.size;
            }
            operand.slices.push_back(slice);
        }
        operands.push_back(std::move(operand));
    }
}

} // namespace mpsvk::mps
