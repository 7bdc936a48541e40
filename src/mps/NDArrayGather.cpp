#include "NDArrayGatherGradient.h"

#include "mps/Archive.hpp"
#include "mps/IndexSort.hpp"
#include "mps/NDArrayPass.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NDArrayGather.hpp>

#include <algorithm>

namespace mpsvk::MPS {

struct NDArrayGatherGradientState::Impl : NDArrayGradientState::Impl {
    using NDArrayGradientState::Impl::Impl;
};

NDArrayGatherGradientState::NDArrayGatherGradientState(std::shared_ptr<Impl> impl)
    : NDArrayGradientState(std::move(impl)) {}
bool NDArrayGatherGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

namespace {

bool isInteger(DataType type) {
    switch (type) {
    case DataType::Int8:
    case DataType::Int16:
    case DataType::Int32:
    case DataType::Int64:
    case DataType::UInt8:
    case DataType::UInt16:
    case DataType::UInt32:
    case DataType::UInt64: return true;
    default: return false;
    }
}

void checkIndices(const std::string& who, const NDArray& array) {
    const mps::NDLayout& indices = array.impl().layout;
    if (!isInteger(indices.dataType))
        throw InvalidArgument(who + "The indices have the dataType " +
                              std::to_string(uint32_t(indices.dataType)) +
                              " but must be of an integer type.");
    if (indices.elements() != indices.lengths[0])
        throw InvalidArgument(who + "The indices are " + mps::shapeText(indices) +
                              " but must be a list: only dimension 0 may be longer than 1.");
}

} // namespace

void NDArrayGather::archive(mps::Archive& archive) {
    NDArrayBinaryKernel::archive(archive);
    archive("axis", axis_);
}

NDArrayDescriptor NDArrayGather::resultDescriptor(const std::vector<NDArray>& sources) const {
    const mps::NDLayout& source = sources[0].impl().layout;
    if (axis_ >= source.count)
        throw InvalidArgument(subject() + "axis is " + std::to_string(axis_) +
                              " but the source has " + std::to_string(source.count) +
                              " dimensions.");
    checkIndices(subject(), sources[1]);
    auto lengths = source.lengths;
    lengths[axis_] = sources[1].impl().layout.lengths[0];
    return {source.dataType, source.count, lengths};
}

NDArrayGradientState NDArrayGather::makeState(const MTL::Device& device) const {
    return NDArrayGatherGradientState(std::make_shared<NDArrayGatherGradientState::Impl>(device));
}

void NDArrayGather::record(mps::NDRecord& record) const { record.axis = axis_; }

void NDArrayGather::dispatch(const mps::NDPass& pass) const {
    mps::NDCopy copy;
    copy.source = &pass.operands[0];
    copy.destination = &pass.destinationOperand();
    copy.lookup = mps::NDLookup{axis_, pass.source(0).lengths[axis_], &pass.operands[1]};
    mps::copyElements(*pass.encoder, copy);
}

void NDArrayGatherGradient::validate(const mps::NDPass& pass) const {
    NDArrayBinaryPrimaryGradientKernel::validate(pass);
    checkIndices(pass.who, pass.sources[1]);
    const DataType type = pass.destination.dataType();
    if (type != DataType::Float32 && type != DataType::Float16)
        throw InvalidArgument(pass.who + "The gradient has the dataType " +
                              std::to_string(uint32_t(type)) + " but must be Float32 or Float16.");
}

namespace {

using Parameters = glsl::NDArrayGatherGradientParameters;

/// The dimensions but the axis, the result's fastest first.
std::vector<glsl::NDDimension> otherDimensions(const mps::NDLayout& gradient,
                                               const mps::NDLayout& result, uint64_t axis) {
    std::vector<glsl::NDDimension> all;
    for (uint64_t i = 0; i < result.count; ++i)
        if (i != axis && result.lengths[i] > 1)
            all.push_back({uint32_t(result.lengths[i]), int32_t(gradient.strides[i]),
                           int32_t(result.strides[i]), 1});
    std::ranges::stable_sort(all, {},
                             [](const glsl::NDDimension& d) { return std::abs(d.destination); });
    if (all.empty()) all.push_back({1, 1, 1, 1});
    return all;
}

} // namespace

void NDArrayGatherGradient::dispatch(const mps::NDPass& pass) const {
    const uint64_t axis = pass.record().axis;
    const mps::NDLayout &gradient = pass.gradientOperand().layout,
                        &result = pass.destinationOperand().layout;
    mps::Encoder& encoder = *pass.encoder;
    const mps::SortedIndices sorted =
        mps::sortIndices(encoder, pass.operands[1], result.lengths[axis]);

    const auto others = otherDimensions(gradient, result, axis);
    const glsl::NDDimension& row = others.front();
    const uint32_t width = row.size > 1 && row.source == 1 && row.destination == 1 ? 4 : 1;
    Parameters p{};
    std::ranges::copy(others, p.dimensions);
    p.dimensionCount = uint32_t(others.size());
    p.slices = uint32_t(result.lengths[axis]);
    p.units = uint32_t(vk::divideUp(row.size, width));
    p.gradientOffset = uint32_t(gradient.offset);
    p.destinationOffset = uint32_t(result.offset);
    p.gradientStride = int32_t(gradient.strides[axis]);
    p.destinationStride = int32_t(result.strides[axis]);
    p.count = uint32_t(pass.source(1).lengths[0]);
    bool isAligned = gradient.offset % 4 == 0 && result.offset % 4 == 0 &&
                     p.gradientStride % 4 == 0 && p.destinationStride % 4 == 0;
    for (size_t i = 1; i < others.size(); ++i) {
        p.units *= others[i].size;
        isAligned &= others[i].source % 4 == 0 && others[i].destination % 4 == 0;
    }
    p.isAligned = isAligned && width == 4;
    p.slicesRunFastest = std::abs(p.destinationStride) < std::abs(row.destination);
    // What few indices leave to sum is quickly done.
    if (p.count >= 2 * glsl::gatherChunk()) p.chunks = p.count / glsl::gatherChunk();

    const auto typeOf = [](const mps::NDLayout& layout) {
        return uint32_t(layout.dataType == DataType::Float16);
    };
    const auto widthConstant = mps::constant(32, width);
    auto sums = sorted.ranges; // not read without chunks
    if (p.chunks > 0) {
        sums = encoder.scratch(uint64_t(p.chunks) * p.units * 16);
        encoder.dispatch(
            "NDArrayGatherGradientChunks", p, mps::Grid::of(uint64_t(p.chunks) * p.units),
            {{1, pass.gradientOperand().slice}, {2, *sorted.keys}, {3, *sums}, {4, *sorted.order}},
            {mps::constant(1, typeOf(gradient)), widthConstant});
    }
    encoder.dispatch(
        "NDArrayGatherGradient", p, mps::Grid::of(uint64_t(p.slices) * p.units),
        {{1, pass.gradientOperand().slice},
         {2, pass.destinationOperand().slice},
         {3, *sums},
         {4, *sorted.order},
         {5, *sorted.ranges}},
        {mps::constant(1, typeOf(gradient)), mps::constant(2, typeOf(result)), widthConstant});
}

} // namespace mpsvk::MPS
