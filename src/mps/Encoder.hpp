// How a kernel records its work: one dispatch at a time, with shared parameter structs.
#pragma once

#include "grid.h"
#include "mps/Image.hpp"
#include "mps/Subject.hpp"
#include "mtl/Buffer.hpp"
#include "types.h"
#include "vk/CommandList.hpp"
#include "vk/Device.hpp"
#include "vk/Pipeline.hpp"

#include <bit>
#include <initializer_list>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <type_traits>

namespace mpsvk::mps {

/// `count` images at equal distances in one VkBuffer or one texture: what one dispatch can walk
/// over.
class ImageRun {
public:
    ImageRun() = default;
    /// What a shader needs to address the run's channels [channelOffset, channelOffset+channels).
    glsl::ImageView view(uint64_t channelOffset, uint64_t channels) const;
    vk::Binding binding(uint32_t number, const vk::Limits& limits) const;
    /// The value of the operand's storage constant in glsl/image.glsl.
    uint32_t storageConstant() const;
    bool isTexture() const { return texture_ != nullptr; }
    /// True when the image's channels are all that its pixels hold, so that its texels lie
    /// together.
    bool isDense() const { return slicesFor(channels_) == slices_; }
    /// True for fp16 in a buffer when the view's texels are pairs at multiples of 16 bytes.
    bool hasPairs(const glsl::ImageView& view) const {
        return format_ == MPS::ImageFeatureChannelFormat::Float16 && !isTexture() &&
               (view.offset | view.imageStride | view.slices | slicesFor(view.channels)) % 2 == 0;
    }
    explicit operator bool() const { return count_ > 0; }
    uint64_t count() const { return count_; }
    /// Texels (layers of a texture) from one image of an element to the next.
    uint32_t elementStride() const { return elementStride_; }
    uint64_t width() const { return width_; }
    uint64_t height() const { return height_; }
    uint64_t featureChannels() const { return channels_; }
    /// The other objects of a run over several: bound through the first, written all the same.
    const std::vector<std::shared_ptr<vk::Resource>>& others() const { return others_; }

private:
    friend class RunBuilder;
    VkDeviceSize alignedBegin(const vk::Limits& limits) const;
    /// Of the images' own texels, without what lies between them.
    VkDeviceSize bytes() const;

    std::shared_ptr<vk::Resource> resource_;
    std::vector<std::shared_ptr<vk::Resource>> others_;
    bool lastIsNew_ = false; // the last image brought the last of others_
    VkBuffer handle_ = VK_NULL_HANDLE;
    std::shared_ptr<vk::Texture> texture_;
    VkDeviceSize offsetAlignment_ = 1;
    uint64_t first_ = 0;            // bytes in the VkBuffer, or the layer
    uint64_t lowest_ = 0, end_ = 0; // bytes that the run spans
    uint32_t elementStride_ = 0;
    int64_t stride_ = 0; // bytes or layers from one image to the next
    uint64_t bytesPerTexel_ = 16, slices_ = 1, width_ = 0, height_ = 0, channels_ = 0, count_ = 0;
    uint64_t elementImages_ = 1;
    MPS::ImageFeatureChannelFormat format_ = MPS::ImageFeatureChannelFormat::Float32;
};

/// The view of the run's images from `image` on.
inline glsl::ImageView imagesFrom(glsl::ImageView view, uint64_t image) {
    view.offset += uint32_t(image) * view.imageStride;
    return view;
}

/// Images of a batch whose scratch memory is in one buffer; the others go after them.
uint64_t imagesAtOnce(const vk::Limits& limits, uint64_t bytesPerImage);

/// Buffer slices at equal distances: the per-image buffers of states.
struct BufferRun {
    vk::BufferSlice first;
    int64_t strideBytes = 0;
    uint64_t count = 0;
    VkDeviceSize end = 0; ///< of the last one, within the VkBuffer
    vk::BufferSlice all;  ///< from the first to the end of the last
};

/// Images that belong together, one per batch element; an image given with an index stands for one
/// of its numberOfImages.
struct RunOperand {
    struct Element {
        MPS::Image image;
        uint64_t index = 0; ///< which of the image's images
        uint64_t count = 1; ///< how many from there on belong to the element
    };
    std::vector<Element> elements;
    std::vector<vk::BufferSlice> slices; ///< instead of images
};

/// Calls `visit(first, count, imageRuns, bufferRuns)` for the longest stretches of batch elements
/// over which every operand lies at equal distances and within the device's binding limit. The runs
/// come in the order of the operands; a buffer operand has an empty image run and vice versa.
void forEachRun(const vk::Limits& limits, std::span<const RunOperand> operands,
                const std::function<void(size_t first, size_t count, std::span<const ImageRun>,
                                         std::span<const BufferRun>)>& visit);
/// The same for images `first` to `first + count` of a batch, or of an array, that are read beside
/// those of a run: `visit` counts from there. Where there are none, one visit has an empty run.
void forEachRun(const vk::Limits& limits, const MPS::ImageBatch& images, size_t first, size_t count,
                const std::function<void(size_t first, size_t count, const ImageRun&)>& visit);

/// What a dispatch binds at a number.
struct Operand {
    Operand(uint32_t number, const ImageRun& run) : number(number), image(&run) {}
    Operand(uint32_t number, vk::BufferSlice slice) : number(number), buffer(std::move(slice)) {}
    uint32_t number;
    const ImageRun* image = nullptr;
    vk::BufferSlice buffer;
};

/// The numbers of glsl/grid.h for a rectangle of so many texels.
glsl::TexelGrid texelGrid(uint64_t slices, uint64_t width, uint64_t height, uint64_t images);

/// Invocations in each direction; the encoder divides by the shader's workgroup size.
struct Grid {
    uint64_t x = 1, y = 1, z = 1;
    bool linear = false;
    /// Goes before the shader's parameters.
    std::optional<glsl::TexelGrid> texels = {};
    /// The `texels` and the `wholeTexels` of glsl/image.glsl.
    uint32_t texelsEach = 1;
    bool wholeTexels = false;

    /// `count` invocations of a shader that uses gridIndex().
    static Grid of(uint64_t count) { return {count, 1, 1, true}; }
    /// An invocation for each texel, or for every two, of a shader that declares `grid`.
    static Grid over(uint64_t slices, uint64_t width, uint64_t height, uint64_t images,
                     uint32_t texelsEach = 1) {
        slices /= texelsEach;
        return {slices * width * height * images,         1,         1, true,
                texelGrid(slices, width, height, images), texelsEach};
    }
};

/// What a dispatch specializes its shader with: how the operands are stored, the shader's own
/// constants, and what the grid is.
std::pmr::vector<vk::Constant> constantsOfDispatch(const Grid& grid,
                                                   std::span<const Operand> operands,
                                                   std::span<const vk::Constant> own,
                                                   std::pmr::memory_resource* memory);

class Encoder {
public:
    /// For an encode of `who`, which its options are taken from where it is a kernel. Throws
    /// InvalidArgument for an empty or committed command buffer.
    Encoder(const MTL::CommandBuffer& commandBuffer, const Subject& who);
    ~Encoder();
    Encoder(const Encoder&) = delete;
    /// Whether a kernel's options ask that its encodes be heard of.
    static bool announces(const Subject& who);

    const MTL::CommandBuffer& commandBuffer() const { return commandBuffer_; }
    /// To record into.
    vk::CommandList& list() {
        if (unannounced_) announce();
        return list_;
    }
    vk::Device& device() { return device_; }
    const vk::Limits& limits() const { return device_.limits(); }
    /// Whether products of fp32 go through matrices of bf16: the kernel allows it, and the device
    /// has them.
    bool reducesPrecision() const { return reducesPrecision_; }

    /// One dispatch of glsl/<shader>.comp. `Parameters` is the struct of glsl/<Family>.h.
    /// `constants` are the shader's own specialization constants (ids from 32).
    template <class Parameters>
    void dispatch(std::string_view shader, const Parameters& parameters, Grid grid,
                  std::initializer_list<Operand> operands,
                  std::initializer_list<vk::Constant> constants = {}, vk::Refresh refresh = {}) {
        static_assert(std::is_trivially_copyable_v<Parameters> && sizeof(Parameters) % 4 == 0);
        dispatchBytes(shader, std::as_bytes(std::span(&parameters, 1)), grid,
                      {operands.begin(), operands.size()}, {constants.begin(), constants.size()},
                      std::move(refresh));
    }
    void dispatchBytes(std::string_view shader, std::span<const std::byte> parameters, Grid grid,
                       std::span<const Operand> operands, std::span<const vk::Constant> constants,
                       vk::Refresh refresh);

    /// Scratch memory of this command buffer; freed for the encodes after this one when the last
    /// copy of the result goes.
    std::shared_ptr<const vk::BufferSlice> scratch(uint64_t bytes);

private:
    /// What InsertDebugGroups and Verbose ask for, with the first command: an encode that is
    /// refused records nothing.
    void announce();

    MTL::CommandBuffer commandBuffer_;
    vk::CommandList& list_;
    vk::Device& device_;
    const bool reducesPrecision_;
    bool isInDebugGroup_ = false;
    /// A kernel with one of these options that has recorded nothing yet.
    const MPS::Kernel* unannounced_ = nullptr;
};

/// Writes zeros to every texel of the image.
void fillWithZeros(Encoder& encoder, const MPS::Image& image);

inline vk::Constant constant(uint32_t id, uint32_t value) { return {id, value}; }
inline vk::Constant constant(uint32_t id, float value) {
    return {id, std::bit_cast<uint32_t>(value)};
}

} // namespace mpsvk::mps
