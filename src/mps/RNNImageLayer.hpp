// One recurrent layer on images: the gates' convolutions, and a time step.
#pragma once

#include "mps/RNNSequence.hpp"
#include "mps/RNNSource.hpp"

#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/RNNImageInferenceLayer.hpp>

namespace mpsvk::mps {

class Archive;

/// The weights of a convolution for several gates, side by side in its output channels (of a GRU's
/// Uh and Vh: in its input channels), within the largest of their windows.
class RNNConvolutionWeights : public MPS::CNNConvolutionDataSource {
public:
    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override {
        return {width_, height_, inputs_, outputs_};
    }
    std::span<const std::byte> weights() const override {
        return std::as_bytes(std::span(values_));
    }
    std::span<const float> biasTerms() const override { return {}; }
    bool load() override { return true; }
    void purge() override {}
    MPS::DataType kernelWeightsDataType() const override {
        return isFloat32_ ? MPS::DataType::Float32 : MPS::DataType::Float16;
    }

    struct Piece {
        RNNSource source;
        uint64_t firstInput = 0, firstOutput = 0;
    };
    void fill(std::span<const Piece> pieces, uint64_t inputs, uint64_t outputs);
    void archive(Archive& archive);

private:
    uint64_t width_ = 1, height_ = 1, inputs_ = 1, outputs_ = 1;
    bool isFloat32_ = false;
    std::vector<float> values_;
};

struct RNNImageLayer {
    /// Throws InvalidArgument.
    RNNImageLayer(const std::string& who, const MTL::Device& device,
                  const MPS::RNNDescriptor& descriptor);
    /// To be read from an archive.
    explicit RNNImageLayer(const MTL::Device& device) : device(device) {}
    void archive(Archive& archive);
    void moveTo(const MTL::Device& device);

    /// Input, Recurrent, Memory (of the gates that see the cell before; of a GRU Uh and Vh), and
    /// Vo, which sees the new cell.
    static constexpr size_t convolutionCount = 4, newCell = 3;

    MTL::Device device;
    RNNShape shape;
    std::array<std::vector<float>, 2> rows; ///< biases, and diagonals
    std::array<std::shared_ptr<RNNConvolutionWeights>, convolutionCount> sources;
    std::array<std::optional<MPS::CNNConvolution>, convolutionCount> convolutions;
    /// The gates of each convolution's output channels.
    GateRun gatesOf(size_t convolution) const;

    /// Biases and diagonals for the shaders.
    RNNSequence::Weights rowOperands(const vk::Limits& limits) const;

private:
    void makeKernels();

    std::array<MPS::Matrix, 2> rowMatrices_;
};

/// Recurrent output and cell: temporary fp32 images in buffers that are read without counting.
struct RNNImageStep {
    MPS::Image output, cell;
};

class RNNImageForward : public RNNForward {
public:
    RNNImageForward(Encoder& encoder, RNNImageLayer& layer, const Weights& rows,
                    MPS::ImageEdgeMode edgeMode, uint64_t sourceChannelOffset)
        : RNNForward(encoder, layer.shape, rows), layer_(layer), edgeMode_(edgeMode),
          sourceChannelOffset_(sourceChannelOffset) {}

    /// One time step; `previous` may be empty. Reads the source once.
    RNNImageStep step(const MPS::Image& source, const RNNImageStep& previous);

private:
    void addProducts(const RNNStep& step, State state, RNNShape::Part part,
                     uint32_t gates) override;
    MPS::Image image(uint64_t channels) const;

    RNNImageLayer& layer_;
    const MPS::ImageEdgeMode edgeMode_;
    const uint64_t sourceChannelOffset_;
    MPS::ImageDescriptor size_; ///< of the step's images
    RNNImageStep previous_, made_;
    MPS::Image mixed_;
};

/// Channels of one image to another one from a channel on, in its format and storage. Lowers the
/// read count of a temporary source.
void copyChannels(const MTL::CommandBuffer& commands, const MPS::Image& source,
                  uint64_t sourceOffset, uint64_t channels, const MPS::Image& destination,
                  uint64_t destinationOffset);
/// An image of a command buffer, in fp32 and a buffer, that encodes may read any number of times.
MPS::Image unboundedImage(const MTL::CommandBuffer& commands, const MPS::ImageDescriptor& size,
                          uint64_t channels);
vk::BufferSlice sliceOf(const MPS::Image& image);

} // namespace mpsvk::mps
