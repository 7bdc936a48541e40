// A graph's plans: recorded once for a shape of inputs, replayed with the images of each encode.
#include "mps/NNGraph.hpp"

#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::MPS {

namespace {
constexpr size_t mostPlans = 4;
}

bool NNGraph::Impl::canReplay(const Request& request) const {
    if (missesInARow > 8 || updatesOnHost() || !intermediateImages.empty() || !resultStates.empty())
        return false;
    for (const StateBatch& batch : request.states)
        for (const State& state : batch)
            if (state.isTemporary()) return false;
    if (!std::ranges::all_of(steps, [](const Step& step) { return step.stage->replays(); }))
        return false;
    return allocator == Image::defaultAllocator() || !resultsNeeded[0];
}

void NNGraph::Impl::forgetPlans() {
    plans.clear();
    layouts.clear();
}

std::shared_ptr<NNGraph::Impl::Plan> NNGraph::Impl::makePlan(const Request& request) {
    const auto plan = std::make_shared<Plan>(request.commands);
    plan->isBatch = request.isBatch;
    Request recorded = request;
    recorded.commands = plan->recording;
    plan->outcome =
        encodeSteps(recorded, {.layout = layoutFor(request), .stepEnds = &plan->stepEnds});
    plan->placeTemporaries();
    return plan;
}

NNGraph::Impl::Replay NNGraph::Impl::replay(const Request& request) {
    std::vector<mps::ExternalBatch> externals;
    const auto add = [&](const ImageBatch& batch) {
        auto made = mps::externalBatch(batch);
        if (made) externals.push_back(std::move(*made));
        return made.has_value();
    };
    for (const ImageBatch& batch : request.images)
        if (!add(batch)) return {};
    for (const StateBatch& batch : request.states) {
        const auto parts = mps::imagesOfStates(batch);
        if (!parts || !std::ranges::all_of(*parts, add)) return {};
    }

    Replay found;
    ImageBatch result;
    const auto fits = [&](const std::shared_ptr<Plan>& plan) {
        auto now = externals;
        if (resultsNeeded[0]) {
            const ImageBatch& like = plan->outcome.images[results[0]];
            result = Image::batch(device, like[0].impl().descriptor, like.size());
            now.push_back(*mps::externalBatch(result));
        }
        found.replacement = plan->replacementFor(now);
        return found.replacement.has_value();
    };
    const auto arena = mps::planArena(request.commands);
    for (auto it = plans.begin(); it != plans.end() && !found.plan; ++it) {
        if ((*it)->isBatch != request.isBatch || (*it)->arena != arena || !fits(*it)) continue;
        found.plan = *it;
        plans.splice(plans.begin(), plans, it);
    }
    missesInARow = found.plan ? 0 : missesInARow + 1;
    if (!found.plan) {
        const auto plan = makePlan(request);
        if (resultsNeeded[0])
            externals.push_back(*mps::externalBatch(plan->outcome.images[results[0]]));
        plan->externals = externals;
        if (resultsNeeded[0]) externals.pop_back();
        // The recording's own result stays with the recording.
        if (resultsNeeded[0] && !fits(plan)) return {};
        found.plan = plan;
        plans.push_front(plan);
        if (plans.size() > mostPlans) plans.pop_back();
        if ((options & KernelOptions::Verbose) == KernelOptions::Verbose)
            vk::log(int(LogLevel::Info), description());
    }
    found.outcome = found.plan->outcome;
    if (resultsNeeded[0]) found.outcome.images[results[0]] = result;
    return found;
}

} // namespace mpsvk::MPS
