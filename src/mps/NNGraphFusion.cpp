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

using Node = NNGraph::Impl::Node;
using Indices = std::vector<size_t>;

/// Whether it adds two images and does nothing else, but perhaps for an activation.
bool onlyAdds(const Node& node) {
    return node.node->isSum() && !node.derivative && !node.wantsStates &&
           !isCustom(node.node->padding) && node.imageSources[0] != node.imageSources[1];
}

Indices readersOf(const std::vector<Node>& nodes, Indices Node::*sources, size_t slot) {
    Indices readers;
    for (size_t i = 0; i < nodes.size(); ++i)
        if (std::ranges::count(nodes[i].*sources, slot)) readers.push_back(i);
    return readers;
}

void drop(std::vector<Node>& nodes, const std::vector<bool>& isGone) {
    std::vector<Node> kept;
    for (size_t i = 0; i < nodes.size(); ++i)
        if (!isGone[i]) kept.push_back(std::move(nodes[i]));
    nodes = std::move(kept);
}
} // namespace

bool NNGraph::Impl::isHidden(size_t image) const {
    return isPlain(images[image].node) && !images[image].isResult && !images[image].isExported;
}

bool NNGraph::Impl::isHiddenBefore(const std::vector<Node>& from, size_t image,
                                   size_t reader) const {
    return isHidden(image) && readersOf(from, &Node::imageSources, image) == Indices{reader} &&
           images[image].node.format() == images[from[reader].imageResult].node.format();
}

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

std::string NNGraph::Impl::obstacle(const std::vector<Node>& from, const Node& before,
                                    const Node& activation) const {
    if (before.neuron) return "that has an activation already";
    const ImageSlot& between = images[before.imageResult];
    if (between.isExported || between.isResult) return "its source leaves the graph";
    if (!isPlain(between.node)) return "its source has an allocator of its own or is synchronized";
    if (isCustom(activation.node->padding)) return "it has a custom padding policy";
    if (activation.wantsStates && !before.node->takesNeuronInTraining())
        if (std::string why = obstacleToResult(activation); !why.empty()) return why;
    const size_t readers = readersOf(from, &Node::imageSources, before.imageResult).size();
    if (readers > 1) return "its source has " + std::to_string(readers) + " readers";
    if (before.wantsStates || activation.wantsStates) return "a gradient needs its state";
    if (before.node->hasNeuron()) return "that has an activation already";
    return {};
}

std::string NNGraph::Impl::obstacleToResult(const Node& activation) const {
    if (!mps::isKnownFromResult(*activation.node->neuron()))
        return "its derivative cannot be told from its result";
    if (images[activation.imageSources[0]].node.format() !=
        images[activation.imageResult].node.format())
        return "its source has another format";
    return {};
}

void NNGraph::Impl::fuseInTraining(std::vector<Node>& from) {
    std::vector<bool> isGone(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        Node& activation = from[i];
        const auto* neuron = activation.node->neuron();
        if (!neuron || !activation.wantsStates || isCustom(activation.node->padding)) continue;
        const size_t between = activation.imageSources.at(0), state = activation.stateResults.at(0);
        const auto before = std::ranges::find(from, between, &Node::imageResult);
        if (before == from.end() || !before->node->takesNeuron() || before->neuron ||
            !isHidden(between) || states[state].isExported)
            continue;
        // But for the activation its gradient alone may read what lies between.
        const Indices ofState = readersOf(from, &Node::stateSources, state);
        if (ofState.size() != 1) continue;
        Node& gradient = from[ofState[0]];
        const auto* own = gradient.node->neuronOfGradient();
        if (!own || !mps::areSame(*own, *neuron) || isCustom(gradient.node->padding) ||
            gradient.imageSources.at(0) == between || gradient.imageSources.at(1) != between ||
            readersOf(from, &Node::imageSources, between) != Indices{i, ofState[0]})
            continue;
        std::string gradientsPart = " reads its result";
        if (before->node->takesNeuronInTraining()) {
            if (before->stateResults.empty() || !isHidden(gradient.imageResult)) continue;
            const Indices behind = readersOf(from, &Node::imageSources, gradient.imageResult);
            if (behind.size() != 1 ||
                readersOf(from, &Node::stateSources, before->stateResults[0]) != behind)
                continue;
            Node& after = from[behind[0]];
            if (!after.node->takesNeuronInTraining() ||
                after.imageSources != Indices{gradient.imageResult, before->imageSources.at(0)})
                continue;
            gradientsPart = " of " + nameOf(after);
            after.imageSources[0] = gradient.imageSources[0];
            after.neuron = neuron;
            isGone[ofState[0]] = true;
            gradient.imageSources.clear();
        } else {
            if (!obstacleToResult(activation).empty() || before->node->hasNeuron()) continue;
            gradient.imageSources[1] = activation.imageResult;
            gradient.stateSources.clear();
            gradient.derivative = neuron;
            gradient.derivativeFromResult = true;
        }
        remarks.push_back(nameOf(activation) + " is part of " + nameOf(*before) + ", and " +
                          nameOf(gradient) + gradientsPart);
        before->imageResult = activation.imageResult;
        before->neuron = neuron;
        isGone[i] = true;
        activation.imageSources.clear();
    }
    drop(from, isGone);
}

void NNGraph::Impl::fuseDerivatives(std::vector<Node>& from) {
    std::vector<bool> isGone(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        Node& gradient = from[i];
        const auto* neuron = gradient.node->neuronOfGradient();
        if (!neuron || isCustom(gradient.node->padding)) continue;
        const size_t between = gradient.imageSources.at(0), read = gradient.imageSources.at(1);
        const auto before = std::ranges::find(from, between, &Node::imageResult);
        if (before == from.end()) continue;
        const bool isSum = gradient.derivativeFromResult && onlyAdds(*before) && !before->neuron;
        if (!(before->node->takesDerivative(gradient.derivativeFromResult) || isSum) ||
            before->derivative || !isHiddenBefore(from, between, i))
            continue;
        // What is read must have the size of what counts by its size.
        const size_t sized = before->imageSources.at(1);
        if (!isSum && !gradient.derivativeFromResult) {
            const auto activation = std::ranges::find(from, sized, &Node::imageResult);
            if (activation == from.end() || !activation->node->neuron() ||
                activation->imageSources.at(0) != read || isCustom(activation->node->padding))
                continue;
        } else if (!isSum && read != sized) {
            continue;
        }
        remarks.push_back(nameOf(gradient) + " is part of " + nameOf(*before));
        // It moves to where the gradient is: what a sum now reads may be made after the sum was.
        Node both = std::move(*before);
        if (isSum)
            both.imageSources.push_back(read);
        else
            both.imageSources[1] = read;
        both.imageResult = gradient.imageResult;
        both.derivative = neuron;
        both.derivativeFromResult = gradient.derivativeFromResult;
        isGone[size_t(before - from.begin())] = true;
        from[i] = std::move(both);
    }
    drop(from, isGone);
}

void NNGraph::Impl::fuseActivations(std::vector<Node>& from) {
    std::vector<bool> isGone(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        Node& activation = from[i];
        const auto before =
            std::ranges::find(from, activation.imageSources.at(0), &Node::imageResult);
        if (!activation.node->neuron() || before == from.end() || !before->node->takesNeuron())
            continue;
        const std::string why = obstacle(from, *before, activation);
        remarks.push_back(nameOf(activation) +
                          (why.empty() ? " is part of " : " stays apart from ") + nameOf(*before) +
                          (why.empty() ? "" : ": " + why));
        if (!why.empty()) continue;
        before->imageResult = activation.imageResult;
        before->neuron = activation.node->neuron();
        isGone[i] = true;
        activation.imageSources.clear();
    }
    drop(from, isGone);
}

void NNGraph::Impl::fuseAdditions(std::vector<Node>& from) {
    std::vector<bool> isGone(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        const Node& addition = from[i];
        if (!onlyAdds(addition)) continue;
        const auto takesIt = [&](const Node& node) {
            return node.node->takesAddend() && !node.addend && !node.neuron &&
                   isHiddenBefore(from, node.imageResult, i) &&
                   // It moves to where the addition is.
                   std::ranges::all_of(node.stateResults, [&](size_t state) {
                       const Indices readers = readersOf(from, &Node::stateSources, state);
                       return readers.empty() || readers.front() > i;
                   });
        };
        for (size_t k = 0; k < 2; ++k) {
            const auto before =
                std::ranges::find(from, addition.imageSources[k], &Node::imageResult);
            if (before == from.end() || !takesIt(*before)) continue;
            remarks.push_back(nameOf(addition) + " is part of " + nameOf(*before));
            Node both = std::move(*before);
            both.addend = 1 - k;
            both.imageSources.push_back(addition.imageSources[1 - k]);
            both.imageResult = addition.imageResult;
            both.neuron = addition.neuron;
            isGone[size_t(before - from.begin())] = true;
            from[i] = std::move(both);
            break;
        }
    }
    drop(from, isGone);
}

} // namespace mpsvk::MPS
