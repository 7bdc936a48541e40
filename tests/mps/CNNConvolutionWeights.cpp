#include "mps/ConvolutionKernels.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/vulkan.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// Weights of any element type, as their data source has them.
class EncodedWeights : public FixedWeights {
public:
    EncodedWeights(const reference::Convolution& r, MPS::DataType type,
                   std::vector<std::byte> bytes)
        : FixedWeights(descriptorOf(r), {}, r.bias, MPS::DataType::Float16), type_(type),
          bytes_(std::move(bytes)) {}
    MPS::DataType dataType() const override { return type_; }
    std::span<const std::byte> weights() const override { return bytes_; }
    std::span<const float> rangesForUInt8Kernel() const override { return ranges; }
    std::span<const float> lookupTableForUInt8Kernel() const override { return table; }
    std::vector<float> ranges, table;

private:
    MPS::DataType type_;
    std::vector<std::byte> bytes_;
};

MPS::CNNConvolutionWeightsAndBiasesState exported(const MPS::CNNConvolution& conv) {
    MPS::CNNConvolutionWeightsAndBiasesState state;
    run([&](const MTL::CommandBuffer& commands) {
        state = conv.exportWeightsAndBiases(commands, false);
    });
    return state;
}

std::vector<double> half(std::vector<double> values) {
    return reference::rounded(std::move(values), reference::Storage::Float16);
}

} // namespace

TEST_CASE("fused neuron, batch normalization and sub-pixel rearrangement") {
    const auto k = squareConvolution(5, 12, 3);
    const Tensor x =
        reference::rounded(reference::random(2, 5, 6, 5, 4), reference::Storage::Float32);
    const auto forward = [&](const MPS::CNNConvolutionDescriptor& d, reference::Convolution r) {
        const auto source = std::make_shared<FixedWeights>(d, r.weights, r.bias);
        MPS::CNNConvolution conv(testDevice(), source);
        conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = conv.encodeBatch(commands, upload(x)); });
        r.outputWidth = y[0].width();
        r.outputHeight = y[0].height();
        r.offsetX = conv.offset().x;
        r.offsetY = conv.offset().y;
        CHECK(reference::compare(download(y), reference::forward(r, x), {1e-5}));
    };
    SECTION("neuron") {
        auto d = descriptorOf(k);
        auto r = k;
        d.setNeuronType(MPS::CNNNeuronType::Sigmoid, 0, 0);
        r.neuron.type = reference::NeuronType::Sigmoid;
        forward(d, r);
    }
    SECTION("slopes per channel") {
        auto d = descriptorOf(k);
        auto r = k;
        std::vector<float> slopes;
        for (int i = 0; i < 12; ++i) slopes.push_back(0.05f * float(i));
        d.setNeuronToPReLU(slopes);
        r.neuron.type = reference::NeuronType::PReLU;
        r.neuron.slopes.assign(slopes.begin(), slopes.end());
        forward(d, r);
    }
    SECTION("batch normalization") {
        auto d = descriptorOf(k);
        auto r = k;
        const std::vector<float> mean(12, 0.25f), variance(12, 2), gamma(12, 1.5f), beta(12, -0.5f);
        d.setBatchNormalizationParametersForInference(mean, variance, gamma, beta, 1e-3f);
        r.normalization = reference::FusedBatchNormalization{{mean.begin(), mean.end()},
                                                             {variance.begin(), variance.end()},
                                                             {gamma.begin(), gamma.end()},
                                                             {beta.begin(), beta.end()},
                                                             1e-3f};
        forward(d, r);
    }
    SECTION("sub-pixel") {
        for (const size_t groups : {1, 2}) {
            auto r = squareConvolution(6, groups == 1 ? 12 : 16, 3, 2, groups);
            MPS::CNNSubPixelConvolutionDescriptor d(3, 3, 6, r.outputChannels);
            d.setStrideInPixelsX(2);
            d.setStrideInPixelsY(2);
            d.setGroups(groups);
            d.setSubPixelScaleFactor(2);
            r.subPixelScale = 2;
            const Tensor six =
                reference::rounded(reference::random(2, 5, 6, 6, 4), reference::Storage::Float32);
            MPS::CNNConvolution conv(testDevice(),
                                     std::make_shared<FixedWeights>(d, r.weights, r.bias));
            CHECK(conv.subPixelScaleFactor() == 2);
            conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            // Part of the last block of pixels is cut off.
            Guarded cut(2, 6, 7, 4);
            conv.setClipRect(MTL::RegionMake2D(1, 1, 5, 3));
            conv.setOffset({1, 0, 0});
            run([&](const MTL::CommandBuffer& commands) {
                conv.encodeBatch(commands, upload(six), cut.images());
            });
            r.offsetX = 1;
            r.outputWidth = 5;
            r.outputHeight = 3;
            Tensor expected(2, 6, 7, 4, Guarded::poison);
            Tensor y = reference::forward(r, six);
            if (y.c < 4)
                y = [&] { // channels beyond the result are not written, lanes are zeroed
                    Tensor padded(y.n, y.h, y.w, 4);
                    reference::paste(padded, {}, 0, y);
                    return padded;
                }();
            reference::paste(expected, {1, 1, 5, 3}, 0, y);
            CHECK(reference::compare(cut.read(), expected, {1e-5 / Guarded::poison * 12}));
            MPS::CNNConvolution whole(testDevice(),
                                      std::make_shared<FixedWeights>(d, r.weights, r.bias));
            const auto descriptor = whole.destinationImageDescriptor(upload(Tensor(1, 5, 6, 6)));
            CHECK(descriptor.width() == 6);
            CHECK(descriptor.height() == 6);
            CHECK(descriptor.featureChannels() == r.outputChannels / 4);
            CHECK(refusal([&] {
                      whole.resultState(upload(Tensor(1, 5, 6, 6))[0], {},
                                        upload(Tensor(1, 6, 6, 4))[0]);
                  }).find("sub-pixel convolution, which has no gradient") != std::string::npos);
            CHECK(refusal([&] {
                      MPS::CNNConvolutionGradient gradient(
                          testDevice(), std::make_shared<FixedWeights>(d, r.weights, r.bias));
                  }).find("subPixelScaleFactor is 2") != std::string::npos);
        }
    }
}

TEST_CASE("a folded batch normalization is rounded with the weights") {
    auto r = squareConvolution(5, 6, 2);
    auto d = descriptorOf(r);
    const std::vector<float> variance{1, 2, 3, 4, 5, 6}, gamma{2, -1, 1, 3, .5f, 1};
    d.setBatchNormalizationParametersForInference({}, variance, gamma, {}, 0);
    const MPS::CNNConvolution conv(
        testDevice(), std::make_shared<FixedWeights>(d, r.weights, r.bias, MPS::DataType::Float16));
    std::vector<double> expected = r.weights;
    const size_t perOutput = expected.size() / 6;
    for (size_t i = 0; i < expected.size(); ++i) {
        const size_t o = i / perOutput;
        expected[i] = float(float(expected[i]) * (gamma[o] / std::sqrt(variance[o])));
    }
    CHECK(contents(exported(conv).weights()) == half(expected));
}

TEST_CASE("weights are rounded to 16 bits unless the data source keeps 32") {
    for (const size_t groups : {1, 2, 4}) { // 4: depthwise
        const auto r = squareConvolution(4, groups == 4 ? 4 : 6, 3, 1, groups);
        const MPS::CNNConvolution rounded(testDevice(), sourceOf(r, MPS::DataType::Float16));
        CHECK(contents(exported(rounded).weights()) == half(r.weights));
        CHECK(contents(exported(rounded).biases()) == r.bias);
        const MPS::CNNConvolution kept(testDevice(), sourceOf(r));
        CHECK(contents(exported(kept).weights()) == r.weights);
    }
}

TEST_CASE("16-bit and quantized weights are decoded") {
    auto r = squareConvolution(3, 5, 2);
    const size_t count = r.weights.size(), perOutput = count / 5;
    SECTION("Float16") {
        // Bits of 1 + i / 1024 and their negatives, in turn.
        std::vector<std::byte> bytes;
        std::vector<double> expected;
        for (size_t i = 0; i < count; ++i) {
            const auto bits = uint16_t(0x3c00 + i + (i % 2 ? 0x8000 : 0));
            bytes.push_back(std::byte(bits & 255));
            bytes.push_back(std::byte(bits >> 8));
            expected.push_back((1 + double(i) / 1024) * (i % 2 ? -1 : 1));
        }
        const MPS::CNNConvolution conv(
            testDevice(), std::make_shared<EncodedWeights>(r, MPS::DataType::Float16, bytes));
        CHECK(contents(exported(conv).weights()) == expected);
        conforms("CNNConvolutionDataSource", Aspect::State);
    }
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < count; ++i) bytes.push_back(std::byte((37 * i + 11) % 256));
    const auto source = std::make_shared<EncodedWeights>(r, MPS::DataType::UInt8, bytes);
    std::vector<double> expected;
    SECTION("UInt8 with a range per output channel") {
        for (size_t o = 0; o < 5; ++o) {
            source->ranges.push_back(-1 - float(o));
            source->ranges.push_back(2 + float(o));
        }
        for (size_t i = 0; i < count; ++i) {
            const size_t o = i / perOutput;
            expected.push_back(float(bytes[i]) / 255 * (3 + 2 * double(o)) - 1 - double(o));
        }
        CHECK(source->weightsQuantizationType() == MPS::CNNWeightsQuantizationType::Linear);
        const MPS::CNNConvolution conv(testDevice(), source);
        CHECK(reference::compare(contents(exported(conv).weights()), expected, {5e-4}));
    }
    SECTION("UInt8 with a table") {
        for (size_t i = 0; i < 256; ++i) source->table.push_back(float(i * i) / 256 - 3);
        for (size_t i = 0; i < count; ++i) expected.push_back(source->table[size_t(bytes[i])]);
        CHECK(source->weightsQuantizationType() == MPS::CNNWeightsQuantizationType::LookupTable);
        const MPS::CNNConvolution conv(testDevice(), source);
        CHECK(contents(exported(conv).weights()) == half(expected));
    }
    SECTION("UInt8 with neither, or kept as 32 bits") {
        CHECK(refusal([&] { MPS::CNNConvolution conv(testDevice(), source); })
                  .find("need a lookup table of 256 entries (there are 0) or ranges with 10 (there "
                        "are 0)") != std::string::npos);
        source->kernelType = MPS::DataType::Float32;
        CHECK(refusal([&] {
                  MPS::CNNConvolution conv(testDevice(), source);
              }).find("kernelWeightsDataType is Float32 but its weights are UInt8.") !=
              std::string::npos);
    }
}

TEST_CASE("weights are reloaded in the order of the command buffer") {
    auto r = squareConvolution(8, 16, 3), r2 = r;
    fill(r2, 50);
    const auto source = sourceOf(r);
    const Tensor x =
        reference::rounded(reference::random(2, 7, 9, 8, 5), reference::Storage::Float32);
    MPS::CNNConvolution conv(testDevice(), source);
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MPS::CNNConvolution copied = conv;
    const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(r));
    write(state.weights(), r2.weights);
    write(state.biases(), r2.bias);
    MPS::ImageBatch before, after, ofCopy;
    const auto images = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        before = conv.encodeBatch(commands, images);
        conv.reloadWeightsAndBiases(commands, state);
        after = conv.encodeBatch(commands, images);
        MPS::CNNConvolution mutableCopy = copied;
        ofCopy = mutableCopy.encodeBatch(commands, images);
    });
    for (auto* reference : {&r, &r2}) reference->outputWidth = 9, reference->outputHeight = 7;
    CHECK(reference::compare(download(before), reference::forward(r, x), {1e-5}));
    CHECK(reference::compare(download(after), reference::forward(r2, x), {1e-5}));
    CHECK(download(ofCopy).v == download(before).v);
    conv.reloadWeightsAndBiasesFromDataSource();
    run([&](const MTL::CommandBuffer& commands) { after = conv.encodeBatch(commands, images); });
    CHECK(download(after).v == download(before).v);
    CHECK(source->loads == source->purges);
    // A copy has what the kernel has, not what the source has.
    run([&](const MTL::CommandBuffer& commands) { conv.reloadWeightsAndBiases(commands, state); });
    MPS::CNNConvolution moved = conv.copy(testDevice());
    run([&](const MTL::CommandBuffer& commands) { after = moved.encodeBatch(commands, images); });
    CHECK(reference::compare(download(after), reference::forward(r2, x), {1e-5}));
}

TEST_CASE("any kernel of a convolution reads what was loaded last") {
    // Formats, storages and edges choose kernels, which read copies of the weights of their own.
    struct Use {
        Variant variant;
        bool clamp;
    };
    std::vector<Use> uses;
    for (const Variant& variant : variants())
        for (const bool clamp : {false, true}) uses.push_back({variant, clamp});
    for (const auto& first : {squareConvolution(8, 8, 3, 1, 4), squareConvolution(16, 64, 3),
                              squareConvolution(3, 64, 3)}) {
        auto second = first;
        fill(second, 60);
        const Tensor x = reference::rounded(reference::random(1, 9, 8, first.inputChannels, 6),
                                            reference::Storage::Float16);
        for (size_t i = 0; i < uses.size(); ++i) {
            MPS::CNNConvolution conv(testDevice(), sourceOf(first, MPS::DataType::Float16));
            conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            const auto check = [&](const Use& use, reference::Convolution expected) {
                INFO(first.inputChannels << " channels, " << use.variant.name()
                                         << (use.clamp ? ", clamped" : ""));
                conv.setEdgeMode(use.clamp ? MPS::ImageEdgeMode::Clamp : MPS::ImageEdgeMode::Zero);
                MPS::ImageBatch made;
                const auto images = upload(x, use.variant);
                run([&](const MTL::CommandBuffer& commands) {
                    made = conv.encodeBatch(commands, images);
                });
                expected.edge = use.clamp ? reference::EdgeMode::Clamp : reference::EdgeMode::Zero;
                expected.weights = half(expected.weights);
                expected.outputWidth = 8;
                expected.outputHeight = 9;
                CHECK(reference::compare(download(made), reference::forward(expected, x),
                                         {use.variant.tolerance()}));
                CHECK(contents(exported(conv).weights()) == expected.weights);
            };
            check(uses[i], first);
            const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(),
                                                                 descriptorOf(second));
            write(state.weights(), second.weights);
            write(state.biases(), second.bias);
            run([&](const MTL::CommandBuffer& commands) {
                conv.reloadWeightsAndBiases(commands, state);
            });
            check(uses[i], second);
            check(uses[(i + 1) % uses.size()], second);
            check(uses[(i + 3) % uses.size()], second);
        }
    }
}

TEST_CASE("commands that are never committed, or later, change no weights") {
    const auto text = [](const Variant& variant, const char* disabled) {
        return variant.name() + ", without " + disabled;
    };
    // Without direct_tile kernels read copies of the weights that a CPU has no use for.
    for (const char* disabled : {"none", "direct_tile"}) {
        const Environment environment("MPSVK_DISABLE", disabled);
        for (const auto& first : {squareConvolution(8, 8, 3, 1, 4), squareConvolution(16, 64, 3),
                                  squareConvolution(64, 64, 3)})
            for (const Variant variant : variants()) {
                INFO(first.inputChannels << " channels, " << text(variant, disabled));
                auto second = first;
                fill(second, 60);
                const Tensor x = reference::rounded(
                    reference::random(1, 9, 8, first.inputChannels, 6), variant.rounding());
                const auto kept = keptWeights(second, variant);
                auto source = first;
                keptWeights(source, variant);
                const auto images = upload(x, variant);
                MPS::CNNConvolution conv(testDevice(), sourceOf(first, kept));
                conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
                const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(),
                                                                     descriptorOf(first));
                write(state.weights(), second.weights);
                write(state.biases(), second.bias);
                const auto check = [&](const MPS::ImageBatch& made, reference::Convolution r) {
                    r.outputWidth = 8;
                    r.outputHeight = 9;
                    CHECK(reference::compare(download(made), reference::forward(r, x),
                                             {std::max(1e-5, variant.tolerance())}));
                };
                const auto encoded = [&](bool reloads) {
                    MPS::ImageBatch made;
                    run([&](const MTL::CommandBuffer& commands) {
                        if (reloads) conv.reloadWeightsAndBiases(commands, state);
                        made = conv.encodeBatch(commands, images);
                    });
                    return made;
                };
                {
                    MTL::CommandBuffer dropped = testQueue().commandBuffer();
                    conv.reloadWeightsAndBiases(dropped, state);
                    conv.encodeBatch(dropped, images);
                    check(encoded(false), source); // while they may still be committed
                    check(encoded(true), second);
                    check(encoded(false), second);
                    conv.reloadWeightsAndBiasesFromDataSource();
                }
                check(encoded(false), source);
                check(encoded(true), second);
                check(encoded(false), second);
            }
    }
}

TEST_CASE("a fully connected layer makes its other layout once, or where weights are loaded") {
    const Variant texture = variants().back();
    auto r = squareConvolution(4, 8, 2);
    auto second = r;
    fill(second, 60);
    const auto kept = keptWeights(r, texture);
    keptWeights(second, texture);
    const Tensor x = reference::rounded(reference::random(1, 2, 2, 8, 5), texture.rounding());
    Tensor read(1, 2, 2, 4);
    for (size_t p = 0; p < 4; ++p)
        for (size_t c = 0; c < 4; ++c) read.v[4 * p + c] = x.v[8 * p + c];
    const auto images = upload(x, texture); // with more channels than are read: not flat
    MPS::CNNFullyConnected fc(testDevice(), sourceOf(r, kept));
    fc.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const MPS::CNNConvolutionWeightsAndBiasesState state(testDevice(), descriptorOf(r));
    write(state.weights(), second.weights);
    write(state.biases(), second.bias);
    const auto check = [&](const MPS::ImageBatch& made, reference::Convolution expected) {
        expected.outputWidth = expected.outputHeight = 1;
        expected.offsetX = expected.offsetY = 1;
        CHECK(reference::compare(download(made), reference::forward(expected, read),
                                 {std::max(1e-5, texture.tolerance())}));
    };
    MTL::CommandBuffer dropped = testQueue().commandBuffer();
    MTL::CommandBuffer last = testQueue().commandBuffer();
    SECTION("without a reload") {}
    SECTION("with a reload") { fc.reloadWeightsAndBiases(dropped, state); }
    fc.encodeBatch(dropped, images);
    const auto late = fc.encodeBatch(last, images);
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) { made = fc.encodeBatch(commands, images); });
    check(made, r);
    last.commit();
    last.waitUntilCompleted();
    check(late, r);
    MPS::ImageBatch again;
    run([&](const MTL::CommandBuffer& commands) {
        fc.reloadWeightsAndBiases(commands, state);
        made = fc.encodeBatch(commands, images);
        again = fc.encodeBatch(commands, images);
    });
    check(made, second);
    check(again, second);
}

TEST_CASE("a reload without biases that is dropped leaves them") {
    const auto r = squareConvolution(4, 4, 1);
    MPS::CNNConvolution conv(testDevice(), sourceOf(r));
    conv.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto images = upload(Tensor(1, 1, 1, 4));
    {
        MTL::CommandBuffer dropped = testQueue().commandBuffer();
        conv.reloadWeightsAndBiases(
            dropped, MPS::CNNConvolutionWeightsAndBiasesState(testDevice().newBuffer(64), {}));
    }
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) { made = conv.encodeBatch(commands, images); });
    CHECK(download(made).v == r.bias);
}

TEST_CASE("what states of weights are refused for") {
    const auto r = squareConvolution(4, 4, 1);
    const auto d = descriptorOf(r);
    const auto device = testDevice();
    const auto contains = [](const std::string& text, const char* part) {
        INFO(text);
        CHECK(text.find(part) != std::string::npos);
    };
    MPS::CNNConvolution conv(device, sourceOf(r));
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    // Buffers may be larger than needed, but not what was made for another descriptor.
    conv.reloadWeightsAndBiases(commands, MPS::CNNConvolutionWeightsAndBiasesState(
                                              device.newBuffer(128), device.newBuffer(32)));
    const MPS::CNNConvolutionWeightsAndBiasesState other(device,
                                                         descriptorOf(squareConvolution(4, 8, 3)));
    contains(refusal([&] { conv.reloadWeightsAndBiases(commands, other); }),
             "holds 1152 bytes of weights and 32 of biases but the kernel has 64 and 16.");
    contains(refusal([&] {
                 MPS::CNNConvolutionWeightsAndBiasesState(device.newBuffer(64), UINT64_MAX - 3,
                                                          device.newBuffer(16), 0, d);
             }),
             "weights needs 64 bytes from offset 18446744073709551612 but its buffer has 64.");
    const auto elsewhere = vulkan::adoptDevice(vulkan::handles(device));
    contains(refusal([&] {
                 MPS::CNNConvolutionWeightsAndBiasesState(device.newBuffer(64),
                                                          elsewhere.newBuffer(16));
             }),
             "but biases to another one");
    MTL::CommandBuffer others = elsewhere.newCommandQueue().commandBuffer();
    contains(refusal([&] {
                 conv.reloadWeightsAndBiases(
                     others, MPS::CNNConvolutionWeightsAndBiasesState(elsewhere, d));
             }),
             "but the kernel to another one");
    contains(refusal([&] { conv.exportWeightsAndBiases(others, false); }),
             "but the kernel to another one");
}

TEST_CASE("weights and biases in parts of buffers, and without biases") {
    const auto r = squareConvolution(3, 4, 2), other = [] {
        auto made = squareConvolution(3, 4, 2);
        fill(made, 70);
        return made;
    }();
    const auto device = testDevice();
    const auto d = descriptorOf(r);
    const uint64_t bytes = r.weights.size() * sizeof(float);
    MPS::CNNConvolution conv(device, sourceOf(r));
    MPS::CNNConvolutionGradient gradient(device, sourceOf(r));
    // Both in one buffer, with something before, between and after.
    const auto shared = device.newBuffer(8 + bytes + 12 + 16 + 4);
    write(shared, std::vector<double>(shared.length() / 4, 99));
    write(shared, other.weights, 8);
    write(shared, other.bias, 8 + bytes + 12);
    const MPS::CNNConvolutionWeightsAndBiasesState parts(shared, 8, shared, 8 + bytes + 12, d);
    CHECK(parts.weightsOffset() == 8);
    CHECK(parts.biasesOffset() == 8 + bytes + 12);
    run([&](const MTL::CommandBuffer& commands) {
        conv.reloadWeightsAndBiases(commands, parts);
        gradient.reloadWeightsAndBiases(commands, parts);
    });
    CHECK(contents(exported(conv).weights()) == other.weights);
    CHECK(contents(exported(conv).biases()) == other.bias);
    auto placed = other;
    placed.outputWidth = 4;
    placed.outputHeight = 3;
    const Tensor x =
        reference::rounded(reference::random(1, 3, 4, 3, 5), reference::Storage::Float32);
    checkPasses(runPasses(conv, gradient, x), placed, x);
    conforms("CNNConvolutionWeightsAndBiasesState", Aspect::State);
    // No biases: they are 0 from then on.
    const auto weights = device.newBuffer(bytes);
    write(weights, r.weights);
    const MPS::CNNConvolutionWeightsAndBiasesState bare(weights, MTL::Buffer());
    CHECK(!bare.biases());
    run([&](const MTL::CommandBuffer& commands) { conv.reloadWeightsAndBiases(commands, bare); });
    CHECK(contents(exported(conv).weights()) == r.weights);
    CHECK(contents(exported(conv).biases()) == std::vector<double>(4));
    const auto text = [&](uint64_t weightsOffset, uint64_t biasesOffset) {
        return refusal([&] {
            MPS::CNNConvolutionWeightsAndBiasesState(shared, weightsOffset, shared, biasesOffset,
                                                     d);
        });
    };
    CHECK(text(6, 8).find("weightsOffset is 6 but must be a multiple of 4") != std::string::npos);
    CHECK(text(8, shared.length() - 8).find("biases needs 16 bytes from offset") !=
          std::string::npos);
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const MPS::CNNConvolutionWeightsAndBiasesState small(device.newBuffer(bytes - 4),
                                                         MTL::Buffer());
    CHECK(refusal([&] {
              conv.reloadWeightsAndBiases(commands, small);
          }).find("holds " + std::to_string(bytes - 4) + " bytes of weights") != std::string::npos);
}

TEST_CASE("what a purge throws comes out unless the weights were refused before it") {
    const auto r = squareConvolution(4, 4, 1);
    const auto source = std::make_shared<FailingPurge>(descriptorOf(r), r.weights, r.bias);
    const auto thrown = [&] {
        return sentence<std::runtime_error>([&] { MPS::CNNConvolution(testDevice(), source); });
    };
    CHECK(thrown() == "purge failed");
    source->purges = 0;
    source->quiet = 1; // of the load that asks for the descriptor
    CHECK(thrown() == "purge failed");
    CHECK(source->purges == 2);
    source->purges = 0;
    source->weightValues.pop_back();
    CHECK(refusal([&] { MPS::CNNConvolution(testDevice(), source); }) ==
          "[CNNConvolution \"test weights\"] The data source has 60 bytes of weights but its "
          "descriptor asks for 64.");
    CHECK(source->purges == 2);
}
