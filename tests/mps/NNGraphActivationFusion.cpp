// Activations that become a part of the convolution, the arithmetic or, going back, the dropout
// next to them: in training, against graphs that keep them apart, to the bit.
#include "mps/NNGraphNetwork.hpp"
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/NNGraphNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using network::contents;
using network::doubles;
using reference::NeuronType;

namespace {

using Update = network::Source::Update;

/// Keeps the gradients that it is given on the host.
struct Watched : network::Source {
    using Source::Source;
    using Source::update;
    bool update(CNNConvolutionGradientState gradient,
                CNNConvolutionWeightsAndBiasesState source) override {
        dWeights = contents(gradient.gradientForWeights());
        dBiases = contents(gradient.gradientForBiases());
        sawItself = gradient.convolution()->dataSource().get() == this;
        return Source::update(gradient, source);
    }
    std::vector<double> dWeights, dBiases;
    bool sawItself = false;
};

const NNNeuronDescriptor relu(CNNNeuronType::ReLU, 0);

/// A convolution, a residual block, dropout and a fully connected layer, with an activation after
/// each: in nodes, and in doubles without the dropout.
struct Net {
    Net(const NNNeuronDescriptor& f, Update update, float keep)
        : first(std::make_shared<Watched>(3, 3, 6, 1, update)),
          second(std::make_shared<Watched>(3, 6, 6, 3, update)),
          last(std::make_shared<Watched>(5, 6, 6, 5, update)), start(input),
          convolution(start.resultImage(), first), one(convolution.resultImage(), f),
          again(one.resultImage(), second), sum(again.resultImage(), one.resultImage()),
          two(sum.resultImage(), f), dropout(two.resultImage(), keep, 7, {1, 1, 1}),
          whole(dropout.resultImage(), last), three(whole.resultImage(), f) {
        sum.setLabel("sum");
    }
    /// An allocator keeps an activation and what is before it apart.
    void keepApart() const {
        for (const NNFilterNode& node : std::vector<NNFilterNode>{convolution, sum, whole})
            node.resultImage().setImageAllocator(Image::defaultAllocator());
    }
    NNGraph training(bool fuses = true,
                     NNTrainingStyle style = NNTrainingStyle::UpdateDeviceGPU) const {
        if (!fuses) keepApart();
        const CNNLossNode loss(three.resultImage(), squares(weight));
        const auto termini =
            loss.trainingGraph(std::nullopt, [&](NNFilterNode gradient, auto, auto, auto) {
                if (gradient.as<CNNConvolutionGradientNode>()) gradient.setTrainingStyle(style);
                if (!fuses && gradient.as<CNNDropoutGradientNode>())
                    gradient.resultImage().setImageAllocator(Image::defaultAllocator());
            });
        return graphOf(termini.at(0).resultImage());
    }
    double loss(const Tensor& x, const Tensor& t, const reference::Neuron& f) const {
        const auto conv = [](const Watched& s, const Tensor& source) {
            reference::Convolution c;
            c.inputChannels = source.c;
            c.outputChannels = 6;
            c.kernelWidth = c.kernelHeight = 3;
            c.outputWidth = source.w;
            c.outputHeight = source.h;
            c.weights = doubles(s.w);
            c.bias = doubles(s.b);
            return reference::forward(c, source);
        };
        const Tensor y = reference::forward(f, conv(*first, reference::forward(tanH, x)));
        Tensor z = conv(*second, y);
        for (size_t i = 0; i < z.size(); ++i) z.v[i] += y.v[i];
        z = reference::forward(f, z);
        z = reference::forward(
            f, reference::forward(reference::fullyConnected(z, doubles(last->w), doubles(last->b)),
                                  z));
        double all = 0;
        for (size_t i = 0; i < z.size(); ++i) all += (z.v[i] - t.v[i]) * (z.v[i] - t.v[i]);
        return weight * all;
    }

    static constexpr float weight = .0625f; ///< so that steps stay small
    std::shared_ptr<Watched> first, second, last;
    NNImageNode input;
    CNNNeuronTanHNode start;
    CNNConvolutionNode convolution;
    CNNNeuronNode one;
    CNNConvolutionNode again;
    NNAdditionNode sum;
    CNNNeuronNode two;
    CNNDropoutNode dropout;
    CNNFullyConnectedNode whole;
    CNNNeuronNode three;
};

const Tensor& x() {
    static const Tensor made = reference::random(3, 5, 5, 3, 1);
    return made;
}
const Tensor& t() {
    static const Tensor made = reference::random(3, 1, 1, 6, 2);
    return made;
}
Tensor train(const NNGraph& graph) { return result(graph, {upload(x())}, {lossLabels(t())}); }

NNNeuronDescriptor prelu() {
    return NNNeuronDescriptor::cnnNeuronPReLUDescriptor(
        std::vector<float>{.5f, .25f, 0, .125f, .3f, 2});
}

size_t count(const std::string& text, const std::string& what) {
    size_t found = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++found;
    return found;
}

uint64_t numberAfter(const std::string& text, const std::string& key) {
    const size_t at = text.find(key);
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + key.size()));
}

} // namespace

TEST_CASE("activations known from their results train as parts of what is before them") {
    for (const NNNeuronDescriptor& neuron :
         {relu, NNNeuronDescriptor(CNNNeuronType::ReLU, .25f), prelu(),
          NNNeuronDescriptor(CNNNeuronType::ReLUN, .1f, 1.5f),
          NNNeuronDescriptor(CNNNeuronType::Linear, .75f, .5f),
          NNNeuronDescriptor(CNNNeuronType::None)}) {
        INFO("type " << int(neuron.neuronType()) << " a " << neuron.a());
        for (const auto update : {Update::Device, Update::Host}) {
            const auto style = update == Update::Host ? NNTrainingStyle::UpdateDeviceCPU
                                                      : NNTrainingStyle::UpdateDeviceGPU;
            const Net fused(neuron, update, .75f), apart(neuron, update, .75f);
            const auto fast = fused.training(true, style), slow = apart.training(false, style);
            for (int round = 0; round < 3; ++round) {
                CHECK(train(fast).v == train(slow).v);
                for (const auto part : {&Net::first, &Net::second, &Net::last}) {
                    const Watched &a = *(fused.*part), &b = *(apart.*part);
                    CHECK(a.dWeights == b.dWeights);
                    CHECK(a.dBiases == b.dBiases);
                    CHECK(a.dWeights.empty() == (update == Update::Device));
                    CHECK(a.sawItself == (update == Update::Host));
                    CHECK(a.trained() == b.trained());
                    CHECK(a.trainedBias() == b.trainedBias());
                }
            }
            const std::string text = fast.debugDescription(), other = slow.debugDescription();
            CHECK(count(text, " is part of CNNConvolutionNode, and CNNNeuronGradientNode reads its "
                              "result") == 1);
            CHECK(count(text, " is part of NNAdditionNode \"sum\", and CNNNeuronGradientNode reads "
                              "its result") == 1);
            CHECK(count(text, " is part of CNNFullyConnectedNode, and ") == 1);
            CHECK(count(text, "CNNNeuronGradientNode is part of CNNDropoutGradientNode") == 1);
            CHECK(count(text, "CNNNeuronGradientNode is part of NNAdditionNode") == 1);
            CHECK(count(other, "is part of") == 0);
            CHECK(count(other, ": its source has an allocator of its own") == 3);
            CHECK(numberAfter(text, "[NNGraph] ") + 5 == numberAfter(other, "[NNGraph] "));
        }
    }
}

TEST_CASE("in half precision rectifiers give the same bits fused, too") {
    for (const NNNeuronDescriptor& neuron :
         {relu, NNNeuronDescriptor(CNNNeuronType::ReLUN, 0, 1)}) {
        const Net fused(neuron, Update::Device, .75f), apart(neuron, Update::Device, .75f);
        const auto fast = fused.training(), slow = apart.training(false);
        for (const auto* graph : {&fast, &slow})
            graph->setFormat(ImageFeatureChannelFormat::Float16);
        for (const auto storage :
             {ImageStorage::Buffer, ImageStorage::Texture, ImageStorage::Buffer}) {
            const auto of = [&](const NNGraph& graph) {
                return result(graph, {upload(x(), {ImageFeatureChannelFormat::Float16, storage})},
                              {lossLabels(t())});
            };
            CHECK(of(fast).v == of(slow).v);
            for (const auto part : {&Net::first, &Net::second, &Net::last})
                CHECK((fused.*part)->trained() == (apart.*part)->trained());
        }
    }
}

TEST_CASE("the gradient through fused activations is that of the function") {
    const struct {
        NNNeuronDescriptor neuron;
        reference::Neuron same;
    } rows[] = {{relu, {NeuronType::ReLU, 0}},
                {prelu(), {NeuronType::PReLU, 0, 0, 0, {.5, .25, 0, .125, double(.3f), 2}}},
                {NNNeuronDescriptor(CNNNeuronType::ReLUN, .25f, 1), {NeuronType::ReLUN, .25, 1}}};
    for (const auto& row : rows) {
        const Net net(row.neuron, Update::Nothing, 1);
        const auto graph = net.training();
        CHECK(count(graph.debugDescription(), "is part of") == 5);
        const Tensor made = train(graph);
        for (size_t i = 0; i < x().size(); i += 11) {
            Tensor up = x(), down = x();
            up.v[i] += 1e-5;
            down.v[i] -= 1e-5;
            const double numerical =
                (net.loss(up, t(), row.same) - net.loss(down, t(), row.same)) / 2e-5;
            CHECK(std::abs(made.v[i] - numerical) < 1e-4 * (1 + std::abs(numerical)));
        }
    }
}

TEST_CASE("one image at a time, copies and replays have fused activations as well") {
    const Net net(prelu(), Update::Nothing, .75f), apart(prelu(), Update::Nothing, .75f);
    const auto graph = net.training(), slow = apart.training(false);
    const auto single = [](const NNGraph& of) {
        Image made;
        run([&](const MTL::CommandBuffer& commands) {
            made = of.encode(commands, {upload(reference::image(x(), 0))[0]}, {lossLabels(t())[0]},
                             nullptr, nullptr);
        });
        return download({made}).v;
    };
    CHECK(single(graph) == single(slow));
    const Tensor expected = train(graph);
    CHECK(train(slow).v == expected.v);
    for (const auto& made : {test::again(graph), graph.copy()}) {
        CHECK(count(made.debugDescription(), "is part of") == 5);
        graph.setEncodeCount(made.encodeCount());
        const Tensor own = train(graph);
        CHECK(train(made).v == own.v);
    }
}

TEST_CASE("fused activations save the images before them") {
    const Net fused(relu, Update::Device, .75f), apart(relu, Update::Device, .75f);
    const auto fast = fused.training();
    // Apart, but replayed: of other formats, in name.
    for (const NNFilterNode& node : std::vector<NNFilterNode>{apart.convolution, apart.sum})
        node.resultImage().setFormat(ImageFeatureChannelFormat::Float32);
    const auto slow = apart.training();
    CHECK(train(fast).v == train(slow).v);
    const std::string text = fast.debugDescription(), more = slow.debugDescription();
    CHECK(count(more, ": its source has another format") == 1);
    CHECK(numberAfter(text, "[NNGraph] ") + 3 == numberAfter(more, "[NNGraph] "));
    // Each is written once and read once less: 3 images of 5x5 in two slices. The third is the sum
    // of the gradients of the convolution's result.
    const uint64_t saved = 3 * 3 * 5 * 5 * 8 * 4;
    const std::string plan = text.substr(text.find("traffic ")),
                      other = more.substr(more.find("traffic "));
    CHECK(numberAfter(plan, "traffic ") + saved <= numberAfter(other, "traffic "));
    CHECK(numberAfter(plan, "read, ") + saved <= numberAfter(other, "read, "));
}

TEST_CASE("zeros of both signs and the smallest numbers have the same derivative fused") {
    const std::vector<double> points{-0.0, 0.0, 1e-45, -1e-45, 1e-38, -1e-38, -1, 1, 6, 7};
    const auto derivative = [&](const NNNeuronDescriptor& neuron, bool fuses) {
        const NNImageNode a(named("a")), b(named("b"));
        const CNNNeuronLinearNode left(a, 1, 0);
        const NNAdditionNode sum(left.resultImage(), b);
        sum.setBias(-0.0f); // or else there is no -0
        if (!fuses) sum.resultImage().setImageAllocator(Image::defaultAllocator());
        const CNNNeuronNode activation(sum.resultImage(), neuron);
        for (const auto& terminus :
             NNInitialGradientNode(activation.resultImage()).trainingGraph(std::nullopt, {}))
            if (terminus.resultImage().handle() == a.handle()) {
                const auto graph = graphOf(terminus.resultImage());
                CHECK(count(graph.debugDescription(), "is part of NNAdditionNode") == fuses);
                const Tensor of(1, 1, points.size(), 1, points);
                return result(graph, {upload(of), upload(Tensor(1, 1, of.w, 1, -0.0))}).v;
            }
        return std::vector<double>();
    };
    for (const NNNeuronDescriptor& neuron : {relu, NNNeuronDescriptor(CNNNeuronType::ReLU, .5f),
                                             NNNeuronDescriptor(CNNNeuronType::ReLUN, .01f, 6)}) {
        const auto made = derivative(neuron, true);
        REQUIRE(made.size() == points.size());
        CHECK(made == derivative(neuron, false));
        CHECK(made[0] == 1);
        CHECK(made[1] == 1);
        CHECK(made[6] == double(neuron.a()));
    }
}

TEST_CASE("activations fuse with transposed convolutions, and within concatenations") {
    const auto train = [](bool fuses, ImageStorage storage) {
        const auto source = [](uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t stride) {
            auto made = std::make_shared<network::Source>(size, inputs, outputs, size + outputs);
            made->shape.setStrideInPixelsX(stride);
            made->shape.setStrideInPixelsY(stride);
            return made;
        };
        const std::vector sources{source(3, 3, 4, 1), source(4, 4, 8, 2), source(4, 8, 4, 2),
                                  source(6, 8, 5, 1)};
        const NNImageNode input;
        const CNNConvolutionNode first(input, sources[0]);
        const CNNNeuronReLUNode a(first.resultImage(), .125f);
        const CNNConvolutionNode down(a.resultImage(), sources[1]);
        const CNNNeuronReLUNode b(down.resultImage());
        const CNNConvolutionTransposeNode up(b.resultImage(), down.convolutionGradientState(),
                                             sources[2]);
        const CNNNeuronReLUNode c(up.resultImage());
        const NNConcatenationNode both({a.resultImage(), c.resultImage()});
        const CNNFullyConnectedNode last(both.resultImage(), sources[3]);
        if (!fuses)
            for (const NNFilterNode& node : std::vector<NNFilterNode>{first, down, up})
                node.resultImage().setImageAllocator(Image::defaultAllocator());
        const CNNLossNode loss(last.resultImage(), squares(Net::weight));
        const auto graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        CHECK(count(graph.debugDescription(), "reads its result") == (fuses ? 3 : 0));
        std::vector<std::vector<double>> made;
        for (int round = 0; round < 2; ++round)
            made.push_back(result(graph,
                                  {upload(reference::random(2, 6, 6, 3, 3), {.storage = storage})},
                                  {lossLabels(reference::random(2, 1, 1, 5, 4))})
                               .v);
        if (storage == ImageStorage::Buffer)
            CHECK_THAT(graph.debugDescription(),
                       ContainsSubstring("NNConcatenationNode copies nothing"));
        for (const auto& each : sources) {
            made.push_back(each->trained());
            made.push_back(each->trainedBias());
        }
        return made;
    };
    for (const auto storage : {ImageStorage::Buffer, ImageStorage::Texture})
        CHECK(train(true, storage) == train(false, storage));
}

TEST_CASE("a sum that comes before the forward pass takes in the activation's gradient after it") {
    const auto gradient = [](bool fuses) {
        const NNImageNode x(named("x")), a(named("a")), b(named("b"));
        const CNNConvolutionNode convolution(
            x, std::make_shared<network::Source>(3, 3, 4, 1, Update::Nothing));
        const CNNNeuronReLUNode activation(convolution.resultImage());
        const NNAdditionNode sum(a, b);
        if (!fuses) sum.resultImage().setExportFromGraph(true);
        const auto termini = activation.trainingGraph(sum.resultImage(), {});
        const auto graph = graphOf(termini.at(0).resultImage());
        CHECK(count(graph.debugDescription(), "is part of NNAdditionNode") == fuses);
        return result(graph, {upload(reference::random(2, 4, 4, 4, 1)),
                              upload(reference::random(2, 4, 4, 4, 2)),
                              upload(reference::random(2, 4, 4, 3, 3))})
            .v;
    };
    CHECK(gradient(true) == gradient(false));
}

TEST_CASE("what keeps activations apart in training") {
    const Tensor expected = train(Net(relu, Update::Nothing, .75f).training(false));
    const auto check = [&](const NNGraph& graph, size_t parts, const char* why) {
        CHECK(train(graph).v == expected.v);
        CHECK(count(graph.debugDescription(), "is part of") == parts);
        CHECK_THAT(graph.debugDescription(), ContainsSubstring(why));
    };
    const auto make = [](const NNNeuronDescriptor& f = relu) {
        return Net(f, Update::Nothing, .75f);
    };
    {
        const Net net = make();
        net.sum.resultImage().setExportFromGraph(true);
        check(net.training(), 4,
              "stays apart from NNAdditionNode \"sum\": its source leaves the graph");
    }
    { // a second reader, whose result counts for nothing
        const Net net = make();
        const CNNNeuronLinearNode other(net.whole.resultImage(), 0, 0);
        const NNAdditionNode both(net.three.resultImage(), other.resultImage());
        const CNNLossNode loss(both.resultImage(), squares(Net::weight));
        const auto graph = graphOf(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        check(graph, 4, "stays apart from CNNFullyConnectedNode: its source has 4 readers");
    }
    { // it is a result itself
        const Net net = make();
        const CNNLossNode loss(net.three.resultImage(), squares(Net::weight));
        const NNGraph graph(testDevice(), {loss.trainingGraph(std::nullopt, {}).at(0).resultImage(),
                                           net.convolution.resultImage()});
        graph.setFormat(ImageFeatureChannelFormat::Float32);
        check(graph, 3, "CNNConvolutionNode: its source leaves the graph");
    }
    {
        const Net net = make();
        net.two.setPaddingPolicy(NNDefaultPadding::paddingForTensorflowAveragePooling());
        check(net.training(), 3, "\"sum\": it has a custom padding policy");
    }
    {
        const Net net = make();
        net.one.resultState().setExportFromGraph(true);
        check(net.training(), 3, "CNNConvolutionNode: its source has 2 readers");
    }
    for (const NNNeuronDescriptor& neuron :
         {NNNeuronDescriptor(CNNNeuronType::ReLU, -.5f), NNNeuronDescriptor(CNNNeuronType::Sigmoid),
          NNNeuronDescriptor(CNNNeuronType::ReLUN, .5f, 1.1f)}) {
        const Net net = make(neuron), apart = make(neuron);
        const auto graph = net.training();
        CHECK(train(graph).v == train(apart.training(false)).v);
        CHECK(count(graph.debugDescription(), ": its derivative cannot be told from its result") ==
              2);
        // Next to the dropout its gradient reads its source.
        CHECK(count(graph.debugDescription(), "is part of") == 1);
    }
}
