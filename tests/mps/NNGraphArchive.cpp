// Graphs in archives: what is stored, what comes back, and training that goes on as if never
// stopped.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::Network;
using network::Source;

namespace {

/// Adam on the device, and everything that the next step depends on in the archive.
class CodedSource : public Source, public MPS::SecureCoding {
public:
    CodedSource(uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t seed)
        : Source(size, inputs, outputs, seed), adam(testDevice(), 0.01f) {
        for (const auto& values : {w, b})
            for (auto* vectors : {&momenta, &velocities})
                vectors->push_back(MPS::Vector(
                    testDevice(), MPS::VectorDescriptor(values.size(), MPS::DataType::Float32)));
    }
    explicit CodedSource(MPS::KeyedUnarchiver& coder)
        : CodedSource(uint64_t(coder.decodeInt64("size")), uint64_t(coder.decodeInt64("inputs")),
                      uint64_t(coder.decodeInt64("outputs")), 0) {
        w = floatsOf(coder, "weights");
        b = floatsOf(coder, "biases");
        adam.setTimeStep(uint64_t(coder.decodeInt64("timeStep")));
        for (size_t i = 0; i < 2; ++i) {
            momenta[i].write(floatsOf(coder, "momentum" + std::to_string(i)));
            velocities[i].write(floatsOf(coder, "velocity" + std::to_string(i)));
        }
    }
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
           MPS::CNNConvolutionWeightsAndBiasesState source) override {
        if (!master) master = MPS::CNNConvolutionWeightsAndBiasesState(testDevice(), shape);
        adam.encode(commands, gradient, source, momenta, velocities, master);
        return master;
    }
    std::string className() const override { return "test coded source"; }
    void encode(MPS::KeyedArchiver& coder) const override {
        coder.encode(shape.kernelWidth(), "size");
        coder.encode(shape.inputFeatureChannels(), "inputs");
        coder.encode(shape.outputFeatureChannels(), "outputs");
        encodeFloats(coder, "weights", network::floats(trained()));
        encodeFloats(coder, "biases", network::floats(trainedBias()));
        coder.encode(adam.timeStep(), "timeStep");
        for (size_t i = 0; i < 2; ++i) {
            encodeFloats(coder, "momentum" + std::to_string(i), read(momenta[i]));
            encodeFloats(coder, "velocity" + std::to_string(i), read(velocities[i]));
        }
    }
    static void registerClass() {
        MPS::KeyedUnarchiver::setClass(
            [](MPS::KeyedUnarchiver& coder) { return std::make_shared<CodedSource>(coder); },
            "test coded source");
    }

private:
    static std::vector<float> read(const MPS::Vector& vector) {
        std::vector<float> values(vector.length());
        vector.read(values);
        return values;
    }
    static void encodeFloats(MPS::KeyedArchiver& coder, const std::string& key,
                             const std::vector<float>& values) {
        coder.encodeBytes(std::as_bytes(std::span(values)), key);
    }
    static std::vector<float> floatsOf(MPS::KeyedUnarchiver& coder, const std::string& key) {
        const auto bytes = coder.decodeBytes(key);
        std::vector<float> values(bytes.size() / sizeof(float));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }

    MPS::NNOptimizerAdam adam;
    std::vector<MPS::Vector> momenta, velocities;
};

struct CodedHandle : Named, MPS::SecureCoding {
    using Named::Named;
    std::string className() const override { return "test coded handle"; }
    void encode(MPS::KeyedArchiver& coder) const override { coder.encode(name, "name"); }
};

/// Encodes once; the losses and the gradient.
std::pair<std::vector<double>, std::vector<double>> step(const MPS::NNGraph& graph, int i) {
    const auto labels = lossLabels(network::targets(100 + i));
    const auto dx = result(graph, {upload(network::inputs(200 + i))}, {labels});
    return {lossesOf(labels), dx.v};
}

/// Convolution, dropout, tanh, pooling and fully connected with a loss, on coded sources.
MPS::NNGraph codedTraining() {
    const auto conv = std::make_shared<CodedSource>(3, 3, 4, 1),
               fc = std::make_shared<CodedSource>(3, 4, 5, 3);
    const MPS::NNImageNode input(named("input"));
    const MPS::CNNConvolutionNode first(input, conv);
    first.setLabel("conv");
    const MPS::CNNDropoutNode dropout(first.resultImage(), 0.75f, 7);
    const MPS::CNNNeuronTanHNode tanH(dropout.resultImage());
    const MPS::CNNPoolingMaxNode pooling(tanH.resultImage(), 2);
    const MPS::CNNFullyConnectedNode last(pooling.resultImage(), fc);
    const MPS::CNNLossNode loss(last.resultImage(), squares());
    const auto termini = loss.trainingGraph(std::nullopt, {});
    return graphOf(termini.at(0).resultImage());
}

} // namespace

TEST_CASE("training continued from an archive equals training never stopped, bit for bit") {
    CodedSource::registerClass();
    const auto graph = codedTraining();
    graph.setLabel("net");
    for (int i = 0; i < 3; ++i) step(graph, i);
    const auto made = again(graph);
    CHECK(made.label() == "net");
    CHECK(made.encodeCount() == 3);
    CHECK(made.format() == MPS::ImageFeatureChannelFormat::Float32);
    for (int i = 3; i < 7; ++i) {
        INFO("step " << i);
        CHECK(step(made, i) == step(graph, i));
    }
    CHECK(step(again(made), 7) == step(graph, 7));
    CHECK(step(codedTraining(), 7) != step(graph, 7));
}

TEST_CASE("a source that is not SecureCoding is archived as the weights in use") {
    const Network network;
    const auto training = network.training(true), inference = network.inference();
    for (int i = 0; i < 2; ++i) step(training, i);
    inference.reloadFromDataSources();
    const auto x = upload(network::inputs(1));
    const auto trained = again(training), infers = again(inference);
    CHECK(result(infers, {x}).v == result(inference, {x}).v);
    const int updates = network.conv->updates, loads = network.conv->loads;
    // The archived one is trained no more: nobody is there to be asked.
    const auto once = step(trained, 5);
    CHECK(step(trained, 5) == once);
    CHECK(network.conv->updates == updates);
    trained.reloadFromDataSources();
    CHECK(network.conv->loads == loads);
    CHECK(step(again(trained), 5) == once);
    CHECK(step(training, 5) == once);
    CHECK(step(training, 5) != once);
}

TEST_CASE("handles, inputs, results and exports come back in their order") {
    MPS::KeyedUnarchiver::setClass(
        [](MPS::KeyedUnarchiver& coder) {
            return std::make_shared<CodedHandle>(coder.decodeString("name"));
        },
        "test coded handle");
    const auto shared = std::make_shared<CodedHandle>("coded");
    const MPS::NNImageNode a(named("a")), b, c(shared);
    // Reached first by a node that is pruned: the order of the inputs is not that of the rest.
    const MPS::CNNNeuronTanHNode pruned(c);
    const MPS::NNAdditionNode sum(a, b);
    const MPS::NNMultiplicationNode product(sum.resultImage(), c);
    sum.resultImage().setExportFromGraph(true);
    sum.resultImage().setHandle(shared);
    sum.resultImage().setImageAllocator(MPS::Image::defaultAllocator());
    product.resultImage().setHandle(named("product"));
    product.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float32);
    const MPS::NNGraph graph(testDevice(), {pruned.resultImage(), product.resultImage()},
                             {false, true});
    graph.setOptions(MPS::KernelOptions::Verbose);
    graph.setOutputStateIsTemporary(true);
    REQUIRE(graph.sourceImageHandles()[0] == shared);
    const Tensor x = reference::random(1, 2, 2, 4, 1), y = reference::random(1, 2, 2, 4, 2),
                 z = reference::random(1, 2, 2, 4, 3);
    const auto all = [&](const MPS::NNGraph& from) {
        std::vector<MPS::ImageBatch> images;
        run([&](const MTL::CommandBuffer& commands) {
            CHECK(
                from.encodeBatch(commands, {upload(x), upload(y), upload(z)}, {}, &images, nullptr)
                    .empty());
            MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
            copy.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            for (auto& batch : images)
                if (batch[0].as<MPS::TemporaryImage>()) batch = copy.encodeBatch(commands, batch);
        });
        std::vector<std::vector<double>> values;
        for (const auto& batch : images) values.push_back(download(batch).v);
        return values;
    };
    const auto check = [&](const MPS::NNGraph& made, bool sameHandles) {
        CHECK_FALSE(made.resultImageIsNeeded());
        CHECK(made.options() == MPS::KernelOptions::Verbose);
        CHECK(made.outputStateIsTemporary());
        const auto inputs = made.sourceImageHandles(), exports = made.intermediateImageHandles();
        REQUIRE(inputs.size() == 3);
        CHECK(std::dynamic_pointer_cast<CodedHandle>(inputs[0])->name == "coded");
        CHECK(inputs[1]->label() == "a");
        CHECK(inputs[2] == nullptr);
        REQUIRE(exports.size() == 2);
        CHECK(exports[0]->label() == "product");
        CHECK(exports[1] == inputs[0]);
        CHECK((inputs[0] == shared) == sameHandles);
        CHECK(all(made) == all(graph));
    };
    check(graph, true);
    check(again(graph), false);
    check(again(again(graph)), false);
    check(graph.copy(), true);
}

TEST_CASE("a source of a node that an optimization leaves without readers is archived") {
    const auto source = std::make_shared<network::Source>(1, 4, 4, 1),
               unread = std::make_shared<network::Source>(1, 4, 4, 3);
    const MPS::NNImageNode x, y, dy;
    const MPS::CNNConvolutionNode left(x, source), right(y, unread);
    right.resultImage().setStopGradient(true);
    const MPS::NNAdditionNode sum(left.resultImage(), right.resultImage());
    // The gradient of an addition is a copy, which reads nothing of what was added.
    for (const auto& terminus : sum.trainingGraph(dy, {})) {
        if (!terminus.as<MPS::CNNConvolutionGradientNode>()) continue;
        terminus.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceNone);
        const auto graph = graphOf(terminus.resultImage());
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("only copies and is left out"));
        const std::vector<MPS::ImageBatch> images(graph.sourceImageHandles().size(),
                                                  upload(reference::random(1, 2, 2, 4, 5)));
        REQUIRE(images.size() == 3);
        const auto made = again(graph);
        CHECK(made.sourceImageHandles().size() == 3);
        CHECK(result(made, images).v == result(graph, images).v);
        return;
    }
    FAIL("no gradient of the convolution");
}

TEST_CASE("what cannot be archived is refused, and so is what is no graph") {
    struct Policy : MPS::NNPadding {
        MPS::NNPaddingMethod paddingMethod() const override {
            return MPS::NNPaddingMethod::SizeSame;
        }
    };
    const MPS::NNImageNode input;
    const MPS::CNNPoolingMaxNode pooling(input, 2);
    pooling.setLabel("pool");
    const auto graph = graphOf(pooling.resultImage());
    const auto bytes = MPS::KeyedArchiver::archivedData(graph);
    const auto unarchive = [](std::span<const std::byte> data) {
        return MPS::KeyedUnarchiver::unarchivedObject<MPS::NNGraph>(data, testDevice());
    };
    CHECK(sentence<FormatError>([&] {
              unarchive(MPS::KeyedArchiver::archivedData(MPS::CNNPoolingMax(testDevice(), 2, 2)));
          }) ==
          "[KeyedUnarchiver] The archive holds a CNNPoolingMax but an NNGraph was asked for.");
    CHECK_THROWS_AS(MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMax>(bytes, testDevice()),
                    FormatError);
    size_t refused = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
        for (const int bit : {0, 3, 7}) {
            auto damaged = bytes;
            damaged[i] ^= std::byte(1 << bit);
            try {
                unarchive(damaged);
            } catch (const FormatError&) {
                ++refused;
            }
        }
    CHECK(refused > bytes.size());

    pooling.setPaddingPolicy(std::make_shared<Policy>());
    CHECK(MPS::KeyedArchiver::archivedData(graph) == bytes);
    CHECK(refusal([&] { MPS::KeyedArchiver::archivedData(graphOf(pooling.resultImage())); }) ==
          "[KeyedArchiver] The padding policy of [CNNPoolingMaxNode \"pool\"] cannot be archived: "
          "its class is not SecureCoding.");
    graph.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    CHECK_THAT(refusal([&] { MPS::KeyedArchiver::archivedData(graph); }),
               ContainsSubstring("The destination image allocator cannot be archived"));
}
