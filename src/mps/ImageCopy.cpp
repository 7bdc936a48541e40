#include "ImageCopy.h"

#include "mps/Archive.hpp"
#include "mps/MatrixPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/ImageCopy.hpp>

namespace mpsvk::MPS {

namespace {

void checkLayout(const char* className, DataLayout layout) {
    if (layout != DataLayout::HeightxWidthxFeatureChannels &&
        layout != DataLayout::FeatureChannelsxHeightxWidth)
        throw InvalidArgument("[" + std::string(className) + "] dataLayout is " +
                              std::to_string(uint64_t(layout)) +
                              " but must be HeightxWidthxFeatureChannels or "
                              "FeatureChannelsxHeightxWidth.");
}

/// Images, and the rows of a matrix that belong to them.
struct Copy {
    const Kernel& kernel;
    std::string who;
    DataLayout layout;
    const char *imageRole, *matrixRole;
    ImageBatch images;
    bool isBatch;
    Matrix matrix;
    MTL::Origin origin;
    uint64_t matrixIndex;
    bool toMatrix;

    DataType elementType() const {
        for (const Image& image : images) {
            const auto format = image.featureChannelFormat();
            if (format != ImageFeatureChannelFormat::Float32 &&
                format != ImageFeatureChannelFormat::Float16)
                throw InvalidArgument(who + imageRole + " has the channel format " +
                                      std::to_string(uint64_t(format)) +
                                      " but must have Float32 or Float16.");
            if (format != images[0].featureChannelFormat())
                throw InvalidArgument(who + imageRole +
                                      " has images of the channel formats Float32 and Float16 "
                                      "but all must have the same.");
        }
        return images[0].featureChannelFormat() == ImageFeatureChannelFormat::Float16
                   ? DataType::Float16
                   : DataType::Float32;
    }

    void encode(const MTL::CommandBuffer& commandBuffer) const {
        mps::MatrixOperands operands(kernel, kernel.device(), commandBuffer, matrixIndex, 1);
        mps::checkSources(who, imageRole, images, commandBuffer, isBatch);
        mps::checkSameShapes(who, imageRole, images);
        if (matrix && matrixIndex >= matrix.matrices())
            throw InvalidArgument(who + matrixRole + "BatchIndex is " +
                                  std::to_string(matrixIndex) + " but " + matrixRole + " has " +
                                  std::to_string(matrix.matrices()) + " matrices.");
        const DataType type = elementType();
        auto rows = operands.take(matrixRole, matrix, origin, {&type, 1});

        const Image& first = images[0];
        const uint64_t channels = first.featureChannels(), pixels = first.width() * first.height();
        mps::RunOperand all;
        for (const Image& image : images)
            for (uint64_t i = 0; i < image.numberOfImages(); ++i)
                all.elements.push_back({image, i});
        operands.checkHolds(rows, all.elements.size(), pixels * channels);
        rows = rows.cut(all.elements.size(), pixels * channels);

        const bool channelsFirst = layout == DataLayout::FeatureChannelsxHeightxWidth;
        const bool blocks = channelsFirst && (!toMatrix || pixels % 4 == 0);
        mps::Encoder& encoder = operands.encoder();
        mps::forEachRun(encoder.limits(), {&all, 1},
                        [&](size_t start, size_t count, auto runs, auto) {
                            glsl::ImageCopyParameters p{};
                            p.image = runs[0].view(0, channels);
                            p.matrix = rows.view;
                            p.firstRow = uint32_t(start);
                            p.images = uint32_t(count);
                            p.pixels = uint32_t(pixels);
                            const uint64_t slices = mps::slicesFor(channels),
                                           each = blocks     ? vk::divideUp(pixels, 4) * slices
                                                  : toMatrix ? vk::divideUp(pixels * channels, 4)
                                                             : pixels * slices;
                            const mps::Operand image(toMatrix ? 1 : 2, runs[0]),
                                matrix(toMatrix ? 2 : 1, rows.slice);
                            encoder.dispatch(toMatrix ? "ImageCopyToMatrix" : "MatrixCopyToImage",
                                             p, mps::Grid::of(each * count), {image, matrix},
                                             {mps::constant(matrix.number, rows.typeConstant()),
                                              mps::constant(32, uint32_t(channelsFirst)),
                                              mps::constant(33, uint32_t(blocks))});
                        });
        if (toMatrix)
            markRead(images);
        else
            mps::MatrixOperands::markRead({&rows});
    }
};

} // namespace

ImageCopyToMatrix::ImageCopyToMatrix(const MTL::Device& device, DataLayout dataLayout)
    : Kernel(device), dataLayout_(dataLayout) {
    checkLayout("ImageCopyToMatrix", dataLayout);
}

void ImageCopyToMatrix::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("dataLayout", dataLayout_);
    archive("destinationMatrixOrigin", destinationMatrixOrigin_);
    archive("destinationMatrixBatchIndex", destinationMatrixBatchIndex_);
    checkLayout("ImageCopyToMatrix", dataLayout_);
}

void ImageCopyToMatrix::encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                               const Matrix& destinationMatrix) {
    Copy{*this,
         subject(),
         dataLayout_,
         "sourceImage",
         "destinationMatrix",
         {sourceImage},
         false,
         destinationMatrix,
         destinationMatrixOrigin_,
         destinationMatrixBatchIndex_,
         true}
        .encode(commandBuffer);
}

void ImageCopyToMatrix::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                    const ImageBatch& sourceImages,
                                    const Matrix& destinationMatrix) {
    Copy{*this,
         subject(),
         dataLayout_,
         "sourceImages",
         "destinationMatrix",
         sourceImages,
         true,
         destinationMatrix,
         destinationMatrixOrigin_,
         destinationMatrixBatchIndex_,
         true}
        .encode(commandBuffer);
}

MatrixCopyToImage::MatrixCopyToImage(const MTL::Device& device, DataLayout dataLayout)
    : Kernel(device), dataLayout_(dataLayout) {
    checkLayout("MatrixCopyToImage", dataLayout);
}

void MatrixCopyToImage::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("dataLayout", dataLayout_);
    archive("sourceMatrixOrigin", sourceMatrixOrigin_);
    archive("sourceMatrixBatchIndex", sourceMatrixBatchIndex_);
    checkLayout("MatrixCopyToImage", dataLayout_);
}

void MatrixCopyToImage::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& sourceMatrix,
                               const Image& destinationImage) {
    Copy{*this,
         subject(),
         dataLayout_,
         "destinationImage",
         "sourceMatrix",
         {destinationImage},
         false,
         sourceMatrix,
         sourceMatrixOrigin_,
         sourceMatrixBatchIndex_,
         false}
        .encode(commandBuffer);
}

void MatrixCopyToImage::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                    const Matrix& sourceMatrix,
                                    const ImageBatch& destinationImages) {
    Copy{*this,
         subject(),
         dataLayout_,
         "destinationImages",
         "sourceMatrix",
         destinationImages,
         true,
         sourceMatrix,
         sourceMatrixOrigin_,
         sourceMatrixBatchIndex_,
         false}
        .encode(commandBuffer);
}

} // namespace mpsvk::MPS
