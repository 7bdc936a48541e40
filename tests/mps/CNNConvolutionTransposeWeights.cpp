#include "mps/ConvolutionKernels.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

Tensor run(MPS::CNNConvolutionTranspose& kernel, const Tensor& x) {
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    test::run(
        [&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, upload(x)); });
    return download(y);
}

} // namespace

TEST_CASE("what a transposed convolution fuses after the sum") {
    const Tensor x =
        reference::rounded(reference::random(2, 3, 4, 5, 4), reference::Storage::Float32);
    const auto check = [&](const MPS::CNNConvolutionDescriptor& d,
                           reference::ConvolutionTranspose r) {
        MPS::CNNConvolutionTranspose kernel(testDevice(),
                                            std::make_shared<FixedWeights>(d, r.weights, r.bias));
        placeSame(r, x);
        CHECK(reference::compare(run(kernel, x), reference::forward(r, x), {1e-5}));
    };
    for (const size_t outputs : {size_t(6), size_t(5)}) {
        auto r = squareConvolution<reference::ConvolutionTranspose>(
            5, outputs, 3, 2, outputs == 5 ? 5 : 1); // 5: depthwise
        auto d = descriptorOf(r);
        std::vector<float> slopes, mean, variance, gamma, beta;
        for (size_t o = 0; o < outputs; ++o) {
            slopes.push_back(0.05f * float(o));
            mean.push_back(0.25f * float(o));
            variance.push_back(1 + float(o));
            gamma.push_back(1.5f - float(o));
            beta.push_back(-0.5f * float(o));
        }
        d.setNeuronType(MPS::CNNNeuronType::TanH, 1.5f, 0.5f);
        r.neuron = {.type = reference::NeuronType::TanH, .a = 1.5, .b = 0.5};
        check(d, r);
        d.setNeuronToPReLU(slopes);
        d.setBatchNormalizationParametersForInference(mean, variance, gamma, beta, 1e-3f);
        r.neuron = {};
        r.neuron.type = reference::NeuronType::PReLU;
        r.neuron.slopes.assign(slopes.begin(), slopes.end());
        r.normalization = reference::FusedBatchNormalization{{mean.begin(), mean.end()},
                                                             {variance.begin(), variance.end()},
                                                             {gamma.begin(), gamma.end()},
                                                             {beta.begin(), beta.end()},
                                                             1e-3f};
        check(d, r);
    }
}

TEST_CASE("weights of a transposed convolution: rounding, export, reload, copies") {
    for (const size_t groups : {1, 4}) {
        auto r = squareConvolution<reference::ConvolutionTranspose>(4, 8, 3, 2, groups), other = r;
        fill(other, 90);
        const Tensor x =
            reference::rounded(reference::random(1, 3, 4, 4, 4), reference::Storage::Float32);
        placeSame(r, x);
        placeSame(other, x);
        const auto source = sourceOf(r, MPS::DataType::Float16);
        MPS::CNNConvolutionTranspose kernel(testDevice(), source);
        MPS::CNNConvolutionTransposeGradient gradient(testDevice(), source);
        kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::CNNConvolutionTranspose mutableCopy = kernel;
        MPS::CNNConvolutionWeightsAndBiasesState exported, temporary;
        const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(r));
        write(state.weights(), other.weights);
        write(state.biases(), other.bias);
        MPS::ImageBatch before, after, ofCopy;
        const auto images = upload(x);
        test::run([&](const MTL::CommandBuffer& commands) {
            exported = kernel.exportWeightsAndBiases(commands, false);
            temporary = kernel.exportOnDemand(commands);
            before = kernel.encodeBatch(commands, images);
            mutableCopy.reloadWeightsAndBiases(commands, temporary);
            ofCopy = mutableCopy.encodeBatch(commands, images);
            kernel.reloadWeightsAndBiases(commands, state);
            gradient.reloadWeightsAndBiases(commands, state);
            after = kernel.encodeBatch(commands, images);
        });
        const auto half = [](std::vector<double> values) {
            return reference::rounded(std::move(values), reference::Storage::Float16);
        };
        CHECK(contents(exported.weights()) == half(r.weights));
        CHECK(contents(exported.biases()) == r.bias);
        r.weights = half(r.weights);
        other.weights = half(other.weights);
        CHECK(reference::compare(download(before), reference::forward(r, x), {1e-5}));
        CHECK(reference::compare(download(after), reference::forward(other, x), {1e-5}));
        CHECK(download(ofCopy).v == download(before).v); // no change: rounded once
        CHECK(temporary.readCount() == 0);
        // Both kernels use the weights of the state from now on.
        const Passes got = runPasses(kernel, gradient, x);
        checkPasses(got, other, x);
        kernel.reloadWeightsAndBiasesFromDataSource();
        gradient.reloadWeightsAndBiasesFromDataSource();
        checkPasses(runPasses(kernel, gradient, x), r, x);
        auto moved = kernel.copy(testDevice());
        CHECK(run(moved, x).v == run(kernel, x).v);
        CHECK(source->loads == source->purges);
    }
}
