// A small network that trains: its data sources, the same in doubles, and in nodes.
#pragma once

#include "support/Graphs.hpp"
#include "support/reference/Convolution.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Pooling.hpp"

#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

#include <atomic>

namespace mpsvk::test::network {

using reference::Tensor;

constexpr double rate = 0.05;

inline std::vector<float> floats(const std::vector<double>& values) {
    return {values.begin(), values.end()};
}
inline std::vector<double> doubles(std::span<const float> values) {
    return {values.begin(), values.end()};
}
inline std::vector<double> contents(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    return doubles({reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)});
}

/// Plain gradient descent on the device or the host; or no change.
struct Source : MPS::CNNConvolutionDataSource {
    enum class Update { Nothing, Device, Host };

    Source(uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t seed,
           Update update = Update::Device)
        : kind(update), shape(size, size, inputs, outputs), optimizer(testDevice(), float(rate)),
          w(floats(reference::randomVector(size * size * inputs * outputs, seed, -.3, .3))),
          b(floats(reference::randomVector(outputs, seed + 1, -.1, .1))) {}

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::DataType kernelWeightsDataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return shape; }
    std::span<const std::byte> weights() const override { return std::as_bytes(std::span(w)); }
    std::span<const float> biasTerms() const override { return b; }
    std::string label() const override { return "source"; }
    bool load() override {
        ++loads;
        if (master) { // the device's word is the last
            w = floats(contents(master.weights()));
            b = floats(contents(master.biases()));
        }
        return loads != failAt;
    }
    void purge() override { ++purges; }
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
           MPS::CNNConvolutionWeightsAndBiasesState source) override {
        ++updates;
        if (kind != Update::Device) return {};
        const bool first = !master;
        if (first) master = MPS::CNNConvolutionWeightsAndBiasesState(testDevice(), shape);
        optimizer.encode(commands, gradient, usesMaster && !first ? master : source, {}, master);
        return master;
    }
    bool update(MPS::CNNConvolutionGradientState gradient,
                MPS::CNNConvolutionWeightsAndBiasesState source) override {
        ++updates;
        if (kind != Update::Host) return false;
        const auto step = [](std::vector<float>& values, const MTL::Buffer& from,
                             const MTL::Buffer& change) {
            const auto old = contents(from), g = contents(change);
            for (size_t i = 0; i < values.size(); ++i) values[i] = float(old[i] - rate * g[i]);
        };
        step(w, source.weights(), gradient.gradientForWeights());
        step(b, source.biases(), gradient.gradientForBiases());
        return true;
    }
    /// What the device has, or the host.
    std::vector<double> trained() const { return master ? contents(master.weights()) : doubles(w); }
    std::vector<double> trainedBias() const {
        return master ? contents(master.biases()) : doubles(b);
    }

    Update kind;
    bool usesMaster = false;
    MPS::CNNConvolutionDescriptor shape;
    MPS::NNOptimizerStochasticGradientDescent optimizer;
    std::vector<float> w, b;
    MPS::CNNConvolutionWeightsAndBiasesState master;
    std::atomic<int> loads = 0, purges = 0, updates = 0;
    int failAt = 0;
};

/// Convolution 3x3, tanh, max pooling 2x2, fully connected, squared error: in
/// doubles.
struct Reference {
    Reference(const Source& conv, const Source& fc) {
        c.inputChannels = 3;
        c.outputChannels = 4;
        c.kernelWidth = c.kernelHeight = 3;
        c.outputWidth = c.outputHeight = 6;
        c.weights = doubles(conv.w);
        c.bias = doubles(conv.b);
        fcWeights = doubles(fc.w);
        fcBias = doubles(fc.b);
        p.kernelWidth = p.kernelHeight = p.strideX = p.strideY = 2;
        p.offsetX = p.offsetY = 1;
        p.edge = reference::EdgeMode::Clamp;
        p.outputWidth = p.outputHeight = 3;
    }
    struct Step {
        Tensor y, dx;
        std::vector<double> losses;
    };
    Tensor forward(const Tensor& x) const {
        const Tensor pooled =
            reference::forward(p, reference::forward(tanH, reference::forward(c, x)));
        return reference::forward(reference::fullyConnected(pooled, fcWeights, fcBias), pooled);
    }
    Step step(const Tensor& x, const Tensor& t) {
        const Tensor a = reference::forward(c, x), h = reference::forward(tanH, a),
                     m = reference::forward(p, h);
        const auto fc = reference::fullyConnected(m, fcWeights, fcBias);
        Step made;
        made.y = reference::forward(fc, m);
        made.losses = reference::forward(reference::Loss{}, {made.y, t}).v;
        const Tensor dy = reference::fusedGradient(reference::Loss{}, {made.y, t});
        const Tensor dm = reference::dataGradient(fc, dy, m.h, m.w);
        const Tensor da = reference::gradient(tanH, reference::gradient(p, dm, h), a);
        made.dx = reference::dataGradient(c, da, x.h, x.w);
        descend(fcWeights, reference::weightsGradient(fc, dy, m));
        descend(fcBias, reference::biasGradient(dy));
        descend(c.weights, reference::weightsGradient(c, da, x));
        descend(c.bias, reference::biasGradient(da));
        return made;
    }
    static void descend(std::vector<double>& values, const std::vector<double>& gradient) {
        for (size_t i = 0; i < values.size(); ++i) values[i] -= rate * gradient[i];
    }
    const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};
    reference::Convolution c;
    reference::Pooling p;
    std::vector<double> fcWeights, fcBias;
};

/// The same in nodes.
struct Network {
    explicit Network(Source::Update update = Source::Update::Device)
        : conv(std::make_shared<Source>(3, 3, 4, 1, update)),
          fc(std::make_shared<Source>(3, 4, 5, 3, update)) {}
    MPS::CNNFullyConnectedNode forward(const MPS::NNImageNode& input) const {
        const MPS::CNNConvolutionNode first(input, conv);
        first.setLabel("conv");
        const MPS::CNNNeuronTanHNode tanH(first.resultImage());
        const MPS::CNNPoolingMaxNode pooling(tanH.resultImage(), 2);
        return MPS::CNNFullyConnectedNode(pooling.resultImage(), fc);
    }
    MPS::NNGraph
    training(bool needed,
             MPS::NNTrainingStyle style = MPS::NNTrainingStyle::UpdateDeviceGPU) const {
        const MPS::CNNLossNode loss(
            forward(MPS::NNImageNode()).resultImage(),
            {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini =
            loss.trainingGraph(std::nullopt, [&](MPS::NNFilterNode gradient, auto, auto, auto) {
                if (gradient.as<MPS::CNNConvolutionGradientNode>())
                    gradient.setTrainingStyle(style);
            });
        return finished(MPS::NNGraph(testDevice(), termini.at(0).resultImage(), needed));
    }
    MPS::NNGraph inference() const {
        return finished(
            MPS::NNGraph(testDevice(), forward(MPS::NNImageNode()).resultImage(), true));
    }
    static MPS::NNGraph finished(const MPS::NNGraph& graph) {
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        return graph;
    }
    std::shared_ptr<Source> conv, fc;
};

inline Tensor inputs(uint64_t seed) { return reference::random(4, 6, 6, 3, seed); }
inline Tensor targets(uint64_t seed) { return reference::random(4, 1, 1, 5, seed, -.5, .5); }
inline const reference::Tolerance fp32{1e-4, 1e-6}; // a handful of kernels, one after the other

} // namespace mpsvk::test::network
