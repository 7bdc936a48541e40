#include "mps/Encoder.hpp"

#include "Image.h"
#include "mtl/CommandBuffer.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace mpsvk::mps {

glsl::TexelGrid texelGrid(uint64_t slices, uint64_t width, uint64_t height, uint64_t images) {
    glsl::TexelGrid grid{uint32_t(slices), uint32_t(width), uint32_t(height), uint32_t(images)};
    const auto divisor = [&](uint64_t by, uint32_t& factor, uint32_t place) {
        const auto shift = uint32_t(std::bit_width(by - 1));
        factor = uint32_t(((uint64_t(1) << 32) * ((uint64_t(1) << shift) - by)) / by + 1);
        grid.shifts |= shift << place;
    };
    if (slices * width * height == 0) return grid;
    divisor(slices, grid.slicesFactor, 0);
    divisor(width, grid.widthFactor, 8);
    divisor(height, grid.heightFactor, 16);
    return grid;
}

uint64_t imagesAtOnce(const vk::Limits& limits, uint64_t bytesPerImage) {
    constexpr uint64_t enough = 256 << 20;
    const uint64_t most = std::min<uint64_t>(enough, limits.storageBufferRange);
    return std::max<uint64_t>(1, most / std::max<uint64_t>(1, bytesPerImage));
}

VkDeviceSize ImageRun::alignedBegin(const vk::Limits& limits) const {
    const VkDeviceSize alignment = std::max<VkDeviceSize>(limits.storageAlignment, 16);
    return lowest_ / alignment * alignment;
}

glsl::ImageView ImageRun::view(uint64_t channelOffset, uint64_t channels) const {
    glsl::ImageView v{};
    const uint64_t base =
        isTexture()
            ? first_
            : (first_ - alignedBegin({.storageAlignment = offsetAlignment_})) / bytesPerTexel_;
    v.offset = uint32_t(base + channelOffset / 4);
    v.imageStride = uint32_t(isTexture() ? stride_ : stride_ / int64_t(bytesPerTexel_));
    v.width = uint32_t(width_);
    v.height = uint32_t(height_);
    v.slices = uint32_t(slices_);
    v.channelOffset = uint32_t(channelOffset);
    v.channels = uint32_t(channels);
    return v;
}

VkDeviceSize ImageRun::bytes() const {
    return count_ * elementImages_ * width_ * height_ * slicesFor(channels_) * bytesPerTexel_;
}

vk::Binding ImageRun::binding(uint32_t number, const vk::Limits& limits) const {
    vk::Binding made;
    if (isTexture()) {
        made = vk::Binding::image(32 + number, texture_);
        made.bytes = bytes();
        return made;
    }
    made.number = number;
    made.resource = resource_;
    made.handle = handle_;
    made.offset = alignedBegin(limits);
    made.size = end_ - made.offset;
    made.bytes = bytes();
    return made;
}

uint32_t ImageRun::storageConstant() const {
    if (isTexture()) return 3;
    switch (format_) {
    case MPS::ImageFeatureChannelFormat::Float16: return 1;
    case MPS::ImageFeatureChannelFormat::Unorm8: return 2;
    default: return 0;
    }
}

/// Grows runs operand by operand, as long as the next element continues each of them.
class RunBuilder {
public:
    RunBuilder(const vk::Limits& limits, std::span<const RunOperand> operands)
        : limits_(limits), operands_(operands), images_(operands.size()),
          buffers_(operands.size()) {}

    size_t size() const {
        size_t n = 0;
        for (const auto& o : operands_) n = std::max({n, o.elements.size(), o.slices.size()});
        return n;
    }

    /// Takes element `index` of every operand into the runs; false, and no change to what the runs
    /// cover, when one of them does not go on there.
    bool extend(size_t index, bool isFirst) {
        for (size_t k = 0; k < operands_.size(); ++k) {
            const RunOperand& operand = operands_[k];
            if ((operand.elements.empty() ||
                 extend(images_[k], operand.elements[index], isFirst)) &&
                (operand.slices.empty() || extend(buffers_[k], operand.slices[index], isFirst)))
                continue;
            for (size_t done = 0; done < k; ++done) shorten(done);
            return false;
        }
        return true;
    }

    std::span<const ImageRun> images() const { return images_; }
    std::span<const BufferRun> buffers() const { return buffers_; }

private:
    /// Takes the last element out again. The bound range may stay the longer one, which does no
    /// harm.
    void shorten(size_t k) {
        if (!operands_[k].elements.empty()) {
            --images_[k].count_;
            if (images_[k].lastIsNew_) images_[k].others_.pop_back();
            images_[k].lastIsNew_ = false;
        }
        if (!operands_[k].slices.empty()) --buffers_[k].count;
    }

    bool extend(ImageRun& run, const RunOperand::Element& element, bool isFirst) const {
        const auto& impl = element.image.impl();
        ImageStorage& storage = *impl.storage;
        const auto resource = storage.resource();
        const bool texture = storage.shape().texture;
        const uint64_t index = impl.firstImage + element.index;
        const uint64_t texel = storage.bytesPerTexel();
        const uint64_t at = texture ? index * storage.shape().slices + impl.firstSlice
                                    : storage.buffer().begin() + index * storage.imageBytes() +
                                          impl.firstSlice * texel;
        const uint64_t end =
            texture ? 0 : storage.buffer().begin() + (index + element.count) * storage.imageBytes();
        const uint64_t begin =
            texture ? 0 : storage.buffer().begin() + index * storage.imageBytes();
        if (isFirst) {
            run = {};
            run.resource_ = resource;
            if (texture)
                run.texture_ = storage.texture();
            else
                run.handle_ = storage.buffer().buffer->handle();
            run.offsetAlignment_ = limits_.storageAlignment;
            run.first_ = at;
            run.lowest_ = begin;
            run.end_ = end;
            run.bytesPerTexel_ = texel;
            run.elementStride_ =
                uint32_t(texture ? storage.shape().slices : storage.imageBytes() / texel);
            run.slices_ = storage.shape().slices;
            run.width_ = impl.descriptor.width();
            run.height_ = impl.descriptor.height();
            run.channels_ = impl.descriptor.featureChannels();
            run.format_ = storage.shape().format;
            run.count_ = 1;
            run.elementImages_ = element.count;
            return true;
        }
        const bool same = texture
                              ? run.texture_ == storage.texture()
                              : !run.texture_ && run.handle_ == storage.buffer().buffer->handle();
        if (!same || run.format_ != storage.shape().format ||
            run.slices_ != storage.shape().slices || run.width_ != impl.descriptor.width() ||
            run.height_ != impl.descriptor.height() ||
            run.channels_ != impl.descriptor.featureChannels())
            return false;
        const int64_t step = int64_t(at - run.first_) - int64_t(run.count_ - 1) * run.stride_;
        if (run.count_ == 1) {
            if (!texture && step % int64_t(texel) != 0) return false;
            run.stride_ = step;
        } else if (step != run.stride_) {
            return false;
        }
        ImageRun longer;
        longer.bytesPerTexel_ = texel;
        longer.lowest_ = std::min(run.lowest_, begin);
        longer.end_ = std::max(run.end_, end);
        if (!texture && longer.end_ - longer.alignedBegin(limits_) > limits_.storageBufferRange)
            return false;
        run.lowest_ = longer.lowest_;
        run.end_ = longer.end_;
        run.lastIsNew_ =
            resource != run.resource_ && (run.others_.empty() || run.others_.back() != resource);
        if (run.lastIsNew_) run.others_.push_back(resource);
        ++run.count_;
        return true;
    }

    bool extend(BufferRun& run, const vk::BufferSlice& slice, bool isFirst) const {
        if (isFirst) {
            run = {slice, 0, 1, slice.end(), slice};
            return true;
        }
        if (slice.buffer->handle() != run.first.buffer->handle()) return false;
        const int64_t step =
            int64_t(slice.begin() - run.first.begin()) - int64_t(run.count - 1) * run.strideBytes;
        if (run.count == 1) {
            if (step < 0 || step % 4 != 0 || slice.buffer != run.first.buffer) return false;
            run.strideBytes = step;
        } else if (step != run.strideBytes || slice.buffer != run.first.buffer) {
            return false;
        }
        if (slice.end() - run.first.begin() > limits_.storageBufferRange) return false;
        run.end = slice.end();
        run.all = {run.first.buffer, run.first.offset, run.end - run.first.begin()};
        ++run.count;
        return true;
    }

    const vk::Limits& limits_;
    std::span<const RunOperand> operands_;
    std::vector<ImageRun> images_;
    std::vector<BufferRun> buffers_;
};

void forEachRun(const vk::Limits& limits, std::span<const RunOperand> operands,
                const std::function<void(size_t, size_t, std::span<const ImageRun>,
                                         std::span<const BufferRun>)>& visit) {
    RunBuilder builder(limits, operands);
    const size_t size = builder.size();
    for (size_t first = 0; first < size;) {
        builder.extend(first, true);
        size_t end = first + 1;
        while (end < size && builder.extend(end, false)) ++end;
        visit(first, end - first, builder.images(), builder.buffers());
        first = end;
    }
}

void forEachRun(const vk::Limits& limits, const MPS::ImageBatch& images, size_t first, size_t count,
                const std::function<void(size_t, size_t, const ImageRun&)>& visit) {
    if (images.empty()) return visit(0, count, {});
    RunOperand operand;
    for (size_t i = first; i < first + count; ++i)
        operand.elements.push_back(images.size() == 1 ? RunOperand::Element{images[0], i}
                                                      : RunOperand::Element{images.at(i), 0});
    forEachRun(limits, {&operand, 1},
               [&](size_t from, size_t length, auto runs, auto) { visit(from, length, runs[0]); });
}

namespace {

using MPS::KernelOptions;

/// Whether any of them is set.
bool has(KernelOptions options, KernelOptions any) {
    return (options & any) != KernelOptions::None;
}

vk::CommandList& listOf(const MTL::CommandBuffer& commandBuffer, const Subject& who) {
    auto& impl = commandBuffer.impl();
    impl.recordDeferred();
    vk::CommandList* const open = impl.openList();
    return open ? *open : impl.list(who.text());
}

} // namespace

Encoder::Encoder(const MTL::CommandBuffer& commandBuffer, const Subject& who)
    : commandBuffer_(commandBuffer), list_(listOf(commandBuffer, who)),
      device_(*commandBuffer.impl().device.impl().vk),
      reducesPrecision_(has(who.options(), KernelOptions::AllowReducedPrecision) &&
                        device_.features().bfloat16) {
    if (announces(who)) unannounced_ = who.kernel();
}

bool Encoder::announces(const Subject& who) {
    return has(who.options(), KernelOptions::InsertDebugGroups | KernelOptions::Verbose);
}

Encoder::~Encoder() {
    if (isInDebugGroup_) list_.label(vk::CommandList::LabelKind::Pop);
}

void Encoder::announce() {
    const MPS::Kernel& kernel = *std::exchange(unannounced_, nullptr);
    if (has(kernel.options(), KernelOptions::InsertDebugGroups)) {
        list_.label(vk::CommandList::LabelKind::Push,
                    kernel.label().empty() ? kernel.className() : kernel.label());
        isInDebugGroup_ = true;
    }
    if (has(kernel.options(), KernelOptions::Verbose)) {
        std::string line = Subject(kernel) + "is encoded into " +
                           MTL::subject("CommandBuffer", commandBuffer_.label());
        line.back() = '.'; // in place of the space
        vk::log(int(LogLevel::Info), line);
    }
}

std::pmr::vector<vk::Constant> constantsOfDispatch(const Grid& grid,
                                                   std::span<const Operand> operands,
                                                   std::span<const vk::Constant> own,
                                                   std::pmr::memory_resource* memory) {
    std::pmr::vector<vk::Constant> all(memory);
    all.reserve(operands.size() + own.size() + 2);
    for (const Operand& operand : operands)
        if (operand.image && *operand.image)
            all.push_back({operand.number, operand.image->storageConstant()});
    all.insert(all.end(), own.begin(), own.end());
    if (grid.texelsEach != 1) all.push_back(constant(31, grid.texelsEach));
    if (grid.wholeTexels) all.push_back(constant(30, 1u));
    return all;
}

void Encoder::dispatchBytes(std::string_view shader, std::span<const std::byte> parameters,
                            Grid grid, std::span<const Operand> operands,
                            std::span<const vk::Constant> constants, vk::Refresh refresh) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    std::array<std::byte, 4096> stack; // enough for most: nothing is allocated then
    std::pmr::monotonic_buffer_resource memory(stack.data(), stack.size());
    std::pmr::vector<vk::Binding> bindings(&memory);
    bindings.reserve(operands.size());
    bool textures = false;
    for (const Operand& operand : operands) {
        if (operand.image) {
            if (!*operand.image) continue;
            bindings.push_back(operand.image->binding(operand.number, limits()));
            textures |= operand.image->isTexture();
        } else if (operand.buffer) {
            bindings.push_back(vk::Binding::buffer(operand.number, operand.buffer));
        }
    }
    const auto pipeline = device_.pipelines().find(
        shader, textures, constantsOfDispatch(grid, operands, constants, &memory));
    const auto& local = pipeline->localSize();
    std::array<uint32_t, 3> groups;
    if (grid.linear) {
        const uint64_t needed = vk::divideUp(grid.x, local[0]);
        // Folded evenly: fewer than a row's worth of workgroups have nothing to do.
        const uint64_t down = vk::divideUp(needed, limits().workGroupCount);
        groups = {uint32_t(vk::divideUp(needed, down)), uint32_t(down), 1};
    } else {
        groups = {uint32_t(vk::divideUp(grid.x, local[0])),
                  uint32_t(vk::divideUp(grid.y, local[1])),
                  uint32_t(vk::divideUp(grid.z, local[2]))};
    }
    std::pmr::vector<std::byte> withGrid(&memory);
    if (grid.texels) {
        const auto texels = std::as_bytes(std::span(&*grid.texels, 1));
        withGrid.assign(texels.begin(), texels.end());
        withGrid.insert(withGrid.end(), parameters.begin(), parameters.end());
        parameters = withGrid;
        if (refresh)
            refresh = [refresh = std::move(refresh)](std::byte* bytes) {
                refresh(bytes + sizeof(glsl::TexelGrid));
            };
    }
    list().dispatch(pipeline, bindings, parameters, groups, std::move(refresh));
    for (const Operand& operand : operands) {
        if (!operand.image || operand.image->others().empty()) continue;
        const bool writes =
            std::ranges::any_of(pipeline->reflection().bindings, [&](const auto& b) {
                return b.binding == operand.number && b.writes;
            });
        for (const auto& other : operand.image->others()) {
            if (writes)
                list_.alsoWrites(other);
            else
                list_.retain(other);
        }
    }
}

std::shared_ptr<const vk::BufferSlice> Encoder::scratch(uint64_t bytes) {
    auto heap = temporaryHeap(commandBuffer_);
    auto range = heap->allocate(bytes);
    return {new vk::BufferSlice(range.slice), [heap, range](const vk::BufferSlice* slice) {
                heap->free(range);
                delete slice;
            }};
}

void fillWithZeros(Encoder& encoder, const MPS::Image& image) {
    auto& storage = *image.impl().storage;
    if (!storage.shape().texture) {
        const auto& all = storage.buffer();
        const uint64_t images = image.numberOfImages();
        if (slicesFor(image.featureChannels()) == storage.shape().slices) {
            encoder.list().fill({all.buffer,
                                 all.offset + image.impl().firstImage * storage.imageBytes(),
                                 images * storage.imageBytes()},
                                0);
            return;
        }
    }
    for (uint64_t i = 0; i < image.numberOfImages(); ++i) {
        const RunOperand operand{{{image, i}}, {}};
        forEachRun(encoder.limits(), {&operand, 1}, [&](size_t, size_t, auto runs, auto) {
            glsl::ImageFillParameters parameters{};
            parameters.destination = runs[0].view(0, image.featureChannels());
            parameters.count =
                uint32_t(image.width() * image.height() * slicesFor(image.featureChannels()));
            encoder.dispatch("ImageFill", parameters, Grid::of(parameters.count), {{1, runs[0]}});
        });
    }
}

} // namespace mpsvk::mps
