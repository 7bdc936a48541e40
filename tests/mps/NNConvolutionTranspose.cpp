// A network shaped like a U-Net: down by a convolution with stride 2, up again by the transposed
// convolution that undoes it, and what was there before added to the result.
#include "mps/NNGraphNetwork.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace mpsvk::test::network;

namespace {

const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};

struct UNet {
    explicit UNet(Source::Update update = Source::Update::Device)
        : first(std::make_shared<Source>(3, 3, 4, 1, update)),
          down(std::make_shared<Source>(4, 4, 6, 3, update)),
          up(std::make_shared<Source>(4, 6, 4, 5, update)),
          last(std::make_shared<Source>(1, 4, 2, 7, update)) {
        for (const auto& each : {down, up}) {
            each->shape.setStrideInPixelsX(2);
            each->shape.setStrideInPixelsY(2);
        }
    }
    MPS::CNNConvolutionNode forward(const MPS::NNImageNode& input) const {
        const MPS::CNNConvolutionNode a(input, first);
        const MPS::CNNNeuronTanHNode b(a.resultImage());
        const MPS::CNNConvolutionNode c(b.resultImage(), down);
        const MPS::CNNNeuronTanHNode d(c.resultImage());
        const MPS::CNNConvolutionTransposeNode e(d.resultImage(), c.convolutionGradientState(), up);
        const MPS::NNAdditionNode f(e.resultImage(), b.resultImage());
        const MPS::CNNNeuronTanHNode g(f.resultImage());
        return MPS::CNNConvolutionNode(g.resultImage(), last);
    }
    MPS::NNGraph training(const MPS::GradientNodeBlock& handler = {}) const {
        const MPS::CNNLossNode loss(
            forward(MPS::NNImageNode()).resultImage(),
            {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini = loss.trainingGraph(std::nullopt, handler);
        return Network::finished(MPS::NNGraph(testDevice(), termini.at(0).resultImage(), true));
    }
    MPS::NNGraph inference() const {
        return Network::finished(
            MPS::NNGraph(testDevice(), forward(MPS::NNImageNode()).resultImage(), true));
    }
    std::shared_ptr<Source> first, down, up, last;
};

/// The same in doubles, for sources of 9x6.
struct Twin {
    explicit Twin(const UNet& net) {
        const auto take = [](reference::Convolution& r, const Source& s, size_t h, size_t w) {
            r.inputChannels = s.shape.inputFeatureChannels();
            r.outputChannels = s.shape.outputFeatureChannels();
            r.kernelWidth = s.shape.kernelWidth();
            r.kernelHeight = s.shape.kernelHeight();
            r.strideX = r.strideY = s.shape.strideInPixelsX();
            r.outputHeight = h;
            r.outputWidth = w;
            r.weights = doubles(s.w);
            r.bias = doubles(s.b);
        };
        take(first, *net.first, 9, 6);
        take(down, *net.down, 5, 3);
        take(up, *net.up, 9, 6);
        take(last, *net.last, 9, 6);
        // 4 taps, stride 2: of a missing 3 and 2 pixels, 2 and 1 (rounded up) are at the top and
        // the left, so that the window's centre, its third tap, is at pixel 0 and 1.
        down.offsetX = 1;
        down.offsetY = 0;
        up.kernelOffsetX = -1 + 1;
        up.kernelOffsetY = 0 + 1;
    }
    Tensor forward(const Tensor& x) const { return pass(x).y; }
    struct Pass {
        Tensor a, b, c, d, f, g, y;
    };
    Pass pass(const Tensor& x) const {
        Pass p;
        p.a = reference::forward(first, x);
        p.b = reference::forward(tanH, p.a);
        p.c = reference::forward(down, p.b);
        p.d = reference::forward(tanH, p.c);
        p.f = reference::forward(up, p.d);
        for (size_t i = 0; i < p.f.size(); ++i) p.f.v[i] += p.b.v[i];
        p.g = reference::forward(tanH, p.f);
        p.y = reference::forward(last, p.g);
        return p;
    }
    /// One step of gradient descent; returns the gradient of the input.
    Tensor step(const Tensor& x, const Tensor& t) {
        const Pass p = pass(x);
        const Tensor dy = reference::fusedGradient(reference::Loss{}, {p.y, t});
        const Tensor df =
            reference::gradient(tanH, reference::dataGradient(last, dy, p.g.h, p.g.w), p.f);
        const Tensor dc =
            reference::gradient(tanH, reference::dataGradient(up, df, p.d.h, p.d.w), p.c);
        Tensor db = reference::dataGradient(down, dc, p.b.h, p.b.w);
        for (size_t i = 0; i < db.size(); ++i) db.v[i] += df.v[i];
        const Tensor da = reference::gradient(tanH, db, p.a);
        const Tensor dx = reference::dataGradient(first, da, x.h, x.w);
        const auto descend = [](auto& r, const Tensor& e, const Tensor& source) {
            Reference::descend(r.weights, reference::weightsGradient(r, e, source));
            Reference::descend(r.bias, reference::biasGradient(e));
        };
        descend(last, dy, p.g);
        descend(up, df, p.d);
        descend(down, dc, p.b);
        descend(first, da, x);
        return dx;
    }
    reference::Convolution first, down, last;
    reference::ConvolutionTranspose up;
};

Tensor sources(uint64_t seed) { return reference::random(2, 9, 6, 3, seed); }
Tensor wanted(uint64_t seed) { return reference::random(2, 9, 6, 2, seed, -.5, .5); }

} // namespace

TEST_CASE("a network that goes down and up again trains as its twin in doubles") {
    for (const auto update : {Source::Update::Device, Source::Update::Host}) {
        const UNet net(update);
        Twin twin(net);
        const auto style = update == Source::Update::Device ? MPS::NNTrainingStyle::UpdateDeviceGPU
                                                            : MPS::NNTrainingStyle::UpdateDeviceCPU;
        int transposed = 0;
        const MPS::NNGraph graph = net.training([&](MPS::NNFilterNode node, auto, auto, auto) {
            if (node.as<MPS::CNNConvolutionGradientNode>()) node.setTrainingStyle(style);
            if (node.as<MPS::CNNConvolutionTransposeGradientNode>()) ++transposed;
        });
        CHECK(transposed == 1);
        for (uint64_t step = 0; step < 3; ++step) {
            const Tensor x = sources(20 + step), t = wanted(40 + step);
            const Tensor dx = result(graph, {upload(x)}, {lossLabels(t)});
            CHECK(reference::compare(dx, twin.step(x, t), fp32));
        }
        CHECK(reference::compare(net.up->trained(), twin.up.weights, fp32));
        CHECK(reference::compare(net.up->trainedBias(), twin.up.bias, fp32));
        CHECK(reference::compare(net.down->trained(), twin.down.weights, fp32));
        CHECK(reference::compare(net.first->trained(), twin.first.weights, fp32));
        CHECK(net.up->updates == 3);
        // A graph of its own for inference, with what was learned.
        const Tensor x = sources(60);
        const MPS::NNGraph inference = net.inference();
        CHECK(reference::compare(result(inference, {upload(x)}), twin.forward(x), fp32));
        // Image by image, too.
        MPS::Image single;
        run([&](const MTL::CommandBuffer& commands) {
            single = inference.encode(commands, {upload(x)[1]});
        });
        CHECK(reference::compare(download({single}), reference::image(twin.forward(x), 1), fp32));
    }
}

TEST_CASE("a transposed convolution that is not trained passes the gradient on") {
    const UNet net;
    Twin twin(net);
    const MPS::NNGraph graph = net.training([&](MPS::NNFilterNode node, auto, auto, auto) {
        if (node.as<MPS::CNNConvolutionGradientNode>())
            node.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceNone);
    });
    const Tensor x = sources(1), t = wanted(2);
    CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}), twin.step(x, t), fp32));
    CHECK(net.up->updates == 0);
}

TEST_CASE("nodes of transposed convolutions") {
    const UNet net;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode down(input, net.down);
    const MPS::CNNConvolutionTransposeNode up(down.resultImage(), down.convolutionGradientState(),
                                              net.up);
    const MPS::CNNConvolutionTransposeNode alone(down.resultImage(), {}, net.up);
    CHECK(up.as<MPS::CNNConvolutionNode>());
    CHECK(!down.as<MPS::CNNConvolutionTransposeNode>());
    CHECK(up.resultState().as<MPS::CNNConvolutionTransposeGradientStateNode>());
    CHECK(!down.resultState().as<MPS::CNNConvolutionTransposeGradientStateNode>());
    CHECK(up.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceGPU);
    up.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceCPU);
    const MPS::NNImageNode e;
    const auto gradient = up.gradientFilter(e);
    CHECK(gradient.as<MPS::CNNConvolutionTransposeGradientNode>());
    CHECK(gradient.as<MPS::CNNConvolutionGradientNode>());
    CHECK(gradient.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceCPU);
    // Weights of the forward node when none are given.
    const MPS::CNNConvolutionTransposeGradientNode implied(
        e, down.resultImage(), up.resultState().as<MPS::CNNConvolutionTransposeGradientStateNode>(),
        nullptr);
    CHECK(implied.resultImage());
    CHECK(refusal([&] {
              MPS::CNNConvolutionTransposeNode(alone.resultImage(), up.convolutionGradientState(),
                                               net.up);
          }).find("is of a transposed convolution but must be of a convolution") !=
          std::string::npos);
    CHECK(refusal([&] {
              MPS::CNNConvolutionGradientNode(e, input, up.convolutionGradientState(), net.up);
          }).find("gradient state is of a transposed convolution") != std::string::npos);
    // Without a state the policy has the size: (5-1)*2 + 1 and (3-1)*2 + 1.
    const Tensor x = reference::random(1, 9, 6, 4, 3);
    for (const auto& [node, h, w] : {std::tuple(up, 9, 6), std::tuple(alone, 9, 5)}) {
        const auto y = result(
            Network::finished(MPS::NNGraph(testDevice(), node.resultImage(), true)), {upload(x)});
        CHECK(y.h == size_t(h));
        CHECK(y.w == size_t(w));
    }
}
