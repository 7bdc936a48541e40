// Optimizers on the device next to their double-precision references.
#pragma once

#include "NNOptimizer.h"
#include "mtl/CommandBuffer.hpp"
#include "support/Device.hpp"
#include "support/Sentence.hpp"
#include "support/reference/Optimizer.hpp"
#include "support/reference/Tensor.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstring>

namespace mpsvk::test {

using reference::Values;
using Vectors = std::vector<MPS::Vector>;

inline constexpr float poison = 12288;

/// Floats in a buffer of their own with a guard on both sides, `begin` elements from its start.
class GuardedFloats {
public:
    GuardedFloats(const Values& values, size_t begin) : count_(values.size()), begin_(begin) {
        buffer_ = testDevice().newBuffer((begin + count_ + 9) * sizeof(float));
        std::ranges::fill(all(), poison);
        std::ranges::copy(values, all().begin() + begin);
    }
    MPS::Vector vector() const {
        return MPS::Vector(buffer_, begin_ * sizeof(float),
                           MPS::VectorDescriptor(count_, MPS::DataType::Float32));
    }
    const MTL::Buffer& buffer() const { return buffer_; }
    uint64_t offset() const { return begin_ * sizeof(float); }
    Values read() const {
        for (size_t i = 0; i < all().size(); ++i)
            if (i < begin_ || i >= begin_ + count_) CHECK(all()[i] == poison);
        const auto own = all().subspan(begin_, count_);
        return {own.begin(), own.end()};
    }

private:
    std::span<float> all() const {
        const auto bytes = buffer_.contents();
        return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
    }
    MTL::Buffer buffer_;
    size_t count_, begin_;
};

inline std::vector<float> floatsOf(const Values& values) { return {values.begin(), values.end()}; }

inline Values random(size_t count, uint64_t seed, double low = -1, double high = 1) {
    return reference::rounded(reference::randomVector(count, seed, low, high),
                              reference::Storage::Float32);
}

inline MPS::Vector vectorOf(const Values& values) {
    const MPS::Vector made(testDevice(),
                           MPS::VectorDescriptor(values.size(), MPS::DataType::Float32));
    made.write(floatsOf(values));
    return made;
}

inline Values read(const MPS::Vector& vector) {
    std::vector<float> all(vector.length() * vector.vectors());
    vector.read(all);
    return {all.begin(), all.end()};
}

inline MPS::NNOptimizerDescriptor descriptorOf(const reference::Optimizer& o) {
    return MPS::NNOptimizerDescriptor(
        float(o.learningRate), float(o.gradientRescale), o.applyGradientClipping,
        float(o.gradientClipMax), float(o.gradientClipMin),
        MPS::NNRegularizationType(int(o.regularization)), float(o.regularizationScale));
}

enum class Rule { Plain, Momentum, Nesterov, RMSProp, Adam, AMSGrad };
inline constexpr Rule rules[] = {Rule::Plain,   Rule::Momentum, Rule::Nesterov,
                                 Rule::RMSProp, Rule::Adam,     Rule::AMSGrad};
inline size_t momentsOf(Rule rule) {
    return rule == Rule::Plain ? 0 : rule == Rule::Adam ? 2 : rule == Rule::AMSGrad ? 3 : 1;
}

/// How many ranges each optimizer's dispatch of a command buffer has, in their order.
inline std::vector<uint32_t> rangesOf(const MTL::CommandBuffer& commands) {
    std::vector<uint32_t> all;
    for (const auto& segment : commands.impl().segments) {
        vk::CommandList list;
        list.appendExpanded(segment->commands);
        for (const auto& command : list.commands()) {
            if (!command.pipeline || !command.pipeline->isKernel() ||
                !command.pipeline->name().starts_with("NNOptimizer"))
                continue;
            glsl::NNOptimizerParameters parameters;
            std::memcpy(&parameters, list.bytes(command.parameters, sizeof parameters).data(),
                        sizeof parameters);
            all.push_back(parameters.rangeCount);
        }
    }
    return all;
}
using Ranges = std::vector<uint32_t>;

/// One of the optimizers, on the device and in double precision.
struct OptimizerPair {
    OptimizerPair(Rule rule, const reference::Optimizer& o)
        : rule(rule), o(o), sgd(testDevice(), .9f, rule == Rule::Nesterov, descriptorOf(o)),
          rmsProp(testDevice(), .9, 1e-8f, descriptorOf(o)),
          adam(testDevice(), .9, .999, 1e-8f, 0, descriptorOf(o)) {}

    /// Moments are as many as momentsOf(rule).
    template <class Operand>
    void encode(const MTL::CommandBuffer& commands, const Operand& gradient, const Operand& values,
                const std::vector<Operand>& m, const Operand& result) {
        switch (rule) {
        case Rule::Plain: return sgd.encode(commands, gradient, values, Operand{}, result);
        case Rule::Momentum:
        case Rule::Nesterov: return sgd.encode(commands, gradient, values, m[0], result);
        case Rule::RMSProp: return rmsProp.encode(commands, gradient, values, m[0], result);
        case Rule::Adam: return adam.encode(commands, gradient, values, m[0], m[1], result);
        case Rule::AMSGrad:
            return adam.encode(commands, gradient, values, m[0], m[1], m[2], result);
        }
    }

    /// Each moment's vectors, one for the weights and perhaps one for the biases.
    void encode(const MTL::CommandBuffer& commands,
                const MPS::CNNConvolutionGradientState& gradient,
                const MPS::CNNConvolutionWeightsAndBiasesState& source,
                const std::vector<Vectors>& m,
                const MPS::CNNConvolutionWeightsAndBiasesState& result) {
        switch (rule) {
        case Rule::Plain: return sgd.encode(commands, gradient, source, {}, result);
        case Rule::Momentum:
        case Rule::Nesterov: return sgd.encode(commands, gradient, source, m[0], result);
        case Rule::RMSProp: return rmsProp.encode(commands, gradient, source, m[0], result);
        case Rule::Adam: return adam.encode(commands, gradient, source, m[0], m[1], result);
        case Rule::AMSGrad:
            return adam.encode(commands, gradient, source, m[0], m[1], m[2], result);
        }
    }

    void step(const Values& gradient, Values& values, std::vector<Values>& m) {
        switch (rule) {
        case Rule::Plain:
            return stochasticGradientDescent(o, .9f, false, gradient, values, nullptr);
        case Rule::Momentum:
            return stochasticGradientDescent(o, .9f, false, gradient, values, &m[0]);
        case Rule::Nesterov:
            return stochasticGradientDescent(o, .9f, true, gradient, values, &m[0]);
        case Rule::RMSProp: return reference::rmsProp(o, .9, 1e-8f, gradient, values, m[0]);
        case Rule::Adam: return reference::step(state, o, gradient, values, m[0], m[1]);
        case Rule::AMSGrad: return reference::step(state, o, gradient, values, m[0], m[1], &m[2]);
        }
    }

    Rule rule;
    reference::Optimizer o;
    reference::Adam state;
    MPS::NNOptimizerStochasticGradientDescent sgd;
    MPS::NNOptimizerRMSProp rmsProp;
    MPS::NNOptimizerAdam adam;
};

/// What happens to the gradient first, in all its ways.
inline std::vector<reference::Optimizer> preparations() {
    reference::Optimizer plain, clipped, l1, l2;
    plain.learningRate = .01;
    clipped.learningRate = .01;
    clipped.applyGradientClipping = true;
    clipped.gradientClipMax = .5;
    clipped.gradientClipMin = -.25;
    clipped.gradientRescale = 4;
    l1 = plain;
    l1.regularization = reference::Regularization::L1;
    l1.regularizationScale = .125;
    l2 = clipped;
    l2.learningRate = -.01;
    l2.regularization = reference::Regularization::L2;
    l2.regularizationScale = -.5;
    return {plain, clipped, l1, l2};
}

inline constexpr reference::Tolerance tight{2e-6};

template <class Call> std::string refused(Call call) { return sentence<InvalidArgument>(call); }

} // namespace mpsvk::test
