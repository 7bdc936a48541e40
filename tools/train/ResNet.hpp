// ResNet-18 and ResNet-50 (He et al., 2015) of graph nodes. Whoever builds one says where its
// layers' parameters are.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::train {

struct ResNetShape {
    uint32_t depth = 18;   ///< 18 or 50
    uint64_t width = 64;   ///< channels of the first stage
    uint64_t channels = 3; ///< of the pictures
    uint64_t classes = 1000;
};

/// Makes the layers, or finds them, by their names.
struct ResNetLayers {
    std::function<std::shared_ptr<MPS::CNNConvolutionDataSource>(
        const std::string& name, const MPS::CNNConvolutionDescriptor& descriptor)>
        convolution;
    std::function<std::shared_ptr<MPS::CNNBatchNormalizationDataSource>(
        const std::string& name, uint64_t channels, float gamma)>
        batchNormalization;
};

/// The network up to its logits.
class ResNet {
public:
    ResNet(ResNetLayers layers, const ResNetShape& shape);

    MPS::NNImageNode logits(const MPS::NNImageNode& input) const;

private:
    struct Features {
        MPS::NNImageNode image;
        uint64_t channels;
    };
    Features normalized(const std::string& name, const Features& x, uint64_t kernel,
                        uint64_t channels, uint64_t stride, float gamma = 1) const;
    Features block(const std::string& name, const Features& x, uint64_t channels,
                   uint64_t stride) const;

    ResNetLayers layers_;
    ResNetShape shape_;
};

} // namespace mpsvk::train
