#include "mps/ArrayTransfer.hpp"
#include "mps/NDArray.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

namespace mpsvk::mps {

namespace {

const std::string descriptorName = "[NDArrayDescriptor] ";

std::string text(uint64_t number) { return std::to_string(number); }

void checkCount(uint64_t count) {
    if (count > mostDimensions)
        throw InvalidArgument(descriptorName + text(count) +
                              " dimensions were asked for but there are at most 16.");
}

void checkDescriptor(const MPS::NDArrayDescriptor& d) {
    checkedElementBytes(descriptorName, d.dataType());
    const uint64_t count = d.numberOfDimensions();
    checkCount(count);
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t length = d.lengthOfDimension(i);
        const auto slice = d.sliceRangeForDimension(i);
        if (length == 0)
            throw InvalidArgument(descriptorName + "The length of dimension " + text(i) +
                                  " is 0 but must be at least 1.");
        if (slice.length == 0 || slice.start >= length || slice.length > length - slice.start)
            throw InvalidArgument(descriptorName + "The slice of dimension " + text(i) + " is " +
                                  text(slice.length) + " elements from " + text(slice.start) +
                                  " on but the dimension has " + text(length) + ".");
    }
}

} // namespace

uint64_t NDLayout::elements() const {
    return std::accumulate(lengths.begin(), lengths.end(), uint64_t(1), std::multiplies<>());
}

int64_t NDLayout::lowest() const {
    int64_t at = offset;
    for (uint64_t i = 0; i < count; ++i)
        at += std::min<int64_t>(0, int64_t(lengths[i] - 1) * strides[i]);
    return at;
}

int64_t NDLayout::highest() const {
    int64_t at = offset + 1;
    for (uint64_t i = 0; i < count; ++i)
        at += std::max<int64_t>(0, int64_t(lengths[i] - 1) * strides[i]);
    return at;
}

std::string shapeText(const NDLayout& layout) {
    if (layout.count == 0) return "a scalar";
    std::string all;
    for (uint64_t i = layout.count; i-- > 0;) all += text(layout.lengths[i]) + (i > 0 ? "x" : "");
    return all;
}

void setStrides(NDLayout& layout, bool packed) {
    const uint64_t element = layout.elementBytes(), row = layout.lengths[0] * element;
    uint64_t stride = packed ? layout.lengths[0] : vk::roundUp(row, 16) / element;
    layout.strides[0] = 1;
    for (uint64_t i = 1; i < mostDimensions; ++i) {
        layout.strides[i] = int64_t(stride);
        stride *= layout.lengths[i];
    }
}

bool reshape(NDLayout& layout, uint64_t count, std::span<const uint64_t> lengths) {
    std::vector<std::pair<uint64_t, int64_t>> old; // length and stride, without lengths of 1
    for (uint64_t i = 0; i < layout.count; ++i)
        if (layout.lengths[i] > 1) old.emplace_back(layout.lengths[i], layout.strides[i]);
    NDLayout made = layout;
    made.count = count;
    made.lengths.fill(1);
    made.strides.fill(1);
    std::copy_n(lengths.begin(), count, made.lengths.begin());
    size_t from = 0;
    int64_t stride = 1;
    for (uint64_t i = 0; i < count;) {
        if (made.lengths[i] == 1) {
            made.strides[i++] = stride;
            continue;
        }
        // The fewest old dimensions that hold what the fewest new ones do must lie without a gap.
        uint64_t has = old[from].first, wants = made.lengths[i];
        const size_t first = from;
        uint64_t end = i + 1;
        while (has != wants) {
            if (has > wants) {
                wants *= made.lengths[end++];
                continue;
            }
            if (old[from + 1].second != old[from].second * int64_t(old[from].first)) return false;
            has *= old[++from].first;
        }
        stride = old[first].second;
        for (; i < end; ++i) {
            made.strides[i] = stride;
            stride *= int64_t(made.lengths[i]);
        }
        ++from;
    }
    layout = made;
    return true;
}

namespace {
void slice(const MPS::NDArrayDescriptor& d, NDLayout& layout) {
    const NDLayout whole = layout;
    const auto order = d.dimensionOrder();
    for (uint64_t i = 0; i < layout.count; ++i) {
        const auto range = d.sliceRangeForDimension(order[i]);
        layout.offset += int64_t(range.start) * whole.strides[order[i]];
        layout.lengths[i] = range.length;
        layout.strides[i] = whole.strides[order[i]];
    }
}
} // namespace

NDLayout newLayout(const MPS::NDArrayDescriptor& d) {
    checkDescriptor(d);
    NDLayout made;
    made.dataType = d.dataType();
    made.count = d.numberOfDimensions();
    uint64_t rest = uint64_t(INT64_MAX) / 16 / made.elementBytes();
    for (uint64_t i = 0; i < made.count; ++i) {
        made.lengths[i] = d.sliceRangeForDimension(d.dimensionOrder()[i]).length;
        if (made.lengths[i] > rest)
            throw InvalidArgument(descriptorName + "The array would have more bytes than 64 bits "
                                                   "can count.");
        rest /= made.lengths[i];
    }
    setStrides(made, d.preferPackedRows());
    return made;
}

bool view(const std::string& who, const MPS::NDArrayDescriptor& d, NDLayout& layout) {
    checkDescriptor(d);
    if (d.dataType() != layout.dataType)
        throw InvalidArgument(who + "A view with the dataType " + text(uint32_t(d.dataType())) +
                              " was asked for but the array's is " +
                              text(uint32_t(layout.dataType)) + ".");
    NDLayout wanted;
    wanted.count = d.numberOfDimensions();
    for (uint64_t i = 0; i < wanted.count; ++i) wanted.lengths[i] = d.lengthOfDimension(i);
    if (wanted.elements() != layout.elements())
        throw InvalidArgument(who + "A view as " + shapeText(wanted) + " was asked for, " +
                              text(wanted.elements()) + " elements, but the array is " +
                              shapeText(layout) + ", " + text(layout.elements()) + " elements.");
    if (!layout.hasShapeOf(wanted) && !reshape(layout, wanted.count, wanted.lengths)) return false;
    slice(d, layout);
    return true;
}

MPS::NDArrayDescriptor descriptorOf(const NDLayout& layout) {
    return {layout.dataType, layout.count, layout.lengths};
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

using mps::descriptorName;
using mps::text;

NDArrayDescriptor::NDArrayDescriptor(DataType dataType, uint64_t dimensionCount,
                                     std::span<const uint64_t> dimensionSizes)
    : dataType_(dataType) {
    reshape(dimensionCount, dimensionSizes);
    mps::checkDescriptor(*this);
}

NDArrayDescriptor::NDArrayDescriptor(DataType dataType, const std::vector<uint64_t>& shape)
    : dataType_(dataType) {
    reshape(shape);
    mps::checkDescriptor(*this);
}

void NDArrayDescriptor::setNumberOfDimensions(uint64_t v) {
    for (uint64_t i = v; i < 16; ++i) {
        lengths_[i] = 1;
        slices_[i] = {0, 1};
    }
    if (v < count_) std::iota(order_.begin(), order_.end(), uint8_t(0));
    count_ = v;
}

uint64_t NDArrayDescriptor::lengthOfDimension(uint64_t i) const {
    return i < std::min<uint64_t>(count_, 16) ? lengths_[i] : 1;
}

DimensionSlice NDArrayDescriptor::sliceRangeForDimension(uint64_t i) const {
    return i < std::min<uint64_t>(count_, 16) ? slices_[i] : DimensionSlice{0, 1};
}

namespace {
void checkIndex(const char* what, uint64_t index, uint64_t count) {
    if (index >= std::min<uint64_t>(count, 16))
        throw InvalidArgument(descriptorName + what + " was called for dimension " + text(index) +
                              " but there are " + text(count) + ".");
}
} // namespace

void NDArrayDescriptor::sliceDimension(uint64_t i, const DimensionSlice& subRange) {
    checkIndex("sliceDimension", i, count_);
    slices_[i] = subRange;
}

void NDArrayDescriptor::transposeDimension(uint64_t i, uint64_t j) {
    checkIndex("transposeDimension", i, count_);
    checkIndex("transposeDimension", j, count_);
    std::swap(order_[i], order_[j]);
}

void NDArrayDescriptor::permute(std::span<const uint64_t> dimensionOrder) {
    std::array<bool, 16> named{};
    if (dimensionOrder.size() != count_)
        throw InvalidArgument(descriptorName + "permute was given " + text(dimensionOrder.size()) +
                              " dimensions but there are " + text(count_) + ".");
    for (uint64_t i : dimensionOrder) {
        checkIndex("permute", i, count_);
        if (std::exchange(named[i], true))
            throw InvalidArgument(descriptorName + "permute was given dimension " + text(i) +
                                  " twice.");
    }
    const auto before = order_;
    for (uint64_t i = 0; i < count_; ++i) order_[i] = before[dimensionOrder[i]];
}

std::vector<uint64_t> NDArrayDescriptor::getShape() const {
    return {lengths_.rend() - std::min<uint64_t>(count_, 16), lengths_.rend()};
}

void NDArrayDescriptor::reshape(uint64_t count, std::span<const uint64_t> sizes) {
    mps::checkCount(count);
    if (sizes.size() < count)
        throw InvalidArgument(descriptorName + text(count) + " dimensions were asked for but " +
                              text(sizes.size()) + " sizes given.");
    setNumberOfDimensions(0);
    std::iota(order_.begin(), order_.end(), uint8_t(0));
    count_ = count;
    for (uint64_t i = 0; i < count; ++i) {
        lengths_[i] = sizes[i];
        slices_[i] = {0, sizes[i]};
    }
}

void NDArrayDescriptor::reshape(const std::vector<uint64_t>& shape) {
    const std::vector<uint64_t> sizes(shape.rbegin(), shape.rend());
    reshape(sizes.size(), sizes);
}

} // namespace mpsvk::MPS
