// Nodes that resample images, with and without a provider of transforms.
#include "mps/NNGraphRig.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/ImageScale.hpp>
#include <mpsvk/MPS/NNScaleNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Zoom : ImageTransformProvider {
    ScaleTransform transform(Image source, std::shared_ptr<Handle> handle) const override {
        asked.push_back(handle ? handle->label() : "");
        const double number = double(asked.size() % 2);
        return {double(source.width()), 2, change * number, 0};
    }
    double change = 0;
    mutable std::vector<std::string> asked;
};

template <class K>
Tensor eager(const Tensor& x, uint64_t width, uint64_t height,
             const std::vector<ScaleTransform>& transforms = {}) {
    std::vector<Tensor> all;
    for (size_t i = 0; i < x.n; ++i) {
        K kernel(testDevice());
        if (!transforms.empty()) kernel.setScaleTransform(transforms[i]);
        const ImageBatch y = upload(Tensor(1, height, width, x.c));
        run([&](const MTL::CommandBuffer& commands) {
            kernel.encodeBatch(commands, upload(reference::image(x, i)), y);
        });
        all.push_back(download(y));
    }
    return reference::stack(all);
}

const Tensor& x() {
    static const Tensor made = reference::random(3, 5, 4, 6, 1);
    return made;
}

} // namespace

TEST_CASE("scale nodes make images of the size they were given") {
    const NNImageNode input;
    const NNBilinearScaleNode bilinear(input, {7, 3, 1});
    const NNLanczosScaleNode lanczos(input, {3, 9, 1});
    CHECK(bilinear.outputSize().width == 7);
    CHECK_FALSE(lanczos.transformProvider());
    CHECK(NNFilterNode(lanczos).as<NNScaleNode>());
    CHECK_FALSE(NNFilterNode(lanczos).as<NNBilinearScaleNode>());
    const auto one = graphOf(bilinear.resultImage()), other = graphOf(lanczos.resultImage());
    for (int round = 0; round < 2; ++round) {
        CHECK(result(one, {upload(x())}).v == eager<ImageBilinearScale>(x(), 7, 3).v);
        CHECK(result(other, {upload(x())}).v == eager<ImageLanczosScale>(x(), 3, 9).v);
    }
    CHECK_THAT(one.debugDescription(), ContainsSubstring("plan: 1 dispatches"));
    Image single;
    run([&](const MTL::CommandBuffer& commands) {
        single = one.encode(commands, {uploadArray(x())});
    });
    CHECK(single.numberOfImages() == 3);
    CHECK(download({single.batchRepresentation()[2]}).v ==
          reference::image(eager<ImageBilinearScale>(x(), 7, 3), 2).v);
}

TEST_CASE("a transform provider is asked for every image in every encode") {
    const auto zoom = std::make_shared<Zoom>();
    const NNImageNode input(named("photo"));
    const NNLanczosScaleNode node(input, zoom, {5, 6, 1});
    CHECK(node.transformProvider() == zoom);
    const auto graph = graphOf(node.resultImage());
    for (const double change : {0.0, 1.0, 2.0}) {
        zoom->asked.clear();
        zoom->change = change;
        const Tensor y = result(graph, {upload(x())});
        CHECK(zoom->asked == std::vector<std::string>(3, "photo"));
        CHECK(y.v == eager<ImageLanczosScale>(x(), 5, 6,
                                              {{4, 2, change, 0}, {4, 2, 0, 0}, {4, 2, change, 0}})
                         .v);
    }
    // An image that a batch names twice, and a temporary one.
    zoom->asked.clear();
    zoom->change = 1;
    const Image one = upload(reference::image(x(), 0))[0];
    ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) {
        const TemporaryImage copy(commands,
                                  ImageDescriptor(ImageFeatureChannelFormat::Float32, 4, 5, 6));
        CNNNeuron(testDevice(), NNNeuronDescriptor(CNNNeuronType::None))
            .encode(commands, one, copy);
        made = graph.encodeBatch(commands, {{copy, copy}});
    });
    const Tensor once = reference::image(x(), 0);
    CHECK(download(made).v == eager<ImageLanczosScale>(reference::stack({once, once}), 5, 6,
                                                       {{4, 2, 1, 0}, {4, 2, 0, 0}})
                                  .v);
}

TEST_CASE("misuse of scale nodes is refused with a sentence") {
    const NNImageNode input;
    CHECK(refusal([&] {
              NNBilinearScaleNode(input, {0, 2, 1});
          }) == "[NNBilinearScaleNode] outputSize is 0x2x1 but must have a pixel and the depth 1.");
    CHECK_THAT(refusal([&] {
                   NNLanczosScaleNode(input, {1, 2, 3});
               }),
               ContainsSubstring("outputSize is 1x2x3"));
    const NNBilinearScaleNode node(input, {2, 2, 1});
    CHECK_THAT(refusal([&] { node.gradientFilter(input); }),
               ContainsSubstring("This kind of node has no gradient."));
    node.setPaddingPolicy(NNDefaultPadding::paddingForTensorflowAveragePooling());
    CHECK_THAT(refusal([&] { graphOf(node.resultImage()); }),
               ContainsSubstring("The padding policy is a custom one"));
    // A provider that is no SecureCoding cannot be archived.
    const NNBilinearScaleNode asking(input, std::make_shared<Zoom>(), {2, 2, 1});
    CHECK_THAT(refusal([&] { again(graphOf(asking.resultImage())); }),
               ContainsSubstring("The transform provider"));
}
