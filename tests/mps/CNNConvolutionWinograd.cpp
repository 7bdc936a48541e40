// Convolutions by Winograd's filtering, of rows and of tiles. Disabling direct_tile has them used
// for any size and on any device, disabling winograd_rows leaves tiles, and disabling large_parts
// splits small images for these.
#include "mps/ConvolutionCases.hpp"
#include "mps/WinogradPlan.hpp"
#include "support/Graphs.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/NNConvolutionNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <string_view>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr const char* rows = "direct_tile";
constexpr const char* tiles = "direct_tile,winograd_rows";
constexpr const char* inParts = "direct_tile,winograd_rows,large_parts";

const Case cases[] = {
    {"32 to 32", 2, 8, 8, 32, 32, 3, 3, 1, 1, 1, false, false, same},
    {"17 to 22", 2, 7, 9, 17, 22, 3, 3, 1, 1, 1, false, false, valid},
    {"64 to 48, full", 3, 5, 6, 64, 48, 3, 3, 1, 1, 1, false, false, full},
    {"36 to 16, small", 3, 2, 1, 36, 16, 3, 3, 1, 1, 1, false, false, same},
    {"16 to 72, 13 columns", 2, 3, 13, 16, 72, 3, 3, 1, 1, 1, false, false, same},
    {"32 to 16, 5x5", 2, 8, 8, 32, 16, 5, 5, 1, 1, 1, false, false, same},
    {"18 to 23, 5x5", 2, 7, 9, 18, 23, 5, 5, 1, 1, 1, false, false, valid},
    {"64 to 17, 5x5, full", 3, 5, 2, 64, 17, 5, 5, 1, 1, 1, false, false, full},
};

/// Storages whose products are not those of halves.
std::vector<Variant> storages() {
    auto all = variants();
    all.erase(all.begin() + 1); // halves in buffers
    return all;
}

/// Relative to the largest value: stricter than to the sum of magnitudes.
template <class Reference>
void check(const Passes& got, const Reference& r, const Tensor& x, Variant variant = {}) {
    const double tolerance = std::max(1e-5, variant.tolerance());
    CHECK(reference::compare(got.y, reference::forward(r, x), {tolerance}));
    CHECK(reference::compare(got.dx, reference::dataGradient(r, got.e, x.h, x.w), {tolerance}));
    CHECK(reference::compare(got.dw, reference::weightsGradient(r, got.e, x), {1e-5}));
    CHECK(reference::compare(got.db, reference::biasGradient(got.e), {1e-5}));
}

} // namespace

TEST_CASE("a convolution by Winograd's filtering equals the reference") {
    size_t index = 0;
    for (const char* disabled : {rows, tiles, inParts}) {
        const Environment environment("MPSVK_DISABLE", disabled);
        for (const Case& k : cases)
            for (const Variant variant : storages()) {
                INFO(k.name << ", " << variant.name() << ", without " << disabled);
                auto r = referenceOf(k, 40 + index);
                Kernels kernels(r, k.padding);
                const Tensor x = reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5),
                                                    variant.rounding());
                const Passes got =
                    runPasses(kernels.forward, kernels.gradient, x, variant, index++ % 3 == 1);
                place(r, kernels.forward, got.y);
                check(got, r, x, variant);
            }
    }
}

TEST_CASE("a transposed convolution by Winograd's filtering equals the reference") {
    const std::string_view disabled = GENERATE(rows, inParts);
    const Environment environment("MPSVK_DISABLE", disabled.data());
    for (const auto& [padding, taps] :
         {std::pair(same, 3), {valid, 3}, {full, 3}, {same, 5}, {full, 5}}) {
        INFO(taps << " taps, without " << disabled);
        reference::ConvolutionTranspose r;
        r.inputChannels = 24;
        r.outputChannels = disabled == rows ? 36 : 33;
        r.kernelWidth = r.kernelHeight = size_t(taps);
        fill(r, 8);
        const auto source = sourceOf(r);
        MPS::CNNConvolutionTranspose forward(testDevice(), source);
        MPS::CNNConvolutionTransposeGradient gradient(testDevice(), source);
        forward.setPadding(MPS::NNDefaultPadding::padding(padding));
        const Tensor x =
            reference::rounded(reference::random(2, 9, 6, 24, 5), reference::Storage::Float32);
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

TEST_CASE("a convolution by Winograd's filtering writes and reads parts of images, normalizes and "
          "activates") {
    const Environment environment("MPSVK_DISABLE", GENERATE(rows, inParts));
    for (const Variant variant : storages()) {
        INFO(variant.name());
        auto r = referenceOf({"", 2, 9, 11, 20, 24, 3, 3, 1, 1, 1, false, false, same}, 3);
        const Tensor wide =
            reference::rounded(reference::random(2, 9, 11, 28, 8), variant.rounding());
        const Tensor x = reference::channels(wide, 4, 20);
        auto descriptor = descriptorOf(r);
        std::vector<float> slopes(24);
        std::vector<float> gamma(24), beta(24);
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
        const auto images = upload(wide, variant);
        const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(r));
        for (const bool reloads : {false, true}) {
            if (reloads) {
                fill(r, 9);
                write(state.weights(), r.weights);
                write(state.biases(), r.bias);
            }
            Guarded y(2, 12, 10, 36, variant);
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
            CHECK(reference::compare(y.read(), expected,
                                     {std::max(1e-5, variant.tolerance()) * 20 / Guarded::poison}));
        }
    }
}

TEST_CASE("Winograd's filtering reads what was loaded last") {
    const Environment environment("MPSVK_DISABLE", GENERATE(rows, tiles));
    auto first = referenceOf({"", 1, 6, 6, 32, 16, 3, 3, 1, 1, 1, false, false, same}, 1);
    auto second = first;
    fill(second, 9);
    const Tensor x =
        reference::rounded(reference::random(1, 6, 6, 32, 5), reference::Storage::Float32);
    MPS::CNNConvolution conv(testDevice(), sourceOf(first));
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(second));
    write(state.weights(), second.weights);
    write(state.biases(), second.bias);
    const auto images = upload(x);
    const auto check = [&](MPS::CNNConvolution& kernel, reference::Convolution expected) {
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, images); });
        expected.outputWidth = expected.outputHeight = 6;
        CHECK(reference::compare(download(y), reference::forward(expected, x), {1e-5}));
    };
    const auto reload = [&](MPS::CNNConvolution& kernel) {
        run([&](const MTL::CommandBuffer& commands) {
            kernel.reloadWeightsAndBiases(commands, state);
        });
    };
    auto late = conv;
    check(conv, first);
    auto copied = conv;
    reload(conv);
    check(conv, second);
    conv.reloadWeightsAndBiasesFromDataSource();
    check(conv, first);
    check(copied, first);
    reload(late);
    check(late, second);
}

TEST_CASE("a graph replays Winograd's filtering with the weights that it has") {
    const Environment environment("MPSVK_DISABLE", GENERATE(rows, tiles));
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
        const Tensor x = reference::rounded(reference::random(1 + step % 2, 6, 6, 32, 5 + step),
                                            reference::Storage::Float32);
        CHECK(reference::compare(result(graph, {upload(x)}), reference::forward(r, x), {1e-5}));
    }
}

TEST_CASE("Winograd's filtering is exact to 1e-5 for many channels and many pixels") {
    // A CPU driver takes long to compile the large tiles.
    const Environment environment("MPSVK_DISABLE",
                                  GENERATE(rows, "direct_tile,winograd_rows,large_tile"));
    for (const Case& k :
         {Case{"512 to 16", 1, 8, 8, 512, 16, 3, 3, 1, 1, 1, false, false, same},
          Case{"64 x 64 pixels", 4, 64, 64, 16, 16, 3, 3, 1, 1, 1, false, false, same},
          Case{"64 to 64, 5x5", 1, 8, 8, 64, 64, 5, 5, 1, 1, 1, false, false, same},
          Case{"64 x 64 pixels, 5x5", 4, 64, 64, 16, 16, 5, 5, 1, 1, 1, false, false, same}}) {
        INFO(k.name);
        auto r = referenceOf(k, 40);
        Kernels kernels(r);
        // As behind an activation: errors of sums of one sign are larger.
        Tensor x = reference::rounded(reference::random(k.n, k.h, k.w, k.ci, 5),
                                      reference::Storage::Float32);
        for (double& value : x.v) value = std::max(value, 0.0);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("the parts of Winograd's products fit and cover the images") {
    for (const uint32_t taps : {3, 5})
        for (const uint64_t images : {1, 3, 64})
            for (const uint64_t side : {1, 7, 56, 1024})
                for (const uint64_t channels : {16, 100, 512}) {
                    INFO(taps << " taps, " << images << " images of " << side << ", " << channels
                              << " channels");
                    const mps::WinogradShape shape{.taps = taps,
                                                   .images = images,
                                                   .width = side,
                                                   .height = side,
                                                   .channels = channels,
                                                   .resultChannels = 64};
                    const auto parts = mps::winogradParts(shape);
                    const uint64_t rows = (side + 3) / 4;
                    const uint64_t bytes = parts.images * parts.tileRows * rows *
                                           (taps == 3 ? 36 : 64) * 4 *
                                           ((channels + 15) / 16 * 16 + 64);
                    CHECK(parts.images >= 1);
                    CHECK(parts.images <= images);
                    CHECK(parts.tileRows >= 1);
                    CHECK(parts.tileRows <= rows);
                    CHECK((parts.images == 1 || parts.tileRows == rows));
                    CHECK(bytes <= mps::winogradPartBytes);
                }
}

TEST_CASE("Winograd's products are for many channels and large batches") {
    const vk::Processor on{vk::Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, false};
    const auto isFaster = [&](const mps::WinogradShape& shape) {
        return mps::winogradTime(on, shape, mps::winogradParts(shape)) < mps::directTime(on, shape);
    };
    for (const uint64_t channels : {64, 128, 256, 512}) {
        const mps::WinogradShape shape{3, 64, 3584 / channels, 3584 / channels, channels, channels};
        CHECK(isFaster(shape));
        const double gradient = mps::winogradGradientTime(on, shape, mps::winogradParts(shape));
        CHECK((gradient < mps::directTime(on, shape)) == (channels > 64));
    }
    CHECK(!isFaster({3, 1, 7, 7, 512, 512}));
    CHECK(!isFaster({3, 64, 224, 224, 16, 16}));
    CHECK(!isFaster({3, 64, 2, 2, 256, 256}));
    CHECK(isFaster({5, 64, 28, 28, 64, 64}));
    CHECK(!isFaster({5, 128, 14, 14, 32, 64}));
    CHECK(!isFaster({5, 1, 14, 14, 32, 64}));
}
