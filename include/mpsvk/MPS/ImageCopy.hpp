// Copies between images and the rows of a matrix.
#pragma once

#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

/// Each image becomes a row of the matrix, from the origin (x is the first row, y the first column)
/// on: its width * height * featureChannels elements in the order of the data layout. Images of an
/// array, or of a batch, become rows one after the other. The matrix has the image's element type,
/// Float32 or Float16.
///
/// Read counts of temporary images are lowered by this kernel as by any other: programs that lower
/// them themselves after such a copy must not do so here. MPSImageCopyToMatrix.
class ImageCopyToMatrix : public Kernel {
public:
    using Kernel::encode;

    explicit ImageCopyToMatrix(const MTL::Device& device,
                               DataLayout dataLayout = DataLayout::FeatureChannelsxHeightxWidth);
    ImageCopyToMatrix(KeyedUnarchiver& coder, const MTL::Device& device)
        : ImageCopyToMatrix(deviceFor(coder, device)) {
        unarchive(coder);
    }

    DataLayout dataLayout() const { return dataLayout_; }
    MTL::Origin destinationMatrixOrigin() const { return destinationMatrixOrigin_; }
    void setDestinationMatrixOrigin(MTL::Origin v) { destinationMatrixOrigin_ = v; }
    /// Which of the matrices is written.
    uint64_t destinationMatrixBatchIndex() const { return destinationMatrixBatchIndex_; }
    void setDestinationMatrixBatchIndex(uint64_t v) { destinationMatrixBatchIndex_ = v; }

    /// Throws InvalidArgument when the matrix has not enough rows or columns or is of another type.
    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const Matrix& destinationMatrix);
    /// Images of one size, each with numberOfImages 1.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const Matrix& destinationMatrix);

    std::string className() const override { return "ImageCopyToMatrix"; }
    ImageCopyToMatrix copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    DataLayout dataLayout_;
    MTL::Origin destinationMatrixOrigin_;
    uint64_t destinationMatrixBatchIndex_ = 0;
};

/// The way back: rows of a matrix become images. MPSMatrixCopyToImage.
class MatrixCopyToImage : public Kernel {
public:
    using Kernel::encode;

    explicit MatrixCopyToImage(const MTL::Device& device,
                               DataLayout dataLayout = DataLayout::FeatureChannelsxHeightxWidth);
    MatrixCopyToImage(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixCopyToImage(deviceFor(coder, device)) {
        unarchive(coder);
    }

    DataLayout dataLayout() const { return dataLayout_; }
    MTL::Origin sourceMatrixOrigin() const { return sourceMatrixOrigin_; }
    void setSourceMatrixOrigin(MTL::Origin v) { sourceMatrixOrigin_ = v; }
    uint64_t sourceMatrixBatchIndex() const { return sourceMatrixBatchIndex_; }
    void setSourceMatrixBatchIndex(uint64_t v) { sourceMatrixBatchIndex_ = v; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& sourceMatrix,
                const Image& destinationImage);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const Matrix& sourceMatrix,
                     const ImageBatch& destinationImages);

    std::string className() const override { return "MatrixCopyToImage"; }
    MatrixCopyToImage copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    DataLayout dataLayout_;
    MTL::Origin sourceMatrixOrigin_;
    uint64_t sourceMatrixBatchIndex_ = 0;
};

} // namespace mpsvk::MPS
