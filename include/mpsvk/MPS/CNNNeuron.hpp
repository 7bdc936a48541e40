// MPSCNNNeuron: activation functions, and their gradient.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

namespace mpsvk::mps {
struct FusedNeuron;
struct NeuronAccess;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// y = f(x) of each type; a, b, c are the descriptor's parameters. See NNNeuronDescriptor.
enum class CNNNeuronType : int32_t {
    None = 0,         ///< x
    ReLU = 1,         ///< x >= 0 ? x : a*x
    Linear = 2,       ///< a*x + b
    Sigmoid = 3,      ///< 1 / (1 + e^-x)
    HardSigmoid = 4,  ///< clamp(a*x + b, 0, 1)
    TanH = 5,         ///< a * tanh(b*x)
    Absolute = 6,     ///< |x|
    SoftPlus = 7,     ///< a * ln(1 + e^(b*x))
    SoftSign = 8,     ///< x / (1 + |x|)
    ELU = 9,          ///< x >= 0 ? x : a*(e^x - 1)
    PReLU = 10,       ///< x >= 0 ? x : a[channel]*x
    ReLUN = 11,       ///< min(x >= 0 ? x : a*x, b)
    Power = 12,       ///< (a*x + b)^c
    Exponential = 13, ///< c^(a*x + b), base e for c = -1
    Logarithm = 14,   ///< log_c(a*x + b), natural for c = -1
    GeLU = 15,        ///< x/2 * (1 + erf(x/sqrt(2)))
    Count = 16,
};

/// MPSNNNeuronDescriptor. Parameters that are not given are 0.
class NNNeuronDescriptor {
public:
    explicit NNNeuronDescriptor(CNNNeuronType type, float a = 0, float b = 0, float c = 0)
        : type_(type), a_(a), b_(b), c_(c) {}
    /// PReLU with one slope per channel, copied; `noCopy` is taken as the hint that it is.
    static NNNeuronDescriptor cnnNeuronPReLUDescriptor(std::span<const float> data,
                                                       bool noCopy = false);

    CNNNeuronType neuronType() const { return type_; }
    void setNeuronType(CNNNeuronType v) { type_ = v; }
    float a() const { return a_; }
    void setA(float v) { a_ = v; }
    float b() const { return b_; }
    void setB(float v) { b_ = v; }
    float c() const { return c_; }
    void setC(float v) { c_ = v; }
    /// The slopes of PReLU, one per channel.
    const std::vector<float>& data() const { return data_; }
    void setData(std::vector<float> v) { data_ = std::move(v); }

    NNNeuronDescriptor(KeyedUnarchiver& coder, const MTL::Device& device);
    std::string className() const { return "NNNeuronDescriptor"; }
    void encode(KeyedArchiver& coder) const;
    void archive(mps::Archive& archive);

private:
    CNNNeuronType type_;
    float a_, b_, c_;
    std::vector<float> data_;
};

/// y = f(x) for every element; the result has the source's size. MPSCNNNeuron.
class CNNNeuron : public CNNKernel {
public:
    /// Throws InvalidArgument for an unknown type, or PReLU without slopes.
    CNNNeuron(const MTL::Device& device, const NNNeuronDescriptor& descriptor);
    CNNNeuron(KeyedUnarchiver& coder, const MTL::Device& device);

    CNNNeuronType neuronType() const { return descriptor_.neuronType(); }
    float a() const { return descriptor_.a(); }
    float b() const { return descriptor_.b(); }
    float c() const { return descriptor_.c(); }
    const std::vector<float>& data() const { return descriptor_.data(); }
    const NNNeuronDescriptor& descriptor() const { return descriptor_; }
    std::string className() const override { return "CNNNeuron"; }
    CNNNeuron copy(const MTL::Device& device) const { return CNNNeuron(*this, device); }

private:
    CNNNeuron(const CNNNeuron& other, const MTL::Device& device);
    void archive(mps::Archive& archive) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;

    NNNeuronDescriptor descriptor_;
    MTL::Buffer slopes_;
};

/// dL/dx = dL/dy * f'(x), with x the forward source (before the activation). Where f has a kink,
/// f' is: at 0, 1 for ReLU, PReLU and ELU, 0 for Absolute; a for HardSigmoid at both ends; 0 for
/// ReLUN from b on. MPSCNNNeuronGradient.
class CNNNeuronGradient : public CNNGradientKernel {
public:
    CNNNeuronGradient(const MTL::Device& device, const NNNeuronDescriptor& descriptor);
    CNNNeuronGradient(KeyedUnarchiver& coder, const MTL::Device& device);

    CNNNeuronType neuronType() const { return descriptor_.neuronType(); }
    float a() const { return descriptor_.a(); }
    float b() const { return descriptor_.b(); }
    float c() const { return descriptor_.c(); }
    const std::vector<float>& data() const { return descriptor_.data(); }
    std::string className() const override { return "CNNNeuronGradient"; }
    CNNNeuronGradient copy(const MTL::Device& device) const {
        return CNNNeuronGradient(*this, device);
    }

private:
    CNNNeuronGradient(const CNNNeuronGradient& other, const MTL::Device& device);
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNNeuron"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    friend struct mps::NeuronAccess;
    NNNeuronDescriptor descriptor_;
    MTL::Buffer slopes_;
    bool readsResult_ = false; ///< set by graphs: the source is f(x)
    ImageBatch addends_;       ///< set by graphs: more of the gradient
};

} // namespace mpsvk::MPS
