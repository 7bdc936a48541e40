// Nodes that resample images to a given size. They have no gradient: a branch ends there.
#pragma once

#include <mpsvk/MPS/CoreTypes.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// Says how a source image is scaled and translated into the result; see ImageScale.hpp. It is
/// asked for every source image in every encode, and such a graph encodes its nodes anew each time.
/// To be archived with a graph it must be SecureCoding. MPSImageTransformProvider.
class ImageTransformProvider {
public:
    virtual ~ImageTransformProvider() = default;
    /// `handle` is that of the node's source image.
    virtual ScaleTransform transform(Image sourceImage, std::shared_ptr<Handle> handle) const = 0;
};

/// Abstract. The result has outputSize, whose depth must be 1. MPSNNScaleNode.
class NNScaleNode : public NNFilterNode {
public:
    NNScaleNode() = default;
    MTL::Size outputSize() const;
    std::shared_ptr<ImageTransformProvider> transformProvider() const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    NNScaleNode(const char* className, const NNImageNode& source,
                std::shared_ptr<ImageTransformProvider> transformProvider,
                const MTL::Size& outputSize);
};

/// By an ImageBilinearScale. MPSNNBilinearScaleNode.
class NNBilinearScaleNode : public NNScaleNode {
public:
    NNBilinearScaleNode() = default;
    NNBilinearScaleNode(const NNImageNode& source, const MTL::Size& outputSize);
    NNBilinearScaleNode(const NNImageNode& source,
                        std::shared_ptr<ImageTransformProvider> transformProvider,
                        const MTL::Size& outputSize);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// By an ImageLanczosScale. MPSNNLanczosScaleNode.
class NNLanczosScaleNode : public NNScaleNode {
public:
    NNLanczosScaleNode() = default;
    NNLanczosScaleNode(const NNImageNode& source, const MTL::Size& outputSize);
    NNLanczosScaleNode(const NNImageNode& source,
                       std::shared_ptr<ImageTransformProvider> transformProvider,
                       const MTL::Size& outputSize);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
