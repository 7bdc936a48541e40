// What goes into an archive comes out of it; what is no archive is refused.
#include "support/Images.hpp"
#include "support/Sentence.hpp"
#include "support/Weights.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Handle : MPS::SecureCoding {
    explicit Handle(std::string name) : name(std::move(name)) {}
    std::string className() const override { return "test handle"; }
    void encode(MPS::KeyedArchiver& coder) const override { coder.encode(name, "name"); }
    std::string name;
};

/// Two of them may share one handle.
struct Pair : MPS::SecureCoding {
    std::string className() const override { return "test pair"; }
    void encode(MPS::KeyedArchiver& coder) const override {
        coder.encode(-3, "small");
        coder.encode(UINT64_MAX, "large");
        coder.encode(0.1, "real");
        coder.encodeBytes(std::as_bytes(std::span("abc", 3)), "bytes");
        coder.encode(first, "first");
        coder.encode(second, "second");
    }
    std::shared_ptr<Handle> first, second;
};

std::shared_ptr<Pair> pairFrom(MPS::KeyedUnarchiver& coder) {
    auto made = std::make_shared<Pair>();
    CHECK(coder.decodeInt64("small") == -3);
    CHECK(uint64_t(coder.decodeInt64("large")) == UINT64_MAX);
    CHECK(coder.decodeDouble("real") == 0.1);
    CHECK(coder.decodeBytes("bytes").size() == 3);
    CHECK_FALSE(coder.containsValue("third"));
    made->first = coder.decodeObject<Handle>("first");
    made->second = coder.decodeObject<Handle>("second");
    return made;
}

void registerClasses() {
    MPS::KeyedUnarchiver::setClass(
        [](MPS::KeyedUnarchiver& coder) {
            return std::make_shared<Handle>(coder.decodeString("name"));
        },
        "test handle");
    MPS::KeyedUnarchiver::setClass(pairFrom, "test pair");
}

/// A data source that archives itself.
class CodedWeights : public FixedWeights, public MPS::SecureCoding {
public:
    using FixedWeights::FixedWeights;
    std::string className() const override { return "test coded weights"; }
    void encode(MPS::KeyedArchiver& coder) const override { coder.encode(biases[0], "bias"); }
};

/// One that archives its kernelWidth, and sees how much of the device is taken when it is asked for
/// its weights.
class WatchfulWeights : public FixedWeights, public MPS::SecureCoding {
public:
    using FixedWeights::FixedWeights;
    std::string className() const override { return "test watchful weights"; }
    void encode(MPS::KeyedArchiver& coder) const override {
        coder.encode(descriptor().kernelWidth(), "kernelWidth");
    }
    std::span<const std::byte> weights() const override {
        taken = testDevice().currentAllocatedSize();
        return FixedWeights::weights();
    }
    mutable uint64_t taken = 0;
};

template <class Kernel> Kernel again(const Kernel& kernel) {
    return MPS::KeyedUnarchiver::unarchivedObject<Kernel>(MPS::KeyedArchiver::archivedData(kernel),
                                                          testDevice());
}

std::vector<std::byte> bytesOf(std::string_view text) {
    const auto all = std::as_bytes(std::span(text));
    return {all.begin(), all.end()};
}

/// The archive with other bytes in the place of the one after the key.
std::vector<std::byte> altered(std::vector<std::byte> archive, std::string_view key,
                               std::string_view value) {
    const auto at = std::ranges::search(archive, bytesOf(key)).end();
    REQUIRE(at != archive.end());
    const auto bytes = bytesOf(value);
    archive.insert(archive.erase(at), bytes.begin(), bytes.end());
    return archive;
}

} // namespace

TEST_CASE("values and objects come out of an archive as they went in, shared ones shared") {
    registerClasses();
    Pair pair;
    pair.first = pair.second = std::make_shared<Handle>("Größe");
    const auto made = MPS::KeyedUnarchiver::unarchivedObject<Pair>(
        MPS::KeyedArchiver::archivedData(pair), testDevice());
    CHECK(made->first->name == "Größe");
    CHECK(made->first == made->second);
    pair.second = std::make_shared<Handle>("other");
    pair.first = nullptr;
    const auto other = MPS::KeyedUnarchiver::unarchivedObject<Pair>(
        MPS::KeyedArchiver::archivedData(std::make_shared<Pair>(pair)), testDevice());
    CHECK(other->first == nullptr);
    CHECK(other->second->name == "other");
}

TEST_CASE("a kernel comes back with all of its properties") {
    MPS::CNNPoolingAverage pool(testDevice(), 3, 2, 2, 1);
    pool.setLabel("pool1");
    pool.setOffset({-1, 2, 3});
    pool.setClipRect({{1, 2, 0}, {3, 4, 1}});
    pool.setSourceFeatureChannelOffset(4);
    pool.setDestinationFeatureChannelOffset(8);
    pool.setEdgeMode(MPS::ImageEdgeMode::Clamp);
    pool.setZeroPadSizeX(5);
    pool.setOptions(MPS::KernelOptions::AllowReducedPrecision);
    pool.setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeFull));
    pool.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto made = again(pool);
    CHECK(made.label() == "pool1");
    CHECK(made.offset() == MPS::Offset{-1, 2, 3});
    CHECK(made.clipRect() == pool.clipRect());
    CHECK(made.kernelWidth() == 3);
    CHECK(made.kernelHeight() == 2);
    CHECK(made.strideInPixelsX() == 2);
    CHECK(made.sourceFeatureChannelOffset() == 4);
    CHECK(made.sourceFeatureChannelMaxCount() == UINT64_MAX);
    CHECK(made.destinationFeatureChannelOffset() == 8);
    CHECK(made.edgeMode() == MPS::ImageEdgeMode::Clamp);
    CHECK(made.zeroPadSizeX() == 5);
    CHECK(made.options() == MPS::KernelOptions::AllowReducedPrecision);
    CHECK(made.padding()->paddingMethod() == MPS::NNPaddingMethod::SizeFull);
    CHECK(made.destinationImageAllocator() == MPS::Image::defaultAllocator());
    CHECK(made.debugDescription() == pool.debugDescription());
    CHECK_THAT(made.debugDescription(), ContainsSubstring("CNNPoolingAverage: label \"pool1\""));
    CHECK_THAT(made.debugDescription(), ContainsSubstring("zeroPadSizeX 5"));
}

TEST_CASE("a convolution is archived with its data source, or else with its weights") {
    MPS::CNNConvolutionDescriptor d(3, 3, 4, 8);
    d.setFusedNeuronDescriptor(MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1.5f, 0.5f));
    d.setBatchNormalizationParametersForInference({}, std::vector<float>(8, 2.f), {}, {}, 1e-3f);
    const auto values = reference::randomVector(3 * 3 * 4 * 8, 1);
    const auto biases = reference::randomVector(8, 2);
    const auto x = upload(reference::random(2, 5, 6, 4, 3));
    const auto resultOf = [&](MPS::CNNConvolution& kernel) {
        kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, x); });
        return download(y).v;
    };
    for (const auto type : {MPS::DataType::Float32, MPS::DataType::Float16}) {
        MPS::CNNConvolution byValue(testDevice(),
                                    std::make_shared<FixedWeights>(d, values, biases, type));
        auto made = again(byValue);
        CHECK(resultOf(made) == resultOf(byValue));
        CHECK(made.dataSource()->kernelWeightsDataType() == type);
    }
    MPS::KeyedUnarchiver::setClass(
        [&](MPS::KeyedUnarchiver& coder) {
            CHECK(float(coder.decodeDouble("bias")) == float(biases[0]));
            return std::make_shared<CodedWeights>(d, values, biases);
        },
        "test coded weights");
    MPS::CNNConvolution coded(testDevice(), std::make_shared<CodedWeights>(d, values, biases));
    auto made = again(coded);
    CHECK(resultOf(made) == resultOf(coded));
    CHECK(dynamic_cast<const CodedWeights*>(made.dataSource().get()));
    const auto descriptor = MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNConvolutionDescriptor>(
        MPS::KeyedArchiver::archivedData(d));
    CHECK(descriptor.batchNormalizationForInference()->variance[7] == 2.f);
    CHECK(descriptor.fusedNeuronDescriptor().a() == 1.5f);
}

TEST_CASE("dropouts and optimizers go on where they were archived") {
    MPS::CNNDropout dropout(testDevice(), 0.5f, 7, {1, 1, 1});
    dropout.setEncodeCount(41);
    CHECK(again(dropout).encodeCount() == 41);
    MPS::NNOptimizerAdam adam(testDevice(), 0.8, 0.99, 1e-6f, 12, {});
    adam.setLearningRate(0.25f);
    const auto made = again(adam);
    CHECK(made.timeStep() == 12);
    CHECK(made.beta1() == 0.8);
    CHECK(made.learningRate() == 0.25f);
}

TEST_CASE("what is no archive, or not of the class asked for, is refused with a sentence") {
    registerClasses();
    const auto pool =
        MPS::KeyedArchiver::archivedData(MPS::CNNPoolingMax(testDevice(), 2, 2, 2, 2));
    const auto refused = [&]<class T>(T*, std::span<const std::byte> bytes) {
        return sentence<FormatError>(
            [&] { MPS::KeyedUnarchiver::unarchivedObject<T>(bytes, testDevice()); });
    };
    MPS::CNNPoolingMax* max = nullptr;
    CHECK(refused(static_cast<MPS::CNNPoolingAverage*>(nullptr), pool) ==
          "[KeyedUnarchiver] The archive holds a CNNPoolingMax but a CNNPoolingAverage was asked "
          "for.");
    CHECK(refused(max, {}) ==
          "[KeyedUnarchiver] The 0 bytes are no archive: at byte 1 they are no CBOR.");
    CHECK_THAT(refused(max, bytesOf("hello, world")),
               ContainsSubstring("The 12 bytes are no archive"));
    for (size_t length = 1; length < pool.size(); ++length)
        CHECK_THROWS_AS(MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMax>(
                            std::span(pool).first(length), testDevice()),
                        FormatError);
    const auto pair = MPS::KeyedArchiver::archivedData(Pair());
    CHECK_THAT(refused(max, pair), ContainsSubstring("The archive holds a test pair"));
    CHECK(refused(static_cast<Handle*>(nullptr), pair) ==
          "[KeyedUnarchiver] In a test pair: The archived object is none of the class asked for.");

    struct Stranger : MPS::NNPadding {
        MPS::NNPaddingMethod paddingMethod() const override {
            return MPS::NNPaddingMethod::SizeSame;
        }
    };
    MPS::CNNPoolingMax custom(testDevice(), 2, 2);
    custom.setPadding(std::make_shared<Stranger>());
    CHECK(sentence<InvalidArgument>([&] { MPS::KeyedArchiver::archivedData(custom); }) ==
          "[KeyedArchiver] The padding policy cannot be archived: its class is not SecureCoding.");
}

TEST_CASE("a damaged archive is refused or gives another kernel, and does nothing else") {
    MPS::CNNPoolingMaxGradient kernel(testDevice(), 3, 2, 2, 1);
    kernel.setLabel("p");
    const auto bytes = MPS::KeyedArchiver::archivedData(kernel);
    size_t refused = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
        for (const int bit : {0, 3, 6, 7}) {
            auto damaged = bytes;
            damaged[i] ^= std::byte(1 << bit);
            try {
                MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMaxGradient>(damaged,
                                                                                   testDevice());
            } catch (const FormatError&) {
                ++refused;
            }
        }
    CHECK(refused > bytes.size());
}

TEST_CASE("bytes that nest without end are no archive") {
    const auto refused = [](std::string_view item, size_t times) {
        std::string text;
        for (size_t i = 0; i < times; ++i) text += item;
        return sentence<FormatError>([&] {
            MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMax>(bytesOf(text), testDevice());
        });
    };
    const auto nested = ContainsSubstring("bytes are no archive: their items are nested too deep");
    CHECK_THAT(refused("\x81", 100000), nested);     // arrays of one item
    CHECK_THAT(refused("\xa1\x60", 100000), nested); // maps of one key
    CHECK_THAT(refused("\x5f", 3000000), nested);    // bytes of open length
}

TEST_CASE("an archive whose version is no text that can be shown is refused with a sentence") {
    const auto pool =
        MPS::KeyedArchiver::archivedData(MPS::CNNPoolingMax(testDevice(), 2, 2, 2, 2));
    CHECK_THAT(sentence<FormatError>([&] {
                   MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMax>(
                       altered(pool, "version", "\x62\xff\xfe"), testDevice());
               }),
               ContainsSubstring("but this library reads 1."));
}

TEST_CASE("an archive that claims a huge convolution is refused before memory is taken for it") {
    const auto values = reference::randomVector(3 * 3 * 4 * 8, 1);
    const auto biases = reference::randomVector(8, 2);
    const auto refused = [&](std::shared_ptr<FixedWeights> source) {
        const auto bytes =
            MPS::KeyedArchiver::archivedData(MPS::CNNConvolution(testDevice(), source));
        const auto wide = altered(bytes, "kernelWidth", std::string_view("\x1a\0\x10\0\x03", 5));
        return sentence<FormatError>([&] {
            MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNConvolution>(wide, testDevice());
        });
    };
    const auto sizes = ContainsSubstring("The data source has 1152 bytes of weights but its "
                                         "descriptor asks for 402654336.");
    const MPS::CNNConvolutionDescriptor d(3, 3, 4, 8);
    CHECK_THAT(refused(std::make_shared<FixedWeights>(d, values, biases)), sizes);

    std::shared_ptr<WatchfulWeights> made;
    uint64_t before = 0;
    MPS::KeyedUnarchiver::setClass(
        [&](MPS::KeyedUnarchiver& coder) {
            const auto width = uint64_t(coder.decodeInt64("kernelWidth"));
            made = std::make_shared<WatchfulWeights>(MPS::CNNConvolutionDescriptor(width, 3, 4, 8),
                                                     values, biases);
            before = testDevice().currentAllocatedSize();
            return made;
        },
        "test watchful weights");
    CHECK_THAT(refused(std::make_shared<WatchfulWeights>(d, values, biases)), sizes);
    REQUIRE(made);
    CHECK(made->taken == before);
    CHECK(testDevice().currentAllocatedSize() <= before);
}
