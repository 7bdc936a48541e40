#include "mps/ArrayTransfer.hpp"
#include "mps/NDArray.hpp"

#include <mpsvk/Error.hpp>

#include <cstring>

namespace mpsvk::MPS {

namespace {

/// Calls `visit` with the coordinates of every element whose first `inner` coordinates are 0.
template <class Visit> void forEachOuter(const mps::NDLayout& layout, uint64_t inner, Visit visit) {
    std::array<uint64_t, mps::mostDimensions> at{};
    for (;;) {
        visit(at);
        uint64_t i = inner;
        while (i < layout.count && ++at[i] == layout.lengths[i]) at[i++] = 0;
        if (i >= layout.count) return;
    }
}

uint64_t offsetOf(const std::array<uint64_t, mps::mostDimensions>& at,
                  const std::array<int64_t, mps::mostDimensions>& strides) {
    int64_t sum = 0;
    for (size_t i = 0; i < at.size(); ++i) sum += int64_t(at[i]) * strides[i];
    return uint64_t(sum);
}

/// `copy(host, device, size)` for every stretch of bytes.
template <class Copy>
void transfer(NDArray::Impl& self, const char* verb, uint64_t given,
              std::span<const uint64_t> strideBytes, Copy copy) {
    const std::string who = self.who() + verb + " ";
    const mps::NDLayout& layout = self.layout;
    const uint64_t element = layout.elementBytes();
    mps::NDLayout host = layout; // strides in bytes
    mps::setStrides(host, true);
    for (int64_t& stride : host.strides) stride *= int64_t(element);
    if (!strideBytes.empty()) {
        if (strideBytes.size() != layout.count)
            throw InvalidArgument(who + "was given " + std::to_string(strideBytes.size()) +
                                  " strides but there are " + std::to_string(layout.count) +
                                  " dimensions.");
        for (uint64_t i = 0; i < layout.count; ++i) {
            if (strideBytes[i] > uint64_t(INT64_MAX) / 16 / layout.lengths[i])
                throw InvalidArgument(who + "was given a stride of " +
                                      std::to_string(strideBytes[i]) + " bytes in dimension " +
                                      std::to_string(i) + ", beyond all memory.");
            host.strides[i] = int64_t(strideBytes[i]);
        }
    }
    host.offset = 0;
    const uint64_t needed = uint64_t(host.highest()) - 1 + element;
    if (strideBytes.empty() ? given != needed : given < needed)
        throw InvalidArgument(who + "was given " + std::to_string(given) + " bytes but the array " +
                              "has " + std::to_string(needed) + ".");
    self.storage->checkHostAccess(verb, needed, needed);
    std::byte* device = self.storage->slice().mapped() + uint64_t(layout.offset) * element;
    const bool isRow =
        layout.strides[0] == 1 && host.strides[0] == int64_t(element) && layout.count > 0;
    forEachOuter(layout, isRow ? 1 : 0, [&](const auto& at) {
        copy(offsetOf(at, host.strides), device + offsetOf(at, layout.strides) * element,
             isRow ? layout.lengths[0] * element : element);
    });
}

/// `move(view, first)` for parts of the array that are rows at equal distances, in order.
template <class Move>
void transferFloats(NDArray::Impl& self, const char* verb, uint64_t given, Move move) {
    const mps::NDLayout& layout = self.layout;
    const uint64_t element = layout.elementBytes();
    self.storage->checkHostAccess(verb, given, layout.elements());
    const bool areRows = layout.strides[0] == 1;
    mps::ArrayView view;
    view.dataType = layout.dataType;
    view.columns = areRows ? layout.lengths[0] : 1;
    view.rows = areRows ? layout.lengths[1] : layout.lengths[0];
    view.rowBytes = uint64_t(layout.strides[areRows ? 1 : 0]) * element;
    uint64_t first = 0;
    forEachOuter(layout, areRows ? 2 : 1, [&](const auto& at) {
        const vk::BufferSlice& all = self.storage->slice();
        const uint64_t begin = (uint64_t(layout.offset) + offsetOf(at, layout.strides)) * element;
        view.slice = {all.buffer, all.offset + begin, 0};
        move(view, first);
        first += view.elements();
    });
}

} // namespace

void NDArray::readBytes(std::span<std::byte> bytes, std::span<const uint64_t> strideBytes) const {
    transfer(impl(), "readBytes", bytes.size(), strideBytes,
             [&](uint64_t at, std::byte* device, uint64_t size) {
                 std::memcpy(bytes.data() + at, device, size);
             });
}

void NDArray::writeBytes(std::span<const std::byte> bytes,
                         std::span<const uint64_t> strideBytes) const {
    transfer(impl(), "writeBytes", bytes.size(), strideBytes,
             [&](uint64_t at, std::byte* device, uint64_t size) {
                 std::memcpy(device, bytes.data() + at, size);
             });
}

void NDArray::write(std::span<const float> values) const {
    transferFloats(impl(), "write", values.size(), [&](const mps::ArrayView& view, uint64_t first) {
        mps::writeFloats(view, values.subspan(first, view.elements()));
    });
}

void NDArray::read(std::span<float> values) const {
    transferFloats(impl(), "read", values.size(), [&](const mps::ArrayView& view, uint64_t first) {
        mps::readFloats(view, values.subspan(first, view.elements()));
    });
}

} // namespace mpsvk::MPS
