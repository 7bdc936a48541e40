#include <mpsvk/MPS/NDArrayMatrixMultiplication.hpp>

#include "mps/Archive.hpp"
#include "mps/MatrixProduct.hpp"
#include "mps/NDArrayPass.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

bool isFloat(DataType type) { return type == DataType::Float32 || type == DataType::Float16; }

void checkSourceCount(uint64_t count) {
    if (count != 2 && count != 3)
        throw InvalidArgument("[NDArrayMatrixMultiplication] sourceCount is " +
                              std::to_string(count) + " but must be 2, or 3 with a matrix to add.");
}

} // namespace

NDArrayMatrixMultiplication::NDArrayMatrixMultiplication(const MTL::Device& device,
                                                         uint64_t sourceCount)
    : NDArrayMultiaryKernel(device, sourceCount) {
    checkSourceCount(sourceCount);
}

void NDArrayMatrixMultiplication::archive(mps::Archive& archive) {
    NDArrayMultiaryKernel::archive(archive);
    archiveSourceCount(archive);
    checkSourceCount(sourceCount());
    archive("alpha", alpha_);
    archive("beta", beta_);
}

bool NDArrayMatrixMultiplication::takesResultType(DataType type) const { return isFloat(type); }

NDArrayDescriptor
NDArrayMatrixMultiplication::resultDescriptor(const std::vector<NDArray>& sources) const {
    const std::string who = subject();
    const auto layout = [&](size_t i) -> const mps::NDLayout& { return sources[i].impl().layout; };
    mps::NDLayout result;
    result.count = 2;
    result.lengths[0] = layout(1).lengths[0];
    result.lengths[1] = layout(0).lengths[1];
    for (size_t i = 0; i < sources.size(); ++i) {
        const mps::NDLayout& source = layout(i);
        const std::string role = who + "sourceArrays[" + std::to_string(i) + "] ";
        if (!isFloat(source.dataType))
            throw InvalidArgument(role + "has the dataType " +
                                  std::to_string(uint32_t(source.dataType)) +
                                  " but must be Float32 or Float16.");
        for (uint64_t d = 4; d < source.count; ++d)
            if (source.lengths[d] > 1)
                throw InvalidArgument(role + "is " + mps::shapeText(source) +
                                      " but matrices are counted along dimensions 2 and 3 alone.");
        for (uint64_t d : {2, 3}) {
            const uint64_t length = source.lengths[d];
            if (length > 1 && result.lengths[d] > 1 && length != result.lengths[d])
                throw InvalidArgument(role + "is " + mps::shapeText(source) + ", of length " +
                                      std::to_string(length) + " in dimension " +
                                      std::to_string(d) + ", but another source's is " +
                                      std::to_string(result.lengths[d]) + ".");
            result.lengths[d] = std::max(result.lengths[d], length);
        }
        result.count = std::max(result.count, std::min<uint64_t>(source.count, 4));
    }
    if (layout(0).lengths[0] != layout(1).lengths[1])
        throw InvalidArgument(who + "sourceArrays[0] is " + mps::shapeText(layout(0)) + " with " +
                              std::to_string(layout(0).lengths[0]) +
                              " columns but sourceArrays[1] is " + mps::shapeText(layout(1)) +
                              " with " + std::to_string(layout(1).lengths[1]) + " rows.");
    if (sources.size() == 3 &&
        (layout(2).lengths[0] != result.lengths[0] || layout(2).lengths[1] != result.lengths[1]))
        throw InvalidArgument(who + "sourceArrays[2] is " + mps::shapeText(layout(2)) +
                              " but the products are " + mps::shapeText(result) + ".");
    return {layout(0).dataType, result.count, result.lengths};
}

namespace {

/// An operand as a matrix of rows in memory, or as the transposition of one.
struct Stored {
    mps::NDOperand operand;
    bool isTransposed = false;

    /// Along dimension d of the result: 0 where one matrix serves for all.
    int64_t stride(uint64_t d) const {
        return operand.layout.lengths[d] == 1 ? 0 : operand.layout.strides[d];
    }
    /// From matrix `index` of dimension `loop` on, for the product's batch along `along`.
    mps::MatrixOperand matrices(uint64_t loop, uint64_t index, uint64_t along,
                                uint64_t first) const {
        const mps::NDLayout& l = operand.layout;
        const uint64_t rows = isTransposed ? 0 : 1, columns = 1 - rows;
        mps::MatrixOperand made;
        made.slice = operand.slice;
        made.dataType = l.dataType;
        made.view.offset =
            uint32_t(l.offset + int64_t(index) * stride(loop) + int64_t(first) * stride(along));
        made.view.rowStride = uint32_t(l.strides[rows]);
        made.view.matrixStride = uint32_t(stride(along));
        made.view.rows = uint32_t(l.lengths[rows]);
        made.view.columns = uint32_t(l.lengths[columns]);
        made.view.isAligned = made.view.offset % 4 == 0 && made.view.rowStride % 4 == 0 &&
                              made.view.matrixStride % 4 == 0;
        return made;
    }
};

bool isRow(const mps::NDLayout& l, uint64_t d) { return l.lengths[d] == 1 || l.strides[d] == 1; }

/// A packed array of the same shape, and what keeps its memory.
struct Scratch {
    std::shared_ptr<const vk::BufferSlice> memory;
    mps::NDOperand operand;

    static Scratch like(mps::Encoder& encoder, const std::string& who, mps::NDLayout layout,
                        DataType type) {
        layout.dataType = type;
        layout.offset = 0;
        mps::setStrides(layout, false);
        const uint64_t rows = layout.elements() / layout.lengths[0];
        auto memory = encoder.scratch(rows * uint64_t(layout.strides[1]) * layout.elementBytes());
        return {memory, {encoder, who, "An operand in rows", *memory, layout}};
    }
};

} // namespace

void NDArrayMatrixMultiplication::dispatch(const mps::NDPass& pass) const {
    mps::Encoder& encoder = *pass.encoder;
    std::vector<Scratch> scratch; // alive until all is recorded
    const auto stored = [&](const mps::NDOperand& operand) -> Stored {
        if (isRow(operand.layout, 0)) return {operand, false};
        if (isRow(operand.layout, 1)) return {operand, true};
        scratch.push_back(
            Scratch::like(encoder, pass.who, operand.layout, operand.layout.dataType));
        mps::copyElements(encoder, operand, scratch.back().operand);
        return {scratch.back().operand, false};
    };
    Stored left = stored(pass.operands[0]), right = stored(pass.operands[1]);
    const bool adds = pass.sources.size() == 3 && beta_ != 0;

    // The result is formed where it belongs, unless its rows do not lie together or it cannot hold
    // what is to be added.
    const mps::NDOperand& destination = pass.destinationOperand();
    const mps::NDLayout& d = destination.layout;
    const bool holds = !adds || d.dataType == DataType::Float32 ||
                       pass.operands[2].layout.dataType == DataType::Float16;
    Stored result{destination, false};
    const bool direct = holds && (isRow(d, 0) || isRow(d, 1));
    if (direct) {
        result.isTransposed = !isRow(d, 0);
    } else {
        scratch.push_back(
            Scratch::like(encoder, pass.who, d, holds ? d.dataType : DataType::Float32));
        result.operand = scratch.back().operand;
    }
    if (adds) {
        mps::NDOperand added = pass.operands[2];
        for (uint64_t i = 0; i < d.count; ++i)
            if (added.layout.lengths[i] == 1) added.layout.strides[i] = 0;
        mps::copyElements(encoder, added, result.operand);
    }

    const mps::NDLayout& r = result.operand.layout;
    // Of a transposed result: its transposition is the product of the operands', the other way
    // around.
    if (result.isTransposed) std::swap(left, right);
    const auto isOneRun = [&](const Stored& s) {
        return s.stride(3) == s.stride(2) * int64_t(r.lengths[2]);
    };
    uint64_t along = 2, loop = 3, batch = r.lengths[2], loops = r.lengths[3];
    if (r.lengths[2] == 1) {
        std::swap(along, loop);
        std::swap(batch, loops);
    } else if (isOneRun(left) && isOneRun(right) && isOneRun(result)) {
        batch *= loops;
        loops = 1;
    }
    mps::MatrixProduct product;
    product.transposeLeft = left.isTransposed != result.isTransposed;
    product.transposeRight = right.isTransposed != result.isTransposed;
    product.interior = pass.source(0).lengths[0];
    product.alpha = alpha_;
    product.beta = adds ? beta_ : 0;
    const uint64_t most = encoder.limits().workGroupCount;
    for (uint64_t index = 0; index < loops; ++index)
        for (uint64_t first = 0; first < batch; first += most) {
            product.left = left.matrices(loop, index, along, first);
            product.right = right.matrices(loop, index, along, first);
            product.result = result.matrices(loop, index, along, first);
            product.matrices = std::min(most, batch - first);
            mps::encodeProduct(encoder, product);
        }
    if (!direct) mps::copyElements(encoder, result.operand, destination);
}

} // namespace mpsvk::MPS
