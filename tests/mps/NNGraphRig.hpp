// A graph of tanh, pooling and sigmoid, with or without a loss, and the same in the references'
// words.
#pragma once

#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Neuron.hpp"
#include "support/reference/Pooling.hpp"

#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

namespace mpsvk::test {

using reference::Tensor;

inline const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};
inline const reference::Neuron sigmoid{reference::NeuronType::Sigmoid, 0, 0, 0, {}};

/// tanh, pooling of 2x2 with same-size padding, sigmoid; and a loss, in the references' words.
struct Chain {
    reference::PoolingType type = reference::PoolingType::Max;
    reference::Pooling pooling(const Tensor& x) const {
        reference::Pooling p;
        p.type = type;
        p.kernelWidth = p.kernelHeight = p.strideX = p.strideY = 2;
        p.outputWidth = (x.w + 1) / 2;
        p.outputHeight = (x.h + 1) / 2;
        p.offsetX = x.w % 2 ? 0 : 1; // an odd pixel is added at the left, at the top
        p.offsetY = x.h % 2 ? 0 : 1;
        p.edge = reference::EdgeMode::Clamp;
        return p;
    }
    Tensor forward(const Tensor& x) const {
        return reference::forward(sigmoid,
                                  reference::forward(pooling(x), reference::forward(tanH, x)));
    }
    Tensor gradient(const Tensor& x, const Tensor& dy) const {
        const Tensor a = reference::forward(tanH, x), b = reference::forward(pooling(x), a);
        return reference::gradient(
            tanH, reference::gradient(pooling(x), reference::gradient(sigmoid, dy, b), a), x);
    }
};

/// The same in nodes.
struct Nodes {
    explicit Nodes(reference::PoolingType type = reference::PoolingType::Max) : first(input) {
        if (type == reference::PoolingType::Max)
            pooling = MPS::CNNPoolingMaxNode(first.resultImage(), 2);
        else
            pooling = MPS::CNNPoolingAverageNode(first.resultImage(), 2);
        last = MPS::CNNNeuronSigmoidNode(pooling.resultImage());
    }
    MPS::NNImageNode input{named("input")};
    MPS::CNNNeuronTanHNode first;
    MPS::NNFilterNode pooling;
    MPS::CNNNeuronNode last;
};

inline MPS::CNNLossDescriptor squares(float weight = 1) {
    MPS::CNNLossDescriptor d(MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum);
    d.setWeight(weight);
    return d;
}

inline MPS::NNGraph graphOf(const MPS::NNImageNode& image, bool needed = true) {
    MPS::NNGraph graph(testDevice(), image, needed);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

inline const Chain chain;
inline const reference::Tolerance fp32{2e-5};

/// A training graph of the chain, and where its gradient comes out.
struct Training {
    explicit Training(float weight = 1) : loss(nodes.last.resultImage(), squares(weight)) {
        termini = loss.trainingGraph(std::nullopt, {});
        graph = graphOf(termini.at(0).resultImage());
    }
    Nodes nodes;
    MPS::CNNLossNode loss;
    std::vector<MPS::NNFilterNode> termini;
    MPS::NNGraph graph;
};

inline size_t planCount(const MPS::NNGraph& graph) {
    const std::string text = graph.debugDescription();
    size_t count = 0;
    for (size_t at = text.find("plan: "); at != std::string::npos; at = text.find("plan: ", at + 1))
        ++count;
    return count;
}

inline bool isReplayed(const MPS::NNGraph& graph) {
    return graph.debugDescription().find("encodes are replayed") != std::string::npos &&
           planCount(graph) > 0;
}

} // namespace mpsvk::test
