// What graph tests share: handles with a name, loss labels from tensors, an eager twin.
#pragma once

#include "support/Images.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>
#include <mpsvk/MPS/KeyedArchiver.hpp>
#include <mpsvk/MPS/NNGraph.hpp>

namespace mpsvk::test {

struct Named : MPS::Handle {
    explicit Named(std::string name) : name(std::move(name)) {}
    std::string label() const override { return name; }
    std::string name;
};

inline std::shared_ptr<Named> named(std::string name) {
    return std::make_shared<Named>(std::move(name));
}

inline MPS::CNNLossDataDescriptor lossData(const reference::Tensor& image) {
    return {
        image.floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, {image.w, image.h, image.c}};
}

inline MPS::StateBatch lossLabels(const reference::Tensor& labels) {
    MPS::StateBatch all;
    for (size_t i = 0; i < labels.n; ++i)
        all.push_back(MPS::CNNLossLabels(testDevice(), lossData(reference::image(labels, i))));
    return all;
}

inline std::vector<double> lossesOf(const MPS::StateBatch& labels) {
    std::vector<double> all;
    for (const MPS::State& state : labels)
        all.push_back(download({state.as<MPS::CNNLossLabels>().lossImage()}).v.at(0));
    return all;
}

/// Makes what the default allocator makes; but a graph does not replay with a user's allocator.
class PlainAllocator : public MPS::ImageAllocator {
public:
    MPS::Image image(MTL::CommandBuffer commands, MPS::ImageDescriptor descriptor,
                     const MPS::Kernel& kernel) override {
        ++calls;
        return MPS::Image::defaultAllocator()->image(commands, descriptor, kernel);
    }
    int calls = 0;
};

/// The graph as an archive gives it back.
inline MPS::NNGraph again(const MPS::NNGraph& graph) {
    return MPS::KeyedUnarchiver::unarchivedObject<MPS::NNGraph>(
        MPS::KeyedArchiver::archivedData(graph), testDevice());
}

/// One encode of a graph, waited for.
inline reference::Tensor result(const MPS::NNGraph& graph,
                                const std::vector<MPS::ImageBatch>& images,
                                const std::vector<MPS::StateBatch>& states = {}) {
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) {
        made = graph.encodeBatch(commands, images, states);
    });
    return download(made);
}

} // namespace mpsvk::test
