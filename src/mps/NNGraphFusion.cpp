// What becomes of a graph's nodes before it runs: copies left out, activations within others.
#include "mps/CNNNeuron.hpp"
#include "mps/NNGraph.hpp"

#include <algorithm>

namespace mpsvk::MPS {

namespace {
bool isCustom(const std::shared_ptr<NNPadding>& padding) {
    return padding &&
           (padding->paddingMethod() & NNPaddingMethod::Custom) == NNPaddingMethod::Custom &&
           (padding->paddingMethod() & NNPaddingMethod::CustomAllowForNodeFusion) ==
               NNPaddingMethod::SizeValidOnly;
}
} // namespace

void NNGraph::Impl::dropCopies(std::vector<Node>& from) {
    std::vector<size_t> place(images.size());
    for (size_t s = 0; s < place.size(); ++s) place[s] = s;
    std::vector<Node> kept;
    for (Node& node : from) {
        for (size_t& s : node.imageSources) s = place[s];
        const NNImageNode& result = images[node.imageResult].node;
        if (node.node->isCopy() && isPlain(result) && !images[node.imageResult].isResult &&
            !isCustom(node.node->padding) &&
            result.format() == images[node.imageSources[0]].node.format()) {
            place[node.imageResult] = node.imageSources[0];
            remarks.push_back(nameOf(node) + " only copies and is left out");
        } else {
            kept.push_back(std::move(node));
        }
    }
    from = std::move(kept);
}

std::string NNGraph::Impl::obstacle(const Step& before, const Node& activation) const {
    if (before.neuron) return "that has an activation already";
    const ImageSlot& between = images[before.imageResult];
    if (between.readers > 1)
        return "its source has " + std::to_string(between.readers) + " readers";
    if (between.isExported || between.isResult) return "its source leaves the graph";
    if (!isPlain(between.node)) return "its source has an allocator of its own or is synchronized";
    if (before.wantsStates || activation.wantsStates) return "a gradient needs its state";
    if (isCustom(activation.node->padding)) return "it has a custom padding policy";
    return {};
}

void NNGraph::Impl::fuseInTraining(std::vector<Node>& from) {
    using Indices = std::vector<size_t>;
    const auto readersOf = [&](Indices Node::*sources, size_t slot) {
        Indices readers;
        for (size_t i = 0; i < from.size(); ++i)
            if (std::ranges::count(from[i].*sources, slot)) readers.push_back(i);
        return readers;
    };
    const auto isHidden = [&](size_t image) {
        return isPlain(images[image].node) && !images[image].isResult && !images[image].isExported;
    };
    std::vector<bool> isGone(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        Node& activation = from[i];
        const auto* neuron = activation.node->neuron();
        if (!neuron || !activation.wantsStates || isCustom(activation.node->padding)) continue;
        const size_t between = activation.imageSources.at(0), state = activation.stateResults.at(0);
        const auto before = std::ranges::find(from, between, &Node::imageResult);
        if (before == from.end() || !before->node->takesNeuronInTraining() || before->neuron ||
            before->stateResults.empty() || !isHidden(between) || states[state].isExported)
            continue;
        // The gradient of the activation, and behind it alone that of the node before.
        const Indices ofState = readersOf(&Node::stateSources, state);
        if (ofState.size() != 1) continue;
        Node& gradient = from[ofState[0]];
        const auto* own = gradient.node->neuronOfGradient();
        if (!own || !mps::areSame(*own, *neuron) || isCustom(gradient.node->padding) ||
            gradient.imageSources.at(0) == between || gradient.imageSources.at(1) != between ||
            readersOf(&Node::imageSources, between) != Indices{i, ofState[0]} ||
            !isHidden(gradient.imageResult))
            continue;
        const Indices behind = readersOf(&Node::imageSources, gradient.imageResult);
        if (behind.size() != 1 || readersOf(&Node::stateSources, before->stateResults[0]) != behind)
            continue;
        Node& after = from[behind[0]];
        if (!after.node->takesNeuronInTraining() ||
            after.imageSources != Indices{gradient.imageResult, before->imageSources.at(0)})
            continue;
        remarks.push_back(nameOf(activation) + " is part of " + nameOf(*before) + ", and " +
                          nameOf(gradient) + " of " + nameOf(after));
        before->imageResult = activation.imageResult;
        before->resultIsNeeded = activation.resultIsNeeded;
        after.imageSources[0] = gradient.imageSources[0];
        before->neuron = after.neuron = neuron;
        isGone[i] = isGone[ofState[0]] = true;
        activation.imageSources.clear();
        gradient.imageSources.clear();
    }
    std::vector<Node> kept;
    for (size_t i = 0; i < from.size(); ++i)
        if (!isGone[i]) kept.push_back(std::move(from[i]));
    from = std::move(kept);
}

} // namespace mpsvk::MPS
