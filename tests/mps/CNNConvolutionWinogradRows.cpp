// Convolutions whose rows are filtered by Winograd's transformations. Disabling direct_tile has
// them used for any size and on any device.
#include "mps/ConvolutionCases.hpp"
#include "mps/WinogradPlan.hpp"
#include "support/Graphs.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/NNConvolutionNodes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr const char* forced = "direct_tile";

/// Relative to the largest value: stricter than to the sum of magnitudes.
template <class Reference> void check(const Passes& got, const Reference& r, const Tensor& x) {
    CHECK(reference::compare(got.y, reference::forward(r, x), {1e-5}));
    CHECK(reference::compare(got.dx, reference::dataGradient(r, got.e, x.h, x.w), {1e-5}));
    CHECK(reference::compare(got.dw, reference::weightsGradient(r, got.e, x), {1e-5}));
    CHECK(reference::compare(got.db, reference::biasGradient(got.e), {1e-5}));
}

Tensor randomImages(size_t n, size_t h, size_t w, size_t c, uint64_t seed) {
    return reference::rounded(reference::random(n, h, w, c, seed), reference::Storage::Float32);
}

} // namespace

TEST_CASE("a convolution by filtered rows equals the reference") {
    const Environment environment("MPSVK_DISABLE", forced);
    const Case cases[] = {
        {"32 to 32", 2, 8, 8, 32, 32, 3, 3, 1, 1, 1, false, false, same},
        {"20 to 24, valid", 2, 7, 9, 20, 24, 3, 3, 1, 1, 1, false, false, valid},
        {"64 to 48, full", 3, 5, 6, 64, 48, 3, 3, 1, 1, 1, false, false, full},
        {"36 to 16, one column", 3, 2, 1, 36, 16, 3, 3, 1, 1, 1, false, false, same},
        {"16 to 72, 13 columns", 2, 3, 13, 16, 72, 3, 3, 1, 1, 1, false, false, same},
        {"72 to 136, 5x5", 1, 6, 11, 72, 136, 5, 5, 1, 1, 1, false, false, same},
        {"16 to 17, 5x5, full", 2, 4, 5, 16, 17, 5, 5, 1, 1, 1, false, false, full},
        {"20 to 16, rows of 4", 2, 5, 9, 20, 16, 2, 4, 1, 1, 1, false, false, same},
        {"16 to 20, rows of 3, five of them", 2, 9, 7, 16, 20, 5, 3, 1, 1, 1, false, false, same},
        {"28 to 16, a row of 5", 2, 4, 10, 28, 16, 1, 5, 1, 1, 1, false, false, same},
    };
    for (const Case& k : cases) {
        INFO(k.name);
        auto r = referenceOf(k, 40);
        Kernels kernels(r, k.padding);
        const Tensor x = randomImages(k.n, k.h, k.w, k.ci, 5);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("filtered rows may be apart") {
    const Environment environment("MPSVK_DISABLE", forced);
    for (const auto& [stride, dilation] : {std::pair(2, 1), {1, 2}, {3, 2}}) {
        INFO("stride " << stride << ", dilation " << dilation << " along columns");
        auto r = referenceOf({"", 2, 11, 9, 20, 24, 3, 3, 1, 1, 1, false, false, same}, 3);
        r.strideY = size_t(stride);
        r.dilationY = size_t(dilation);
        Kernels kernels(r);
        const Tensor x = randomImages(2, 11, 9, 20, 5);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("a transposed convolution by filtered rows equals the reference") {
    const Environment environment("MPSVK_DISABLE", forced);
    for (const auto& [padding, taps] :
         {std::pair(same, 3), {valid, 3}, {full, 3}, {same, 5}, {full, 5}}) {
        INFO(taps << " taps");
        reference::ConvolutionTranspose r;
        r.inputChannels = 24;
        r.outputChannels = 36;
        r.kernelWidth = r.kernelHeight = size_t(taps);
        fill(r, 8);
        const auto source = sourceOf(r);
        MPS::CNNConvolutionTranspose forward(testDevice(), source);
        MPS::CNNConvolutionTransposeGradient gradient(testDevice(), source);
        forward.setPadding(MPS::NNDefaultPadding::padding(padding));
        const Tensor x = randomImages(2, 9, 6, 24, 5);
        const Passes got = runPasses(forward, gradient, x, {});
        r.offsetX = forward.offset().x;
        r.offsetY = forward.offset().y;
        r.kernelOffsetX = forward.kernelOffsetX();
        r.kernelOffsetY = forward.kernelOffsetY();
        r.outputWidth = got.y.w;
        r.outputHeight = got.y.h;
        check(got, r, x);
    }
}

TEST_CASE("filtered rows are of parts of images, normalized, activated and reloaded") {
    const Environment environment("MPSVK_DISABLE", forced);
    auto r = referenceOf({"", 2, 9, 11, 20, 24, 3, 3, 1, 1, 1, false, false, same}, 3);
    const Tensor wide = randomImages(2, 9, 11, 28, 8);
    const Tensor x = reference::channels(wide, 4, 20);
    auto descriptor = descriptorOf(r);
    std::vector<float> slopes(24), gamma(24), beta(24);
    for (size_t i = 0; i < slopes.size(); ++i) {
        slopes[i] = float(i) / 8 - 1;
        gamma[i] = 2 - float(i) / 16;
        beta[i] = float(i % 5) - 2;
    }
    descriptor.setNeuronToPReLU(slopes);
    descriptor.setBatchNormalizationParametersForInference({}, {}, gamma, beta, 0);
    MPS::CNNConvolution conv(
        testDevice(),
        std::make_shared<FixedWeights>(descriptor, r.weights, r.bias, MPS::DataType::Float32));
    conv.setOffset({r.offsetX = 2, r.offsetY = -1, 0});
    conv.setClipRect(MTL::RegionMake2D(2, 1, r.outputWidth = 7, r.outputHeight = 9));
    conv.setSourceFeatureChannelOffset(4);
    conv.setDestinationFeatureChannelOffset(8);
    const auto images = upload(wide);
    const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(r));
    for (const bool reloads : {false, true}) {
        if (reloads) {
            fill(r, 9);
            write(state.weights(), r.weights);
            write(state.biases(), r.bias);
        }
        Guarded y(2, 12, 10, 36, {});
        run([&](const MTL::CommandBuffer& commands) {
            if (reloads) conv.reloadWeightsAndBiases(commands, state);
            conv.encodeBatch(commands, images, y.images());
        });
        Tensor values = reference::forward(r, x);
        for (size_t i = 0; i < values.v.size(); ++i) {
            const double normalized = gamma[i % 24] * values.v[i] + beta[i % 24];
            values.v[i] = normalized < 0 ? slopes[i % 24] * normalized : normalized;
        }
        Tensor expected(2, 12, 10, 36, Guarded::poison);
        reference::paste(expected, {2, 1, 7, 9}, 8, values);
        CHECK(reference::compare(y.read(), expected, {1e-5 * 20 / Guarded::poison}));
    }
}

TEST_CASE("a graph replays filtered rows with the weights that it has") {
    const Environment environment("MPSVK_DISABLE", forced);
    auto r = referenceOf({"", 1, 6, 6, 32, 16, 3, 3, 1, 1, 1, false, false, same}, 1);
    r.outputWidth = r.outputHeight = 6;
    const auto source = sourceOf(r);
    MPS::NNGraph graph(testDevice(),
                       MPS::CNNConvolutionNode(MPS::NNImageNode(), source).resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    for (int step = 0; step < 6; ++step) {
        if (step == 4) {
            fill(r, 9);
            source->weightValues.assign(r.weights.begin(), r.weights.end());
            source->biases.assign(r.bias.begin(), r.bias.end());
            graph.reloadFromDataSources();
        }
        const Tensor x = randomImages(1 + size_t(step % 2), 6, 6, 32, 5 + uint64_t(step));
        CHECK(reference::compare(result(graph, {upload(x)}), reference::forward(r, x), {1e-5}));
    }
}

TEST_CASE("filtered rows are exact to 1e-5 for many channels and many pixels") {
    const Environment environment("MPSVK_DISABLE", forced);
    for (const Case& k :
         {Case{"512 to 16", 1, 8, 8, 512, 16, 3, 3, 1, 1, 1, false, false, same},
          Case{"64 x 64 pixels", 4, 64, 64, 16, 16, 3, 3, 1, 1, 1, false, false, same},
          Case{"128 to 16, 5x5", 1, 8, 8, 128, 16, 5, 5, 1, 1, 1, false, false, same},
          Case{"64 x 64 pixels, 5x5", 4, 64, 64, 16, 16, 5, 5, 1, 1, 1, false, false, same}}) {
        INFO(k.name);
        auto r = referenceOf(k, 40);
        Kernels kernels(r);
        // As behind an activation: errors of sums of one sign are larger.
        Tensor x = randomImages(k.n, k.h, k.w, k.ci, 5);
        for (double& value : x.v) value = std::max(value, 0.0);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("filtered rows give the same bits every time, whatever the batch is cut into") {
    const Environment environment("MPSVK_DISABLE", forced);
    auto r = referenceOf({"", 3, 9, 9, 32, 48, 3, 3, 1, 1, 1, false, false, same}, 4);
    Kernels kernels(r);
    const Tensor x = randomImages(3, 9, 9, 32, 5);
    const Passes first = runPasses(kernels.forward, kernels.gradient, x);
    const Passes second = runPasses(kernels.forward, kernels.gradient, x);
    CHECK(first.y.v == second.y.v);
    CHECK(first.dx.v == second.dx.v);
    CHECK(first.dw == second.dw);
    const Passes apart = runPasses(kernels.forward, kernels.gradient, x, {}, true);
    CHECK(first.y.v == apart.y.v);
    CHECK(first.dx.v == apart.dx.v);
}

TEST_CASE("filtered rows are for few channels and large batches") {
    const vk::Processor on{vk::Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, false};
    const auto best = [&](const mps::WinogradShape& s) {
        const double rows = mps::winogradRows(on, s).microseconds,
                     tiles = mps::winogradTime(on, s, mps::winogradParts(s)),
                     direct = mps::directTime(on, s);
        return rows < std::min(tiles, direct) ? "rows" : tiles < direct ? "tiles" : "direct";
    };
    CHECK(best({3, 64, 56, 56, 64, 64}) == std::string("rows"));
    CHECK(best({3, 64, 56, 56, 32, 32}) == std::string("rows"));
    CHECK(best({5, 128, 14, 14, 32, 64}) == std::string("rows"));
    CHECK(best({5, 128, 14, 14, 64, 32}) == std::string("rows"));
    CHECK(best({3, 64, 28, 28, 128, 128}) == std::string("tiles"));
    CHECK(best({3, 64, 7, 7, 512, 512}) == std::string("tiles"));
    CHECK(best({3, 1, 7, 7, 512, 512}) == std::string("direct"));
    CHECK(mps::winogradRows(on, {5, 128, 14, 14, 64, 32}).columns == 32);

    const auto plan = mps::winogradRowsGradient(on, {3, 64, 56, 56, 64, 64});
    CHECK(plan.tilesDown == 1);
    CHECK(plan.tilesAcross == 3);
    CHECK(plan.parts == 44);
    CHECK(plan.parts * plan.segments >= 64 * 56 * 10);
    CHECK((plan.parts - 1) * plan.segments < 64 * 56 * 10);
    CHECK(plan.microseconds < mps::directTime(on, {3, 64, 56, 56, 64, 64}));
    CHECK(mps::winogradRowsGradient(on, {3, 64, 56, 56, 32, 32}).microseconds >
          mps::directTime(on, {3, 64, 56, 56, 32, 32}));
}
