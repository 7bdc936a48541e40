#include "mps/Archive.hpp"
#include "mps/NDArrayPass.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NDArrayStridedSlice.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

uint64_t magnitude(int64_t stride) { return stride < 0 ? 0 - uint64_t(stride) : uint64_t(stride); }

/// The elements that the strides begin with, in the order in which they count.
mps::NDLayout turned(mps::NDLayout layout, const NDArrayOffsets& strides) {
    for (uint64_t i = 0; i < layout.count; ++i) {
        if (strides.dimensions[i] > 0) continue;
        layout.offset += int64_t(layout.lengths[i] - 1) * layout.strides[i];
        layout.strides[i] = -layout.strides[i];
    }
    return layout;
}

} // namespace

NDArrayStridedSlice::NDArrayStridedSlice(const MTL::Device& device) : NDArrayUnaryKernel(device) {
    strides_.dimensions.fill(1);
}

void NDArrayStridedSlice::archive(mps::Archive& archive) {
    NDArrayUnaryKernel::archive(archive);
    std::vector<int64_t> values(strides_.dimensions.begin(), strides_.dimensions.end());
    archive("strides", values);
    if (values.size() != strides_.dimensions.size())
        throw FormatError("[KeyedUnarchiver] \"strides\" has " + std::to_string(values.size()) +
                          " values but 16 are expected.");
    std::ranges::copy(values, strides_.dimensions.begin());
}

NDArrayDescriptor NDArrayStridedSlice::resultDescriptor(const std::vector<NDArray>& sources) const {
    const mps::NDLayout& source = sources[0].impl().layout;
    auto lengths = source.lengths;
    for (uint64_t i = 0; i < source.count; ++i) {
        const uint64_t step = magnitude(strides_.dimensions[i]);
        if (step == 0)
            throw InvalidArgument(subject() + "The stride of dimension " + std::to_string(i) +
                                  " is 0 but must not be.");
        lengths[i] = (lengths[i] - 1) / step + 1;
    }
    return {source.dataType, source.count, lengths};
}

NDArrayGradientState NDArrayStridedSlice::makeState(const MTL::Device& device) const {
    return NDArrayGradientState(std::make_shared<NDArrayGradientState::Impl>(device));
}

void NDArrayStridedSlice::record(mps::NDRecord& record) const { record.strides = strides_; }

void NDArrayStridedSlice::dispatch(const mps::NDPass& pass) const {
    mps::NDOperand source = pass.operands[0];
    const mps::NDLayout& result = pass.destinationOperand().layout;
    source.layout = turned(source.layout, strides_);
    for (uint64_t i = 0; i < result.count; ++i)
        if (result.lengths[i] > 1)
            source.layout.strides[i] *= int64_t(magnitude(strides_.dimensions[i]));
    mps::copyElements(*pass.encoder, source, pass.destinationOperand());
}

void NDArrayStridedSliceGradient::dispatch(const mps::NDPass& pass) const {
    const NDArrayOffsets& strides = pass.record().strides;
    mps::NDOperand destination = pass.destinationOperand();
    destination.layout = turned(destination.layout, strides);
    mps::NDCopy copy;
    copy.source = &pass.gradientOperand();
    copy.destination = &destination;
    // A longer step than the dimension leaves its first element, as the dimension's length does.
    for (uint64_t i = 0; i < destination.layout.count; ++i)
        copy.steps[i] = std::min(magnitude(strides.dimensions[i]), destination.layout.lengths[i]);
    mps::copyElements(*pass.encoder, copy);
}

} // namespace mpsvk::MPS
