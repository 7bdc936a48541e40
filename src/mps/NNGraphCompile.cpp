// From nodes to steps: walk back from the results, drop what nobody needs, make the kernels.
#include "mps/NNGraph.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>

namespace mpsvk::MPS {

NNGraph::Impl::Impl(const MTL::Device& owner, const std::vector<NNImageNode>& resultNodes,
                    const std::vector<bool>& needed)
    : device(owner), resultsNeeded(needed) {
    if (!device) throw InvalidArgument("[NNGraph] The device handle is empty.");
    if (resultNodes.empty()) throw InvalidArgument("[NNGraph] No result image was given.");
    if (resultsNeeded.empty()) resultsNeeded.assign(resultNodes.size(), true);
    if (resultsNeeded.size() != resultNodes.size())
        throw InvalidArgument("[NNGraph] There are " + std::to_string(resultNodes.size()) +
                              " result images but " + std::to_string(resultsNeeded.size()) +
                              " values in resultsAreNeeded.");
    for (const NNImageNode& result : resultNodes) {
        if (result.impl().producer) visit(*result.impl().producer);
        results.push_back(imageSlot(result));
    }
    // The program may change its nodes, for another graph.
    NodeCopies copies = copiesOfNodes();
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i].node = std::move(copies.filters[i]);
    for (size_t i = 0; i < images.size(); ++i) images[i].node = std::move(copies.images[i]);
    for (size_t i = 0; i < states.size(); ++i) states[i].node = std::move(copies.states[i]);
    compile();
}

NNGraph::Impl::Impl(const MTL::Device& owner, const mps::GraphNodes& nodes)
    : device(owner), resultsNeeded(nodes.resultsNeeded) {
    for (const NNImageNode& input : nodes.inputImages) imageSlot(input);
    for (const NNStateNode& input : nodes.inputStates) stateSlot(input);
    for (const auto& filter : nodes.filters) visit(*filter);
    for (const NNImageNode& result : nodes.results) results.push_back(imageSlot(result));
    compile();
}

size_t NNGraph::Impl::imageSlot(const NNImageNode& node) {
    const auto found =
        std::ranges::find_if(images, [&](const ImageSlot& slot) { return slot.node == node; });
    if (found != images.end()) return size_t(found - images.begin());
    images.push_back({node, node.impl().producer == nullptr, 0, false, node.exportFromGraph()});
    if (images.back().isInput) inputImages.push_back(images.size() - 1);
    return images.size() - 1;
}

size_t NNGraph::Impl::stateSlot(const NNStateNode& node) {
    const auto found =
        std::ranges::find_if(states, [&](const StateSlot& slot) { return slot.node == node; });
    if (found != states.end()) return size_t(found - states.begin());
    const bool isInput =
        node.impl().kind == StateNodeKind::Labels || node.impl().producer == nullptr;
    states.push_back({node, isInput, 0, node.exportFromGraph()});
    if (isInput) inputStates.push_back(states.size() - 1);
    return states.size() - 1;
}

void NNGraph::Impl::visit(NNFilterNode::Impl& filter) {
    if (std::ranges::any_of(nodes, [&](const Node& node) { return node.node.get() == &filter; }))
        return;
    Node node;
    node.node = filter.shared_from_this();
    for (const NNImageNode& source : filter.sources) {
        if (source.impl().producer) visit(*source.impl().producer);
        node.imageSources.push_back(imageSlot(source));
    }
    for (const NNStateNode& state : filter.sourceStates) {
        if (!state) continue;
        if (state.impl().producer && state.impl().kind != StateNodeKind::Labels)
            visit(*state.impl().producer);
        node.stateSources.push_back(stateSlot(state));
    }
    node.imageResult = imageSlot(filter.result());
    for (size_t k = 0; k < filter.resultStates.size(); ++k)
        if (filter.resultStates[k]->kind != StateNodeKind::Labels)
            node.stateResults.push_back(stateSlot(filter.state(k)));
    nodes.push_back(std::move(node));
}

void NNGraph::Impl::prune(std::vector<Node>& from) const {
    const auto trains = [](const Node& node) {
        return node.node->isGradient() && node.node->trainingStyle &&
               *node.node->trainingStyle != NNTrainingStyle::UpdateDeviceNone;
    };
    std::vector<bool> imageNeeded(images.size()), stateNeeded(states.size());
    for (size_t k = 0; k < results.size(); ++k)
        if (resultsNeeded[k]) imageNeeded[results[k]] = true;
    std::vector<Node> kept;
    for (size_t i = from.size(); i-- > 0;) {
        Node& node = from[i];
        node.resultIsNeeded = imageNeeded[node.imageResult] || images[node.imageResult].isExported;
        node.wantsStates = std::ranges::any_of(
            node.stateResults, [&](size_t s) { return stateNeeded[s] || states[s].isExported; });
        if (!node.resultIsNeeded && !trains(node) && !node.wantsStates) continue;
        for (size_t s : node.imageSources) imageNeeded[s] = true;
        for (size_t s : node.stateSources) stateNeeded[s] = true;
        kept.push_back(std::move(node));
    }
    std::ranges::reverse(kept);
    from = std::move(kept);
}

std::string NNGraph::Impl::nameOf(const Node& node) const {
    const NNFilterNode::Impl& own = *node.node;
    const auto quoted = [](const std::string& label) { return " \"" + label + "\""; };
    if (!own.label.empty()) return own.className + quoted(own.label);
    // A gradient that trainingGraph made is known by its forward node.
    const auto* forward = own.isGradient() && !own.sourceStates.empty()
                              ? own.sourceStates[0].impl().producer
                              : nullptr;
    return own.className +
           (forward && !forward->label.empty() ? " of" + quoted(forward->label) : "");
}

std::unique_ptr<mps::Stage> NNGraph::Impl::stageOf(const Node& node) const {
    if (node.addend) return node.node->makeStageWithAddend(device, *node.addend, node.neuron);
    if (node.neuron) return node.node->makeStageWithNeuron(device, *node.neuron);
    if (node.derivative)
        return node.node->makeStageWithDerivative(device, *node.derivative,
                                                  node.derivativeFromResult);
    return node.node->makeStage(device);
}

void NNGraph::Impl::makeSteps(std::vector<Node> from) {
    // An encode counts an image once, however often it reads it.
    const auto count = [](auto& slots, const std::vector<size_t>& sources) {
        for (size_t s : std::set<size_t>(sources.begin(), sources.end())) ++slots[s].readers;
    };
    for (Node& node : from) {
        count(images, node.imageSources);
        count(states, node.stateSources);
        node.node->check();
        try {
            steps.push_back({node, stageOf(node)});
        } catch (const InvalidArgument& error) {
            throw InvalidArgument("[" + nameOf(node) + "] " + error.what());
        }
        const std::string& name = node.node->label;
        mps::Stage& stage = *steps.back().stage;
        if (!name.empty()) stage.kernel().setLabel(name);
        if (stage.countsEncodes()) counting.push_back(&stage);
    }
}

void NNGraph::Impl::findTrained() {
    std::map<const void*, std::vector<mps::Stage*>> readers;
    for (const Step& step : steps) readers[step.stage->dataSource()].push_back(step.stage.get());
    for (size_t i = 0; i < steps.size(); ++i) {
        mps::Stage* const own = steps[i].stage.get();
        if (!own->isTrainable()) continue;
        const size_t state = steps[i].stateSources.at(0);
        const bool isSum = bool(states[state].node.as<CNNConvolutionGradientStateNode>());
        if (states[state].readers > 1 && !isSum)
            throw InvalidArgument(
                "[" + nameOf(steps[i]) + "] " + std::to_string(states[state].readers) +
                " gradient nodes have one gradient state, which keeps the parameters' gradients "
                "of one alone: add the gradients before them, or train none of them.");
        std::erase_if(trained, [&](const Trained& each) { return each.state == state; });
        const auto forward = std::ranges::find_if(
            steps, [&](const Step& step) { return std::ranges::count(step.stateResults, state); });
        mps::Stage* const exporter = forward == steps.end() ? own : forward->stage.get();
        auto all = readers[own->dataSource()];
        if (exporter->dataSource() != own->dataSource())
            std::ranges::copy(readers[exporter->dataSource()], std::back_inserter(all));
        trained.push_back({state, own, exporter, std::move(all), steps[i].node->trainingStyle});
    }
}

void NNGraph::Impl::compile() {
    if (std::getenv("MPS_LOG_INFO")) options = KernelOptions::Verbose;
    prune(nodes);
    if (nodes.empty())
        throw InvalidArgument("[NNGraph] No node makes a needed result or trains anything: there "
                              "is nothing to encode.");
    std::set<size_t> imagesRead, statesRead;
    for (const Node& node : nodes) {
        imagesRead.insert(node.imageSources.begin(), node.imageSources.end());
        statesRead.insert(node.stateSources.begin(), node.stateSources.end());
    }
    for (size_t k = 0; k < results.size(); ++k)
        if (resultsNeeded[k]) {
            images[results[k]].isResult = true;
            imagesRead.insert(results[k]);
        }
    std::erase_if(inputImages, [&](size_t s) { return !imagesRead.count(s); });
    std::erase_if(inputStates, [&](size_t s) { return !statesRead.count(s); });

    auto optimized = nodes;
    dropCopies(optimized);
    prune(optimized);
    fuseInTraining(optimized);
    fuseDerivatives(optimized);
    prune(optimized);
    fuseActivations(optimized);
    fuseAdditions(optimized);
    makeSteps(std::move(optimized));
    findTrained();
    stepsObstacle = obstacleInSteps();
    for (const Step& step : steps)
        if (step.node->padding && !std::dynamic_pointer_cast<NNDefaultPadding>(step.node->padding))
            policySteps.push_back(&step);
    for (size_t k = 1; k < results.size(); ++k)
        if (resultsNeeded[k]) intermediateImages.push_back(results[k]);
    for (size_t s = 0; s < images.size(); ++s)
        if (images[s].isExported && !images[s].isInput &&
            std::ranges::find(intermediateImages, s) == intermediateImages.end())
            intermediateImages.push_back(s);
    for (size_t s = 0; s < states.size(); ++s)
        if (states[s].isExported && !states[s].isInput) resultStates.push_back(s);
}

} // namespace mpsvk::MPS
