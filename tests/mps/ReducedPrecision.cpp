// KernelOptions::AllowReducedPrecision: within its error of the references on devices with matrices
// of bf16, and without an effect on others.
#include "mps/ReducedPrecision.hpp"
#include "mps/ConvolutionCases.hpp"
#include "support/Graphs.hpp"

#include <mpsvk/MPS/NNConvolutionNodes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace mpsvk::test::reduced;

namespace {

/// Each pass of a convolution; the reference's place is set in between.
template <class Forward, class Gradient, class Reference>
void checkConvolution(Forward forward, Gradient gradient, Reference& r, const Tensor& x,
                      const std::function<void(const Forward&, const Tensor&)>& place) {
    const auto passes = [&](MPS::KernelOptions options) {
        forward.setOptions(options);
        gradient.setOptions(options);
        return runPasses(forward, gradient, x);
    };
    const Passes exact = passes(MPS::KernelOptions::None), first = passes(allowed),
                 second = passes(allowed);
    place(forward, exact.y);
    const auto pass = [&](const char* what, const auto& of, const auto& expected) {
        check(
            what,
            [&, count = 0](MPS::KernelOptions options) mutable {
                return options == allowed ? of(count++ ? second : first) : of(exact);
            },
            expected);
    };
    pass(
        "forward", [](const Passes& p) { return p.y.v; },
        [&] { return reference::forward(r, x).v; });
    pass(
        "data gradient", [](const Passes& p) { return p.dx.v; },
        [&] { return reference::dataGradient(r, exact.e, x.h, x.w).v; });
    pass(
        "weights gradient", [](const Passes& p) { return p.dw; },
        [&] { return reference::weightsGradient(r, exact.e, x); });
    CHECK(reference::compare(first.db, reference::biasGradient(exact.e), {tolerance}));
}

const Case cases[] = {
    {"3x3", 2, 12, 11, 64, 128, 3, 3, 1, 1, 1, false, false, same},
    {"3x3, ragged channels", 3, 9, 10, 36, 76, 3, 3, 1, 1, 1, false, false, valid},
    {"3x3, odd channels", 2, 8, 8, 37, 51, 3, 3, 1, 1, 1, false, false, same},
    {"3x3, stride 2", 4, 14, 13, 64, 64, 3, 3, 2, 1, 1, false, false, same},
    {"5x3, dilated by 2", 2, 12, 12, 48, 40, 5, 3, 1, 2, 1, false, false, full},
    {"1x1", 2, 16, 16, 160, 96, 1, 1, 1, 1, 1, false, false, same},
    {"1x1, many channels", 1, 7, 7, 1024, 256, 1, 1, 1, 1, 1, false, false, same},
};

} // namespace

TEST_CASE("convolutions and their gradients in reduced precision") {
    for (const Case& k : cases) {
        INFO(k.name);
        auto r = referenceOf(k, 3);
        const Kernels kernels(r, k.padding);
        const Tensor x = reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5),
                                            reference::Storage::Float32);
        checkConvolution<MPS::CNNConvolution, MPS::CNNConvolutionGradient>(
            kernels.forward, kernels.gradient, r, x,
            [&r](const MPS::CNNConvolution& forward, const Tensor& y) { place(r, forward, y); });
    }
}

TEST_CASE("a transposed convolution and its gradients in reduced precision") {
    reference::ConvolutionTranspose r;
    r.inputChannels = 64;
    r.outputChannels = 40;
    r.kernelWidth = r.kernelHeight = 4;
    r.strideX = r.strideY = 2;
    fill(r, 8);
    const auto source = sourceOf(r);
    const Tensor x =
        reference::rounded(reference::random(2, 9, 6, 64, 5), reference::Storage::Float32);
    checkConvolution<MPS::CNNConvolutionTranspose, MPS::CNNConvolutionTransposeGradient>(
        MPS::CNNConvolutionTranspose(testDevice(), source),
        MPS::CNNConvolutionTransposeGradient(testDevice(), source), r, x,
        [&r](const MPS::CNNConvolutionTranspose& forward, const Tensor& y) {
            r.offsetX = forward.offset().x;
            r.offsetY = forward.offset().y;
            r.kernelOffsetX = forward.kernelOffsetX();
            r.kernelOffsetY = forward.kernelOffsetY();
            r.outputWidth = y.w;
            r.outputHeight = y.h;
        });
}

TEST_CASE("what a fully connected layer computes in reduced precision") {
    const Tensor x =
        reference::rounded(reference::random(40, 4, 4, 32, 5), reference::Storage::Float32);
    const auto values = [](size_t count, uint64_t seed) {
        return reference::rounded(reference::randomVector(count, seed),
                                  reference::Storage::Float32);
    };
    const auto r = reference::fullyConnected(x, values(136 * 4 * 4 * 32, 6), values(136, 7));
    MPS::CNNFullyConnected layer(
        testDevice(), std::make_shared<FixedWeights>(MPS::CNNConvolutionDescriptor(4, 4, 32, 136),
                                                     r.weights, r.bias));
    layer.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto product = [&](MPS::KernelOptions options) {
        layer.setOptions(options);
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) {
            y = layer.encodeBatch(commands, upload(x));
        });
        return download(y).v;
    };
    check("fully connected", product, [&] { return reference::forward(r, x).v; });
}

TEST_CASE("what is not finite stays so in reduced precision") {
    auto r = referenceOf({"", 1, 6, 6, 32, 32, 1, 1, 1, 1, 1, false, false, same}, 4);
    Kernels kernels(r);
    kernels.forward.setOptions(allowed);
    kernels.forward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    Tensor x = reference::random(1, 6, 6, 32, 5);
    x.v[32 * 7 + 3] = std::nan("");
    x.v[32 * 20 + 9] = INFINITY;
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) {
        y = kernels.forward.encodeBatch(commands, upload(x));
    });
    const Tensor got = download(y);
    for (size_t i = 0; i < got.size(); ++i)
        CHECK(std::isfinite(got.v[i]) == (i / 32 != 7 && i / 32 != 20));
}

TEST_CASE("a graph's options are its kernels'") {
    auto r = referenceOf({"", 2, 12, 12, 64, 64, 3, 3, 1, 1, 1, false, false, same}, 6);
    const auto source = sourceOf(r);
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode node(input, source);
    node.setPaddingPolicy(MPS::NNDefaultPadding::padding(same));
    node.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float32);
    const MPS::NNGraph graph(testDevice(), node.resultImage(), true);
    const Tensor x =
        reference::rounded(reference::random(2, 12, 12, 64, 5), reference::Storage::Float32);
    Kernels kernels(r);
    const Values exact = result(graph, {upload(x)}).v;
    const auto product = [&](MPS::KernelOptions options) {
        graph.setOptions(options);
        const Values values = result(graph, {upload(x)}).v;
        const bool replays = result(graph, {upload(x)}).v == values;
        CHECK(replays);
        for (const MPS::NNGraph& other : {graph.copy(testDevice()), again(graph)}) {
            const bool isSame = result(other, {upload(x)}).v == values;
            CHECK(isSame);
        }
        return values;
    };
    check("graph", product, [&] {
        Passes passes = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, passes.y);
        return reference::forward(r, x).v;
    });
    const bool isExactAgain = product(MPS::KernelOptions::None) == exact;
    CHECK(isExactAgain);
}
