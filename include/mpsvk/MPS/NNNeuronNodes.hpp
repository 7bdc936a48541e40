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

/// y = |x|. MPSCNNNeuronAbsoluteNode.
class CNNNeuronAbsoluteNode : public CNNNeuronNode {
public:
    CNNNeuronAbsoluteNode() = default;
    explicit CNNNeuronAbsoluteNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = x >= 0 ? x : a (e^x - 1). MPSCNNNeuronELUNode.
class CNNNeuronELUNode : public CNNNeuronNode {
public:
    CNNNeuronELUNode() = default;
    explicit CNNNeuronELUNode(const NNImageNode& source, float a = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = min(x >= 0 ? x : a x, b). MPSCNNNeuronReLUNNode.
class CNNNeuronReLUNNode : public CNNNeuronNode {
public:
    CNNNeuronReLUNNode() = default;
    explicit CNNNeuronReLUNNode(const NNImageNode& source, float a = 1, float b = 6);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = a x + b. MPSCNNNeuronLinearNode.
class CNNNeuronLinearNode : public CNNNeuronNode {
public:
    CNNNeuronLinearNode() = default;
    explicit CNNNeuronLinearNode(const NNImageNode& source, float a = 1, float b = 0);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = x >= 0 ? x : a x. MPSCNNNeuronReLUNode.
class CNNNeuronReLUNode : public CNNNeuronNode {
public:
    CNNNeuronReLUNode() = default;
    explicit CNNNeuronReLUNode(const NNImageNode& source, float a = 0);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = 1 / (1 + e^-x). MPSCNNNeuronSigmoidNode.
class CNNNeuronSigmoidNode : public CNNNeuronNode {
public:
    CNNNeuronSigmoidNode() = default;
    explicit CNNNeuronSigmoidNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = a x + b, between 0 and 1. MPSCNNNeuronHardSigmoidNode.
class CNNNeuronHardSigmoidNode : public CNNNeuronNode {
public:
    CNNNeuronHardSigmoidNode() = default;
    explicit CNNNeuronHardSigmoidNode(const NNImageNode& source, float a = 0.2f, float b = 0.5f);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = a ln(1 + e^(b x)). MPSCNNNeuronSoftPlusNode.
class CNNNeuronSoftPlusNode : public CNNNeuronNode {
public:
    CNNNeuronSoftPlusNode() = default;
    explicit CNNNeuronSoftPlusNode(const NNImageNode& source, float a = 1, float b = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = x / (1 + |x|). MPSCNNNeuronSoftSignNode.
class CNNNeuronSoftSignNode : public CNNNeuronNode {
public:
    CNNNeuronSoftSignNode() = default;
    explicit CNNNeuronSoftSignNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = a tanh(b x). MPSCNNNeuronTanHNode.
class CNNNeuronTanHNode : public CNNNeuronNode {
public:
    CNNNeuronTanHNode() = default;
    explicit CNNNeuronTanHNode(const NNImageNode& source, float a = 1, float b = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = x >= 0 ? x : a x, with an a for each channel. MPSCNNNeuronPReLUNode.
class CNNNeuronPReLUNode : public CNNNeuronNode {
public:
    CNNNeuronPReLUNode() = default;
    CNNNeuronPReLUNode(const NNImageNode& source, std::span<const float> aData);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = (a x + b)^c. MPSCNNNeuronPowerNode.
class CNNNeuronPowerNode : public CNNNeuronNode {
public:
    CNNNeuronPowerNode() = default;
    explicit CNNNeuronPowerNode(const NNImageNode& source, float a = 1, float b = 0, float c = 1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = c^(a x + b), with e in place of c = -1. MPSCNNNeuronExponentialNode.
class CNNNeuronExponentialNode : public CNNNeuronNode {
public:
    CNNNeuronExponentialNode() = default;
    explicit CNNNeuronExponentialNode(const NNImageNode& source, float a = 1, float b = 0,
                                      float c = -1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = log_c(a x + b), with e in place of c = -1. MPSCNNNeuronLogarithmNode.
class CNNNeuronLogarithmNode : public CNNNeuronNode {
public:
    CNNNeuronLogarithmNode() = default;
    explicit CNNNeuronLogarithmNode(const NNImageNode& source, float a = 1, float b = 0,
                                    float c = -1);
    static bool isKindOf(const detail::ObjectImpl&);
};
/// y = x (1 + erf(x / sqrt 2)) / 2. MPSCNNNeuronGeLUNode.
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
