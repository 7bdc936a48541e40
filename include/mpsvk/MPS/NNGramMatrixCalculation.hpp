// MPSNNGramMatrixCalculation and its gradient: how much the channels of an image have in common.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::MPS {

/// Of each image with C channels in use, an image of C x 1 pixels with C channels:
///     Y[x = f][c] = alpha * the sum over all pixels of X[f] * X[c].
/// Throws InvalidArgument for an offset in x or y and a clip rectangle, which it does not know, and
/// for a destination of another size. MPSNNGramMatrixCalculation.
class NNGramMatrixCalculation : public CNNKernel {
public:
    explicit NNGramMatrixCalculation(const MTL::Device& device, float alpha = 1)
        : CNNKernel(device, "NNGramMatrixCalculation"), alpha_(alpha) {}
    float alpha() const { return alpha_; }
    void setAlpha(float alpha) { alpha_ = alpha; }
    uint64_t encodingStorageSize(const Image& sourceImage, const StateBatch& sourceStates,
                                 const Image& destinationImage) const override;
    uint64_t batchEncodingStorageSize(const ImageBatch& sourceImages,
                                      const std::vector<StateBatch>& sourceStates,
                                      const ImageBatch& destinationImages) const override;
    NNGramMatrixCalculation(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNGramMatrixCalculation(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNGramMatrixCalculation"; }
    NNGramMatrixCalculation copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;

    float alpha_;
};

/// dX[c] = alpha * the sum over f of (G[f][c] + G[c][f]) * X[f] in each pixel, with the gradient
/// state's alpha where there is one; the encodes that return the result set the property to it.
/// sourceImage is the forward source. MPSNNGramMatrixCalculationGradient.
class NNGramMatrixCalculationGradient : public CNNGradientKernel {
public:
    explicit NNGramMatrixCalculationGradient(const MTL::Device& device, float alpha = 1)
        : CNNGradientKernel(device, "NNGramMatrixCalculationGradient"), alpha_(alpha) {}
    float alpha() const { return alpha_; }
    void setAlpha(float alpha) { alpha_ = alpha; }
    uint64_t encodingStorageSize(const Image& sourceGradient, const Image& sourceImage,
                                 const StateBatch& gradientStates,
                                 const Image& destinationGradient) const override;
    uint64_t batchEncodingStorageSize(const ImageBatch& sourceGradients,
                                      const ImageBatch& sourceImages,
                                      const std::vector<StateBatch>& gradientStates,
                                      const ImageBatch& destinationGradients) const override;
    NNGramMatrixCalculationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : NNGramMatrixCalculationGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNGramMatrixCalculationGradient"; }
    NNGramMatrixCalculationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "NNGramMatrixCalculation"; }
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    float alpha_;
};

} // namespace mpsvk::MPS
