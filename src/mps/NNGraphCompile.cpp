// From nodes to steps: walk back from the results, drop what nobody needs, make the kernels.
#include "mps/NNGraph.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
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
    compile(resultNodes);
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
    if (std::ranges::any_of(steps, [&](const Step& step) { return step.node.get() == &filter; }))
        return;
    Step step;
    step.node = filter.shared_from_this();
    for (const NNImageNode& source : filter.sources) {
        if (source.impl().producer) visit(*source.impl().producer);
        step.imageSources.push_back(imageSlot(source));
    }
    for (const NNStateNode& state : filter.sourceStates) {
        if (!state) continue;
        if (state.impl().producer && state.impl().kind != StateNodeKind::Labels)
            visit(*state.impl().producer);
        step.stateSources.push_back(stateSlot(state));
    }
    step.imageResult = imageSlot(filter.result());
    for (size_t k = 0; k < filter.resultStates.size(); ++k)
        if (filter.resultStates[k]->kind != StateNodeKind::Labels)
            step.stateResults.push_back(stateSlot(filter.state(k)));
    steps.push_back(std::move(step));
}

void NNGraph::Impl::prune() {
    const auto trains = [](const Step& step) {
        return step.node->isGradient() && step.node->trainingStyle &&
               *step.node->trainingStyle != NNTrainingStyle::UpdateDeviceNone;
    };
    std::vector<bool> imageNeeded(images.size()), stateNeeded(states.size()),
        stepNeeded(steps.size());
    for (size_t k = 0; k < results.size(); ++k)
        if (resultsNeeded[k]) imageNeeded[results[k]] = true;
    for (size_t i = steps.size(); i-- > 0;) {
        Step& step = steps[i];
        const bool exported = images[step.imageResult].isExported;
        const bool statesWanted = std::ranges::any_of(
            step.stateResults, [&](size_t s) { return stateNeeded[s] || states[s].isExported; });
        step.resultIsNeeded = imageNeeded[step.imageResult] || exported;
        stepNeeded[i] = step.resultIsNeeded || trains(step) || statesWanted;
        step.wantsStates = statesWanted;
        if (!stepNeeded[i]) continue;
        for (size_t s : step.imageSources) imageNeeded[s] = true;
        for (size_t s : step.stateSources) stateNeeded[s] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < steps.size(); ++i)
        if (stepNeeded[i]) {
            if (kept != i) steps[kept] = std::move(steps[i]);
            ++kept;
        }
    steps.resize(kept);
    std::erase_if(inputImages, [&](size_t s) { return !imageNeeded[s]; });
    std::erase_if(inputStates, [&](size_t s) { return !stateNeeded[s]; });
}

void NNGraph::Impl::compile(const std::vector<NNImageNode>& resultNodes) {
    for (const NNImageNode& result : resultNodes) {
        if (result.impl().producer) visit(*result.impl().producer);
        results.push_back(imageSlot(result));
    }
    prune();
    if (steps.empty())
        throw InvalidArgument("[NNGraph] No node makes a needed result or trains anything: there "
                              "is nothing to encode.");
    for (size_t k = 0; k < results.size(); ++k)
        if (resultsNeeded[k]) images[results[k]].isResult = true;
    for (Step& step : steps) {
        // An encode counts an image once, however often it reads it.
        for (size_t s : std::set<size_t>(step.imageSources.begin(), step.imageSources.end()))
            ++images[s].readers;
        for (size_t s : std::set<size_t>(step.stateSources.begin(), step.stateSources.end()))
            ++states[s].readers;
        step.node->check();
        try {
            step.stage = step.node->makeStage(device);
        } catch (const InvalidArgument& error) {
            throw InvalidArgument(step.node->subject() + error.what());
        }
        if (!step.node->label.empty()) step.stage->kernel().setLabel(step.node->label);
    }
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
