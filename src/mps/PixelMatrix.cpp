#include "mps/PixelMatrix.hpp"

#include "ImageCopy.h"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

using MPS::ImageFeatureChannelFormat;

PixelMatrix::PixelMatrix(const MPS::Image& image, uint64_t channelOffset, uint64_t channels) {
    const ImageStorage::Shape& shape = image.impl().storage->shape();
    isCopy_ = shape.texture || shape.format == ImageFeatureChannelFormat::Unorm8;
    if (shape.format == ImageFeatureChannelFormat::Float16)
        operand_.dataType = MPS::DataType::Float16;
    glsl::MatrixView& v = operand_.view;
    v.rows = uint32_t(image.width() * image.height());
    v.columns = uint32_t(channels);
    v.offset = isCopy_ ? 0 : uint32_t(4 * image.impl().firstSlice + channelOffset);
    v.rowStride = uint32_t(isCopy_ ? channels : 4 * shape.slices);
    v.matrixStride = v.rows * v.rowStride;
    v.isAligned = v.rowStride % 4 == 0;
}

MatrixOperand PixelMatrix::padded() const {
    MatrixOperand made = operand_;
    if (!isCopy_) made.view.columns = uint32_t(vk::roundUp(made.view.columns, 4));
    return made;
}

uint64_t PixelMatrix::copyBytes() const {
    return isCopy_ ? vk::roundUp(operand_.rows() * operand_.columns() *
                                     MPS::bytesPerElement(operand_.dataType),
                                 16)
                   : 0;
}

void PixelMatrix::bind(Encoder& encoder, const ImageRun& run, const glsl::ImageView& view,
                       uint64_t images) {
    run_ = &run;
    view_ = view;
    images_ = images;
    if (!isCopy_) {
        operand_.images = &run;
        operand_.view.offset = 4 * view.offset;
        operand_.view.matrixStride = 4 * view.imageStride;
        return;
    }
    const uint64_t bytes = copyBytes() * images, most = encoder.limits().storageBufferRange;
    if (bytes > most)
        throw DeviceError("A copy of an image of " + std::to_string(operand_.rows()) +
                          " pixels with " + std::to_string(operand_.columns()) +
                          " channels takes " + std::to_string(bytes) +
                          " bytes but the device binds at most " + std::to_string(most) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    memory_ = encoder.scratch(bytes);
    operand_.slice = *memory_;
}

void PixelMatrix::copyFromImages(Encoder& encoder) const { copy(encoder, true); }
void PixelMatrix::copyToImages(Encoder& encoder) const { copy(encoder, false); }

void PixelMatrix::copy(Encoder& encoder, bool toMatrix) const {
    if (!isCopy_) return;
    const uint64_t channels = operand_.columns(), elements = operand_.rows() * channels;
    glsl::ImageCopyParameters p{};
    p.image = view_;
    p.matrix.rows = uint32_t(images_);
    p.matrix.columns = p.matrix.rowStride = uint32_t(elements);
    p.matrix.matrixStride = p.matrix.rows * p.matrix.rowStride;
    p.matrix.isAligned = elements % 4 == 0;
    p.images = uint32_t(images_);
    p.pixels = uint32_t(operand_.rows());
    const uint64_t each =
        toMatrix ? vk::divideUp(elements, 4) : operand_.rows() * slicesFor(operand_.columns());
    const uint32_t image = toMatrix ? 1 : 2, matrix = toMatrix ? 2 : 1;
    encoder.dispatch(toMatrix ? "ImageCopyToMatrix" : "MatrixCopyToImage", p,
                     Grid::of(each * images_), {{image, *run_}, {matrix, operand_.slice}},
                     {constant(matrix, operand_.typeConstant())});
}

} // namespace mpsvk::mps
