// Nodes of activation functions: y = f(x), see CNNNeuronType.
#pragma once

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNNeuronNode. Made from a descriptor it is a node of the class for its function.
class CNNNeuronNode : public NNFilterNode {
public:
    CNNNeuronNode() = default;
    CNNNeuronNode(const NNImageNode& source, const NNNeuronDescriptor& descriptor);
    float a() const;
    float b() const;
    float c() const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    CNNNeuronNode(const char* className, const NNImageNode& source,
                  const NNNeuronDescriptor& descriptor);
};

class CNNNeuronAbsoluteNode : public CNNNeuronNode {
public:
    CNNNeuronAbsoluteNode() = default;
    explicit CNNNeuronAbsoluteNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronELUNode : public CNNNeuronNode {
public:
    CNNNeuronELUNode() = default;
    explicit CNNNeuronELUNode(const NNImageNode& source, float a = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronReLUNNode : public CNNNeuronNode {
public:
    CNNNeuronReLUNNode() = default;
    explicit CNNNeuronReLUNNode(const NNImageNode& source, float a = 1, float b = 6);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronLinearNode : public CNNNeuronNode {
public:
    CNNNeuronLinearNode() = default;
    explicit CNNNeuronLinearNode(const NNImageNode& source, float a = 1, float b = 0);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronReLUNode : public CNNNeuronNode {
public:
    CNNNeuronReLUNode() = default;
    explicit CNNNeuronReLUNode(const NNImageNode& source, float a = 0);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronSigmoidNode : public CNNNeuronNode {
public:
    CNNNeuronSigmoidNode() = default;
    explicit CNNNeuronSigmoidNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronHardSigmoidNode : public CNNNeuronNode {
public:
    CNNNeuronHardSigmoidNode() = default;
    explicit CNNNeuronHardSigmoidNode(const NNImageNode& source, float a = 0.2f, float b = 0.5f);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronSoftPlusNode : public CNNNeuronNode {
public:
    CNNNeuronSoftPlusNode() = default;
    explicit CNNNeuronSoftPlusNode(const NNImageNode& source, float a = 1, float b = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronSoftSignNode : public CNNNeuronNode {
public:
    CNNNeuronSoftSignNode() = default;
    explicit CNNNeuronSoftSignNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronTanHNode : public CNNNeuronNode {
public:
    CNNNeuronTanHNode() = default;
    explicit CNNNeuronTanHNode(const NNImageNode& source, float a = 1, float b = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronPReLUNode : public CNNNeuronNode {
public:
    CNNNeuronPReLUNode() = default;
    CNNNeuronPReLUNode(const NNImageNode& source, std::span<const float> aData);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronPowerNode : public CNNNeuronNode {
public:
    CNNNeuronPowerNode() = default;
    explicit CNNNeuronPowerNode(const NNImageNode& source, float a = 1, float b = 0, float c = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronExponentialNode : public CNNNeuronNode {
public:
    CNNNeuronExponentialNode() = default;
    explicit CNNNeuronExponentialNode(const NNImageNode& source, float a = 1, float b = 0,
                                      float c = -1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronLogarithmNode : public CNNNeuronNode {
public:
    CNNNeuronLogarithmNode() = default;
    explicit CNNNeuronLogarithmNode(const NNImageNode& source, float a = 1, float b = 0,
                                    float c = -1);
    static bool isKindOf(const detail::ObjectImpl&);
};
class CNNNeuronGeLUNode : public CNNNeuronNode {
public:
    CNNNeuronGeLUNode() = default;
    explicit CNNNeuronGeLUNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNNeuronGradientNode: differentiates at the forward source.
class CNNNeuronGradientNode : public NNGradientFilterNode {
public:
    CNNNeuronGradientNode() = default;
    CNNNeuronGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                          const NNGradientStateNode& gradientState,
                          const NNNeuronDescriptor& descriptor);
    NNNeuronDescriptor descriptor() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
